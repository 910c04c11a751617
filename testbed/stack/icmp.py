"""ICMP (RFC 792) as RFC 1122 3.2.2 and RFC 1812 4.3 want it: echo, times, errors out and in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from testbed.errors import WireError
from testbed.stack.core import Core
from testbed.stack.events import Event
from testbed.stack.ip import IpLayer
from testbed.stack.lower import IcmpError, NoRoute
from testbed.stack.ratelimit import TokenBucket
from testbed.stack.routes import Origin, Route
from testbed.timing import Instant
from testbed.wire.icmp_info import TimestampReply, TimestampRequest
from testbed.wire.icmp_message import IcmpMessage, IcmpType
from testbed.wire.icmpv4 import (
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    Icmpv4,
    ParameterProblem,
    Redirect,
    RedirectCode,
    SourceQuench,
    TimeExceeded,
    UnreachableCode,
    parse_icmpv4,
)
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = ["IcmpErrorReceived", "IcmpErrorSent", "IcmpLayer"]

_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
"""RFC 1122 3.2.2: types that report errors, and must never be answered by one."""
_PRECEDENCE: Final = 0xC0
"""RFC 1812 4.3.2.5: errors SHOULD have precedence 6, internetwork control."""
_DAY: Final = 86_400_000
_NOT_STANDARD: Final = 0x8000_0000

Handler = Callable[[IPv4Packet, Icmpv4, Instant], None]


@dataclass(frozen=True, slots=True)
class IcmpErrorSent(Event):
    """The stack told ``to`` that a packet of its could not be handled."""

    to: IPv4Address
    type: int
    code: int


@dataclass(frozen=True, slots=True)
class IcmpErrorReceived(Event):
    """``source`` reports an error about a packet that went to ``destination``."""

    source: IPv4Address
    type: int
    code: int
    destination: IPv4Address
    mtu: int | None
    obeyed: bool


class IcmpLayer:
    """A ``Transport`` for ICMP, and the stack's sender of errors."""

    __slots__ = ("_buckets", "_core", "_ip", "_listeners")

    def __init__(self, core: Core, ip: IpLayer) -> None:
        self._core = core
        self._ip = ip
        self._buckets: dict[str, TokenBucket] = {}
        self._listeners: dict[int, list[Handler]] = {}
        ip.register(IpProtocol.ICMP, self)
        ip.reporter = self

    def listen(self, kind: int, handler: Handler) -> None:
        """Call ``handler`` with every message of type ``kind`` that comes in, until unlisten()."""
        self._listeners.setdefault(kind, []).append(handler)

    def unlisten(self, kind: int, handler: Handler) -> None:
        """Stop calling ``handler``."""
        held = self._listeners.get(kind, [])
        if handler in held:
            held.remove(handler)

    # Transport

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        """Take a message."""
        try:
            message = parse_icmpv4(packet.payload)
        except WireError:
            self._core.drop("icmp", "malformed", now)
            return
        if isinstance(message, EchoRequest):
            self.on_echo(packet, message, now)
        elif isinstance(message, TimestampRequest):
            self.on_timestamp(packet, message, now)
        elif isinstance(message, Redirect):
            self.on_redirect(packet, message, now)
        elif isinstance(
            message, DestinationUnreachable | TimeExceeded | ParameterProblem | SourceQuench
        ):
            self.on_error(packet, message, now)
        for handler in tuple(self._listeners.get(message.type, ())):
            handler(packet, message, now)

    def icmp_error(self, error: IcmpError, now: Instant) -> None:
        """An error about a message of ours: whoever sent the echo wants to know."""
        for handler in tuple(self._listeners.get(-1, ())):
            handler(error.quoted, _as_message(error), now)

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:
        """Echo requests are not numbered well enough to tell a forgery: believe it."""
        return True

    def path_mtu_changed(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        """Nothing is resent."""

    # Questions

    def on_echo(self, packet: IPv4Packet, message: EchoRequest, now: Instant) -> None:
        """Echo: "Data received in an ICMP Echo Request MUST be entirely included in the resulting
        Echo Reply" (RFC 1122 3.2.2.6).
        """
        if not self._core.answers.echo:
            self._core.drop("icmp", "echo is switched off", now)
        elif self._ip.arrival.to_many and not self._core.config.icmp.answer_broadcast_echo:
            self._core.drop("icmp", "echo to many", now)
        else:
            self.answer(packet, EchoReply(message.ident, message.sequence, message.data), now)

    def on_timestamp(self, packet: IPv4Packet, message: TimestampRequest, now: Instant) -> None:
        """RFC 792: where the time is not known by midnight UT, any goes, its high bit set."""
        if not self._core.answers.timestamp or self._ip.arrival.to_many:
            self._core.drop("icmp", "timestamp is switched off", now)
            return
        time = now // 1_000_000 % _DAY | _NOT_STANDARD
        reply = TimestampReply(message.ident, message.sequence, message.originate, time, time)
        self.answer(packet, reply, now)

    def answer(self, packet: IPv4Packet, reply: IcmpMessage, now: Instant) -> None:
        """Send ``reply`` back to where ``packet`` came from, from the address it went to.

        RFC 1122 3.2.2.6: "The IP source address in an ICMP Echo Reply MUST be the same as the
        specific-destination address".
        """
        source = None if self._ip.arrival.to_many else packet.dst
        try:
            path = self._ip.path(packet.src, source, now=now)
        except NoRoute:
            self._core.drop("icmp", "no route", now)
            return
        path.send(reply.emit(), IpProtocol.ICMP, now, tos=packet.tos, df=False)

    # Errors out

    def report(
        self, packet: IPv4Packet, kind: int, code: int, now: Instant, *, value: int = 0
    ) -> None:
        """Answer ``packet`` with an error, if the rules and the rate allow it."""
        if not self._core.answers.icmp_errors or not self.may_report(packet):
            return
        try:
            # The packet's own destination answers; a router, the interface it answers by
            # (RFC 1812 4.3.2.4).
            own = packet.dst if int(packet.dst) in self._ip.egress.local else None
            path = self._ip.path(packet.src, own, now=now)
        except NoRoute:
            return
        if not self._within_rate(path.interface or "", now):
            self._core.count("ICMP errors over the rate")
            return
        message = self.error_message(kind, code, self.quote(packet), value)
        self._core.events.add(IcmpErrorSent(now, packet.src, kind, code))
        path.send(message.emit(), IpProtocol.ICMP, now, tos=_PRECEDENCE, df=False)

    def may_report(self, packet: IPv4Packet) -> bool:
        """RFC 1122 3.2.2: no error about an ICMP error, about what went to many, by IP or by link,
        about any fragment but the first, or to a source that is no single host.
        """
        if packet.offset or self._ip.arrival.link_broadcast:
            return False
        if packet.protocol == IpProtocol.ICMP and (
            not packet.payload or packet.payload[0] in _ERRORS
        ):
            return False
        if packet.dst.is_multicast or self._ip.is_broadcast(packet.dst):
            return False
        first = int(packet.src) >> 24
        return 0 < first < 224 and first != 127 and not self._ip.is_broadcast(packet.src)

    def quote(self, packet: IPv4Packet) -> bytes:
        """The start of ``packet``: its header and 8 bytes at least."""
        least = packet.header_length + 8
        return packet.emit()[: max(least, self._core.config.icmp.quote)]

    def error_message(self, kind: int, code: int, quoted: bytes, value: int) -> IcmpMessage:
        """The message for an error."""
        if kind == IcmpType.DESTINATION_UNREACHABLE:
            return DestinationUnreachable(code, quoted, value)
        if kind == IcmpType.TIME_EXCEEDED:
            return TimeExceeded(code, quoted)
        return ParameterProblem(value, quoted, code)

    def send_redirect(self, packet: IPv4Packet, gateway: IPv4Address, now: Instant) -> None:
        """Tell the sender of ``packet`` of a better gateway (RFC 1812 5.2.7.2: for the host)."""
        if not self._core.answers.icmp_errors or not self.may_report(packet):
            return
        try:
            path = self._ip.path(packet.src, now=now)
        except NoRoute:
            return
        if self._within_rate(path.interface or "", now):
            message = Redirect(RedirectCode.HOST, gateway, self.quote(packet))
            self._core.events.add(IcmpErrorSent(now, packet.src, message.type, message.code))
            path.send(message.emit(), IpProtocol.ICMP, now, tos=_PRECEDENCE, df=False)

    def _within_rate(self, interface: str, now: Instant) -> bool:
        bucket = self._buckets.get(interface)
        if bucket is None:
            config = self._core.config.icmp
            made = self._core.variants.of(TokenBucket)
            bucket = self._buckets[interface] = made(config.error_rate, config.error_burst)
        return bucket.take(now)

    # Errors in

    def on_error(
        self,
        packet: IPv4Packet,
        message: DestinationUnreachable | TimeExceeded | ParameterProblem | SourceQuench,
        now: Instant,
    ) -> None:
        """Pass an error to the transport whose packet it quotes (RFC 1122 3.2.2.1 to 3.2.2.5)."""
        quoted = self.quotation(message.quoted, now)
        if quoted is None:
            return
        needed = (
            isinstance(message, DestinationUnreachable)
            and message.code == UnreachableCode.FRAGMENTATION_NEEDED
        )
        mtu = message.next_hop_mtu if isinstance(message, DestinationUnreachable) else None
        error = IcmpError(message.type, message.code, quoted, packet.src, mtu if needed else None)
        obeyed = self._core.config.icmp.obey_errors and not isinstance(message, SourceQuench)
        if obeyed and needed:
            obeyed = self.on_frag_needed(error, message.quoted, now)
        elif obeyed and (transport := self._ip.transport(quoted.protocol)):
            transport.icmp_error(error, now)
        self._core.events.add(
            IcmpErrorReceived(
                now, packet.src, message.type, message.code, quoted.dst, error.mtu, obeyed
            )
        )

    def quotation(self, data: bytes, now: Instant) -> IPv4Packet | None:
        """The packet quoted, if it is one that this stack sent."""
        try:
            # Routers on the way have changed the header: its checksum need not be right.
            quoted = IPv4Packet.parse(data, verify=False, partial=True)
        except WireError:
            self._core.drop("icmp", "quotes no packet", now)
            return None
        if int(quoted.src) not in self._ip.egress.local:
            self._core.drop("icmp", "quotes a packet that is not ours", now)
            return None
        return quoted

    def on_frag_needed(self, error: IcmpError, raw: bytes, now: Instant) -> bool:
        """RFC 1191 3, and RFC 5927 7: the transport must know the packet before it is believed."""
        quoted = error.quoted
        transport = self._ip.transport(quoted.protocol)
        if not self._core.config.pmtu.enabled or transport is None or error.mtu is None:
            return False
        if not transport.accepts_frag_needed(error, now):
            self._core.drop("icmp", "frag needed about nothing in flight", now)
            return False
        try:
            link_mtu = self._ip.path(quoted.dst, quoted.src, now=now).link_mtu()
        except NoRoute:
            return False
        length = int.from_bytes(raw[2:4], "big")
        egress = self._ip.egress
        mtu = egress.pmtu.frag_needed(
            quoted.dst, error.mtu, length, link_mtu, now, header_length=(raw[0] & 15) * 4
        )
        if mtu is None:
            return False
        self._ip.path_mtu_changed(quoted.dst, mtu, now)
        return True

    def on_redirect(self, packet: IPv4Packet, message: Redirect, now: Instant) -> None:
        """RFC 1122 3.2.2.2: believed if it comes from the gateway in use, and names another that
        is on the same link; it changes the way to that one host, whatever its code says.
        """
        quoted = self.quotation(message.quoted, now)
        config = self._core.config
        if quoted is None or not (config.ip.accept_redirects and config.icmp.obey_errors):
            return
        # "The routing of a router is its routing protocol's" (RFC 1812 5.2.7.2).
        route = None if config.ip.forwarding else self._ip.routes.lookup(quoted.dst, now)
        if route is None or route.via != packet.src or route.via == message.gateway:
            self._core.drop("icmp", "redirect not from the gateway in use", now)
            return
        link = self._ip.egress.interfaces[route.interface]
        if not link.on_link(message.gateway) or self._ip.is_local(message.gateway):
            self._core.drop("icmp", "redirect to what is not on the link", now)
            return
        self.take_redirect(quoted.dst, message.gateway, route)
        seen = IcmpErrorReceived(
            now, packet.src, message.type, message.code, quoted.dst, None, obeyed=True
        )
        self._core.events.add(seen)

    def take_redirect(self, destination: IPv4Address, gateway: IPv4Address, route: Route) -> None:
        """Send to ``destination`` by ``gateway`` from now on."""
        routes = self._ip.routes
        routes.remove(
            lambda each: (
                each.origin == Origin.REDIRECT and each.network.network_address == destination
            )
        )
        via = None if gateway == destination else gateway
        host = type(route.network)(destination)
        routes.add(Route(host, route.interface, via, route.metric, route.source, Origin.REDIRECT))


def _as_message(error: IcmpError) -> Icmpv4:
    quoted = error.quoted.emit()
    if error.type == IcmpType.DESTINATION_UNREACHABLE:
        return DestinationUnreachable(error.code, quoted, error.mtu or 0)
    if error.type == IcmpType.TIME_EXCEEDED:
        return TimeExceeded(error.code, quoted)
    return ParameterProblem(0, quoted, error.code)
