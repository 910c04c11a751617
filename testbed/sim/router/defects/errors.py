"""Faults of the errors that a router sends, and does not send (IP-05, IP-07)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from testbed.stack.forwarding import Forwarder, Refuse
from testbed.stack.icmp_errors import ErrorReporter
from testbed.stack.ip import IpLayer
from testbed.stack.lower import NoRoute
from testbed.stack.router import Router
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.icmp_message import IcmpMessage, IcmpType
from testbed.wire.icmpv4 import TimeExceededCode, UnreachableCode
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = [
    "DROPS_A_HOP_EARLY",
    "ERROR_ABOUT_BROADCAST",
    "ERROR_ABOUT_ERROR",
    "ERROR_ABOUT_FRAGMENT",
    "ERROR_TWICE",
    "EXCEEDS_TO_ITSELF",
    "FORWARDS_TTL_0",
    "NO_HOST_UNREACHABLE",
    "NO_PORT_UNREACHABLE",
    "NO_PROTOCOL_UNREACHABLE",
    "QUOTES_ANOTHER",
    "QUOTES_HEADER_ONLY",
    "QUOTES_TOO_LITTLE",
    "REASSEMBLY_CODE",
    "REPORTS_FROM_ELSEWHERE",
    "REPORTS_LATER_FRAGMENTS",
    "REPORTS_WITH_WHAT_IS_LEFT",
    "SILENT_DROP",
    "SILENT_ON_UNREACHABLES",
    "WRONG_REASON",
]

_UNREACHABLE: Final = IcmpType.DESTINATION_UNREACHABLE


# TTL exceeded


class _SilentOnTtl(Router):
    __slots__ = ()

    def refuse(self, packet: IPv4Packet, verdict: Refuse, now: Instant) -> None:
        if verdict.icmp_type != IcmpType.TIME_EXCEEDED:
            super().refuse(packet, verdict, now)


class _ForwardsZero(Forwarder):
    __slots__ = ()

    def _next_ttl(self, packet: IPv4Packet) -> int:
        return max(packet.ttl - 1, 0)

    def _expired(self, ttl: int) -> bool:
        del ttl
        return False


class _DropsEarly(Forwarder):
    __slots__ = ()

    def _expired(self, ttl: int) -> bool:
        return ttl <= 1


class _Picky(IpLayer):
    __slots__ = ()

    def deliver(self, packet: IPv4Packet, now: Instant) -> None:
        if packet.ttl <= 1 and self.arrival.interface and self.is_local(packet.dst):
            self.report(packet, IcmpType.TIME_EXCEEDED, TimeExceededCode.TTL, now)
            return
        super().deliver(packet, now)


class _QuotesLittle(ErrorReporter):
    __slots__ = ()

    def quote(self, packet: IPv4Packet) -> bytes:
        return super().quote(packet)[: packet.header_length + 4]


class _QuotesHeader(ErrorReporter):
    __slots__ = ()

    def quote(self, packet: IPv4Packet) -> bytes:
        return super().quote(packet)[: packet.header_length]


class _QuotesAnother(ErrorReporter):
    __slots__ = ()

    def quote(self, packet: IPv4Packet) -> bytes:
        return super().quote(replace(packet, src=packet.dst, dst=packet.src))


class _Elsewhere(ErrorReporter):
    __slots__ = ()

    def _reporting_address(self, packet: IPv4Packet) -> IPv4Address | None:
        usual = super()._reporting_address(packet)
        if usual == packet.dst:
            return usual
        for link in reversed(self._ip.egress.interfaces.values()):
            for held in link.addresses:
                if held.ip != usual:
                    return held.ip
        return usual


class _OtherCode(ErrorReporter):
    __slots__ = ()

    def error_message(self, kind: int, code: int, quoted: bytes, value: int) -> IcmpMessage:
        if kind == IcmpType.TIME_EXCEEDED:
            code = TimeExceededCode.REASSEMBLY
        return super().error_message(kind, code, quoted, value)


class _ForFragments(ErrorReporter):
    __slots__ = ()

    def may_report(self, packet: IPv4Packet) -> bool:
        return super().may_report(replace(packet, offset=0))


class _Spent(ErrorReporter):
    __slots__ = ()

    def report(
        self, packet: IPv4Packet, kind: int, code: int, now: Instant, *, value: int = 0
    ) -> None:
        if kind != IcmpType.TIME_EXCEEDED or not self.may_report(packet):
            super().report(packet, kind, code, now, value=value)
            return
        with suppress(NoRoute):
            path = self._ip.path(packet.src, self._reporting_address(packet), now=now)
            message = self.error_message(kind, code, self.quote(packet), value)
            path.send(message.emit(), IpProtocol.ICMP, now, ttl=max(packet.ttl, 1), df=False)


SILENT_DROP: Final = Defect(
    "silent drop",
    "IP-05",
    "The router drops what has run out of hops and says nothing: a star in every traceroute.",
    {Router: _SilentOnTtl},
)
FORWARDS_TTL_0: Final = Defect(
    "forwards TTL 0",
    "IP-05",
    "The TTL is looked at before it is lowered: packets leave with 0, and traceroute misses the "
    "hop.",
    {Forwarder: _ForwardsZero},
)
DROPS_A_HOP_EARLY: Final = Defect(
    "drops a hop early",
    "IP-05",
    "The comparison is off by one: what would arrive at the next station with its last hop does "
    "not.",
    {Forwarder: _DropsEarly},
)
EXCEEDS_TO_ITSELF: Final = Defect(
    "wants a hop more for itself",
    "IP-05",
    "The TTL is lowered before it is looked where a packet goes: routing protocols, which send "
    "with a TTL of 1, come to nothing.",
    {IpLayer: _Picky},
)
QUOTES_TOO_LITTLE: Final = Defect(
    "quotes too little",
    "IP-05",
    "Four bytes behind the header are quoted: the ports, but not the sequence number by which "
    "hosts know a forgery.",
    {ErrorReporter: _QuotesLittle},
)
QUOTES_ANOTHER: Final = Defect(
    "quotes another packet",
    "IP-05",
    "The header is turned round for the answer before it is quoted: the sender does not know its "
    "own packet.",
    {ErrorReporter: _QuotesAnother},
)
REPORTS_FROM_ELSEWHERE: Final = Defect(
    "reports from another address",
    "IP-05",
    "Errors come from the port of the way back, or of management: traceroute shows a path that "
    "nobody takes.",
    {ErrorReporter: _Elsewhere},
)
REASSEMBLY_CODE: Final = Defect(
    "wrong code",
    "IP-05",
    "Code 1, that fragments did not come in time, is sent for a TTL that ran out.",
    {ErrorReporter: _OtherCode},
)
REPORTS_LATER_FRAGMENTS: Final = Defect(
    "reports later fragments",
    "IP-05",
    "A large packet in fifty fragments that runs out of hops draws fifty errors.",
    {ErrorReporter: _ForFragments},
)

REPORTS_WITH_WHAT_IS_LEFT: Final = Defect(
    "reports with the TTL that is left",
    "IP-05",
    "The report leaves with the TTL of the packet that it is about, as that of 4.3BSD did, and "
    "dies on its way back: traceroute shows the first half of a path.",
    {ErrorReporter: _Spent},
)

# Unreachable


class _AboutErrors(ErrorReporter):
    __slots__ = ()

    def may_report(self, packet: IPv4Packet) -> bool:
        if packet.protocol == IpProtocol.ICMP:
            packet = replace(packet, protocol=IpProtocol.EXPERIMENTAL)
        return super().may_report(packet)


class _AboutBroadcasts(ErrorReporter):
    __slots__ = ()

    def may_report(self, packet: IPv4Packet) -> bool:
        arrival = self._ip.arrival
        held, arrival.link_broadcast = arrival.link_broadcast, False
        allowed = super().may_report(replace(packet, dst=packet.src))
        arrival.link_broadcast = held
        return allowed

    def _reporting_address(self, packet: IPv4Packet) -> IPv4Address | None:
        link = self._ip.arrival.interface
        return link.source_for(packet.src) if link is not None else None


class _Reticent(ErrorReporter):
    __slots__ = ()

    untold: tuple[int, ...] = ()

    def report(
        self, packet: IPv4Packet, kind: int, code: int, now: Instant, *, value: int = 0
    ) -> None:
        if kind != _UNREACHABLE or code not in self.untold:
            super().report(packet, kind, code, now, value=value)


class _Silent(_Reticent):
    __slots__ = ()

    untold = (0, 1, 2, 3)


class _NoHost(_Reticent):
    __slots__ = ()

    untold = (UnreachableCode.HOST,)


class _NoProtocol(_Reticent):
    __slots__ = ()

    untold = (UnreachableCode.PROTOCOL,)


class _NoPort(_Reticent):
    __slots__ = ()

    untold = (UnreachableCode.PORT,)


class _WrongReason(ErrorReporter):
    __slots__ = ()

    def error_message(self, kind: int, code: int, quoted: bytes, value: int) -> IcmpMessage:
        if kind == _UNREACHABLE and code == UnreachableCode.HOST:
            code = UnreachableCode.NET
        return super().error_message(kind, code, quoted, value)


class _Insistent(ErrorReporter):
    __slots__ = ()

    def report(
        self, packet: IPv4Packet, kind: int, code: int, now: Instant, *, value: int = 0
    ) -> None:
        super().report(packet, kind, code, now, value=value)
        super().report(packet, kind, code, now, value=value)


ERROR_ABOUT_ERROR: Final = Defect(
    "error about an error",
    "IP-07",
    "Two routers without a route to each other's networks answer error by error until the link is "
    "full.",
    {ErrorReporter: _AboutErrors},
)
ERROR_ABOUT_BROADCAST: Final = Defect(
    "error about a broadcast",
    "IP-07",
    "One broadcast to a port that nobody has open, and every station of the subnet says so at "
    "once.",
    {ErrorReporter: _AboutBroadcasts},
)
ERROR_ABOUT_FRAGMENT: Final = Defect(
    "error about a later fragment",
    "IP-07",
    "Each fragment of a lost packet draws an error of its own, all but one of which name no port.",
    {ErrorReporter: _ForFragments},
)
SILENT_ON_UNREACHABLES: Final = Defect(
    "silent",
    "IP-07",
    "'no ip unreachables' was set against scanners: everybody's connections wait for time-outs.",
    {ErrorReporter: _Silent},
)
WRONG_REASON: Final = Defect(
    "tells a wrong reason",
    "IP-07",
    "A dead host is reported as a network without a route, and the search begins at the wrong end.",
    {ErrorReporter: _WrongReason},
)
NO_HOST_UNREACHABLE: Final = Defect(
    "no word of dead hosts",
    "IP-07",
    "Packets that wait for an ARP answer in vain are freed, and nobody is told.",
    {ErrorReporter: _NoHost},
)
NO_PROTOCOL_UNREACHABLE: Final = Defect(
    "no word of unknown protocols",
    "IP-07",
    "A protocol that the router does not speak disappears in it.",
    {ErrorReporter: _NoProtocol},
)
NO_PORT_UNREACHABLE: Final = Defect(
    "no word of closed ports",
    "IP-07",
    "UDP to a closed port of the router is dropped: traceroutes to it end in stars.",
    {ErrorReporter: _NoPort},
)
QUOTES_HEADER_ONLY: Final = Defect(
    "quotes the header only",
    "IP-07",
    "Without the eight bytes behind the header the sender cannot tell which socket is meant.",
    {ErrorReporter: _QuotesHeader},
)
ERROR_TWICE: Final = Defect(
    "reports twice",
    "IP-07",
    "Forwarding engine and processor both report the same packet.",
    {ErrorReporter: _Insistent},
)
