"""What ovs-vsctl, ovs-appctl and ovs-ofctl print."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, TypeAdapter

from testbed.devices.parsing import Row, mac, read_json, rows
from testbed.devices.values import FdbEntry
from testbed.errors import DeviceError
from testbed.timing import seconds

__all__ = [
    "BridgeRow",
    "InterfaceRow",
    "MirrorRow",
    "PortRow",
    "parse_bridges",
    "parse_fdb",
    "parse_flows",
    "parse_interfaces",
    "parse_meters",
    "parse_mirrors",
    "parse_most_meters",
    "parse_ports",
]


class _Table(Row):
    headings: tuple[str, ...]
    data: tuple[tuple[Any, ...], ...]


def _as_set(value: Any) -> Any:
    """RFC 7047 5.1: a set is ``["set", [...]]``, or, of one element, that element alone."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "set":
        return value[1]
    return [value]


def _as_optional(value: Any) -> Any:
    """A set of one element at most."""
    members = _as_set(value)
    return None if members == [] else value


def _as_map(value: Any) -> Any:
    """RFC 7047 5.1: a map is ``["map", [[key, value], ...]]``."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "map":
        try:
            return dict(value[1])
        except (TypeError, ValueError):
            raise ValueError("expected a map of pairs") from None
    raise ValueError("expected a map")


def _as_uuid(value: Any) -> Any:
    """RFC 7047 5.1: a reference is ``["uuid", text]``."""
    if isinstance(value, list) and len(value) == 2 and value[0] == "uuid":
        return value[1]
    return value


_Uuid = Annotated[str, BeforeValidator(_as_uuid)]
_Uuids = Annotated[tuple[_Uuid, ...], BeforeValidator(_as_set)]
_Numbers = Annotated[tuple[int, ...], BeforeValidator(_as_set)]
_Number = Annotated[int | None, BeforeValidator(_as_optional)]
_Text = Annotated[str | None, BeforeValidator(_as_optional)]
_Map = Annotated[dict[str, str], BeforeValidator(_as_map)]


class BridgeRow(Row):
    """A row of the Bridge table."""

    name: str
    other_config: _Map
    stp_enable: bool
    rstp_enable: bool
    mcast_snooping_enable: bool
    flood_vlans: _Numbers
    mirrors: _Uuids


class PortRow(Row):
    """A row of the Port table."""

    uuid: _Uuid
    name: str
    tag: _Number
    trunks: _Numbers
    vlan_mode: _Text
    protected: bool


class InterfaceRow(Row):
    """A row of the Interface table."""

    name: str
    ofport: _Number


class MirrorRow(Row):
    """A row of the Mirror table."""

    uuid: _Uuid
    name: str
    select_all: bool
    select_src_port: _Uuids
    select_dst_port: _Uuids
    select_vlan: _Numbers
    output_port: Annotated[_Uuid | None, BeforeValidator(_as_optional)]
    output_vlan: _Number


_TABLE = TypeAdapter(_Table)
_BRIDGES = TypeAdapter(tuple[BridgeRow, ...])
_PORTS = TypeAdapter(tuple[PortRow, ...])
_INTERFACES = TypeAdapter(tuple[InterfaceRow, ...])
_MIRRORS = TypeAdapter(tuple[MirrorRow, ...])

_FDB_HEAD = re.compile(r"\s*port\s+VLAN\s+MAC\s+Age")
_FDB_ROW = re.compile(
    r"\s*(?P<port>[0-9]+|LOCAL)\s+(?P<vlan>[0-9]{1,4})\s+(?P<mac>[0-9a-f:]{17})"
    r"\s+(?P<age>-?[0-9]{1,10}|static)\s*"
)
_FLOW = re.compile(r"\s*(?P<match>.*?)\s*actions=(?P<actions>\S+)\s*")

_METER = re.compile(r"meter=(?P<meter>[0-9]{1,10}) (?P<flags>[a-z ]+)bands=")
_BAND = re.compile(r"type=drop rate=(?P<rate>[0-9]{1,10})( burst_size=[0-9]{1,10})?\s*")
_MOST_METERS = re.compile(r"max_meter:(?P<count>[0-9]{1,10}) ")

# What dump-flows tells of a flow beyond its table, its priority and what it matches.
_NO_MATCH = ("cookie=", "idle_timeout=", "hard_timeout=", "importance=", "send_flow_rem")

# OFP_DEFAULT_PRIORITY, which dump-flows leaves out.
_DEFAULT_PRIORITY = "priority=32768"


def parse_bridges(text: str) -> tuple[BridgeRow, ...]:
    """The Bridge table, as ``ovs-vsctl --format=json list bridge`` prints it."""
    return read_json(_objects(text), _BRIDGES)


def parse_ports(text: str) -> tuple[PortRow, ...]:
    """The Port table."""
    return read_json(_objects(text), _PORTS)


def parse_interfaces(text: str) -> tuple[InterfaceRow, ...]:
    """The Interface table."""
    return read_json(_objects(text), _INTERFACES)


def parse_mirrors(text: str) -> tuple[MirrorRow, ...]:
    """The Mirror table."""
    return read_json(_objects(text), _MIRRORS)


def parse_fdb(text: str, names: Mapping[int, str]) -> tuple[FdbEntry, ...]:
    """The MAC table, as ``ovs-appctl fdb/show`` prints it; ``names`` has each OpenFlow port's.

    A port that ``names`` does not know was removed a moment ago; it keeps its number for a name.
    An age below zero is told of an entry that was static until somebody changed the ageing time:
    it is no longer static, and has no age.
    """
    lines = text.splitlines()
    if not lines or not _FDB_HEAD.fullmatch(lines[0].rstrip()):
        raise DeviceError("line 1: expected the heading 'port VLAN MAC Age'")
    found: list[FdbEntry] = []
    for match in rows("\n".join(lines[1:]), _FDB_ROW):
        port, age = match["port"], match["age"]
        found.append(
            FdbEntry(
                mac=mac(match["mac"]),
                port=names.get(int(port), port) if port.isdecimal() else port,
                vlan=int(match["vlan"]),
                static=age == "static",
                age=None if age == "static" or age.startswith("-") else seconds(int(age)),
            )
        )
    return tuple(found)


def parse_flows(text: str) -> dict[str, str]:
    """The flows of ``ovs-ofctl --no-stats --no-names dump-flows``: the actions of each match."""
    found: dict[str, str] = {}
    for match in rows(text, _FLOW):
        parts = [part.strip() for part in match["match"].split(",")]
        parts = [part for part in parts if part and not part.startswith(_NO_MATCH)]
        if not any(part.startswith("priority=") for part in parts):
            parts.insert(0, _DEFAULT_PRIORITY)
        found[",".join(parts)] = match["actions"]
    return found


def parse_meters(text: str) -> dict[int, int]:
    """The meters that count packets, as dump-meters prints them: the rate of each, by its number.

    The heading of OpenFlow's reply comes first; a meter of bytes, or of more than one band, is none
    that storm control made, and left out.
    """
    blocks = re.split(r"^(?=meter=)", text, flags=re.MULTILINE)
    if not blocks[0].startswith("OFPST_METER_CONFIG reply"):
        raise DeviceError("line 1: expected 'OFPST_METER_CONFIG reply'")
    found: dict[int, int] = {}
    for block in blocks[1:]:
        head, _, bands = block.partition("\n")
        meter, band = _METER.fullmatch(head.rstrip()), _BAND.fullmatch(bands)
        if meter is None:
            raise DeviceError(f"expected 'meter=NUMBER FLAGS bands=', got {head!r}")
        if band is not None and "pktps" in meter["flags"].split():
            found[int(meter["meter"])] = int(band["rate"])
    return found


def parse_most_meters(text: str) -> int:
    """How many meters the bridge's datapath has, as meter-features prints it."""
    found = _MOST_METERS.search(text)
    if found is None:
        raise DeviceError("expected 'max_meter:NUMBER'")
    return int(found["count"])


def _objects(text: str) -> str:
    """A table as a JSON array of objects, for the types above; ``_uuid`` becomes ``uuid``."""
    table = read_json(text, _TABLE)
    names = [heading.removeprefix("_") for heading in table.headings]
    for count, row in enumerate(table.data):
        if len(row) != len(names):
            raise DeviceError(f"$.data[{count}]: {len(row)} cells under {len(names)} headings")
    return json.dumps([dict(zip(names, row, strict=True)) for row in table.data])
