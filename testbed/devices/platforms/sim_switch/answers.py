"""What the simulated switch prints."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from testbed.devices.parsing import mac, number, rows
from testbed.devices.values import FdbEntry, PortCounters, VlanMode
from testbed.errors import DeviceError, PlanError
from testbed.timing import seconds

__all__ = [
    "Config",
    "PortConfig",
    "list_vlans",
    "parse_capacity",
    "parse_config",
    "parse_counters",
    "parse_fdb",
    "parse_links",
]

_FDB_ROW = re.compile(
    r"(?P<vlan>\d{1,4}) +(?P<mac>[0-9a-f:]{17}) +(?P<type>static|dynamic) +(?P<age>-|\d{1,10})"
    r" +(?P<port>\S+)"
)
_STATUS_ROW = re.compile(r"(?P<port>\S+) +(?P<admin>up|down) +(?P<link>up|down) +\d+ +\S+ +.*")
_COUNTER_ROW = re.compile(r"(?P<port>\S+)(?P<counts>(?: +\d+){10})")
_CAPACITY = re.compile(r"Total capacity: (\d{1,10})")

_STATIC = re.compile(r"mac address-table static (\S+) vlan (\d{1,4}) interface (\S+)")


@dataclass
class PortConfig:
    """The settings of one port."""

    mode: VlanMode = field(default_factory=VlanMode)
    mtu: int = 1500
    admin_up: bool = True
    storm: int | None = None


@dataclass
class Config:
    """The running configuration. ``statics`` has the port of each address and VLAN."""

    ageing: int = 300
    independent: bool = True
    ports: dict[str, PortConfig] = field(default_factory=dict)
    statics: dict[tuple[str, int], str] = field(default_factory=dict)
    mirror_from: tuple[str, ...] = ()
    mirror_to: str | None = None


def parse_fdb(text: str) -> tuple[FdbEntry, ...]:
    """The answer to ``show mac address-table``."""
    return tuple(
        FdbEntry(
            mac=mac(row["mac"]),
            port=row["port"],
            vlan=int(row["vlan"]),
            static=row["type"] == "static",
            age=None if row["age"] == "-" else seconds(int(row["age"])),
        )
        for row in _table(text, ("Vlan", "Mac Address", "Type", "Age(s)", "Port"), _FDB_ROW)
    )


def parse_links(text: str) -> dict[str, bool]:
    """Whether the link of each port is up: the answer to ``show interfaces status``."""
    headings = ("Port", "Admin", "Link", "MTU", "Address", "Mode")
    return {row["port"]: row["link"] == "up" for row in _table(text, headings, _STATUS_ROW)}


def parse_counters(text: str) -> dict[str, PortCounters]:
    """The answer to ``show interfaces counters``, by port."""
    headings = (
        "Port", "InFrames", "InBytes", "OutFrames", "OutBytes", "Runts", "Giants", "CRC",
        "InDropped", "Storm", "OutDropped",
    )  # fmt: skip
    found: dict[str, PortCounters] = {}
    for row in _table(text, headings, _COUNTER_ROW):
        counts = [number(word) for word in row["counts"].split()]
        found[row["port"]] = PortCounters(
            rx_frames=counts[0],
            rx_bytes=counts[1],
            tx_frames=counts[2],
            tx_bytes=counts[3],
            rx_errors=sum(counts[4:7]),
            rx_dropped=counts[7] + counts[8],
            tx_dropped=counts[9],
        )
    return found


def parse_capacity(text: str) -> int:
    """How many addresses the table holds: the answer to ``show mac address-table count``."""
    found = _CAPACITY.search(text)
    if found is None:
        raise DeviceError("expected a line 'Total capacity: ...'")
    return int(found[1])


def parse_config(text: str) -> Config:
    """The answer to ``show running-config``; DeviceError names a line that is not known."""
    config, port = Config(), PortConfig()
    for count, line in enumerate(text.splitlines(), start=1):
        words = line.split()
        if line.startswith("interface ") and len(words) == 2:
            port = config.ports.setdefault(words[1], PortConfig())
        elif words and not (
            _read_port_line(port, words) if line[0] == " " else _read_line(config, words, line)
        ):
            raise DeviceError(f"line {count}: {line!r} is no setting that is known")
    return config


def _read_line(config: Config, words: list[str], line: str) -> bool:
    static = _STATIC.fullmatch(line)
    if static is not None:
        config.statics[str(mac(static[1])), int(static[2])] = static[3]
        return True
    match words:
        case ["hostname", _] | ["!"] | ["end"]:
            pass
        case ["mac", "address-table", "aging-time", span]:
            config.ageing = number(span)
        case ["vlan", "learning", ("independent" | "shared") as how]:
            config.independent = how == "independent"
        case ["monitor", "session", "1", "source", "interface", names]:
            config.mirror_from = tuple(names.split(","))
        case ["monitor", "session", "1", "destination", "interface", name]:
            config.mirror_to = name
        case _:
            return False
    return True


def _read_port_line(port: PortConfig, words: list[str]) -> bool:
    match words:
        case ["switchport", "access", "vlan", vlan]:
            port.mode = _mode(access=number(vlan))
        case ["switchport", "trunk", "allowed", "vlan", vlans]:
            port.mode = _mode(trunk=tuple(_ranges(vlans)))
        case ["switchport", "trunk", "native", "vlan", vlan]:
            port.mode = _mode(trunk=port.mode.trunk, native=number(vlan))
        case ["storm-control", "broadcast", "level", "pps", rate]:
            port.storm = number(rate)
        case ["mtu", size]:
            port.mtu = number(size)
        case ["no", "shutdown"]:
            port.admin_up = True
        case ["shutdown"]:
            port.admin_up = False
        case _:
            return False
    return True


def _mode(
    access: int | None = None, trunk: tuple[int, ...] = (), native: int | None = None
) -> VlanMode:
    try:
        return VlanMode(access, trunk, native)
    except PlanError as error:
        raise DeviceError(str(error)) from None


def list_vlans(vlans: tuple[int, ...]) -> str:
    """``10,20``, as the device takes it."""
    return ",".join(map(str, vlans))


def _ranges(text: str) -> Iterator[int]:
    for part in text.split(","):
        first, _, last = part.partition("-")
        low, high = number(first), number(last or first)
        if not 1 <= low <= high <= 4094:
            raise DeviceError(f"{part!r} is no range of VLANs")
        yield from range(low, high + 1)


def _table(
    text: str, headings: tuple[str, ...], pattern: re.Pattern[str]
) -> Iterator[re.Match[str]]:
    """The rows of a table, below its headings and its rule."""
    lines = text.splitlines()
    if not lines or tuple(re.split(r" {2,}", lines[0].strip())) != headings:
        raise DeviceError(f"line 1: expected the headings {', '.join(headings)}")
    if len(lines) < 2 or not re.fullmatch(r"[- ]+", lines[1]):
        raise DeviceError("line 2: expected a rule of dashes")
    return rows("\n".join(line.strip() for line in lines[2:]), pattern)
