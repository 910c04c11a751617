"""What the switch prints: tables with a heading, a rule, and one row to a line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from testbed.sim.switch.controls import Controls
from testbed.sim.switch.fdb import Entry
from testbed.sim.switch.ports import Port, PortMode
from testbed.timing import Instant, seconds

__all__ = [
    "count",
    "counters",
    "interface",
    "interfaces",
    "macs",
    "monitor",
    "running_config",
    "status",
    "storm",
    "version",
    "vlans",
]

_RELEASE = "1.0"


def version(switch: Controls) -> str:
    """One line, and what the device is made of."""
    return (
        f"{switch.model} software, release {_RELEASE}\n"
        f"{switch.name} has {len(switch.ports.all)} ports\n"
    )


def macs(switch: Controls, now: Instant, chosen: Callable[[Entry], bool]) -> str:
    """The MAC table: the entries that are ``chosen``."""
    found = [entry for entry in switch.fdb.rows(now) if chosen(entry)]
    return _table(
        ("Vlan", "Mac Address", "Type", "Age(s)", "Port"),
        [
            (
                str(entry.vlan),
                entry.mac.hex(":"),
                "static" if entry.static else "dynamic",
                "-" if entry.static else str(max(now - entry.seen, 0) // seconds(1)),
                entry.port.name,
            )
            for entry in found
        ],
    )


def count(switch: Controls, now: Instant) -> str:
    """How full the MAC table is; its size is that of the data sheet."""
    capacity = switch.stated.get("fdb_capacity", switch.fdb.capacity)
    found = list(switch.fdb.rows(now))
    static = sum(entry.static for entry in found)
    return (
        f"Dynamic entries: {len(found) - static}\n"
        f"Static entries: {static}\n"
        f"Total capacity: {capacity}\n"
    )


def status(switch: Controls) -> str:
    """Whether ports are on, have a link, and how they treat tags."""
    return _table(
        ("Port", "Admin", "Link", "MTU", "Address", "Mode"),
        [
            (
                port.name,
                "up" if port.enabled else "down",
                "up" if port.up and port.enabled else "down",
                str(port.mtu),
                str(switch.jacks[port.name].mac),
                _mode(port),
            )
            for port in switch.ports.all
        ],
    )


def counters(switch: Controls) -> str:
    """What each port counted."""
    return _table(
        ("Port", "InFrames", "InBytes", "OutFrames", "OutBytes", "Runts", "Giants", "CRC",
         "InDropped", "Storm", "OutDropped"),
        [
            (port.name, *(str(value) for value in _counted(port)))
            for port in switch.ports.all
        ],
    )  # fmt: skip


def interfaces(switch: Controls) -> str:
    """Every port at length."""
    return "".join(interface(switch, port) for port in switch.ports.all)


def interface(switch: Controls, port: Port) -> str:
    """One port at length."""
    up = port.up and port.enabled
    admin = "up" if port.enabled else "administratively down"
    frames = _counted(port)
    return (
        f"{port.name} is {admin}, line protocol is {'up' if up else 'down'}\n"
        f"  Hardware is Ethernet, address is {switch.jacks[port.name].mac}\n"
        f"  MTU {port.mtu} bytes, {_mode(port)}\n"
        f"  {frames[0]} frames input, {frames[1]} bytes\n"
        f"  {port.counters.rx_errors} input errors: {frames[4]} runts, {frames[5]} giants, "
        f"{frames[6]} CRC\n"
        f"  {frames[7]} input drops, {frames[8]} above the broadcast ceiling\n"
        f"  {frames[2]} frames output, {frames[3]} bytes, {frames[9]} output drops\n"
    )


def vlans(switch: Controls) -> str:
    """The VLANs that ports are set to, and their ports: ``t`` where with tags."""
    members: dict[int, list[str]] = {}
    for port in switch.ports.all:
        for vlan in port.carried or ():
            tagged = "" if vlan == port.untagged else "(t)"
            members.setdefault(vlan, []).append(port.name + tagged)
    learning = "independent" if switch.fdb.independent else "shared"
    rows = [(str(vlan), ",".join(members[vlan])) for vlan in sorted(members)]
    return f"VLAN learning: {learning}\n" + _table(("Vlan", "Ports"), rows)


def monitor(switch: Controls) -> str:
    """The mirror session."""
    mirror = switch.mirror
    if not mirror.sources and mirror.to is None:
        return "No session\n"
    return (
        "Session 1\n"
        f"  Source ports, both directions: {_names(mirror.sources) or 'none'}\n"
        f"  Destination port: {mirror.to.name if mirror.to else 'none'}\n"
    )


def storm(switch: Controls) -> str:
    """The ceilings of broadcasts, and how many frames were above."""
    return _table(
        ("Port", "Level(pps)", "Dropped"),
        [
            (
                port.name,
                "-" if port.ceiling is None else str(port.ceiling),
                str(port.counters.storm_dropped),
            )
            for port in switch.ports.all
        ],
    )


def running_config(switch: Controls) -> str:
    """Every setting, as it would be typed, the usual ones too."""
    fdb, mirror = switch.fdb, switch.mirror
    lines = [
        f"hostname {switch.name}",
        f"mac address-table aging-time {fdb.ageing // seconds(1)}",
        f"vlan learning {'independent' if fdb.independent else 'shared'}",
    ]
    for port in switch.ports.all:
        lines += ["!", f"interface {port.name}", *(f" {line}" for line in _port_lines(port))]
    lines.append("!")
    lines += [
        f"mac address-table static {entry.mac.hex(':')} vlan {entry.vlan} "
        f"interface {entry.port.name}"
        for entry in fdb.statics()
    ]
    if mirror.sources:
        lines.append(f"monitor session 1 source interface {_names(mirror.sources)}")
    if mirror.to is not None:
        lines.append(f"monitor session 1 destination interface {mirror.to.name}")
    return "\n".join([*lines, "end"]) + "\n"


def _port_lines(port: Port) -> Iterable[str]:
    mode = port.mode
    if mode.access is not None:
        yield f"switchport access vlan {mode.access}"
    if mode.trunk:
        yield f"switchport trunk allowed vlan {_ranges(mode.trunk)}"
    if mode.native is not None:
        yield f"switchport trunk native vlan {mode.native}"
    if port.ceiling is not None:
        yield f"storm-control broadcast level pps {port.ceiling}"
    yield f"mtu {port.mtu}"
    yield "no shutdown" if port.enabled else "shutdown"


def _counted(port: Port) -> tuple[int, ...]:
    seen = port.counters
    return (
        seen.rx_frames, seen.rx_bytes, seen.tx_frames, seen.tx_bytes, seen.runts, seen.giants,
        seen.bad_fcs, seen.rx_dropped, seen.storm_dropped, seen.tx_dropped,
    )  # fmt: skip


def _mode(port: Port) -> str:
    if port.listens:
        return "monitor"
    mode: PortMode = port.mode
    if mode.access is not None:
        return f"access {mode.access}"
    if not mode.trunk:
        return "as it comes"
    native = "" if mode.native is None else f" native {mode.native}"
    return f"trunk {_ranges(mode.trunk)}{native}"


def _names(ports: Iterable[Port]) -> str:
    return ",".join(port.name for port in ports)


def _ranges(vlans: Iterable[int]) -> str:
    """``10,20-29``."""
    spans: list[list[int]] = []
    for vlan in sorted(vlans):
        if spans and vlan == spans[-1][1] + 1:
            spans[-1][1] = vlan
        else:
            spans.append([vlan, vlan])
    return ",".join(str(low) if low == high else f"{low}-{high}" for low, high in spans)


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table: columns as wide as they need, two blanks between."""
    widths = [max(map(len, column)) for column in zip(headings, *rows, strict=True)]
    lines = [headings, ["-" * width for width in widths], *rows]
    return "".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )
