"""The way out: own addresses, choice of route, source and neighbour, fragments, loopback."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from testbed.errors import WireError
from testbed.stack.core import Core
from testbed.stack.identification import Identifications
from testbed.stack.interface import Interface, broadcasts_of
from testbed.stack.lower import NoRoute
from testbed.stack.neighbours import Neighbour
from testbed.stack.pmtu import PathMtuCache
from testbed.stack.routes import Route, Routes
from testbed.timing import Instant
from testbed.wire.fragment import fragment
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["LOOPBACK_MTU", "Egress", "Exit"]

LOOPBACK_MTU: Final = 65535
"""Packets to oneself are as large as IP's total length can say."""

_LIMITED_BROADCAST: Final = 0xFFFFFFFF
_LOOPBACK: Final = 127
_LOCALHOST: Final = IPv4Address("127.0.0.1")
_LOOP_LIMIT: Final = 4096


class Exit:
    """By which interface, to which neighbour and from which address; no interface: to oneself."""

    __slots__ = ("interface", "mtu", "neighbour", "next_hop", "source")

    def __init__(
        self,
        interface: Interface | None,
        neighbour: Neighbour | None,
        next_hop: IPv4Address,
        source: IPv4Address,
    ) -> None:
        self.interface = interface
        self.neighbour = neighbour
        self.next_hop = next_hop
        self.source = source
        self.mtu = interface.mtu if interface is not None else LOOPBACK_MTU


class Egress:
    """All that is needed to send a packet of the stack's own, or to pass one on."""

    __slots__ = (
        "_core",
        "_routes",
        "broadcasts",
        "identifications",
        "interfaces",
        "local",
        "loop",
        "loop_back",
        "pmtu",
        "too_large",
    )

    def __init__(self, core: Core, routes: Routes) -> None:
        self._core = core
        self._routes = routes
        self.interfaces: dict[str, Interface] = {}
        self.local: dict[int, Interface] = {}
        """The stack's addresses in use, as numbers, each with its interface."""
        self.broadcasts: dict[int, Interface] = {}
        """The directed broadcasts of attached subnets."""
        self.identifications = core.variants.of(Identifications)(
            core.entropy, core.config.ip.constant_ident
        )
        self.pmtu = core.variants.of(PathMtuCache)(core.config.pmtu, core.events)
        self.loop: deque[IPv4Packet] = deque(maxlen=_LOOP_LIMIT)
        """Packets to oneself: they never reach a wire (RFC 1122 3.2.1.3 (g))."""
        self.loop_back: Callable[[Instant], None] = lambda _: None
        """Delivers what is in ``loop``."""
        self.too_large: Callable[[IPv4Address, int, Instant], None] = lambda *_: None
        """Told of a destination and the MTU that a packet with DF did not fit."""

    def readdress(self) -> None:
        """Take over the addresses of the interfaces, after a change."""
        each = self.interfaces.values()
        self.local = {int(held.ip): link for link in each for held in link.addresses}
        self.broadcasts = {
            int(address): link for link in each for address in broadcasts_of(link.addresses)
        }
        self._routes.generation += 1

    # Questions

    def is_local(self, address: IPv4Address) -> bool:
        """Whether ``address`` is the stack's own, or loopback."""
        number = int(address)
        return number in self.local or number >> 24 == _LOOPBACK

    def is_broadcast(self, address: IPv4Address) -> bool:
        """Whether ``address`` is 255.255.255.255 or an attached subnet's broadcast."""
        number = int(address)
        return number == _LIMITED_BROADCAST or number in self.broadcasts

    def resolve(
        self,
        destination: IPv4Address,
        source: IPv4Address | None,
        now: Instant,
        interface: str | None = None,
    ) -> Exit:
        """The way to ``destination``; NoRoute if there is none, or no address to send from."""
        number = int(destination)
        if number in self.local or number >> 24 == _LOOPBACK:
            own = destination if number in self.local else _LOCALHOST
            return Exit(None, None, destination, source or own)
        if source is not None and int(source) >> 24 == _LOOPBACK:
            # RFC 1122 3.2.1.3 (g): "Addresses of this form MUST NOT appear outside a host."
            raise NoRoute(f"{source} is of this host alone")
        if (number >> 28 == 15 and number != _LIMITED_BROADCAST) or not number:
            raise NoRoute(f"{destination} is no address to send to")
        if number == _LIMITED_BROADCAST or number in self.broadcasts or destination.is_multicast:
            return self._to_many(destination, source, now, interface)
        route = self._routes.lookup(destination, now, interface)
        if route is None:
            raise NoRoute(f"no route to {destination}")
        return self._by_route(route, destination, source)

    def _by_route(self, route: Route, destination: IPv4Address, source: IPv4Address | None) -> Exit:
        link = self.interfaces[route.interface]
        next_hop = route.via or destination
        own = source or route.source or self._source(link, next_hop)
        return Exit(link, link.neighbour(next_hop), next_hop, own)

    def _source(self, link: Interface, next_hop: IPv4Address) -> IPv4Address:
        """An address of the interface, or, where it has none, any of the stack's (unnumbered)."""
        own = link.source_for(next_hop)
        if own is not None:
            return own
        for other in self.interfaces.values():
            if other.addresses:
                return other.addresses[0].ip
        raise NoRoute("the stack has no address yet")

    def _to_many(
        self,
        destination: IPv4Address,
        source: IPv4Address | None,
        now: Instant,
        interface: str | None,
    ) -> Exit:
        link = self._link_for_many(destination, source, now, interface)
        entry = link.neighbour(destination) if destination.is_multicast else _broadcast_entry(link)
        return Exit(link, entry, destination, source or self._source(link, destination))

    def _link_for_many(
        self,
        destination: IPv4Address,
        source: IPv4Address | None,
        now: Instant,
        interface: str | None,
    ) -> Interface:
        """The interface named, the subnet's, the source's, the one routed to, or the first."""
        if interface is not None:
            chosen: Interface | None = self.interfaces.get(interface)
        else:
            chosen = self.broadcasts.get(int(destination))
            if chosen is None and source is not None:
                chosen = self.local.get(int(source))
            if chosen is None and (route := self._routes.lookup(destination, now)):
                chosen = self.interfaces[route.interface]
            if chosen is None:
                chosen = next((each for each in self.interfaces.values() if each.up), None)
        if chosen is None or not chosen.up:
            raise NoRoute(f"no interface for {destination}")
        return chosen

    # Sending

    def send(self, packet: IPv4Packet, way: Exit, now: Instant, *, loop: bool = True) -> None:
        """Send one packet, in fragments where it must be and may be; ``loop`` is for groups."""
        link, entry = way.interface, way.neighbour
        if link is None or entry is None:
            self.to_self(packet, now)
            return
        if loop and packet.dst.is_multicast and packet.dst in link.groups:
            self.to_self(packet, now)  # RFC 1112 6.1: members on the sending host hear it too
        for piece in self.fitting(packet, way.mtu, now):
            link.neighbours.transmit(entry, piece.emit(), now)

    def fitting(self, packet: IPv4Packet, mtu: int, now: Instant) -> tuple[IPv4Packet, ...]:
        """``packet`` in pieces that fit; none if DF forbids cutting it."""
        if packet.total_length <= mtu:
            return (packet,)
        if packet.df:
            self._core.drop("ip", "DF set and larger than the link's MTU", now)
            self.too_large(packet.dst, mtu, now)
            return ()
        try:
            return fragment(packet, mtu)
        except WireError:
            self._core.drop("ip", "options leave no room for a fragment", now)
            return ()

    def to_self(self, packet: IPv4Packet, now: Instant) -> None:
        """Deliver a packet to the stack itself, as soon as what is going on now is done."""
        if len(self.loop) == _LOOP_LIMIT:
            self._core.drop("ip", "loopback queue full", now)
        self.loop.append(packet)
        if len(self.loop) == 1:
            self._core.alarms.set("loopback", now, self.loop_back)

    def stamp(self, packet: IPv4Packet) -> IPv4Packet:
        """``packet`` with a fresh identification."""
        return replace(
            packet, ident=self.identifications.next(packet.src, packet.dst, packet.protocol)
        )


def _broadcast_entry(link: Interface) -> Neighbour:
    return link.broadcast
