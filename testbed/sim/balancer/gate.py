"""What stands before TCP: who may connect at all, and how fast (layers 3 and 4).

A SYN that may not pass is dropped in silence, as if it were lost: the client's own back-off then
spreads its attempts, where a reset would have it try again at once. Packets come here whole, so
that no fragmentation hides a port.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from testbed.sim.balancer.lines import Limit
from testbed.stack.lower import IcmpError
from testbed.stack.tcp.layer import TcpLayer
from testbed.stack.variants import Variants
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.tcp import TcpFlags

__all__ = ["Gate", "Guard", "Limiter", "SourceFilter"]

_HEAD: Final = 14
"""Bytes of a TCP header up to its flags."""
_OPENING: Final = TcpFlags.SYN | TcpFlags.ACK | TcpFlags.RST


class Limiter:
    """Counts the new connections of the last ``span``."""

    __slots__ = ("_admitted", "limit")

    def __init__(self, limit: Limit) -> None:
        self.limit = limit
        self._admitted: dict[IPv4Address | None, deque[Instant]] = {}

    def admit(self, source: IPv4Address, now: Instant) -> bool:
        """Whether one more connection may come now; if so it counts."""
        self.forget(now)
        recent = self._admitted.setdefault(self.key(source), deque())
        if len(recent) >= self.limit.connections:
            return False
        recent.append(now)
        return True

    def key(self, source: IPv4Address) -> IPv4Address | None:
        """What a connection is counted under: its source, or all together."""
        return source if self.limit.per_source else None

    def forget(self, now: Instant) -> None:
        """Count no more what is longer ago than the span."""
        for key, recent in tuple(self._admitted.items()):
            while recent and now - recent[0] >= self.limit.span:
                recent.popleft()
            if not recent:
                del self._admitted[key]


class SourceFilter:
    """Prefixes that nobody may connect from."""

    __slots__ = ("_denied",)

    def __init__(self, denied: tuple[IPv4Network, ...]) -> None:
        self._denied = denied

    def denies(self, source: IPv4Address) -> bool:
        """Whether ``source`` is in one of them."""
        return any(source in prefix for prefix in self._denied)


class Gate:
    """Judges the segments for the service's port."""

    __slots__ = ("_exists", "_limiter", "_port", "_sources", "denied", "limited")

    def __init__(
        self,
        port: int,
        variants: Variants,
        exists: Callable[[IPv4Address, int], bool],
        *,
        denied: tuple[IPv4Network, ...] = (),
        limit: Limit | None = None,
    ) -> None:
        self._port = port
        self._exists = exists
        """Whether there is a connection with that client's address and port."""
        self._sources = variants.of(SourceFilter)(denied)
        self._limiter = variants.of(Limiter)(limit) if limit else None
        self.denied = self.limited = 0
        """Segments that were dropped by the filter, SYNs that were by the limit."""

    def passes(self, packet: IPv4Packet, now: Instant) -> bool:
        """Whether TCP gets the packet."""
        data = packet.payload
        if len(data) < _HEAD or int.from_bytes(data[2:4], "big") != self._port:
            return True
        if self._sources.denies(packet.src):
            self.denied += 1
            return False
        if not self.counts(packet) or self._limiter is None:
            return True
        if self._limiter.admit(packet.src, now):
            return True
        self.limited += 1
        return False

    def counts(self, packet: IPv4Packet) -> bool:
        """Whether the packet asks for a new connection: a SYN, and not one that is sent again."""
        if packet.payload[13] & _OPENING != TcpFlags.SYN:
            return False
        return not self._exists(packet.src, int.from_bytes(packet.payload[:2], "big"))


class Guard:
    """TCP behind a gate: what the stack hands packets to in its place."""

    def __init__(self, tcp: TcpLayer) -> None:
        self._tcp = tcp
        self.gate: Gate | None = None

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        """A whole segment came."""
        if self.gate is None or self.gate.passes(packet, now):
            self._tcp.receive(packet, now)

    def icmp_error(self, error: IcmpError, now: Instant) -> None:
        """As TCP does."""
        self._tcp.icmp_error(error, now)

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:
        """As TCP does."""
        return self._tcp.accepts_frag_needed(error, now)

    def path_mtu_changed(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        """As TCP does."""
        self._tcp.path_mtu_changed(destination, mtu, now)
