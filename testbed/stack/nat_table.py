"""The mappings of a translator: who has which port outside, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address
from typing import Final

from testbed.errors import PlanError
from testbed.stack.entropy import Entropy
from testbed.stack.events import Event, EventLog
from testbed.timing import Duration, Instant, TimerTable, after, seconds
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.tcp import TcpFlags

__all__ = [
    "Filtering",
    "Mapping",
    "MappingGone",
    "MappingMade",
    "MappingTable",
    "NatConfig",
    "NatMapping",
    "Peer",
    "Session",
]


class Filtering(Enum):
    """From where packets to a mapping are let in (RFC 4787 5)."""

    ENDPOINT_INDEPENDENT = "anywhere"
    ADDRESS_DEPENDENT = "addresses that were written to"
    ADDRESS_AND_PORT_DEPENDENT = "addresses and ports that were written to"


@dataclass(frozen=True, slots=True)
class NatConfig:
    """Timers and limits, with the values that the RFCs ask for."""

    ports: tuple[int, int] = (1024, 49151)
    """Outside ports to give out; by default not those from which the router itself sends."""
    filtering: Filtering = Filtering.ADDRESS_DEPENDENT
    """RFC 4787 REQ-8: address-dependent "if it is most important to have ... a more stringent
    filtering behavior"."""
    hairpin: bool = True
    """RFC 4787 REQ-9: hosts inside reach each other by their outside addresses."""
    udp_timeout: Duration = seconds(300)
    """RFC 4787 REQ-5: two minutes at least, five recommended."""
    inbound_refresh: bool = False
    """Whether packets from outside keep a UDP mapping alive (RFC 4787 REQ-6 b)."""
    tcp_established: Duration = seconds(7440)
    """RFC 5382 REQ-5: 2 hours 4 minutes."""
    tcp_transitory: Duration = seconds(240)
    """RFC 5382 REQ-5: 4 minutes while a connection opens or closes."""
    icmp_timeout: Duration = seconds(60)
    """RFC 5508 REQ-1: 60 s at least."""
    limit: int = 16384
    """Mappings at most."""
    host_limit: int = 4096
    """Mappings of one host inside: one cannot use up all."""
    peer_limit: int = 1024
    """Remote ends remembered of one mapping; the one that came first goes first."""


@dataclass(frozen=True, slots=True)
class MappingMade(Event):
    """Packets from ``inside``:``port`` now leave from ``outside_port``."""

    protocol: int
    inside: IPv4Address
    port: int
    outside_port: int


@dataclass(frozen=True, slots=True)
class MappingGone(Event):
    """A mapping ran out."""

    protocol: int
    inside: IPv4Address
    port: int
    outside_port: int


@dataclass(frozen=True, slots=True)
class NatMapping:
    """A mapping, as a snapshot; ``peers`` are the remote ends, with 0 as the port in ICMP."""

    protocol: int
    inside: IPv4Address
    port: int
    outside_port: int
    peers: tuple[tuple[IPv4Address, int], ...]
    permanent: bool


class Session:
    """What goes on between a mapping and one remote end."""

    __slots__ = ("expires", "seen")

    def __init__(self) -> None:
        self.expires = Instant(0)
        self.seen = 0


_HEARD: Final = 1
_HEARD_BACK: Final = 2
_FIN: Final = 4
_FIN_BACK: Final = 8
_ACKED: Final = 16
_RESET: Final = 32
_OPEN: Final = _HEARD | _HEARD_BACK | _ACKED
_OVER: Final = _FIN | _FIN_BACK

Peer = tuple[IPv4Address, int]
_Key = tuple[int, IPv4Address, int]


class Mapping:
    """``inside``:``port`` is ``outside_port`` to the world; ``sessions`` by remote end."""

    __slots__ = ("inside", "outside_port", "permanent", "port", "protocol", "sessions")

    def __init__(
        self, protocol: int, inside: IPv4Address, port: int, outside_port: int, *, permanent: bool
    ) -> None:
        self.protocol = protocol
        self.inside = inside
        self.port = port
        self.outside_port = outside_port
        self.permanent = permanent
        self.sessions: dict[Peer, Session] = {}

    @property
    def key(self) -> _Key:
        """What it is found by from inside."""
        return (self.protocol, self.inside, self.port)


class MappingTable:
    """All mappings of one outside address, by both their ends, with their timers."""

    __slots__ = (
        "_entropy",
        "_events",
        "_hosts",
        "_taken",
        "_timers",
        "config",
        "inside",
        "outside",
    )

    def __init__(
        self,
        config: NatConfig,
        entropy: Entropy,
        events: EventLog,
        taken: Callable[[int, int], bool],
    ) -> None:
        self.config = config
        self._entropy = entropy
        self._events = events
        self._taken = taken
        self.inside: dict[_Key, Mapping] = {}
        """By protocol, address and port inside."""
        self.outside: dict[tuple[int, int], Mapping] = {}
        """By protocol and outside port."""
        self._hosts: dict[IPv4Address, int] = {}
        self._timers: TimerTable[_Key] = TimerTable()

    def forward(self, mapping: Mapping, now: Instant) -> None:
        """Put in a mapping that stays; PlanError if one of its ends has one already."""
        if (mapping.protocol, mapping.outside_port) in self.outside or mapping.key in self.inside:
            raise PlanError(
                f"port {mapping.outside_port} or {mapping.inside}:{mapping.port} is mapped already"
            )
        self._add(mapping, now)

    def next_deadline(self) -> Instant | None:
        """When ``expire`` has something to look after; it never hurts to call it late."""
        return self._timers.next_deadline()

    def expire(self, now: Instant) -> None:
        """Forget sessions that ran out, and mappings that have none left."""
        while (key := self._timers.pop_due(now)) is not None:
            mapping = self.inside[key]
            for peer in [p for p, each in mapping.sessions.items() if each.expires <= now]:
                del mapping.sessions[peer]
            if mapping.sessions:
                soonest = min(each.expires for each in mapping.sessions.values())
                self._timers.set(key, soonest)
            elif not mapping.permanent:
                self._remove(mapping, now)

    def clear(self, now: Instant) -> None:
        """Remove all mappings but those that stay."""
        for mapping in list(self.inside.values()):
            self._timers.cancel(mapping.key)
            mapping.sessions.clear()
            if not mapping.permanent:
                self._remove(mapping, now)

    def open(self, protocol: int, inside: IPv4Address, port: int, now: Instant) -> Mapping | None:
        """A new mapping, the same for all remote ends (RFC 4787 REQ-1)."""
        config = self.config
        if len(self.inside) >= config.limit or self._hosts.get(inside, 0) >= config.host_limit:
            return None
        outside_port = self._free_port(protocol, port)
        if outside_port is None:
            return None
        return self._add(Mapping(protocol, inside, port, outside_port, permanent=False), now)

    def _free_port(self, protocol: int, port: int) -> int | None:
        """The port itself if it is free, else one of its parity (RFC 4787 REQ-4)."""
        low, high = self.config.ports
        if low <= port <= high and self._is_free(protocol, port):
            return port
        first = low + ((port - low) & 1)
        count = (high - first) // 2 + 1
        start = self._entropy.below(count)
        for step in range(count):
            candidate = first + (start + step) % count * 2
            if self._is_free(protocol, candidate):
                return candidate
        return None

    def _is_free(self, protocol: int, port: int) -> bool:
        return (protocol, port) not in self.outside and not self._taken(protocol, port)

    def session(self, mapping: Mapping, peer: Peer) -> Session:
        """The session with ``peer``, a new one if there is none."""
        session = mapping.sessions.get(peer)
        if session is None:
            if len(mapping.sessions) >= self.config.peer_limit:
                del mapping.sessions[next(iter(mapping.sessions))]
            session = mapping.sessions[peer] = Session()
        return session

    def refresh(
        self,
        mapping: Mapping,
        session: Session,
        packet: IPv4Packet,
        now: Instant,
        *,
        outward: bool,
    ) -> None:
        """Let the session live on, for as long as its state deserves."""
        config = self.config
        if packet.protocol == IpProtocol.TCP:
            session.seen = _tcp_seen(session.seen, packet.payload[13], outward=outward)
            life = self._tcp_life(session.seen)
        elif packet.protocol == IpProtocol.UDP:
            life = config.udp_timeout
        else:
            life = config.icmp_timeout
        if outward or session.expires == 0 or config.inbound_refresh or session.seen:
            session.expires = after(now, life)
        due = self._timers.deadline(mapping.key)
        if due is None or session.expires < due:
            self._timers.set(mapping.key, session.expires)

    def _tcp_life(self, seen: int) -> Duration:
        """RFC 5382 REQ-5, by what was seen of the connection."""
        over = seen & _RESET or seen & _OVER == _OVER
        is_open = seen & _OPEN == _OPEN and not over
        return self.config.tcp_established if is_open else self.config.tcp_transitory

    def _add(self, mapping: Mapping, now: Instant) -> Mapping:
        self.inside[mapping.key] = mapping
        self.outside[mapping.protocol, mapping.outside_port] = mapping
        self._hosts[mapping.inside] = self._hosts.get(mapping.inside, 0) + 1
        self._events.add(MappingMade(now, *mapping.key, mapping.outside_port))
        return mapping

    def _remove(self, mapping: Mapping, now: Instant) -> None:
        del self.inside[mapping.key]
        del self.outside[mapping.protocol, mapping.outside_port]
        self._hosts[mapping.inside] -= 1
        if not self._hosts[mapping.inside]:
            del self._hosts[mapping.inside]
        self._events.add(MappingGone(now, *mapping.key, mapping.outside_port))


def _tcp_seen(seen: int, flags: int, *, outward: bool) -> int:
    """What is known of a connection after one more segment of it."""
    if flags & TcpFlags.SYN and (seen & _RESET or seen & _OVER == _OVER):
        seen = 0  # the same ports again, for a new connection
    if flags & TcpFlags.RST:
        return seen | _RESET
    if seen & (_HEARD | _HEARD_BACK) == _HEARD | _HEARD_BACK and not flags & TcpFlags.SYN:
        seen |= _ACKED
    seen |= _HEARD if outward else _HEARD_BACK
    if flags & TcpFlags.FIN:
        seen |= _FIN if outward else _FIN_BACK
    return seen
