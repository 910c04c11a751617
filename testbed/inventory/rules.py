"""What must agree between two places of a bench file.

The rules read the file as plain data and not as a Bench, and pass over what they cannot read: so
they find what they can in a file of which another part is malformed, and all faults are told at
once.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, islice
from typing import Any

from testbed.errors import WireError
from testbed.inventory.explain import MOST, nearest
from testbed.inventory.model import CONTROLLER
from testbed.inventory.tree import Fault, Where
from testbed.inventory.values import shown
from testbed.wire.addresses import MacAddr

__all__ = ["Wiring", "faults", "unused_ports"]

_MOST_NAMES = 12
"""Ports that a message lists before it says how many more there are."""


_LABS = ("sim", "virtual", "hardware")

_SIMULATED = "sim_"
"""What the names of platforms begin with that are on sim benches, and nowhere else."""


class Wiring:
    """The nodes of a bench file, their ports, and what is plugged into each."""

    def __init__(self, data: dict[str, Any]) -> None:
        self.controller = _mapping(data.get("controller"))
        self.nics = _mapping(self.controller.get("nics"))
        self.boxes = _mapping(self.controller.get("boxes"))
        self.sections = {name: _mapping(data.get(name)) for name in ("devices", "hosts")}
        self.cables = _items(data.get("cables"))
        self.mirrors = _items(data.get("mirrors"))
        self.ports: dict[str, dict[str, Where]] = {
            CONTROLLER: {name: ("controller", "nics", name) for name in self.nics}
        }
        """Every node's ports, and where each is written."""
        for where, device in self.devices():
            ports: dict[str, Where] = {}
            for index, port in enumerate(_items(device.get("ports"))):
                if isinstance(port, str):
                    ports.setdefault(port, (*where, "ports", index))
            self.ports.setdefault(str(where[-1]), ports)
        self.plugged: dict[tuple[str, str], list[Where]] = {}
        """The ends of cables at every (node, port), and where each is written."""
        self.peers: dict[tuple[str, str], set[str]] = {}
        """The nodes at the far ends of those cables."""
        for cable in self.cables_ends():
            for where, node, port in cable:
                self.plugged.setdefault((node, port), []).append(where)
                others = {other for there, other, _ in cable if there != where}
                self.peers.setdefault((node, port), set()).update(others)

    def devices(self) -> Iterator[tuple[Where, dict[str, Any]]]:
        """Every device and host, and where it is written."""
        for section, members in self.sections.items():
            for name, device in members.items():
                yield (section, name), _mapping(device)

    def cables_ends(self) -> Iterator[list[tuple[Where, str, str]]]:
        """The ends of every cable as (place, node, port), in either spelling."""
        for index, cable in enumerate(self.cables):
            where: Where = ("cables", index)
            pair = cable
            if isinstance(cable, dict):
                where, pair = (*where, "ends"), cable.get("ends")
            split = [
                ((*where, side), *end.partition(":")[::2])
                for side, end in enumerate(_items(pair))
                if isinstance(end, str)
            ]
            yield [(there, node, port) for there, node, port in split if node and port]


def faults(data: object, platforms: frozenset[str] | None) -> list[Fault]:
    """Every disagreement in ``data``; ``platforms``, where given, are those that have a driver."""
    if not isinstance(data, dict):
        return []
    wiring = Wiring(data)
    found = [
        _names(wiring),
        _doubles(wiring),
        _boxes(wiring),
        _cables(wiring),
        _mirrors(wiring),
    ]
    if platforms is not None:
        found.append(_platforms(wiring, platforms, data.get("lab")))
    if data.get("lab") in ("virtual", "hardware"):
        found.append(_real_cables(wiring, str(data["lab"])))
    if data.get("lab") == "hardware":
        found.append(_hardware(wiring))
    elif data.get("lab") in ("sim", "virtual"):
        found.append(_brought_up(wiring, str(data["lab"])))
    return list(islice(chain.from_iterable(found), MOST))


def unused_ports(data: dict[str, Any]) -> list[Fault]:
    """Ports and NICs into which nothing is plugged: no fault, but worth a word."""
    wiring = Wiring(data)
    return [
        Fault(where, f"{node}:{port} has no cable, expected one", on_key=node == CONTROLLER)
        for node, ports in wiring.ports.items()
        for port, where in ports.items()
        if (node, port) not in wiring.plugged
    ]


def _names(wiring: Wiring) -> Iterator[Fault]:
    taken: dict[str, Where] = {}
    for where, _ in wiring.devices():
        name = str(where[-1])
        if name == CONTROLLER:
            text = (
                f"{CONTROLLER!r} is the name of the machine that runs the plans, expected another"
            )
            yield Fault(where, text, on_key=True)
        elif name in taken:
            text = f"a device and a host are both called {shown(name)}, expected names of their own"
            yield Fault(where, text, on_key=True, other=taken[name])
        taken.setdefault(name, where)
    taken |= {name: ("controller", "nics", name) for name in wiring.nics}
    for name in wiring.boxes:
        if name in taken:
            text = f"{shown(name)} is the name of something else too, expected another for the box"
            where = ("controller", "boxes", name)
            yield Fault(where, text, on_key=True, other=taken[name])


def _doubles(wiring: Wiring) -> Iterator[Fault]:
    """Things of which there is one in the world, claimed in two places."""
    claims: list[tuple[str, Where, object]] = []
    for name, nic in wiring.nics.items():
        here: Where = ("controller", "nics", name)
        claims.append(("the interface", (*here, "interface"), _mapping(nic).get("interface")))
        claims.append(("the MAC address", (*here, "mac"), _mac(_mapping(nic).get("mac"))))
    for where, device in wiring.devices():
        for index, port in enumerate(_items(device.get("ports"))):
            there = f"a port of {where[-1]} called"
            claims.append((there, (*where, "ports", index), port))
        serial = _mapping(device.get("console")).get("serial")
        claims.append(("the serial console", (*where, "console", "serial"), serial))
        ssh, power = _mapping(device.get("ssh")), _mapping(device.get("power"))
        claims.append(("the SSH server", (*where, "ssh"), _both(ssh, "host", "port", 22)))
        claims.append(
            ("the power relay", (*where, "power"), _both(power, "relay", "channel", None))
        )
    seen: dict[tuple[str, str], Where] = {}
    for what, where, value in claims:
        if not isinstance(value, str):
            continue
        if (what, value) in seen:
            text = f"{what} {shown(value)} is taken already, expected each once"
            yield Fault(where, text, other=seen[what, value])
        seen.setdefault((what, value), where)


def _boxes(wiring: Wiring) -> Iterator[Fault]:
    taken: dict[str, Where] = {}
    for name, pair in wiring.boxes.items():
        for side, nic in enumerate(_items(pair)):
            where = ("controller", "boxes", name, side)
            if not isinstance(nic, str):
                continue
            if nic not in wiring.nics:
                yield Fault(where, f"there is no NIC {shown(nic)}{_instead(nic, wiring.nics)}")
            elif (CONTROLLER, nic) not in wiring.plugged:
                text = f"the NIC {shown(nic)} has no cable, expected one on both sides of a box"
                yield Fault(where, text)
            elif nic in taken:
                text = f"the NIC {shown(nic)} is a side of a box already, expected each once"
                yield Fault(where, text, other=taken[nic])
            taken.setdefault(nic, where)


def _cables(wiring: Wiring) -> Iterator[Fault]:
    for where, node, port in chain.from_iterable(wiring.cables_ends()):
        ports = wiring.ports.get(node)
        if ports is None:
            known = list(wiring.ports)
            yield Fault(where, f"there is no device {shown(node)}{_instead(node, known)}")
        elif port not in ports and ports:
            thing = "NIC" if node == CONTROLLER else f"port of {node}"
            yield Fault(where, f"{shown(port)} is no {thing}{_instead(port, ports)}")
        first = wiring.plugged[node, port][0]
        if first != where:
            same = first[:2] == where[:2]
            text = "is both ends of this cable" if same else "is cabled twice"
            yield Fault(where, f"{node}:{port} {text}, expected one cable in one port", other=first)


def _mirrors(wiring: Wiring) -> Iterator[Fault]:
    seen: dict[tuple[str, str], Where] = {}
    for index, mirror in enumerate(map(_mapping, wiring.mirrors)):
        where: Where = ("mirrors", index)
        device, port = mirror.get("device"), mirror.get("to")
        if not isinstance(device, str) or not isinstance(port, str):
            continue
        switches = list(wiring.sections["devices"])
        ports = wiring.ports.get(device, {})
        if device not in switches:
            text = f"there is no device {shown(device)}{_instead(device, switches)}"
            yield Fault((*where, "device"), text)
        elif ports and port not in ports:
            text = f"{shown(port)} is no port of {device}{_instead(port, ports)}"
            yield Fault((*where, "to"), text)
        elif ports and wiring.peers.get((device, port)) != {CONTROLLER}:
            text = f"{device}:{port} is not cabled to the controller, expected a NIC that hears it"
            yield Fault((*where, "to"), text)
        if (device, port) in seen:
            text = "this mirror is given twice, expected it once"
            yield Fault(where, text, other=seen[device, port])
        seen.setdefault((device, port), where)


def _platforms(wiring: Wiring, platforms: frozenset[str], lab: object) -> Iterator[Fault]:
    known = sorted(platforms)
    for where, device in wiring.devices():
        platform = device.get("platform")
        if not isinstance(platform, str):
            continue
        if platform not in platforms:
            text = f"there is no platform {shown(platform)}{_instead(platform, known)}"
            yield Fault((*where, "platform"), text)
        elif lab in _LABS and platform.startswith(_SIMULATED) is not (lab == "sim"):
            fit = [name for name in known if name.startswith(_SIMULATED) is (lab == "sim")]
            text = f"a {lab} bench has no {shown(platform)}, expected one of {', '.join(fit)}"
            yield Fault((*where, "platform"), text)


def _hardware(wiring: Wiring) -> Iterator[Fault]:
    for name, nic in wiring.nics.items():
        if isinstance(nic, dict) and nic.get("interface") is None:
            text = "missing, expected the kernel's name for the NIC, as `ip -br link` prints it"
            yield Fault(("controller", "nics", name, "interface"), text)
    for where, device in wiring.devices():
        ssh, console = device.get("ssh"), device.get("console")
        if device and ssh is None and console is None:
            text = "no way to log in, expected ssh, console or both"
            yield Fault(where, text, on_key=True)
        if not isinstance(ssh, dict):
            continue
        if ssh.get("host_key") is None:
            text = (
                "missing, expected the fingerprint that `ssh-keyscan HOST | ssh-keygen -lf -` "
                "prints: a bench pins the keys of its devices"
            )
            yield Fault((*where, "ssh", "host_key"), text)
        if ssh.get("key") is None and ssh.get("password") is None:
            text = "nothing to log in with, expected key, password or both"
            yield Fault((*where, "ssh"), text, on_key=True)


def _brought_up(wiring: Wiring, lab: str) -> Iterator[Fault]:
    text = f"this is brought up by the {lab} lab itself, expected only on a hardware bench"
    if wiring.controller.get("netns") is not None:
        yield Fault(("controller", "netns"), text, on_key=True)
    for name, nic in wiring.nics.items():
        if _mapping(nic).get("interface") is not None:
            yield Fault(("controller", "nics", name, "interface"), text, on_key=True)
    for where, device in wiring.devices():
        for key in ("ssh", "console", "power"):
            if device.get(key) is not None:
                yield Fault((*where, key), text, on_key=True)


def _real_cables(wiring: Wiring, lab: str) -> Iterator[Fault]:
    text = f"a cable of a {lab} bench is as it is, expected only on a sim bench"
    for index, cable in enumerate(map(_mapping, wiring.cables)):
        for key in ("delay", "loss", "duplex"):
            if cable.get(key) is not None:
                yield Fault(("cables", index, key), text, on_key=True)


def _instead(name: str, known: Any) -> str:
    """How a message ends that says a name is not known: the nearest, and those there are."""
    names = [str(other) for other in known]
    if not names:
        return ", expected one that this file describes (it has none)"
    some = ", ".join(names[:_MOST_NAMES])
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return f"{nearest(name, names) or ','} expected one of {some}{more}"


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mac(value: object) -> str | None:
    try:
        return str(MacAddr(value)) if isinstance(value, str) else None
    except WireError:
        return None


def _both(values: dict[str, Any], first: str, second: str, default: object) -> str | None:
    """Two values that name one thing together, as text; None where one is unfit."""
    one, two = values.get(first), values.get(second, default)
    fit = isinstance(one, str) and isinstance(two, str | int)
    return f"{one}:{two}" if fit else None
