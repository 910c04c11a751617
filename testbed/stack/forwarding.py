"""What a router does with a packet (RFC 1812 5): a decision, which the IP layer carries out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import Final, Protocol, TypeAlias

from testbed.errors import WireError
from testbed.stack.clamp import clamped
from testbed.stack.config import IpConfig
from testbed.stack.crossing import Crossing, flow_of
from testbed.stack.transit import BadOption, SourceRoute, advance, record, source_route
from testbed.timing import Instant
from testbed.wire.fragment import fragment
from testbed.wire.icmpv4 import IcmpType, TimeExceededCode, UnreachableCode
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["Drop", "Forward", "Forwarder", "Hop", "Refuse", "Topology", "Verdict"]


@dataclass(frozen=True, slots=True)
class Hop:
    """Where a packet goes next: out of ``interface``, to ``gateway`` or, None, right to its end."""

    interface: str
    gateway: IPv4Address | None


class Topology(Protocol):
    """What a forwarder has to know of routes and interfaces; it changes nothing."""

    def route(self, destination: IPv4Address, now: Instant, flow: int | None = None) -> Hop | None:
        """The longest match for ``destination`` (RFC 1812 5.2.4.3), None without a route.

        Where several are equally good, each ``flow`` keeps to one of them.
        """

    def link_mtu(self, interface: str) -> int:
        """The MTU of ``interface``, in bytes."""

    def on_link(self, interface: str, address: IPv4Address) -> bool:
        """Whether ``address`` lies in a subnet that ``interface`` is attached to."""

    def is_local(self, address: IPv4Address) -> bool:
        """Whether ``address`` is one of the router's own."""

    def address_of(self, interface: str) -> IPv4Address | None:
        """The router's own address on ``interface``, for the options that record it."""

    def broadcast_of(self, destination: IPv4Address) -> str | None:
        """The interface whose subnet ``destination`` is the directed broadcast of, or None."""


@dataclass(frozen=True, slots=True)
class Forward:
    """Send ``packets``, in order, out of ``interface`` to ``next_hop``.

    ``redirect`` is the gateway to tell the sender of by ICMP 5/1 (RFC 1812 5.2.7.2), or None.
    ``broadcast`` says that the packet is a directed broadcast that becomes one on the link.
    """

    packets: tuple[IPv4Packet, ...]
    interface: str
    next_hop: IPv4Address
    redirect: IPv4Address | None = None
    broadcast: bool = False


@dataclass(frozen=True, slots=True)
class Refuse:
    """Discard it and answer by an ICMP error, where RFC 1812 4.3.2.7 allows one.

    The error quotes the packet as it came. ``mtu`` comes with frag needed, ``pointer`` with
    parameter problem.
    """

    icmp_type: int
    icmp_code: int
    mtu: int | None = None
    pointer: int = 0


@dataclass(frozen=True, slots=True)
class Drop:
    """Discard it in silence."""

    reason: str


Verdict: TypeAlias = Forward | Refuse | Drop


def _networks(*texts: str) -> tuple[tuple[int, int], ...]:
    nets = [IPv4Network(text) for text in texts]
    return tuple((int(net.network_address), int(net.netmask)) for net in nets)


_NEVER_SOURCE: Final = _networks("0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "240.0.0.0/4")
_NEVER_DESTINATION: Final = _networks("0.0.0.0/8", "127.0.0.0/8", "240.0.0.0/4")
"""RFC 1812 5.3.7: networks 0 and 127; 4.2.2.11: class E, with 255.255.255.255."""

_LINK_LOCAL: Final = _networks("169.254.0.0/16")
"""RFC 3927 7: a router 'MUST NOT forward' what has such a source or destination."""

_GROUPS: Final = _networks("224.0.0.0/4")


class Forwarder:
    """Decides on packets that are not for the router itself, or that it is a station of."""

    __slots__ = ("_config", "_crossing", "_topology")

    def __init__(
        self, config: IpConfig, topology: Topology, crossing: Crossing | None = None
    ) -> None:
        self._config = config
        self._topology = topology
        self._crossing = crossing or Crossing()

    def decide(
        self, packet: IPv4Packet, ingress: str, now: Instant, *, link_broadcast: bool = False
    ) -> Verdict:
        """What to do with ``packet``, which came in on ``ingress`` and passed the header checks.

        ``link_broadcast`` says that its frame went to a broadcast or group address. A packet for
        the router itself comes here only with a source route that goes on (``transits``).
        """
        if reason := self._unfit(packet, link_broadcast=link_broadcast):
            return Drop(reason)
        broadcast_on = self._topology.broadcast_of(packet.dst)
        if broadcast_on is not None:
            return self._directed_broadcast(packet, ingress, broadcast_on, now)
        try:
            routed = source_route(packet.options) if packet.options else None
        except BadOption as error:
            return _parameter_problem(error)
        if routed is None:
            return self._unicast(packet, ingress, now, source_routed=False)
        return self._source_routed(packet, routed, ingress, now)

    def transits(self, packet: IPv4Packet) -> bool:
        """Whether a packet for one of the router's own addresses goes on by its source route."""
        try:
            routed = source_route(packet.options) if packet.options else None
        except BadOption:
            return False
        return routed is not None and routed.next is not None

    def to_group(self, packet: IPv4Packet, ingress: str, egress: str, now: Instant) -> Verdict:
        """What leaves by ``egress`` of a packet to a group, which has members there."""
        return self._send(packet, Hop(egress, None), packet.dst, now, ingress=ingress)

    def _unfit(self, packet: IPv4Packet, *, link_broadcast: bool) -> str | None:
        """Why a packet must not cross a router, whatever its way, or None."""
        src, dst = int(packet.src), int(packet.dst)
        reason = None
        if _within(dst, _GROUPS):
            # 224.0.0/24 never (RFC 1112 4, RFC 5771 4); the rest would need multicast routing.
            reason = "link-local group" if dst >> 8 == 0xE00000 else "no multicast routing"
        elif link_broadcast:
            # RFC 1812 5.3.4: "A router MUST NOT forward any packet that the router received as a
            # Link Layer broadcast, unless it is directed to an IP Multicast address."
            reason = "link broadcast"
        elif _within(dst, _NEVER_DESTINATION):
            reason = "martian destination"
        elif _within(src, _NEVER_SOURCE) or self._topology.broadcast_of(packet.src) is not None:
            reason = "martian source"
        elif _within(src, _LINK_LOCAL) or _within(dst, _LINK_LOCAL):
            reason = "link-local address"
        elif self._topology.is_local(packet.src):
            reason = "the router's own address as source"
        return reason

    def _directed_broadcast(
        self, packet: IPv4Packet, ingress: str, egress: str, now: Instant
    ) -> Verdict:
        """RFC 2644: "The router MAY have an option to enable receiving ... directed broadcasts"."""
        if not self.opens_to_broadcasts(egress):
            return Drop("directed broadcast")
        if egress == ingress:
            return Drop("directed broadcast of the subnet it came from")
        hop = Hop(egress, None)
        return self._send(packet, hop, packet.dst, now, ingress=ingress, broadcast=True)

    def opens_to_broadcasts(self, egress: str) -> bool:
        """Whether broadcasts directed at the subnet of ``egress`` are let through."""
        return self._config.directed_broadcast or egress in self._crossing.directed_broadcast

    def _unicast(
        self, packet: IPv4Packet, ingress: str, now: Instant, *, source_routed: bool
    ) -> Verdict:
        hop = self._topology.route(packet.dst, now, self._flow(packet))
        if hop is None:
            return Refuse(IcmpType.DESTINATION_UNREACHABLE, UnreachableCode.NET)
        next_hop = packet.dst if hop.gateway is None else hop.gateway
        redirect = None
        if not source_routed and self._should_redirect(packet, ingress, hop, next_hop):
            redirect = next_hop
        return self._send(packet, hop, next_hop, now, ingress=ingress, redirect=redirect)

    def _flow(self, packet: IPv4Packet) -> int:
        return flow_of(packet)

    def _should_redirect(
        self, packet: IPv4Packet, ingress: str, hop: Hop, next_hop: IPv4Address
    ) -> bool:
        """RFC 1812 5.2.7.2: out where it came in, sender and next hop on the same subnet.

        The third condition there, no source route, is the caller's.
        """
        if hop.interface != ingress or not self._config.send_redirects:
            return False
        if ingress in self._crossing.no_redirects:
            return False
        on_link = self._topology.on_link
        return on_link(ingress, packet.src) and on_link(ingress, next_hop)

    def _source_routed(
        self, packet: IPv4Packet, routed: SourceRoute, ingress: str, now: Instant
    ) -> Verdict:
        """RFC 791 3.1: at each station the destination is replaced by the next one's."""
        if not self._config.source_route:
            return Drop("source route")
        if self._topology.is_local(packet.dst):
            if routed.next is None:
                return Drop("source route ends here")
            packet = self._readdressed(packet, routed, routed.next, now)
            if reason := self._unfit(packet, link_broadcast=False):
                return Drop(reason)
        if not routed.strict:
            return self._unicast(packet, ingress, now, source_routed=True)
        # Strict: the next station is to be reached "through only the directly connected network
        # indicated in the next address" (RFC 791 3.1).
        hop = self._topology.route(packet.dst, now)
        if hop is None or hop.gateway is not None:
            return Refuse(IcmpType.DESTINATION_UNREACHABLE, UnreachableCode.SOURCE_ROUTE_FAILED)
        return self._send(packet, hop, packet.dst, now, ingress=ingress)

    def _readdressed(
        self, packet: IPv4Packet, routed: SourceRoute, station: IPv4Address, now: Instant
    ) -> IPv4Packet:
        """``packet`` to the next ``station``, with the router's address recorded in its stead."""
        hop = self._topology.route(station, now)
        own = self._topology.address_of(hop.interface) if hop else None
        options = advance(packet.options, routed, own or packet.dst)
        return replace(packet, dst=station, options=options)

    def _send(
        self,
        packet: IPv4Packet,
        hop: Hop,
        next_hop: IPv4Address,
        now: Instant,
        *,
        ingress: str,
        redirect: IPv4Address | None = None,
        broadcast: bool = False,
    ) -> Verdict:
        """The packet as it leaves: TTL less one, options filled in, cut to the link's MTU."""
        ttl = self._next_ttl(packet)
        # RFC 1812 5.3.1: "If the TTL is reduced to zero (or less), the packet MUST be discarded,
        # and if the destination is not a multicast address the router MUST send an ICMP Time
        # Exceeded message, Code 0". The route comes first: 5.2.1.2 looks it up before.
        if self._expired(ttl):
            return Refuse(IcmpType.TIME_EXCEEDED, TimeExceededCode.TTL)
        options = packet.options
        if options:
            own = self._topology.address_of(hop.interface)
            try:
                options = record(options, own, now)
            except BadOption as error:
                return _parameter_problem(error)
        leaving = replace(packet, ttl=ttl, options=options)
        leaving = self._clamp(leaving, ingress, hop.interface)
        packets = self._fit(leaving, self._topology.link_mtu(hop.interface))
        if isinstance(packets, tuple):
            return Forward(packets, hop.interface, next_hop, redirect, broadcast)
        return packets

    def _next_ttl(self, packet: IPv4Packet) -> int:
        return packet.ttl - 1

    def _expired(self, ttl: int) -> bool:
        return ttl <= 0

    def _clamp(self, packet: IPv4Packet, ingress: str, egress: str) -> IPv4Packet:
        """The packet, a SYN with an MSS that fits both its links, where one of them wants it."""
        if self._crossing.clamped.isdisjoint((ingress, egress)):
            return packet
        mtu = min(self._topology.link_mtu(ingress), self._topology.link_mtu(egress))
        return clamped(packet, mtu - 40)

    def _fit(self, packet: IPv4Packet, mtu: int) -> tuple[IPv4Packet, ...] | Verdict:
        """The packet or its fragments; a verdict where DF forbids to cut (RFC 1191 4)."""
        if packet.total_length <= mtu:
            return (packet,)
        if packet.df:
            return Refuse(
                IcmpType.DESTINATION_UNREACHABLE, UnreachableCode.FRAGMENTATION_NEEDED, mtu
            )
        try:
            return self._cut(packet, mtu)
        except WireError as error:
            return Drop(error.reason)

    def _cut(self, packet: IPv4Packet, mtu: int) -> tuple[IPv4Packet, ...]:
        return fragment(packet, mtu)


def _within(address: int, networks: tuple[tuple[int, int], ...]) -> bool:
    return any(address & mask == network for network, mask in networks)


def _parameter_problem(error: BadOption) -> Refuse:
    """The pointer counts from the start of the header (RFC 792)."""
    return Refuse(IcmpType.PARAMETER_PROBLEM, 0, pointer=20 + error.offset)
