"""A stack that forwards: the forwarder's decisions carried out, with NAT where it is on."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Protocol

from testbed.stack.core import Core
from testbed.stack.egress import Egress
from testbed.stack.forwarding import Drop, Forward, Forwarder, Hop, Refuse, Verdict
from testbed.stack.gate import ConnectionFilter
from testbed.stack.interface import Interface
from testbed.stack.ip import IpLayer
from testbed.stack.routes import Routes
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["Router", "Surroundings", "Teller"]


class Teller(Protocol):
    """Who tells senders of better gateways."""

    def send_redirect(self, packet: IPv4Packet, gateway: IPv4Address, now: Instant) -> None:
        """Send a redirect, where the rules allow one."""


class Surroundings:
    """``forwarding.Topology`` for a stack: its routes and interfaces, read only."""

    __slots__ = ("_egress", "_routes")

    def __init__(self, egress: Egress, routes: Routes) -> None:
        self._egress = egress
        self._routes = routes

    def route(self, destination: IPv4Address, now: Instant, flow: int | None = None) -> Hop | None:
        """The longest match for ``destination``, None without a route."""
        route = self._routes.lookup(destination, now, flow=flow)
        return Hop(route.interface, route.via) if route else None

    def link_mtu(self, interface: str) -> int:
        """The MTU of ``interface``, in bytes."""
        return self._egress.interfaces[interface].mtu

    def on_link(self, interface: str, address: IPv4Address) -> bool:
        """Whether ``address`` lies in a subnet that ``interface`` is attached to."""
        return self._egress.interfaces[interface].on_link(address)

    def is_local(self, address: IPv4Address) -> bool:
        """Whether ``address`` is one of the router's own."""
        return self._egress.is_local(address)

    def address_of(self, interface: str) -> IPv4Address | None:
        """The router's own address on ``interface``."""
        held = self._egress.interfaces[interface].addresses
        return held[0].ip if held else None

    def broadcast_of(self, destination: IPv4Address) -> str | None:
        """The interface whose subnet ``destination`` is the directed broadcast of, or None."""
        link = self._egress.broadcasts.get(int(destination))
        return link.name if link is not None else None


class Router:
    """``ip.Onward``: passes on what is not for the stack itself (RFC 1812 5)."""

    __slots__ = ("_core", "_egress", "_forwarder", "_gate", "_ip", "_teller")

    def __init__(self, core: Core, ip: IpLayer, teller: Teller) -> None:
        self._core = core
        self._ip = ip
        self._egress = ip.egress
        self._teller = teller
        around = core.variants.of(Surroundings)(ip.egress, ip.routes)
        self._forwarder = core.variants.of(Forwarder)(core.config.ip, around, core.crossing)
        self._gate = core.variants.of(ConnectionFilter)(core.crossing)

    def pass_on(self, packet: IPv4Packet, interface: Interface, now: Instant) -> None:
        """Forward ``packet``, which came in on ``interface``, or not."""
        self.forward(packet, interface.name, now)

    def take(self, packet: IPv4Packet, interface: Interface, now: Instant) -> bool:
        """Whether ``packet``, to one of the stack's own addresses, goes on nonetheless."""
        if packet.options and self._forwarder.transits(packet):
            self.forward(packet, interface.name, now)
            return True
        return False

    def forward(self, packet: IPv4Packet, ingress: str, now: Instant) -> None:
        """Decide on ``packet``, and do what was decided."""
        broadcast = self._ip.arrival.link_broadcast
        verdict = self._forwarder.decide(packet, ingress, now, link_broadcast=broadcast)
        self.carry_out(packet, verdict, now)

    def carry_out(
        self, packet: IPv4Packet, verdict: Verdict, now: Instant, *, redirects: bool = True
    ) -> None:
        """Do what was decided; errors and redirects are about ``packet``."""
        if isinstance(verdict, Drop):
            self._core.drop("forwarding", verdict.reason, now)
        elif isinstance(verdict, Refuse):
            self.refuse(packet, verdict, now)
        else:
            # The redirect goes first, so that the sender has it before an answer can come.
            if redirects and verdict.redirect is not None:
                self._teller.send_redirect(packet, verdict.redirect, now)
            self.emit(verdict, now)

    def refuse(self, packet: IPv4Packet, verdict: Refuse, now: Instant) -> None:
        """Drop ``packet`` and tell its sender why."""
        self._core.drop("forwarding", _REASONS.get(verdict.icmp_type, "refused"), now)
        value = verdict.pointer if verdict.mtu is None else verdict.mtu
        self._ip.report(packet, verdict.icmp_type, verdict.icmp_code, now, value=value)

    def emit(self, verdict: Forward, now: Instant) -> None:
        """Send what leaves, in order."""
        link = self._egress.interfaces[verdict.interface]
        entry = link.broadcast if verdict.broadcast else link.neighbour(verdict.next_hop)
        for packet in verdict.packets:
            if reason := self._gate.refuses(packet):
                self._core.drop("forwarding", reason, now)
                continue
            self._core.count("packets forwarded")
            link.neighbours.transmit(entry, self.encode(packet), now)

    def encode(self, packet: IPv4Packet) -> bytes:
        """The bytes of a packet as it leaves."""
        return packet.emit()


_REASONS = {3: "unreachable or too large", 11: "TTL exceeded", 12: "malformed options"}
