"""A TCP/IP stack without I/O: frames in, frames out, and the time told to it.

::

    stack = Stack(StackConfig(), seed=1, name="client")
    stack.add_interface("eth0", mac=MacAddr("02:00:00:00:00:01"), mtu=1500)
    stack.add_address("eth0", IPv4Interface("10.0.0.1/24"), now)
    stack.receive(frame, now)
    while (out := stack.poll_transmit(now)) is not None: ...
    stack.poll_timeout()                    # when to call handle_timeout() at the latest
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Final

from testbed.errors import PlanError, WireError
from testbed.stack.alarms import Alarms
from testbed.stack.config import StackConfig
from testbed.stack.core import make_core
from testbed.stack.discovery import Discovery
from testbed.stack.egress import Egress
from testbed.stack.entropy import Entropy
from testbed.stack.events import Event, EventLog
from testbed.stack.icmp import IcmpLayer
from testbed.stack.icmp_errors import ErrorReporter
from testbed.stack.interface import Interface
from testbed.stack.ip import Arrival, IpLayer
from testbed.stack.lower import IcmpError, NoRoute
from testbed.stack.memberships import Memberships
from testbed.stack.nat import Nat, NatConfig
from testbed.stack.output import Answers, Outgoing
from testbed.stack.pmtu import PathMtuCache
from testbed.stack.refusals import Refused
from testbed.stack.router import Router
from testbed.stack.routes import Origin, Route, Routes
from testbed.stack.snapshot import StackSnapshot, counters_of, interfaces_of, udp_of
from testbed.stack.tcp.layer import TcpLayer
from testbed.stack.translation import NatRouter
from testbed.stack.udp import UdpLayer
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.icmp_message import IcmpType
from testbed.wire.icmpv4 import UnreachableCode
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = ["Stack"]

_LONG_AGO: Final = Instant(0)
_NAT: Final = NatConfig()
_IPV4: Final = b"\x08\x00"
_ARP: Final = b"\x08\x06"
_VLAN: Final = b"\x81\x00"


class Stack:
    """Interfaces, addresses, routes, and the layers over them."""

    def __init__(
        self, config: StackConfig | None = None, *, seed: int | bytes = 0, name: str = "stack"
    ) -> None:
        self.name = name
        self.config = config or StackConfig()
        self.core = core = make_core(self.config, seed)
        self.alarms: Alarms = core.alarms
        self.events: EventLog = core.events
        self.entropy: Entropy = core.entropy
        self.answers: Answers = core.answers
        self.routes = core.variants.of(Routes)()
        self._egress = core.variants.of(Egress)(core, self.routes)
        self._interfaces = self._egress.interfaces
        self._first: Interface | None = None
        self.routes.usable = self._usable
        self.ip = core.variants.of(IpLayer)(core, self._egress, self.routes)
        self.icmp = core.variants.of(IcmpLayer)(core, self.ip)
        self.reporter = core.variants.of(ErrorReporter)(core, self.ip)
        self.groups = core.variants.of(Memberships)(core, self.ip)
        self.udp = core.variants.of(UdpLayer)(core, self.ip, self.groups)
        self.tcp = core.variants.of(TcpLayer)(self.ip)
        self.ip.register(IpProtocol.TCP, self.tcp)
        self._set_forwarding()
        self.discovery = core.variants.of(Discovery)(core, self.ip, self.icmp)
        self.pmtu: PathMtuCache = self._egress.pmtu
        self.takers: dict[tuple[str, bytes], Callable[[bytes, Instant], None]] = {}
        """Who takes the frames of other protocols, by interface and Ethertype."""
        self.carriers: dict[str, Callable[[bytes, Instant], None]] = {}
        """Who carries an interface's packets in frames of another one (PPPoE), by its name."""
        self._egress.too_large = self._too_large

    # Interfaces, addresses, routes

    def add_interface(self, name: str, *, mac: MacAddr | None = None, mtu: int = 1500) -> Interface:
        """Add an interface; without ``mac`` it takes and gives bare IP packets (tun, PPP).

        PlanError for a name that is taken or an MTU out of 68 to 65535.
        """
        if name in self._interfaces:
            raise PlanError(f"{self.name} has an interface {name} already")
        made = self.core.variants.of(Interface)
        link = made(name, mac, mtu, self.core, self._unresolved)
        self._interfaces[name] = link
        self._first = self._first or link
        return link

    def interface(self, name: str | None = None) -> Interface:
        """The interface of that name, or the first; PlanError if there is none."""
        link = self._first if name is None else self._interfaces.get(name)
        if link is None:
            raise PlanError(f"{self.name} has no interface {name or 'yet'}")
        return link

    def add_address(
        self,
        interface: str,
        address: IPv4Interface,
        now: Instant,
        *,
        probe: bool | None = None,
        outcome: Callable[[bool, Instant], None] | None = None,
    ) -> None:
        """Give an interface one more address, and the route to its subnet.

        With ``probe`` (None: as ``config.arp.probe`` has it) it is probed for first (RFC 5227 2.1)
        and not used before that ends well. ``outcome`` is told True when it comes into use, and
        False when it is lost to another host. PlanError if the stack has the address already.
        """
        link = self.interface(interface)
        if any(address.ip in other.claims for other in self._interfaces.values()):
            raise PlanError(f"{self.name} has the address {address.ip} already")

        def settle(held: bool, at: Instant) -> None:
            if held:
                self._activate(link, address)
            else:
                link.conflicts += 1
                self.remove_address(interface, address, at)
            if outcome is not None:
                outcome(held, at)

        wanted = self.config.arp.probe if probe is None else probe
        link.claim(address.ip, now, probe=wanted, outcome=settle)

    def remove_address(
        self,
        interface: str,
        address: IPv4Interface | IPv4Address,
        now: Instant,  # noqa: ARG002 - every call of a user has it
    ) -> None:
        """Take an address off an interface; one that is not there is no error."""
        link = self.interface(interface)
        ip = address.ip if isinstance(address, IPv4Interface) else address
        claim = link.claims.pop(ip, None)
        if claim is not None:
            claim.cancel()
        gone = [held for held in link.addresses if held.ip == ip]
        link.addresses = [held for held in link.addresses if held.ip != ip]
        for held in gone:
            if not any(held.network == other.network for other in link.addresses):
                self.routes.remove(
                    lambda each, net=held.network: (
                        each.network == net  # type: ignore[misc]
                        and each.interface == interface
                        and each.origin == Origin.CONNECTED
                    )
                )
        self._readdress()

    def _activate(self, link: Interface, address: IPv4Interface) -> None:
        link.addresses.append(address)
        if address.network.prefixlen < 32:
            self.routes.add(Route(address.network, link.name, origin=Origin.CONNECTED))
        self._readdress()

    def _readdress(self) -> None:
        self._egress.readdress()
        self.ip.addresses_changed()

    def add_route(
        self,
        network: IPv4Network,
        *,
        via: IPv4Address | None = None,
        interface: str | None = None,
        metric: int = 0,
        source: IPv4Address | None = None,
        now: Instant = _LONG_AGO,
    ) -> None:
        """Reach ``network`` by a gateway, or directly through an interface.

        Raises Refused ENETUNREACH for a gateway that is on no link of the stack's.
        """
        if interface is None:
            if via is None:
                raise PlanError("a route goes via a gateway or through an interface")
            route = self.routes.lookup(via, now)
            if route is None or route.via is not None:
                raise Refused("ENETUNREACH", f"gateway {via} is on no link of {self.name}")
            interface = route.interface
        self.interface(interface)
        self.routes.add(Route(network, interface, via, metric, source))

    def remove_route(
        self,
        network: IPv4Network,
        *,
        via: IPv4Address | None = None,
        now: Instant = _LONG_AGO,  # noqa: ARG002 - every call of a user has it
    ) -> None:
        """Remove the routes to exactly ``network``, only those by ``via`` if it is named."""
        self.routes.remove(
            lambda each: each.network == network and (via is None or each.via == via)
        )

    def set_mtu(self, interface: str, mtu: int, now: Instant) -> None:
        """Change an interface's MTU; connections that leave by it take to a smaller one at once."""
        if not 68 <= mtu <= 65535:
            raise PlanError(f"{interface}: MTU {mtu}, expected 68 to 65535")
        link = self.interface(interface)
        smaller = mtu < link.mtu
        link.mtu = mtu
        self.routes.generation += 1
        if not smaller:
            return
        for peer in {each.remote[0] for each in self.tcp.connections}:
            with suppress(NoRoute):
                if self._egress.resolve(peer, None, now).interface is link:
                    self.ip.path_mtu_changed(peer, mtu, now)

    def set_link(self, interface: str, up: bool, now: Instant) -> None:
        """The cable was pulled, or put back: neighbours are forgotten, routes pass it over.

        Where addresses are probed for, they are again when the link comes back (RFC 5227 2.1).
        """
        link = self.interface(interface)
        if link.up == up:
            return
        link.up = up
        self.routes.generation += 1
        self.groups.link_changed(link, now)
        if not up:
            link.neighbours.forget()
        elif self.config.arp.probe:
            for address in tuple(link.addresses):
                self.remove_address(interface, address, now)
                self.add_address(interface, address, now)

    def _usable(self, route: Route) -> bool:
        link = self._interfaces.get(route.interface)
        return link is not None and link.up

    # The sans-IO four

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        """Take a frame that came by ``interface``, None for the first one.

        Frames that make no sense are dropped, and counted; none raises.
        """
        link = self._first if interface is None else self._interfaces.get(interface)
        if link is None or not link.up:
            self.core.count("frames to no interface, or to one that is down")
            return
        link.frames_in += 1
        mac = link.mac
        if mac is None:
            self.ip.receive(frame, link, now, link_broadcast=False)
            return
        kind = frame[12:14]
        to_us = frame[:6] == mac.packed
        if not to_us and (len(frame) < 14 or not frame[0] & 1):
            self.core.count("frames to other stations")
        elif kind == _IPV4:
            self.ip.receive(frame[14:], link, now, link_broadcast=not to_us)
        elif kind == _ARP:
            link.receive_arp(frame[14:], now)
        elif kind == _VLAN and len(frame) >= 18 and not frame[15] and not frame[14] & 15:
            # VLAN 0: the tag carries a priority only (IEEE 802.1Q 6.9.1), the frame is untagged.
            self.receive(frame[:12] + frame[16:], now, link.name)
        elif (taker := self.takers.get((link.name, kind))) is not None:
            taker(frame, now)
        else:
            self.core.count("frames of other protocols")

    def handle_timeout(self, now: Instant) -> None:
        """Do all that is due at ``now``."""
        self.alarms.fire_due(now)

    def poll_timeout(self) -> Instant | None:
        """When handle_timeout() must be called next, or None."""
        return self.alarms.next_deadline()

    def poll_transmit(self, now: Instant) -> Outgoing | None:
        """The next frame to send, or None."""
        output = self.core.output
        while output:
            out = output.popleft()
            if not self.carriers or (carrier := self.carriers.get(out.interface)) is None:
                return out
            carrier(out.frame, now)
        return None

    # What happened

    def _unresolved(self, _: IPv4Address, packets: list[bytes], now: Instant) -> None:
        """No answer to ARP: RFC 1122 2.3.2.2; the stack's own packets, and others', come back."""
        self.core.drop("arp", "neighbour does not answer", now)
        for data in packets:
            try:
                packet = IPv4Packet.parse(data)
            except WireError:
                continue
            if int(packet.src) not in self._egress.local:
                self.ip.arrival = Arrival()
                self.ip.send_unreachable(packet, UnreachableCode.HOST, now)
            elif not packet.offset and (transport := self.ip.transport(packet.protocol)):
                error = IcmpError(
                    IcmpType.DESTINATION_UNREACHABLE, UnreachableCode.HOST, packet, packet.src
                )
                transport.icmp_error(error, now)

    def _too_large(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        """A packet with DF met a smaller link of the stack's own: tell, after what goes on now."""
        self.alarms.set(
            ("too large", destination),
            now,
            lambda then: self.ip.path_mtu_changed(destination, mtu, then),
        )

    def translate(self, outside: str, *, config: NatConfig = _NAT) -> Nat:
        """Translate what passes between ``outside`` and the other interfaces to its first address.

        PlanError if the stack does not forward, or the interface has no address.
        """
        link = self.interface(outside)
        if not self.config.ip.forwarding or not link.addresses:
            raise PlanError(f"{self.name}: NAT wants forwarding on, and an address on {outside}")
        of = self.core.variants.of
        nat = of(Nat)(
            link.addresses[0].ip,
            config,
            entropy=self.entropy,
            events=self.events,
            taken=self._taken,
            variants=self.core.variants,
        )
        self.ip.onward = of(NatRouter)(self.core, self.ip, self.reporter, outside, nat)
        return nat

    def _taken(self, protocol: int, port: int) -> bool:
        """Whether the stack uses a port itself, so that NAT must not."""
        if protocol == IpProtocol.UDP:
            return any(each.port == port for each in self.udp)
        if protocol != IpProtocol.TCP:
            return False
        held = {each.local[1] for each in self.tcp.connections}
        return port in held or any(each.port == port for each in self.tcp.listeners)

    def reconfigure(self, config: StackConfig) -> None:
        """Go on with other settings, where a part reads them as it goes: limits, times, switches.

        What was made with the old ones, such as connections, NAT and defects, keeps them. Switches
        in ``answers`` follow where their setting changes.
        """
        self.answers.follow(self.config, config)
        self.config = self.core.config = config
        self.ip.config = config
        self.reporter.forget_rates()
        self.udp.config = config.udp
        self.tcp.reconfigure()
        for link in self._interfaces.values():
            link.neighbours.config = config.arp
        if not isinstance(self.ip.onward, NatRouter):
            self._set_forwarding()

    def _set_forwarding(self) -> None:
        """Pass packets on, or not, as the settings have it."""
        if self.config.ip.forwarding:
            self.ip.onward = self.core.variants.of(Router)(self.core, self.ip, self.reporter)
        else:
            self.ip.onward = None

    def snapshot(self, now: Instant) -> StackSnapshot:
        """Everything about the stack, as it is now."""
        return StackSnapshot(
            name=self.name,
            at=now,
            interfaces=interfaces_of(self._egress, now),
            routes=tuple(self.routes),
            path_mtus=self.pmtu.entries(now),
            udp=udp_of(self.udp),
            tcp=tuple(each.snapshot() for each in self.tcp.connections),
            listening=tuple((each.address, each.port) for each in self.tcp.listeners),
            counters=counters_of(self.core, self.ip.reassembler.held_bytes),
        )

    def note(self, event: Event) -> None:
        """Put an event into the stack's log."""
        self.events.add(event)
