"""Faults of the choice of a route, of better ways, and of ways that are lost (IP-06, -09, -16)."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address
from typing import Final

from testbed.sim.router.tracking import NextHopTracking
from testbed.stack.forwarding import Forward, Forwarder, Hop, Verdict
from testbed.stack.icmp_errors import ErrorReporter
from testbed.stack.interface import Interface
from testbed.stack.ip import IpLayer
from testbed.stack.neighbours import NeighbourChanged
from testbed.stack.router import Router
from testbed.stack.routes import Origin, Route, Routes
from testbed.stack.variants import Defect
from testbed.timing import Instant, after, seconds
from testbed.wire.icmpv4 import Redirect, RedirectCode
from testbed.wire.ipv4 import IPv4Packet

__all__ = [
    "CONNECTED_FIRST",
    "DROPS_WHAT_IT_REDIRECTS",
    "FAILS_OVER_LATE",
    "FIRST_MATCH",
    "IGNORES_HOST_ROUTES",
    "KEEPS_BETTER_WAY",
    "LAST_MATCH",
    "LETS_LOOPBACK_IN",
    "LETS_LOOPBACK_OUT",
    "LOSES_ALL_PATHS",
    "NEVER_COMES_BACK",
    "NEVER_FAILS_OVER",
    "ONE_PATH_ONLY",
    "PACKET_BY_PACKET",
    "REDIRECTS_OTHER_PORTS",
    "REDIRECTS_STRANGERS",
    "REDIRECTS_TO_WRONG_GATEWAY",
    "REDIRECTS_WHOLE_NETWORK",
    "SHORTEST_MATCH",
    "TRUSTS_THE_LINK",
]

# The longest match


class _First(Routes):
    __slots__ = ()

    def precedence(self, lengths: Iterable[int]) -> list[int]:
        return list(lengths)


class _Last(Routes):
    __slots__ = ()

    def precedence(self, lengths: Iterable[int]) -> list[int]:
        return list(lengths)[::-1]


class _Shortest(Routes):
    __slots__ = ()

    def precedence(self, lengths: Iterable[int]) -> list[int]:
        return sorted(lengths)


class _NoHosts(Routes):
    __slots__ = ()

    def precedence(self, lengths: Iterable[int]) -> list[int]:
        return [each for each in super().precedence(lengths) if each < 32]


class _LoopbackGoesOut(IpLayer):
    __slots__ = ()

    def _receive_other(
        self, packet: IPv4Packet, dst: int, interface: Interface, now: Instant
    ) -> None:
        if dst >> 24 == 127 and self.onward is not None:
            self.onward.pass_on(packet, interface, now)
        else:
            super()._receive_other(packet, dst, interface, now)


class _AnyDestination(Forwarder):
    __slots__ = ()

    def _unfit(self, packet: IPv4Packet, *, link_broadcast: bool) -> str | None:
        reason = super()._unfit(packet, link_broadcast=link_broadcast)
        return None if reason == "martian destination" else reason


class _LoopbackComesIn(IpLayer):
    __slots__ = ()

    def martian(self, packet: IPv4Packet, src: int) -> str | None:
        return None if src >> 24 == 127 else super().martian(packet, src)


class _AnySource(Forwarder):
    __slots__ = ()

    def _unfit(self, packet: IPv4Packet, *, link_broadcast: bool) -> str | None:
        reason = super()._unfit(packet, link_broadcast=link_broadcast)
        mended = reason == "martian source" and packet.src.is_loopback
        return None if mended else reason


FIRST_MATCH: Final = Defect(
    "first match wins",
    "IP-06",
    "Routes are searched in the order in which they were typed, as the lines of a filter are.",
    {Routes: _First},
)
LAST_MATCH: Final = Defect(
    "last match wins",
    "IP-06",
    "The route that was learned last is tried first, however wide it is.",
    {Routes: _Last},
)
SHORTEST_MATCH: Final = Defect(
    "shortest match wins",
    "IP-06",
    "The tree is walked from the wrong end: the default route takes everything.",
    {Routes: _Shortest},
)
IGNORES_HOST_ROUTES: Final = Defect(
    "ignores host routes",
    "IP-06",
    "The table of a chip has no room for prefixes of 32 bits: what was meant for one host goes the "
    "way of its network.",
    {Routes: _NoHosts},
)
LETS_LOOPBACK_OUT: Final = Defect(
    "lets loopback out",
    "IP-06",
    "A packet to 127.0.0.1 follows the default route, and services that listen there for "
    "themselves alone are reached from afar.",
    {IpLayer: _LoopbackGoesOut, Forwarder: _AnyDestination},
)
LETS_LOOPBACK_IN: Final = Defect(
    "forwards from loopback",
    "IP-06",
    "A forged source of 127.0.0.1 passes, and the victim believes that it speaks to itself.",
    {IpLayer: _LoopbackComesIn, Forwarder: _AnySource},
)


class _Near(Routes):
    __slots__ = ()

    def lookup(
        self,
        destination: IPv4Address,
        now: Instant,
        interface: str | None = None,
        flow: int | None = None,
    ) -> Route | None:
        for route in self:
            if route.origin == Origin.CONNECTED and destination in route.network:
                return route
        return super().lookup(destination, now, interface, flow)


CONNECTED_FIRST: Final = Defect(
    "connected subnets win",
    "IP-06",
    "What lies in the subnet of a port is looked for there, though a longer prefix leads "
    "elsewhere: a host that has moved is not found.",
    {Routes: _Near},
)

# Redirects


class _WrongGateway(ErrorReporter):
    __slots__ = ()

    def redirect_message(self, gateway: IPv4Address, quoted: bytes) -> Redirect:
        return super().redirect_message(IPv4Address(int(gateway) ^ 1), quoted)


class _WholeNetwork(ErrorReporter):
    __slots__ = ()

    def redirect_message(self, gateway: IPv4Address, quoted: bytes) -> Redirect:
        return Redirect(RedirectCode.NET, gateway, quoted)


class _TellsOnly(Router):
    __slots__ = ()

    def carry_out(
        self, packet: IPv4Packet, verdict: Verdict, now: Instant, *, redirects: bool = True
    ) -> None:
        if isinstance(verdict, Forward) and verdict.redirect is not None:
            self._teller.send_redirect(packet, verdict.redirect, now)
        else:
            super().carry_out(packet, verdict, now, redirects=redirects)


class _Secretive(Forwarder):
    __slots__ = ()

    def _should_redirect(
        self, packet: IPv4Packet, ingress: str, hop: Hop, next_hop: IPv4Address
    ) -> bool:
        del packet, ingress, hop, next_hop
        return False


class _Meddles(Forwarder):
    __slots__ = ()

    def _should_redirect(
        self, packet: IPv4Packet, ingress: str, hop: Hop, next_hop: IPv4Address
    ) -> bool:
        del hop, next_hop
        return self._topology.on_link(ingress, packet.src)


class _TellsStrangers(Forwarder):
    __slots__ = ()

    def _should_redirect(
        self, packet: IPv4Packet, ingress: str, hop: Hop, next_hop: IPv4Address
    ) -> bool:
        del packet
        return hop.interface == ingress and self._topology.on_link(ingress, next_hop)


REDIRECTS_TO_WRONG_GATEWAY: Final = Defect(
    "redirects to a wrong gateway",
    "IP-09",
    "The redirect names a neighbour of the better gateway, and hosts send into the void.",
    {ErrorReporter: _WrongGateway},
)
DROPS_WHAT_IT_REDIRECTS: Final = Defect(
    "does not forward what it redirects",
    "IP-09",
    "The router says where the packet should have gone, and drops it: the first packets of each "
    "flow are lost.",
    {Router: _TellsOnly},
)
REDIRECTS_WHOLE_NETWORK: Final = Defect(
    "redirects the whole network",
    "IP-09",
    "Code 0 moves all of a network, by classes that nobody has used since 1993.",
    {ErrorReporter: _WholeNetwork},
)
KEEPS_BETTER_WAY: Final = Defect(
    "keeps the better way to itself",
    "IP-09",
    "Redirects are switched off, and half of the link's traffic crosses it twice.",
    {Forwarder: _Secretive},
)
REDIRECTS_OTHER_PORTS: Final = Defect(
    "redirects what leaves by another port",
    "IP-09",
    "Hosts are told of gateways that are on another link, and lose their way.",
    {Forwarder: _Meddles},
)
REDIRECTS_STRANGERS: Final = Defect(
    "redirects strangers",
    "IP-09",
    "Senders that are not on the link are told of a gateway which is a neighbour to the router "
    "alone.",
    {Forwarder: _TellsStrangers},
)

# Equal cost, and fail-over


class _Faithful(Routes):
    __slots__ = ()

    def equal(self, held: list[Route], now: Instant, interface: str | None = None) -> list[Route]:
        del now
        found = [each for each in held if interface in (None, each.interface)]
        return [each for each in found if each.metric == found[0].metric]


class _Deaf(NextHopTracking):
    def hear(self, event: NeighbourChanged) -> None:
        pass


class _Unforgiving(NextHopTracking):
    def found(self, gateway: IPv4Address) -> None:
        pass


class _Slow(NextHopTracking):
    def lose(self, gateway: IPv4Address, interface: str, now: Instant) -> None:
        lose = super().lose
        at = after(now, seconds(30))
        self._stack.alarms.set(("slow", gateway), at, lambda then: lose(gateway, interface, then))


class _OnePath(Routes):
    __slots__ = ()

    def share(self, equal: list[Route], flow: int | None) -> Route:
        del flow
        return equal[0]


class _Sprays(Forwarder):
    __slots__ = ()

    def _flow(self, packet: IPv4Packet) -> int:
        return packet.ident * 0x9E3779B1 & 0xFFFFFFFF


class _AllOrNothing(Routes):
    __slots__ = ()

    def equal(self, held: list[Route], now: Instant, interface: str | None = None) -> list[Route]:
        found = super().equal(held, now, interface)
        lost = [each for each in held if not self.usable(each) or self._avoids(each, now)]
        return [] if lost and interface is None else found


NEVER_FAILS_OVER: Final = Defect(
    "never fails over",
    "IP-16",
    "The second line was paid for years, and on the day the first one breaks nothing moves to it.",
    {Routes: _Faithful},
)
TRUSTS_THE_LINK: Final = Defect(
    "fails over for links only",
    "IP-16",
    "The next hop dies behind a switch: the link stays up, and half of the traffic goes to the "
    "dead.",
    {NextHopTracking: _Deaf},
)
NEVER_COMES_BACK: Final = Defect(
    "never comes back",
    "IP-16",
    "After the first outage the main line stands idle until somebody reboots the router.",
    {NextHopTracking: _Unforgiving},
)
FAILS_OVER_LATE: Final = Defect(
    "fails over late",
    "IP-16",
    "A process that runs every half minute looks after lost next hops.",
    {NextHopTracking: _Slow},
)
ONE_PATH_ONLY: Final = Defect(
    "uses one path only",
    "IP-16",
    "Two equal routes are shown, and the table of the chip has room for one: half of the capacity "
    "is never used.",
    {Routes: _OnePath},
)
PACKET_BY_PACKET: Final = Defect(
    "shares packet by packet",
    "IP-16",
    "The packets of one flow take turns on unlike paths: they arrive out of order, and TCP slows "
    "down.",
    {Forwarder: _Sprays},
)
LOSES_ALL_PATHS: Final = Defect(
    "loses all paths with one",
    "IP-16",
    "The group of next hops is taken out of the table with the first of them that fails.",
    {Routes: _AllOrNothing},
)
