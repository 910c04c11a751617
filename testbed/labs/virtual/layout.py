"""From a bench file of kind ``virtual`` to what the rack builds, and to the gear that results."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from testbed.errors import InventoryError
from testbed.inventory import CONTROLLER, Bench, Controller, Device, Nic, Secret, Serial, Ssh
from testbed.labs.virtual.credentials import KeyPair, hash_password, new_key_pair, new_password
from testbed.labs.virtual.spec import (
    FILES,
    LOOSE,
    MANAGEMENT,
    CableSpec,
    DeviceSpec,
    PortSpec,
    RackSpec,
)
from testbed.wire.addresses import MacAddr

__all__ = ["MANAGEMENT_NETWORK", "PLATFORMS", "Layout", "lay_out"]

PLATFORMS = ("frr", "linux_bridge", "linux_host", "openvswitch")
"""What a virtual bench can be made of; each has a script of its name."""

MANAGEMENT_NETWORK = IPv4Network("100.127.0.0/16")
"""Where the devices' logins are: shared address space (RFC 6598), which no plan routes."""

USER = "admin"
_KEY = "client_key"
_ETHERNET_MTU = 1500
_LONGEST_NAME = 15  # IFNAMSIZ less its closing zero


@dataclass(frozen=True, slots=True)
class Layout:
    """A bench ready to be built, with the secrets of its logins."""

    bench: Bench
    spec: RackSpec
    host_keys: dict[str, KeyPair]

    def as_hardware(self, rack_pid: int, consoles: dict[str, str]) -> Bench:
        """The bench file of kind ``hardware`` for the gear that this rack holds."""
        files = f"/proc/{rack_pid}/root{FILES}"
        logins = {device.name: device for device in self.spec.devices}

        def reached(name: str, device: Device) -> Device:
            ssh = Ssh(
                host=logins[name].address,
                user=USER,
                key=Path(f"{files}/{_KEY}"),
                host_key=self.host_keys[name].fingerprint,
            )
            console = Serial(
                serial=consoles[name],
                user=USER,
                password=Secret(file=Path(f"{files}/{name}.password")),
            )
            return device.model_copy(update={"ssh": ssh, "console": console})

        macs = {
            end.name: end.mac
            for cable in self.spec.cables
            for end in (cable.left, cable.right)
            if end.node == CONTROLLER
        }
        limits = self.bench.limits
        data = self.bench.model_copy(
            update={
                "lab": "hardware",
                "controller": Controller(
                    nics={
                        name: Nic(interface=name, mac=MacAddr(macs[name]))
                        for name in self.bench.controller.nics
                    },
                    boxes=self.bench.controller.boxes,
                    netns=f"/proc/{rack_pid}/ns/net",
                ),
                "devices": {n: reached(n, d) for n, d in self.bench.devices.items()},
                "hosts": {n: reached(n, d) for n, d in self.bench.hosts.items()},
                "limits": limits.model_copy(
                    update={"management": (*limits.management, MANAGEMENT_NETWORK)}
                ),
            }
        )
        return Bench.model_validate(data)


def lay_out(bench: Bench) -> Layout:
    """Name, number and key everything; raises InventoryError for what cannot be built."""
    gear = {**bench.devices, **bench.hosts}
    problems = _problems(bench, gear)
    if problems:
        raise InventoryError(tuple(f"bench {bench.bench}: {problem}" for problem in problems))
    client = new_key_pair()
    host_keys = {name: new_key_pair() for name in gear}
    passwords = {name: new_password() for name in gear}
    devices = tuple(
        DeviceSpec(
            name=name,
            platform=device.platform,
            ports=device.ports,
            address=str(MANAGEMENT_NETWORK[2 * number + 1]),
            gateway=str(MANAGEMENT_NETWORK[2 * number]),
            management_nic=f"{MANAGEMENT}{number}",
            management_mac=_mac(number, 0xFF01),
            gateway_mac=_mac(number, 0xFF00),
            host_key=host_keys[name].private,
            password_hash=hash_password(passwords[name]),
        )
        for number, (name, device) in enumerate(gear.items(), start=1)
    )
    spec = RackSpec(
        bench=bench.bench,
        devices=devices,
        cables=_cables(bench, gear),
        authorized_key=client.public + "\n",
        files={
            _KEY: client.private,
            **{f"{name}.password": f"{password}\n" for name, password in passwords.items()},
        },
    )
    return Layout(bench, spec, host_keys)


def _cables(bench: Bench, gear: dict[str, Device]) -> tuple[CableSpec, ...]:
    own = {name: nic.mac for name, nic in bench.controller.nics.items()}
    nics = list(own)
    nodes = list(gear)

    def port(node: str, name: str) -> PortSpec:
        if node == CONTROLLER:
            return PortSpec(node, name, str(own[name] or _mac(0, nics.index(name) + 1)))
        number = nodes.index(node) + 1
        return PortSpec(node, name, _mac(number, gear[node].ports.index(name) + 1))

    cables = [
        CableSpec(
            port(left.node, left.port), port(right.node, right.port), cable.mtu or _ETHERNET_MTU
        )
        for cable in bench.cables
        for left, right in [cable.ends]
    ]
    cabled = {(end.node, end.port) for cable in bench.cables for end in cable.ends}
    every = [(CONTROLLER, nic) for nic in nics]
    every += [(node, name) for node, device in gear.items() for name in device.ports]
    unused = [place for place in every if place not in cabled]
    for number, place in enumerate(unused, start=1):
        loose = PortSpec(LOOSE, f"loose{number}", _mac(0xFFFF, number))
        cables.append(CableSpec(port(*place), loose, _ETHERNET_MTU))
    return tuple(cables)


def _mac(node: int, port: int) -> str:
    """A locally administered address that says where it belongs, the same in every run."""
    return f"02:54:{node >> 8:02x}:{node & 0xFF:02x}:{port >> 8:02x}:{port & 0xFF:02x}"


def _problems(bench: Bench, gear: dict[str, Device]) -> list[str]:
    if bench.lab != "virtual":
        return [f"lab is {bench.lab}, expected virtual: only that is built here"]
    known = ", ".join(PLATFORMS)
    problems = [
        f"device {name}: no virtual device of platform {device.platform!r}, expected one of {known}"
        for name, device in gear.items()
        if device.platform not in PLATFORMS
    ]
    names = [(f"NIC {name}", name) for name in bench.controller.nics]
    names += [
        (f"{node}: port {port}", port) for node, device in gear.items() for port in device.ports
    ]
    reserved = {"lo", "br0", MANAGEMENT}
    problems += [
        f"{where}: {name!r} cannot be the name of a Linux interface, expected at most "
        f"{_LONGEST_NAME} characters without spaces and slashes, and none of "
        f"{', '.join(sorted(reserved))} or {MANAGEMENT}1..."
        for where, name in names
        if len(name) > _LONGEST_NAME
        or any(c.isspace() or c in "/:%" for c in name)
        or name in reserved
        or (name.startswith(MANAGEMENT) and name[len(MANAGEMENT) :].isdigit())
    ]
    return problems
