"""NAT in a stack that forwards: where on a packet's way it is called, and with whole packets."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from testbed.stack.core import Core
from testbed.stack.forwarding import Forwarder
from testbed.stack.interface import Interface
from testbed.stack.ip import IpLayer
from testbed.stack.nat import Nat
from testbed.stack.reassembly import Reassembler
from testbed.stack.router import Router, Surroundings, Teller
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet

__all__ = ["NatRouter"]


class _Outside(Surroundings):
    """A router's surroundings in which the translator's address is nobody's.

    Translated packets have it as their source; for the forwarder it is not the router's own.
    """

    __slots__ = ("nat",)

    nat: Nat

    def is_local(self, address: IPv4Address) -> bool:
        """Whether ``address`` is one of the router's own, but the one it translates to."""
        return address != self.nat.address and super().is_local(address)


class NatRouter(Router):
    """A router that translates what passes between the interface ``outside`` and the others."""

    __slots__ = ("_reassembler", "_translated", "nat", "outside")

    def __init__(self, core: Core, ip: IpLayer, teller: Teller, outside: str, nat: Nat) -> None:
        super().__init__(core, ip, teller)
        self.outside = outside
        self.nat = nat
        around = core.variants.of(_Outside)(ip.egress, ip.routes)
        around.nat = nat
        self._translated = core.variants.of(Forwarder)(core.config.ip, around, core.crossing)
        self._reassembler = core.variants.of(Reassembler)(core.config.ip, core.events)

    def pass_on(self, packet: IPv4Packet, interface: Interface, now: Instant) -> None:
        """Forward ``packet``; translated, if it leaves by the outside.

        What comes from there is for the outside address, or for nobody: hosts inside are not to be
        reached by their own.
        """
        if interface.name == self.outside:
            self.shut_out(packet, interface, now)
        elif self.leads_outside(packet, now):
            self.translate(packet, interface, now)
        else:
            super().pass_on(packet, interface, now)

    def shut_out(self, packet: IPv4Packet, interface: Interface, now: Instant) -> None:  # noqa: ARG002
        """Drop a packet from outside that is for no mapping."""
        self._core.drop("nat", "from outside to no mapping", now)

    def take(self, packet: IPv4Packet, interface: Interface, now: Instant) -> bool:
        """Whether ``packet``, to one of the router's own addresses, belongs to a mapping."""
        if packet.dst != self.nat.address:
            return super().take(packet, interface, now)
        if interface.name == self.outside or self.nat.owns(packet) or packet.is_fragment:
            self.translate(packet, interface, now)
            return True
        return False

    def leads_outside(self, packet: IPv4Packet, now: Instant) -> bool:
        """Whether the route to the packet's destination leaves by the outside."""
        route = self._ip.routes.lookup(packet.dst, now)
        return route is not None and route.interface == self.outside

    def translate(self, packet: IPv4Packet, interface: Interface, now: Instant) -> None:
        """Send ``packet`` on with other addresses; errors are about what came (RFC 5508 REQ-8)."""
        whole = self.whole(packet, now)
        if whole is None:
            return
        for_us = whole.dst == self.nat.address
        if for_us and not self.nat.owns(whole):
            self._ip.deliver(whole, now)
            return
        inward = for_us and interface.name == self.outside
        changed = self.nat.inward(whole, now) if inward else self.nat.outward(whole, now)
        self._watch(now)
        if changed is None:
            self._core.drop("nat", "not translated", now)
            return
        verdict = self._translated.decide(changed, interface.name, now)
        # Nobody is told of a better way around a translator.
        self.carry_out(whole, verdict, now, redirects=False)

    def whole(self, packet: IPv4Packet, now: Instant) -> IPv4Packet | None:
        """RFC 4787 REQ-14: fragments are put together first, in whatever order they come."""
        if not packet.is_fragment:
            return packet
        whole = self._reassembler.add(packet, now)
        self._expire(now)
        return replace(whole, df=False) if whole is not None else None

    def _expire(self, now: Instant) -> None:
        """Give up fragments in silence: their end is elsewhere, and it will complain."""
        self._reassembler.expire(now)
        at = self._reassembler.next_deadline()
        if at is not None:
            self._core.alarms.set("NAT fragments", at, self._expire)

    def _watch(self, now: Instant) -> None:
        """Look after mappings that run out; one look at a time is planned."""
        at = self.nat.next_deadline()
        if at is not None and self._core.alarms.deadline("NAT mappings") is None:
            self._core.alarms.set("NAT mappings", max(at, now), self._look)

    def _look(self, now: Instant) -> None:
        self.nat.expire(now)
        self._watch(now)
