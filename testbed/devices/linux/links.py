"""What ``ip -j link`` and ``ip -j addr`` print."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from pydantic import Field, TypeAdapter

from testbed.devices.parsing import Row, mac, read_json
from testbed.devices.values import PortCounters
from testbed.errors import DeviceError
from testbed.wire.addresses import MacAddr

__all__ = ["Link", "parse_addresses", "parse_links"]


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface of a Linux device. ``mac`` is None where it is no Ethernet interface."""

    name: str
    admin_up: bool
    link_up: bool
    mtu: int
    mac: MacAddr | None
    master: str | None
    counters: PortCounters | None


class _Received(Row):
    bytes: int
    packets: int
    errors: int
    dropped: int


class _Stats(Row):
    rx: _Received
    tx: _Received


class _Link(Row):
    ifname: str
    flags: tuple[str, ...]
    mtu: int
    link_type: str = "ether"
    address: str | None = None
    master: str | None = None
    stats64: _Stats | None = None

    def link(self) -> Link:
        ethernet = self.link_type == "ether" and self.address is not None
        return Link(
            name=self.ifname,
            admin_up="UP" in self.flags,
            link_up="UP" in self.flags and "LOWER_UP" in self.flags,
            mtu=self.mtu,
            mac=mac(self.address) if ethernet and self.address else None,
            master=self.master,
            counters=None if self.stats64 is None else _counters(self.stats64),
        )


class _AddressInfo(Row):
    family: str
    local: str = ""
    prefixlen: int = 0


class _Addresses(Row):
    # iproute2 prints an empty object for each interface that a filter left out.
    ifname: str = ""
    addr_info: tuple[_AddressInfo, ...] = Field(default=())


_LINKS = TypeAdapter(tuple[_Link, ...])
_ADDRESSES = TypeAdapter(tuple[_Addresses, ...])


def parse_links(text: str) -> dict[str, Link]:
    """The interfaces in the answer to ``ip -j link`` (``-s`` for counters), by name."""
    return {row.ifname: row.link() for row in read_json(text, _LINKS)}


def parse_addresses(text: str) -> dict[str, tuple[IPv4Interface, ...]]:
    """The IPv4 addresses in the answer to ``ip -j addr``, by interface."""
    found: dict[str, tuple[IPv4Interface, ...]] = {}
    for row in read_json(text, _ADDRESSES):
        if row.ifname:
            found[row.ifname] = tuple(
                _interface(info) for info in row.addr_info if info.family == "inet"
            )
    return found


def _interface(info: _AddressInfo) -> IPv4Interface:
    try:
        return IPv4Interface((IPv4Address(info.local), info.prefixlen))
    except ValueError as error:
        raise DeviceError(f"{info.local}/{info.prefixlen} is no IPv4 address: {error}") from None


def _counters(stats: _Stats) -> PortCounters:
    return PortCounters(
        rx_frames=stats.rx.packets,
        tx_frames=stats.tx.packets,
        rx_bytes=stats.rx.bytes,
        tx_bytes=stats.tx.bytes,
        rx_errors=stats.rx.errors,
        tx_errors=stats.tx.errors,
        rx_dropped=stats.rx.dropped,
        tx_dropped=stats.tx.dropped,
    )
