"""The command lines that give one setting of a Linux bridge a value, from any state."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from testbed.devices.base import quote
from testbed.devices.parsing import fields
from testbed.devices.platforms.linux_bridge.answers import PortVlan
from testbed.devices.values import VlanMode
from testbed.errors import DeviceError, PlanError

__all__ = [
    "PREF",
    "master",
    "mirror",
    "mode_of_vlans",
    "show_mirrors",
    "split_mirrors",
    "static",
    "vlans",
    "vlans_of_mode",
    "vlans_value",
]

PREF = 7001
"""The priority of the filters that mirror: nobody else's filters have it."""

_DIRECTIONS = ("ingress", "egress")


def master(port: str, bridge: str | None) -> tuple[str, ...]:
    """Make a port a port of ``bridge``, or of none."""
    words = ("nomaster",) if bridge is None else ("master", bridge)
    return (quote("ip", "link", "set", "dev", port, *words),)


def static(mac: str, vlan: str, port: str, *, there: bool) -> tuple[str, ...]:
    """Add a static entry to the MAC table, or remove it."""
    where = ("dev", port, "master", *(() if vlan == "0" else ("vlan", vlan)))
    if there:
        return (quote("bridge", "fdb", "replace", mac, *where, "static"),)
    # Deleting an entry that is not there is an error.
    look = quote("bridge", "fdb", "show", "dev", port)
    row = quote(f"^{mac} " + ("" if vlan == "0" else f"vlan {vlan} ") + ".*static")
    delete = quote("bridge", "fdb", "del", mac, *where)
    return (f"if {look} | grep -q {row}; then {delete}; fi",)


def mirror(ports: Sequence[str], to: str, sources: str | None) -> tuple[str, ...]:
    """Mirror ``sources`` (comma between) to ``to``, in place of what is mirrored there, or end it.

    While it lasts the bridge port ``to`` is disabled, so that it carries nothing but copies.
    """
    each = " ".join(quote(port) for port in ports)
    filters = f"tc filter show dev $p $d pref {PREF}"
    clear = (
        f"(for p in {each}; do for d in {' '.join(_DIRECTIONS)}; do "
        f"{filters} 2>/dev/null | grep -q 'device {to})' || continue; "
        f"tc filter del dev $p $d pref {PREF} || exit 1; done; "
        '[ -n "$(tc filter show dev $p ingress; tc filter show dev $p egress)" ] '
        "|| tc qdisc del dev $p clsact 2>/dev/null; done; :)"
    )
    state = quote("bridge", "link", "set", "dev", to, "state")
    if sources is None:
        # A port without a carrier is disabled anyway, and starts to forward once it has one.
        carrier = f"{quote('ip', '-o', 'link', 'show', 'dev', to)} | grep -q LOWER_UP"
        return (clear, f"if {carrier}; then {state} 3; fi")
    match = ("protocol", "all", "u32", "match", "u32", "0", "0")
    copy = (*match, "action", "mirred", "egress", "mirror", "dev", to)
    commands = [clear, f"{state} 0"]
    for port in fields(sources, str):
        commands.append(quote("tc", "qdisc", "replace", "dev", port, "clsact"))
        commands += [
            quote("tc", "filter", "add", "dev", port, direction, "pref", str(PREF), *copy)
            for direction in _DIRECTIONS
        ]
    return tuple(commands)


def show_mirrors(ports: Sequence[str]) -> str:
    """Prints the filters of each port and direction, a line of JSON each."""
    return "; ".join(
        f"{quote('tc', '-j', 'filter', 'show', 'dev', port, direction)}; echo"
        for port in ports
        for direction in _DIRECTIONS
    )


def split_mirrors(ports: Sequence[str], text: str) -> Iterator[tuple[str, str]]:
    """What show_mirrors printed, with the port of each line."""
    answers = [line for line in text.splitlines() if line.strip()]
    if len(answers) != len(ports) * len(_DIRECTIONS):
        raise DeviceError(f"expected {len(_DIRECTIONS)} lines for each of {len(ports)} ports")
    for count, answer in enumerate(answers):
        yield ports[count // len(_DIRECTIONS)], answer


def vlans(port: str, value: str) -> tuple[str, ...]:
    """Give a port exactly the VLANs of ``value``: ``1 pvid untagged, 10``."""
    commands = [f"{quote('bridge', 'vlan', 'del', 'dev', port, 'vid')} 1-4094"]
    for part in fields(value, str.strip):
        words = part.split()
        if not words[0].isdecimal() or not {"pvid", "untagged"}.issuperset(words[1:]):
            raise PlanError(f"{part!r}: expected a VLAN and 'pvid' and 'untagged', where they hold")
        commands.append(quote("bridge", "vlan", "add", "dev", port, "vid", *words))
    return tuple(commands)


def vlans_value(held: Sequence[PortVlan]) -> str:
    """The VLANs of a port as the value of its setting."""
    return ", ".join(
        str(vlan.vid) + (" pvid" if vlan.pvid else "") + (" untagged" if vlan.untagged else "")
        for vlan in sorted(held, key=lambda vlan: vlan.vid)
    )


def vlans_of_mode(mode: VlanMode) -> tuple[PortVlan, ...]:
    """The VLANs that make a port what ``mode`` says."""
    if mode.access is not None:
        return (PortVlan(mode.access, pvid=True, untagged=True),)
    tagged = [PortVlan(vid, pvid=False, untagged=False) for vid in mode.trunk if vid != mode.native]
    if mode.native is None:
        return tuple(tagged)
    return (PortVlan(mode.native, pvid=True, untagged=True), *tagged)


def mode_of_vlans(held: Sequence[PortVlan]) -> VlanMode:
    """What VLANs make of a port; DeviceError where that is no mode of a port."""
    untagged = [vlan for vlan in held if vlan.untagged]
    tagged = tuple(vlan.vid for vlan in held if not vlan.untagged)
    if any(vlan.pvid != vlan.untagged for vlan in held) or len(untagged) > 1:
        raise DeviceError(f"VLANs {vlans_value(held)!r} make neither an access nor a trunk port")
    if not untagged:
        return VlanMode(trunk=tagged)
    if not tagged:
        return VlanMode(access=untagged[0].vid)
    return VlanMode(trunk=tagged, native=untagged[0].vid)
