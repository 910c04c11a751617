"""ICMP (RFC 792) as RFC 1122 3.2.2 wants it: echo, times, and errors that come in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from testbed.errors import WireError
from testbed.stack.core import Core
from testbed.stack.echo import EchoAnswer, EchoSocket
from testbed.stack.events import Event
from testbed.stack.ip import IpLayer
from testbed.stack.lower import IcmpError, NoRoute
from testbed.stack.path import IpPath
from testbed.stack.refusals import Refused
from testbed.stack.routes import Origin, Route
from testbed.stack.transit import BadOption, record, source_route
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
    SourceQuench,
    TimeExceeded,
    UnreachableCode,
    parse_icmpv4,
)
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = ["IcmpErrorReceived", "IcmpLayer"]

_DAY: Final = 86_400_000
_NOT_STANDARD: Final = 0x8000_0000

Handler = Callable[[IPv4Packet, Icmpv4, Instant], None]


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
    """A ``Transport`` for ICMP, with the stack's pings."""

    __slots__ = ("_core", "_ip", "_listeners", "_sockets")

    def __init__(self, core: Core, ip: IpLayer) -> None:
        self._core = core
        self._ip = ip
        self._sockets: dict[int, EchoSocket] = {}
        self._listeners: dict[int, list[Handler]] = {}
        ip.register(IpProtocol.ICMP, self)

    def open(self, now: Instant, ident: int | None = None) -> EchoSocket:  # noqa: ARG002
        """A socket for pings; Refused EADDRINUSE for an identifier that another one has."""
        if ident is None:
            ident = self._core.entropy.below(0x10000)
            while ident in self._sockets:
                ident = (ident + 1) & 0xFFFF
        elif ident in self._sockets:
            raise Refused("EADDRINUSE", f"echo identifier {ident} is in use")
        made = self._sockets[ident] = self._core.variants.of(EchoSocket)(self, ident)
        return made

    def send_echo(
        self,
        socket: EchoSocket,
        to: IPv4Address,
        sequence: int,
        data: bytes,
        now: Instant,
        *,
        df: bool,
    ) -> None:
        """Send one request of ``socket``; raises Refused."""
        try:
            path = self._ip.path(to, socket.source, interface=socket.interface, now=now)
        except NoRoute as error:
            raise Refused("ENETUNREACH", str(error)) from None
        size = 28 + len(data)
        if df and size > (mtu := path.mtu(now)):
            raise Refused("EMSGSIZE", f"a packet of {size} bytes with DF, path MTU {mtu}")
        request = EchoRequest(socket.ident, sequence, data).emit()
        path.send(request, IpProtocol.ICMP, now, ttl=socket.ttl, tos=socket.tos, df=df)

    def remove(self, socket: EchoSocket) -> None:
        """Free the socket's identifier."""
        if self._sockets.get(socket.ident) is socket:
            del self._sockets[socket.ident]

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
        elif isinstance(message, EchoReply):
            self.on_reply(packet, message, now)
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
        """An error about a message of ours: whoever sent the request is told."""
        quoted = error.quoted.payload
        if error.quoted.offset or len(quoted) < 8 or quoted[0] != IcmpType.ECHO_REQUEST:
            return
        socket = self._sockets.get(int.from_bytes(quoted[4:6], "big"))
        if socket is not None:
            sequence = int.from_bytes(quoted[6:8], "big")
            socket.deliver(EchoAnswer(error.source, sequence, b"", 0, now, error))

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:
        """Whether the quoted message is a request of an open socket; that one is told."""
        self.icmp_error(error, now)
        quoted = error.quoted.payload
        return len(quoted) >= 8 and int.from_bytes(quoted[4:6], "big") in self._sockets

    def path_mtu_changed(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        """Nothing is resent."""

    # Questions

    def on_echo(self, packet: IPv4Packet, message: EchoRequest, now: Instant) -> None:
        """Echo."""
        # RFC 1122 3.2.2.6: "Data received in an ICMP Echo Request MUST be entirely included in the
        # resulting Echo Reply."
        if not self._core.answers.echo:
            self._core.drop("icmp", "echo is switched off", now)
        elif self._ip.arrival.to_many and not self._core.config.icmp.answer_broadcast_echo:
            self._core.drop("icmp", "echo to many", now)
        else:
            self.answer(packet, EchoReply(message.ident, message.sequence, message.data), now)

    def on_reply(self, packet: IPv4Packet, message: EchoReply, now: Instant) -> None:
        """Hand a reply to who sent the request."""
        socket = self._sockets.get(message.ident)
        if socket is not None:
            socket.deliver(EchoAnswer(packet.src, message.sequence, message.data, packet.ttl, now))

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
            if packet.options:
                self.answer_with_options(packet, reply, path, now)
                return
        except NoRoute:
            self._core.drop("icmp", "no route", now)
            return
        path.send(reply.emit(), IpProtocol.ICMP, now, tos=packet.tos, df=False)

    def answer_with_options(
        self, packet: IPv4Packet, reply: IcmpMessage, path: IpPath, now: Instant
    ) -> None:
        """Send ``reply`` with the options of its request."""
        # RFC 1122 3.2.2.6: "If a Record Route and/or Time Stamp option is received in an ICMP Echo
        # Request, this option (these options) SHOULD be updated to include the current host".
        back = IPv4Packet(
            path.source,
            packet.src,
            IpProtocol.ICMP,
            reply.emit(),
            ttl=self._core.config.ip.ttl,
            tos=packet.tos,
            options=returned_options(packet.options, path.source, now),
        )
        self._ip.send_packet(self._ip.egress.stamp(back), now)

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
        if not self._ip.is_local(quoted.src):
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
        """Take a redirect for the one host that it is about, whatever its code says."""
        # RFC 1122 3.2.2.2: it counts if it comes from the gateway in use and names another one
        # that is on the same link.
        quoted = self.quotation(message.quoted, now)
        config = self._core.config
        if quoted is None or not (config.ip.accept_redirects and config.icmp.obey_errors):
            return
        # Redirects are for hosts: a router has its own routes (RFC 1812 5.2.7.2).
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


def returned_options(options: bytes, own: IPv4Address, now: Instant) -> bytes:
    """The options of an echo reply: those of the request, with this host recorded in them."""
    try:
        # A source route that led here would have to be reversed; without it the reply finds back.
        return b"" if source_route(options) else record(options, own, now)
    except BadOption:
        return b""
