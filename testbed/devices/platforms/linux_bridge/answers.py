"""What ``ip -d -j link``, ``bridge -j`` and ``tc -j`` print of a bridge."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field, TypeAdapter

from testbed.devices.parsing import Mac, Row, read_json
from testbed.devices.values import FdbEntry
from testbed.errors import DeviceError
from testbed.timing import seconds

__all__ = [
    "BridgeInfo",
    "PortInfo",
    "PortVlan",
    "parse_bridge",
    "parse_bridge_ports",
    "parse_fdb",
    "parse_mirrored",
    "parse_vlans",
]


class BridgeInfo(Row):
    """The bridge's own parameters. ``ageing_time`` is in hundredths of a second (USER_HZ)."""

    ageing_time: int
    vlan_filtering: int
    stp_state: int
    mcast_snooping: int
    group_fwd_mask: str


class PortInfo(Row):
    """The bridge's parameters of one port."""

    state: str
    learning: bool
    flood: bool
    mcast_flood: bool
    bcast_flood: bool
    hairpin: bool
    isolated: bool = False


@dataclass(frozen=True, slots=True)
class PortVlan:
    """One VLAN of one port."""

    vid: int
    pvid: bool
    untagged: bool


class _BridgeKind(Row):
    info_data: BridgeInfo


class _Bridge(Row):
    linkinfo: _BridgeKind


class _PortKind(Row):
    info_slave_kind: str = ""
    info_slave_data: PortInfo | None = None


class _Port(Row):
    ifname: str
    master: str | None = None
    linkinfo: _PortKind = Field(default=_PortKind())


class _FdbRow(Row):
    mac: Mac
    ifname: str
    vlan: int = 0
    master: str | None = None
    state: str = ""
    updated: int | None = Field(default=None, ge=0, le=2**32)


class _Action(Row):
    kind: str = ""
    mirred_action: str = ""
    to_dev: str = ""


class _FilterOptions(Row):
    actions: tuple[_Action, ...] = ()


class _Filter(Row):
    pref: int = 0
    options: _FilterOptions = Field(default=_FilterOptions())


class _Vlan(Row):
    vlan: int
    vlanEnd: int | None = None  # noqa: N815 - the name that bridge gives it
    flags: tuple[str, ...] = ()


class _PortVlans(Row):
    ifname: str
    vlans: tuple[_Vlan, ...] = ()


_BRIDGE = TypeAdapter(tuple[_Bridge, ...])
_PORTS = TypeAdapter(tuple[_Port, ...])
_FDB = TypeAdapter(tuple[_FdbRow, ...])
_FILTERS = TypeAdapter(tuple[_Filter, ...])
_VLANS = TypeAdapter(tuple[_PortVlans, ...])


def parse_bridge(text: str) -> BridgeInfo:
    """The parameters in the answer to ``ip -d -j link show dev BRIDGE``."""
    found = read_json(text, _BRIDGE)
    if len(found) != 1:
        raise DeviceError(f"expected one bridge, got {len(found)}")
    return found[0].linkinfo.info_data


def parse_bridge_ports(text: str) -> dict[str, tuple[str, PortInfo]]:
    """The bridge ports in the answer to ``ip -d -j link``: bridge and parameters of each."""
    return {
        row.ifname: (row.master, row.linkinfo.info_slave_data)
        for row in read_json(text, _PORTS)
        if row.master is not None
        and row.linkinfo.info_slave_kind == "bridge"
        and row.linkinfo.info_slave_data is not None
    }


def parse_fdb(text: str) -> tuple[FdbEntry, ...]:
    """The rows of ``bridge -s -j fdb`` that the bridge learned or was given.

    What is left out: entries of the interfaces themselves (``self``) and the addresses of the
    bridge's own ports (``permanent``).
    """
    return tuple(
        FdbEntry(
            mac=row.mac,
            port=row.ifname,
            vlan=row.vlan,
            static=row.state == "static",
            age=None if row.state == "static" or row.updated is None else seconds(row.updated),
        )
        for row in read_json(text, _FDB)
        if row.master is not None and row.state != "permanent"
    )


def parse_mirrored(text: str, pref: int) -> str | None:
    """Where the filter of priority ``pref`` in ``tc -j filter show`` mirrors to, or None."""
    for row in read_json(text, _FILTERS):
        for action in row.options.actions if row.pref == pref else ():
            if action.kind == "mirred" and action.mirred_action == "mirror":
                return action.to_dev
    return None


def parse_vlans(text: str) -> dict[str, tuple[PortVlan, ...]]:
    """The VLANs in the answer to ``bridge -j vlan show``, by port."""
    found: dict[str, tuple[PortVlan, ...]] = {}
    for row in read_json(text, _VLANS):
        vlans: list[PortVlan] = []
        for entry in row.vlans:
            last = entry.vlan if entry.vlanEnd is None else entry.vlanEnd
            if not 1 <= entry.vlan <= last <= 4094:
                raise DeviceError(f"{row.ifname}: VLANs {entry.vlan} to {last} cannot be")
            vlans += [
                PortVlan(vid, "PVID" in entry.flags, "Egress Untagged" in entry.flags)
                for vid in range(entry.vlan, last + 1)
            ]
        found[row.ifname] = tuple(vlans)
    return found
