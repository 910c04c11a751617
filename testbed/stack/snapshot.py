"""A stack as it is at one moment, as frozen values: for plans to ask about, for reports to show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface

from testbed.stack.conflict import AddressState
from testbed.stack.core import Core
from testbed.stack.egress import Egress
from testbed.stack.interface import Interface
from testbed.stack.neighbours import NeighbourState
from testbed.stack.pmtu import PathMtu
from testbed.stack.routes import Route
from testbed.stack.tcp.snapshot import TcpSnapshot
from testbed.stack.udp_socket import Endpoint, UdpSocket
from testbed.timing import Duration, Instant
from testbed.wire.addresses import MacAddr

__all__ = [
    "Counters",
    "InterfaceSnapshot",
    "NeighbourSnapshot",
    "StackSnapshot",
    "UdpSnapshot",
    "counters_of",
    "interfaces_of",
    "udp_of",
]


@dataclass(frozen=True, slots=True)
class NeighbourSnapshot:
    """One ARP entry; ``expires_in`` is None where it does not age, ``waiting`` counts packets."""

    address: IPv4Address
    mac: MacAddr | None
    state: NeighbourState
    expires_in: Duration | None
    waiting: int


@dataclass(frozen=True, slots=True)
class InterfaceSnapshot:
    """One interface. ``tentative`` are addresses that are being probed for."""

    name: str
    mac: MacAddr | None
    mtu: int
    up: bool
    addresses: tuple[IPv4Interface, ...]
    tentative: tuple[IPv4Address, ...]
    groups: tuple[IPv4Address, ...]
    neighbours: tuple[NeighbourSnapshot, ...]


@dataclass(frozen=True, slots=True)
class UdpSnapshot:
    """One UDP socket."""

    local: tuple[IPv4Address | None, int]
    remote: Endpoint | None
    waiting: int
    dropped: int


@dataclass(frozen=True, slots=True)
class Counters:
    """What was dropped, by layer and reason, and what else was counted."""

    dropped: Mapping[tuple[str, str], int]
    counts: Mapping[str, int]
    reassembling: int
    """Bytes of fragments held."""

    def drops(self, layer: str) -> int:
        """Packets that ``layer`` dropped, for whatever reason."""
        return sum(count for (where, _), count in self.dropped.items() if where == layer)


@dataclass(frozen=True, slots=True)
class StackSnapshot:
    """A stack at ``at``."""

    name: str
    at: Instant
    interfaces: tuple[InterfaceSnapshot, ...]
    routes: tuple[Route, ...]
    path_mtus: tuple[PathMtu, ...]
    udp: tuple[UdpSnapshot, ...]
    tcp: tuple[TcpSnapshot, ...]
    listening: tuple[tuple[IPv4Address | None, int], ...]
    counters: Counters


def interfaces_of(egress: Egress, now: Instant) -> tuple[InterfaceSnapshot, ...]:
    """All interfaces as they are now."""
    return tuple(_interface(link, now) for link in egress.interfaces.values())


def _interface(link: Interface, now: Instant) -> InterfaceSnapshot:
    tentative = (AddressState.WAITING, AddressState.PROBING)
    return InterfaceSnapshot(
        link.name,
        link.mac,
        link.mtu,
        link.up,
        tuple(link.addresses),
        tuple(each.address for each in link.claims.values() if each.state in tentative),
        tuple(link.groups),
        tuple(_neighbours(link, now)),
    )


def _neighbours(link: Interface, now: Instant) -> Iterable[NeighbourSnapshot]:
    for entry in link.neighbours:
        permanent = entry.state is NeighbourState.PERMANENT
        ages = entry.state is NeighbourState.REACHABLE
        if ages and entry.expires <= now:
            continue
        left = Duration(entry.expires - now) if ages and not permanent else None
        yield NeighbourSnapshot(entry.address, entry.mac, entry.state, left, len(entry.queue))


def udp_of(sockets: Iterable[UdpSocket]) -> tuple[UdpSnapshot, ...]:
    """All UDP sockets as they are now."""
    return tuple(
        UdpSnapshot((each.address, each.port), each.remote, each.waiting, each.dropped)
        for each in sockets
    )


def counters_of(core: Core, reassembling: int) -> Counters:
    """The counters as they are now."""
    return Counters(dict(core.dropped), dict(core.counts), reassembling)
