"""The IP layer (RFC 791, RFC 1122 3): what comes in is checked and handed up, or passed on."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, Protocol

from testbed.errors import WireError
from testbed.stack.alarms import Alarms
from testbed.stack.config import StackConfig
from testbed.stack.core import Core
from testbed.stack.egress import Egress
from testbed.stack.entropy import Entropy
from testbed.stack.events import EventLog
from testbed.stack.interface import Interface
from testbed.stack.lower import NoRoute, Path, Transport
from testbed.stack.path import IpPath
from testbed.stack.reassembly import Reassembler
from testbed.stack.routes import Routes
from testbed.stack.transit import BadOption, source_route
from testbed.stack.variants import Variants
from testbed.timing import Instant, after
from testbed.wire.addresses import MacAddr
from testbed.wire.icmp_message import IcmpType
from testbed.wire.icmpv4 import TimeExceededCode, UnreachableCode
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = ["Arrival", "GroupRouter", "IpLayer", "Onward", "Reporter"]

_LONG_AGO: Final = Instant(0)

_FROM_NOWHERE: Final = frozenset({IpProtocol.UDP, IpProtocol.IGMP, IpProtocol.ICMP})
"""What hosts without an address yet send: DHCP, memberships, router solicitations."""


@dataclass(slots=True)
class Arrival:
    """How the packet in hand came.

    ``interface`` is None for what the stack sent to itself. The others tell whether its frame, and
    its IP destination, were meant for more than this host.
    """

    interface: Interface | None = None
    link_broadcast: bool = False
    to_many: bool = False


class Reporter(Protocol):
    """Whoever sends ICMP errors."""

    def report(
        self, packet: IPv4Packet, kind: int, code: int, now: Instant, *, value: int = 0
    ) -> None:
        """Answer ``packet`` with an error, where the rules allow one.

        ``value`` is the next-hop MTU of a frag needed, or the pointer of a parameter problem.
        """


class Onward(Protocol):
    """What becomes of packets that are not for this stack, and of those that come for its NAT."""

    def pass_on(self, packet: IPv4Packet, interface: Interface, now: Instant) -> None:
        """Forward ``packet``, which came in on ``interface``, or not."""

    def take(self, packet: IPv4Packet, interface: Interface, now: Instant) -> bool:
        """Whether ``packet``, to one of the stack's addresses, is passed on nonetheless."""


class GroupRouter(Protocol):
    """Who passes packets to groups on."""

    def pass_on(self, packet: IPv4Packet, interface: Interface, now: Instant) -> None:
        """Forward ``packet``, to a group, which came in on ``interface``, to its members."""


class IpLayer:
    """``lower.Lower``, for one stack."""

    __slots__ = (
        "_core",
        "_sources",
        "_transports",
        "alarms",
        "arrival",
        "config",
        "egress",
        "entropy",
        "events",
        "group_router",
        "onward",
        "reassembler",
        "reporter",
        "routes",
        "variants",
    )

    def __init__(self, core: Core, egress: Egress, routes: Routes) -> None:
        self._core = core
        self.config: StackConfig = core.config
        self.alarms: Alarms = core.alarms
        self.events: EventLog = core.events
        self.entropy: Entropy = core.entropy
        self.variants: Variants = core.variants
        self.egress = egress
        self.routes = routes
        self.reassembler = core.variants.of(Reassembler)(core.config.ip, core.events)
        self.reporter: Reporter | None = None
        self.onward: Onward | None = None
        self.group_router: GroupRouter | None = None
        self.arrival = Arrival()
        """Of the packet that is being handed up now."""
        self._transports: dict[int, Transport] = {}
        self._sources: set[int] = set()  # found acceptable
        egress.loop_back = self._deliver_loop

    def register(self, protocol: int, transport: Transport) -> None:
        """Hand packets of ``protocol`` to ``transport``."""
        self._transports[protocol] = transport

    def transport(self, protocol: int) -> Transport | None:
        """Who takes packets of ``protocol``."""
        return self._transports.get(protocol)

    # Questions

    def path(
        self,
        destination: IPv4Address,
        source: IPv4Address | None = None,
        *,
        interface: str | None = None,
        now: Instant = _LONG_AGO,
    ) -> IpPath:
        """The way to ``destination``, from ``source`` or the address that the route prefers.

        Raises NoRoute. ``interface`` names the one to leave by.
        """
        made = self._core.variants.of(IpPath)
        return made(
            self._core,
            self.egress,
            self.routes,
            destination=destination,
            source=source,
            now=now,
            interface=interface,
        )

    def is_local(self, address: IPv4Address) -> bool:
        """Whether ``address`` is one of the stack's own."""
        return self.egress.is_local(address)

    def is_broadcast(self, address: IPv4Address) -> bool:
        """Whether ``address`` is 255.255.255.255 or the broadcast of an attached subnet."""
        return self.egress.is_broadcast(address)

    # Sending

    def send_packet(self, packet: IPv4Packet, now: Instant, interface: str | None = None) -> None:
        """Send a packet as it is, by its destination's route; NoRoute if there is none."""
        way = self.egress.resolve(packet.dst, packet.src, now, interface)
        self.egress.send(packet, way, now)

    def send_raw(
        self, packet: IPv4Packet, interface: str, now: Instant, link_destination: MacAddr
    ) -> None:
        """Send a packet out of ``interface`` to ``link_destination``, with no address or route.

        It is how a host without an address sends, from 0.0.0.0 (RFC 1122 3.2.1.3 (a)).
        """
        link = self.egress.interfaces[interface]
        head = b""
        if link.mac is not None:
            head = link_destination.packed + link.mac.packed + b"\x08\x00"
        for piece in self.egress.fitting(packet, link.mtu, now):
            link.send_frame(head + piece.emit())

    def send_unreachable(self, packet: IPv4Packet, code: int, now: Instant) -> None:
        """Answer ``packet`` with destination unreachable, where RFC 1122 3.2.2 allows it."""
        self.report(packet, IcmpType.DESTINATION_UNREACHABLE, code, now)

    def report(
        self, packet: IPv4Packet, kind: int, code: int, now: Instant, *, value: int = 0
    ) -> None:
        """Answer ``packet`` with an ICMP error, where RFC 1122 3.2.2 allows it."""
        if self.reporter is not None:
            self.reporter.report(packet, kind, code, now, value=value)

    def path_failing(self, path: Path, now: Instant) -> None:
        """Advice that nothing comes back (RFC 1122 3.3.1.4): ask ARP again, try other gateways."""
        try:
            way = self.egress.resolve(path.destination, path.source, now)
        except NoRoute:
            return
        if way.interface is None:
            return
        way.interface.neighbours.suspect(way.next_hop, now)
        if way.next_hop != path.destination:
            until = after(now, self.config.ip.gateway_avoided)
            self.routes.avoid(way.next_hop, until)
            self.alarms.set(("avoided", way.next_hop), until, lambda _: self._trust(way.next_hop))

    def _trust(self, gateway: IPv4Address) -> None:
        self.routes.trust(gateway)

    def path_mtu_changed(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        """Tell all transports that the path to ``destination`` now carries ``mtu``."""
        for transport in self._transports.values():
            transport.path_mtu_changed(destination, mtu, now)

    # Receiving

    def receive(
        self, data: bytes, interface: Interface, now: Instant, *, link_broadcast: bool
    ) -> None:
        """Take what came as an IP packet by ``interface``."""
        try:
            packet = self.parse(data)
        except WireError:
            # RFC 1122 3.2.1: "MUST be silently discarded": version, checksum, lengths.
            self._core.drop("ip", "malformed", now)
            return
        src = int(packet.src)
        if src not in self._sources and not self._acceptable_source(packet, src, now):
            return
        dst = int(packet.dst)
        arrival = self.arrival
        arrival.interface = interface
        arrival.link_broadcast = link_broadcast
        arrival.to_many = False
        if dst in self.egress.local and not link_broadcast:
            if self.onward is None or not self.onward.take(packet, interface, now):
                self.deliver(packet, now)
        else:
            self._receive_other(packet, dst, interface, now)

    def parse(self, data: bytes) -> IPv4Packet:
        """The packet in a frame; WireError for what is to be discarded in silence."""
        return IPv4Packet.parse(data)

    def _receive_other(
        self, packet: IPv4Packet, dst: int, interface: Interface, now: Instant
    ) -> None:
        """A packet to many, to another host, or, against the rules, by a broadcast frame to us."""
        arrival = self.arrival
        if dst >> 28 == 14 and self.group_router is not None:
            self.group_router.pass_on(packet, interface, now)
        if self.is_for_many(packet.dst, interface):
            arrival.to_many = True
            self.deliver(packet, now)
        elif dst >> 24 == 127:
            # RFC 1122 3.2.1.3 (g): "Addresses of this form MUST NOT appear outside a host."
            self._core.drop("ip", "loopback address on the wire", now)
        elif dst >> 28 == 14:
            if self.group_router is None:
                self._core.drop("ip", "group not joined", now)
        elif dst in self.egress.local:
            # RFC 1122 3.3.6: "A host SHOULD silently discard a datagram that is received via a
            # link-layer broadcast ... but does not specify an IP multicast or broadcast address".
            self._core.drop("ip", "unicast packet in a broadcast frame", now)
        elif self.onward is not None:
            self.onward.pass_on(packet, interface, now)
        else:
            self._core.drop("ip", "not for this host", now)

    def is_for_many(self, address: IPv4Address, interface: Interface) -> bool:
        """Whether ``address`` is a broadcast here, or a group that ``interface`` listens to."""
        number = int(address)
        if number == 0xFFFFFFFF or self.egress.broadcasts.get(number) is interface:
            return True
        return number >> 28 == 14 and interface.hears_group(address)

    def _acceptable_source(self, packet: IPv4Packet, src: int, now: Instant) -> bool:
        """RFC 1122 3.2.1.3: a source must be a single host's address, and not this host's."""
        reason = self.martian(packet, src)
        if reason is None:
            if src:
                if len(self._sources) > 4096:
                    self._sources.clear()
                self._sources.add(src)
            return True
        self._core.drop("ip", reason, now)
        return False

    def martian(self, packet: IPv4Packet, src: int) -> str | None:
        """Why the packet's source is impossible; None if it is not."""
        if src >> 28 >= 14:
            return "source is a broadcast, a group or reserved"
        if src >> 24 == 127:
            return "loopback address on the wire"
        if src >> 24 == 0:
            booting = src == 0 and packet.protocol in _FROM_NOWHERE
            return None if booting else "source is in network 0"
        if src in self.egress.broadcasts:
            return "source is a subnet's broadcast"
        return "source is this host's own address" if src in self.egress.local else None

    def addresses_changed(self) -> None:
        """Forget what was found out about sources."""
        self._sources.clear()

    # Handing up

    def deliver(self, packet: IPv4Packet, now: Instant) -> None:
        """Hand a packet for this host to its transport, once it is whole."""
        if packet.options and not self._acceptable_options(packet, now):
            return
        if packet.mf or packet.offset:
            whole = self.reassembler.add(packet, now)
            self._rearm()
            if whole is None:
                return
            packet = whole
        transport = self._transports.get(packet.protocol)
        if transport is not None:
            transport.receive(packet, now)
        else:
            self._core.drop("ip", "protocol unknown", now)
            self.send_unreachable(packet, UnreachableCode.PROTOCOL, now)

    def _acceptable_options(self, packet: IPv4Packet, now: Instant) -> bool:
        """RFC 1122 3.2.1.8: any options will do; but a source route must end here."""
        try:
            route = source_route(packet.options)
        except BadOption as error:
            self._core.drop("ip", "malformed options", now)
            self.report(packet, IcmpType.PARAMETER_PROBLEM, 0, now, value=20 + error.offset)
            return False
        if route is not None and route.next is not None:
            self._core.drop("ip", "source route goes on", now)
            self.send_unreachable(packet, UnreachableCode.SOURCE_ROUTE_FAILED, now)
            return False
        return True

    def _rearm(self) -> None:
        at = self.reassembler.next_deadline()
        if at is None:
            self.alarms.cancel("reassembly")
        else:
            self.alarms.set("reassembly", at, self._expire)

    def _expire(self, now: Instant) -> None:
        for given_up in self.reassembler.expire(now):
            self._core.drop("ip", "fragments did not all come", now)
            # RFC 792: "If fragment zero is not available then no time exceeded need be sent at
            # all."
            if given_up.first is not None:
                self.arrival = Arrival()
                self.report(
                    given_up.first, IcmpType.TIME_EXCEEDED, TimeExceededCode.REASSEMBLY, now
                )
        self._rearm()

    def _deliver_loop(self, now: Instant) -> None:
        """Deliver the packets to oneself; what they cause in turn comes after them."""
        for _ in range(len(self.egress.loop)):
            packet = self.egress.loop.popleft()
            self.arrival = Arrival(to_many=packet.dst.is_multicast)
            self.deliver(packet, now)
        if self.egress.loop:
            self.alarms.set("loopback", now, self._deliver_loop)
