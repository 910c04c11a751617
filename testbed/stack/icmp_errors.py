"""The ICMP errors that a stack sends, by the rules of RFC 1122 3.2.2 and RFC 1812 4.3.2."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from testbed.stack.core import Core
from testbed.stack.events import Event
from testbed.stack.ip import IpLayer
from testbed.stack.lower import NoRoute
from testbed.stack.ratelimit import TokenBucket
from testbed.timing import Instant
from testbed.wire.icmp_message import IcmpMessage, IcmpType
from testbed.wire.icmpv4 import (
    DestinationUnreachable,
    ParameterProblem,
    Redirect,
    RedirectCode,
    TimeExceeded,
)
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = ["ErrorReporter", "IcmpErrorSent"]

_ERRORS: Final = frozenset({3, 4, 5, 11, 12})
"""RFC 1122 3.2.2: types that report errors, and must never be answered by one."""
_PRECEDENCE: Final = 0xC0
"""RFC 1812 4.3.2.5: errors SHOULD have precedence 6, internetwork control."""


@dataclass(frozen=True, slots=True)
class IcmpErrorSent(Event):
    """The stack told ``to`` that a packet of its could not be handled."""

    to: IPv4Address
    type: int
    code: int


class ErrorReporter:
    """``ip.Reporter``: sends errors and redirects, as the rules and the rate allow."""

    __slots__ = ("_buckets", "_core", "_ip")

    def __init__(self, core: Core, ip: IpLayer) -> None:
        self._core = core
        self._ip = ip
        self._buckets: dict[str, TokenBucket] = {}
        ip.reporter = self

    def report(
        self, packet: IPv4Packet, kind: int, code: int, now: Instant, *, value: int = 0
    ) -> None:
        """Answer ``packet`` with an error, if the rules and the rate allow it."""
        if not self._core.answers.icmp_errors or not self.may_report(packet):
            return
        try:
            path = self._ip.path(packet.src, self._reporting_address(packet), now=now)
        except NoRoute:
            return
        if not self._within_rate(path.interface or "", now):
            self._core.count("ICMP errors over the rate")
            return
        message = self.error_message(kind, code, self.quote(packet), value)
        self._core.events.add(IcmpErrorSent(now, packet.src, kind, code))
        path.send(message.emit(), IpProtocol.ICMP, now, tos=_PRECEDENCE, df=False)

    def _reporting_address(self, packet: IPv4Packet) -> IPv4Address | None:
        """Which address reports: the packet's destination, or a router's on the way it came.

        So a traceroute lists the interfaces that packets come in by, as routers have always had it.
        """
        if int(packet.dst) in self._ip.egress.local or packet.dst.is_loopback:
            return packet.dst
        link = self._ip.arrival.interface
        return link.source_for(packet.src) if link is not None else None

    def may_report(self, packet: IPv4Packet) -> bool:
        """Whether RFC 1122 3.2.2 allows an error about ``packet``."""
        # Not about an ICMP error, about what went to many, by IP or by link, about any fragment
        # but the first, nor to a source that is no single host.
        if packet.offset or self._ip.arrival.link_broadcast:
            return False
        if packet.protocol == IpProtocol.ICMP and (
            not packet.payload or packet.payload[0] in _ERRORS
        ):
            return False
        if packet.dst.is_multicast or self._ip.is_broadcast(packet.dst):
            return False
        first = int(packet.src) >> 24
        if first == 127 and self._ip.arrival.interface is not None:
            return False  # from the stack to itself is another matter: its sockets must hear
        return 0 < first < 224 and not self._ip.is_broadcast(packet.src)

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
            message = self.redirect_message(gateway, self.quote(packet))
            self._core.events.add(IcmpErrorSent(now, packet.src, message.type, message.code))
            path.send(message.emit(), IpProtocol.ICMP, now, tos=_PRECEDENCE, df=False)

    def redirect_message(self, gateway: IPv4Address, quoted: bytes) -> Redirect:
        """The message that tells of a better gateway, for the one host."""
        return Redirect(RedirectCode.HOST, gateway, quoted)

    def forget_rates(self) -> None:
        """Limit the rate afresh, as the settings have it now."""
        self._buckets.clear()

    def _within_rate(self, interface: str, now: Instant) -> bool:
        bucket = self._buckets.get(interface)
        if bucket is None:
            config = self._core.config.icmp
            made = self._core.variants.of(TokenBucket)
            bucket = self._buckets[interface] = made(config.error_rate, config.error_burst)
        return bucket.take(now)
