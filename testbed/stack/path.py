"""The way to one peer, and the fast lane along it."""

from __future__ import annotations

from contextlib import suppress
from ipaddress import IPv4Address
from struct import Struct
from typing import Final

from testbed.stack.core import Core
from testbed.stack.egress import Egress, Exit
from testbed.stack.lower import NoRoute
from testbed.stack.neighbours import Neighbour
from testbed.stack.output import Outgoing
from testbed.stack.routes import Routes
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["IpPath"]

_HEADER: Final = Struct("!BBHHHBBHII")
_DF: Final = 0x4000
_NOWHERE: Final = Neighbour(IPv4Address(0))


class IpPath:
    """``lower.Path``: asks the routes again whenever they have changed."""

    __slots__ = (
        "_core",
        "_destination",
        "_dst",
        "_egress",
        "_entry",
        "_fixed",
        "_generation",
        "_identify",
        "_interface",
        "_mtu",
        "_name",
        "_output",
        "_routes",
        "_source",
        "_src",
        "_sum",
        "_ttl",
        "_way",
    )

    def __init__(
        self,
        core: Core,
        egress: Egress,
        routes: Routes,
        *,
        destination: IPv4Address,
        source: IPv4Address | None,
        now: Instant,
        interface: str | None,
    ) -> None:
        way = egress.resolve(destination, source, now, interface)
        self._core = core
        self._egress = egress
        self._routes = routes
        self._destination = destination
        self._source = way.source
        self._interface = interface
        self._src, self._dst = int(way.source), int(destination)
        self._sum = 0x4500 + self._src + self._dst
        self._ttl = core.config.ip.ttl
        self._output = core.output
        self._identify = egress.identifications.next
        self._take(way)

    @property
    def source(self) -> IPv4Address:
        """The stack's address."""
        return self._source

    @property
    def destination(self) -> IPv4Address:
        """The peer's address."""
        return self._destination

    @property
    def next_hop(self) -> IPv4Address | None:
        """Who takes the packets on the link; None without a route."""
        return self._way.next_hop if self._way else None

    @property
    def interface(self) -> str | None:
        """The name of the interface by which packets leave; None to oneself or without a route."""
        return self._name or None

    def link_mtu(self) -> int:
        """MTU of the interface by which packets leave, in bytes."""
        if self._generation != self._routes.generation:
            self._refresh(Instant(0))
        return self._mtu

    def mtu(self, now: Instant) -> int:
        """What the path is believed to carry: the path-MTU cache's entry, or the link's MTU."""
        if self._generation != self._routes.generation:
            self._refresh(now)
        if not self._core.config.pmtu.enabled or not self._name:
            return self._mtu
        return self._egress.pmtu.mtu(self._destination, self._mtu, now)

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
        """Send one packet at once, or queue it until the next hop is resolved."""
        if self._generation != self._routes.generation:
            self._refresh(now)
        total = 20 + len(payload)
        entry = self._entry
        head = entry.header
        if ttl is None:
            ttl = self._ttl
        if head is None or now >= entry.fresh_until or total > self._mtu:
            self._send_slowly(payload, protocol, now, ttl=ttl, tos=tos, df=df)
            return
        ident = self._identify(self._source, self._destination, protocol)
        flags = _DF if df else 0
        words = self._sum + tos + total + ident + flags + (ttl << 8) + protocol
        check = 0xFFFF - (words % 0xFFFF or 0xFFFF)
        ip = _HEADER.pack(
            0x45, tos, total, ident, flags, ttl, protocol, check, self._src, self._dst
        )
        self._output.append(Outgoing(self._name, head + ip + payload))

    def _send_slowly(
        self, payload: bytes, protocol: int, now: Instant, *, ttl: int, tos: int, df: bool
    ) -> None:
        if self._way is None:
            self._core.drop("ip", "no route", now)
            return
        ident = self._identify(self._source, self._destination, protocol)
        packet = IPv4Packet(
            self._source, self._destination, protocol, payload, ttl, ident, df, tos=tos
        )
        self._egress.send(packet, self._way, now)

    def _refresh(self, now: Instant) -> None:
        """Ask the routes again; an address that is gone sends nothing any more."""
        self._generation = self._routes.generation
        self._way: Exit | None = None
        self._entry = _NOWHERE
        if self._egress.is_local(self._source):
            with suppress(NoRoute):
                way = self._egress.resolve(self._destination, self._source, now, self._interface)
                self._take(way)

    def _take(self, way: Exit) -> None:
        self._generation = self._routes.generation
        self._way = way
        self._mtu = way.mtu
        self._name = way.interface.name if way.interface is not None else ""
        # Packets to oneself, and those that members here hear too, have no fast lane.
        fast = way.neighbour is not None and not self._destination.is_multicast
        self._entry = way.neighbour if fast and way.neighbour is not None else _NOWHERE
