"""What transports ask of the layer below, and what it tells them."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Protocol

from testbed.stack.alarms import Alarms
from testbed.stack.config import StackConfig
from testbed.stack.entropy import Entropy
from testbed.stack.events import EventLog
from testbed.stack.variants import Variants
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["IcmpError", "Lower", "NoRoute", "Path", "Transport"]


class NoRoute(Exception):  # noqa: N818 - an answer, which the socket turns into ENETUNREACH
    """No route leads there, or no address of the stack may be used as source."""


@dataclass(frozen=True, slots=True)
class IcmpError:
    """An ICMP error about a packet that this stack sent.

    ``quoted`` is the packet as far as it was quoted. ``mtu`` is the next-hop MTU of a frag needed,
    0 from a router older than RFC 1191, None in other errors.
    """

    type: int
    code: int
    quoted: IPv4Packet
    source: IPv4Address
    mtu: int | None = None


class Path(Protocol):
    """The way from one local address to one destination; a transport keeps it and asks it again.

    It follows route, neighbour and path-MTU changes by itself.
    """

    @property
    def source(self) -> IPv4Address:
        """The stack's address."""

    @property
    def destination(self) -> IPv4Address:
        """The peer's address."""

    def link_mtu(self) -> int:
        """MTU of the interface by which packets leave, in bytes."""

    def mtu(self, now: Instant) -> int:
        """What the path is believed to carry: the path-MTU cache's entry, or the link's MTU."""

    def send(
        self,
        payload: bytes,
        protocol: int,
        now: Instant,
        *,
        ttl: int | None = None,
        tos: int = 0,
        df: bool = True,
    ) -> None:
        """Send one packet at once, or queue it until the next hop is resolved.

        With ``df`` off it is fragmented where it must be. Never raises for what the network may
        do: a packet that cannot go is dropped, and an event says why.
        """


class Lower(Protocol):
    """The IP layer as transports see it."""

    @property
    def config(self) -> StackConfig:
        """The stack's settings."""

    @property
    def alarms(self) -> Alarms:
        """The stack's deadlines."""

    @property
    def events(self) -> EventLog:
        """The stack's log."""

    @property
    def entropy(self) -> Entropy:
        """The stack's source of chance."""

    @property
    def variants(self) -> Variants:
        """Which class to use for a part."""

    def path(self, destination: IPv4Address, source: IPv4Address | None = None) -> Path:
        """The way to ``destination``, from ``source`` or the address that the route prefers.

        Raises NoRoute.
        """

    def is_local(self, address: IPv4Address) -> bool:
        """Whether ``address`` is one of the stack's own."""

    def is_broadcast(self, address: IPv4Address) -> bool:
        """Whether ``address`` is 255.255.255.255 or the broadcast of an attached subnet."""

    def send_unreachable(self, packet: IPv4Packet, code: int, now: Instant) -> None:
        """Answer ``packet`` with destination unreachable, where RFC 1122 3.2.2 allows it."""

    def path_failing(self, path: Path, now: Instant) -> None:
        """A transport's advice that nothing comes back (RFC 1122 3.3.1.4): look for another way."""


class Transport(Protocol):
    """TCP, UDP and their like, as the IP layer sees them."""

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        """A whole packet of this protocol for one of the stack's addresses."""

    def icmp_error(self, error: IcmpError, now: Instant) -> None:
        """An error about a packet that this transport sent (frag needed excepted)."""

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:
        """Whether the quoted packet is one that this transport may have in flight (RFC 5927 5.2).

        Asked before the path-MTU cache believes a frag needed.
        """

    def path_mtu_changed(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        """The path to ``destination`` now carries ``mtu``: resend at once what was too large."""
