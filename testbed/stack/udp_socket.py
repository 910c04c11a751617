"""One UDP socket: datagrams in and out, sans-IO."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, Protocol

from testbed.stack.config import UdpConfig
from testbed.stack.lower import IcmpError
from testbed.stack.refusals import Refused
from testbed.timing import Instant

__all__ = ["Datagram", "Endpoint", "UdpOwner", "UdpSocket"]

_OVERHEAD: Final = 28
"""Bytes of headers, charged to the receive buffer, so that empty datagrams are bounded too."""
_RECENT: Final = 64
_LONG_AGO: Final = Instant(0)

Endpoint = tuple[IPv4Address, int]
"""An address and a port."""


@dataclass(frozen=True, slots=True)
class Datagram:
    """A datagram that came: ``destination`` tells one's own address from a broadcast or group.

    ``interface`` is None where the stack sent it to itself.
    """

    payload: bytes
    source: IPv4Address
    source_port: int
    destination: IPv4Address
    interface: str | None
    at: Instant
    ttl: int = 64
    tos: int = 0


class UdpOwner(Protocol):
    """What a socket asks of its layer."""

    @property
    def config(self) -> UdpConfig:
        """The settings."""

    def transmit(
        self, socket: UdpSocket, payload: bytes, to: Endpoint, now: Instant, *, df: bool
    ) -> None:
        """Send; raises Refused."""

    def connect(self, socket: UdpSocket, to: Endpoint, now: Instant) -> None:
        """Settle the socket's source address for a peer; raises Refused."""

    def join(self, group: IPv4Address, interface: str | None, now: Instant) -> str:
        """Join a group; the name of the interface on which. Raises Refused."""

    def leave(self, group: IPv4Address, interface: str, now: Instant) -> None:
        """Leave a group."""

    def remove(self, socket: UdpSocket) -> None:
        """The socket is closed."""


class UdpSocket:
    """Made by ``stack.udp.open``; ``address`` None means any of the stack's addresses."""

    __slots__ = (
        "_held",
        "_memberships",
        "_owner",
        "_queue",
        "_recent",
        "address",
        "broadcast",
        "closed",
        "df",
        "discover",
        "dropped",
        "error",
        "interface",
        "multicast_interface",
        "multicast_loop",
        "multicast_ttl",
        "on_datagram",
        "on_error",
        "port",
        "receive_buffer",
        "remote",
        "reuse",
        "tos",
        "ttl",
        "unbound",
    )

    def __init__(self, owner: UdpOwner, address: IPv4Address | None, port: int) -> None:
        self._owner = owner
        self._queue: deque[Datagram] = deque()
        self._held = 0
        self._memberships: set[tuple[IPv4Address, str]] = set()
        self._recent: deque[Endpoint] = deque(maxlen=_RECENT)
        self.address = address
        self.unbound = address is None
        """Whether the address was left open when the socket was made."""
        self.port = port
        self.remote: Endpoint | None = None
        """The peer of a connected socket."""
        self.interface: str | None = None
        """Send, and receive, by this interface only."""
        self.receive_buffer = owner.config.receive_buffer
        """Bytes that may wait, headers included."""
        self.broadcast = False
        """May send to broadcasts."""
        self.reuse = False
        """Others that say so too may have the same port: for groups and broadcasts."""
        self.df = False
        """Set DF, and refuse what is larger than the path MTU."""
        self.discover = False
        """Set DF on what fits the path MTU, and cut the rest to it here (Linux's
        IP_PMTUDISC_WANT)."""
        self.ttl: int | None = None
        self.tos = 0
        self.multicast_ttl = 1
        """RFC 1112 6.1: 1 unless asked for more."""
        self.multicast_interface: str | None = None
        self.multicast_loop = True
        self.error: Refused | None = None
        """What ICMP reported to a connected socket; take_error() takes it."""
        self.on_datagram: Callable[[UdpSocket, Instant], None] | None = None
        """Called after a datagram was queued."""
        self.on_error: Callable[[UdpSocket, IcmpError, Instant], None] | None = None
        """Told of every ICMP error about what the socket sent (RFC 1122 4.1.3.3)."""
        self.dropped = 0
        """Datagrams that found the buffer full."""
        self.closed = False

    # The user's calls

    def connect(self, address: IPv4Address, port: int, now: Instant = _LONG_AGO) -> None:
        """Speak with one peer only, and hear of its ICMP errors. Raises Refused."""
        self._owner.connect(self, (address, port), now)
        self.error = None

    def disconnect(self) -> None:
        """Speak with anybody again."""
        self.remote = None
        if self.unbound:
            self.address = None

    def send(
        self,
        payload: bytes,
        now: Instant,
        *,
        to: tuple[IPv4Address, int] | None = None,
        df: bool | None = None,
    ) -> None:
        """Send one datagram.

        Raises Refused: EDESTADDRREQ without ``to`` on a socket that is not connected, EMSGSIZE
        beyond 65507 bytes or, with DF, beyond the path MTU, EACCES to a broadcast without
        permission, ENETUNREACH without a route.
        """
        destination = to or self.remote
        if self.closed:
            raise Refused("EBADF", "the socket is closed")
        if destination is None:
            raise Refused("EDESTADDRREQ", "send to whom?")
        self._owner.transmit(
            self, bytes(payload), destination, now, df=self.df if df is None else df
        )
        if destination not in self._recent:
            self._recent.append(destination)

    def receive(self, *, peek: bool = False) -> Datagram | None:
        """The oldest datagram that waits, or None."""
        if not self._queue:
            return None
        if peek:
            return self._queue[0]
        datagram = self._queue.popleft()
        self._held -= len(datagram.payload) + _OVERHEAD
        return datagram

    @property
    def readable(self) -> bool:
        """Whether a datagram waits."""
        return bool(self._queue)

    @property
    def waiting(self) -> int:
        """How many datagrams wait."""
        return len(self._queue)

    def take_error(self) -> Refused | None:
        """The pending error, once."""
        error, self.error = self.error, None
        return error

    def join(self, group: IPv4Address, interface: str | None, now: Instant) -> None:
        """Become a member of ``group`` on ``interface``, None for the one routed to.

        Raises Refused: EINVAL for what is no group, EADDRINUSE for one joined before, ENODEV.
        """
        name = self._owner.join(group, interface, now)
        if (group, name) in self._memberships:
            self._owner.leave(group, name, now)
            raise Refused("EADDRINUSE", f"{group} was joined before")
        self._memberships.add((group, name))

    def leave(self, group: IPv4Address, interface: str | None, now: Instant) -> None:
        """Leave ``group``; Refused EADDRNOTAVAIL if it was not joined."""
        for held in sorted(self._memberships, key=str):
            if held[0] == group and interface in (None, held[1]):
                self._memberships.remove(held)
                self._owner.leave(group, held[1], now)
                return
        raise Refused("EADDRNOTAVAIL", f"{group} was not joined")

    def close(self, now: Instant) -> None:
        """Forget everything; closing twice is no error."""
        if self.closed:
            return
        self.closed = True
        for group, interface in sorted(self._memberships, key=str):
            self._owner.leave(group, interface, now)
        self._memberships.clear()
        self._queue.clear()
        self._held = 0
        self._owner.remove(self)

    # The layer's calls

    def matches(self, datagram: Datagram, many: bool) -> int:
        """How well this socket fits ``datagram``: 0 not at all, more for each address it names."""
        score = 1
        if self.interface is not None and datagram.interface != self.interface:
            return 0
        if self.remote is not None:
            if self.remote != (datagram.source, datagram.source_port):
                return 0
            score += 2
        if self.address is not None and self.address != datagram.destination:
            # One that took its own address by connecting still hears broadcasts and groups.
            return 0 if not (many and self.unbound) else score
        return score + (self.address is not None)

    def deliver(self, datagram: Datagram) -> bool:
        """Queue ``datagram``; False if the buffer is full."""
        size = len(datagram.payload) + _OVERHEAD
        if self._held + size > self.receive_buffer:
            self.dropped += 1
            return False
        self._held += size
        self._queue.append(datagram)
        if self.on_datagram is not None:
            self.on_datagram(self, datagram.at)
        return True

    def has_sent_to(self, peer: Endpoint) -> bool:
        """Whether ``peer`` is the one it is connected to, or among the last it sent to."""
        return peer == self.remote or peer in self._recent
