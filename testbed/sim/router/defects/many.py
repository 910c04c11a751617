"""Faults of what goes to many: advertisements and broadcasts (IP-10 to IP-12)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from testbed.sim.router.controls import RouterControls
from testbed.stack.advertise import RouterAdvertiser
from testbed.stack.defects.groups import (
    ANSWERS_FROM_AFAR,
    IGNORES_SOLICITATIONS,
    LIFETIME_ZERO,
    NO_FAREWELL,
)
from testbed.stack.forwarding import Forward, Forwarder, Hop, Verdict
from testbed.stack.interface import Interface
from testbed.stack.ip import IpLayer
from testbed.stack.neighbours import Neighbour
from testbed.stack.router import Router, Surroundings
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = [
    "ADVERTISES_BY_THE_CLOCK",
    "ADVERTISES_ONE_ADDRESS",
    "ANSWERS_FROM_AFAR",
    "BROADCAST_AS_HOST",
    "DELIVERS_TO_ONE",
    "DELIVERS_TWICE",
    "FORWARDS_BROADCAST_FRAMES",
    "IGNORES_SOLICITATIONS",
    "LEAKS_BROADCASTS",
    "LEAKS_LIMITED",
    "LEAKS_SUBNET",
    "LEAKS_WAKE_UPS",
    "LETS_PINGS_THROUGH",
    "LIFETIME_ZERO",
    "LOSES_PREFERENCE",
    "NO_FAREWELL",
    "OPENS_ALL_SUBNETS",
    "OPEN_BY_DEFAULT",
    "REWRITES_DIRECTED",
    "STAYS_CLOSED",
    "STAYS_OPEN",
]

_LIMITED: Final = IPv4Address("255.255.255.255")

# Router advertisement


class _NoPreference(RouterAdvertiser):
    __slots__ = ()

    def _emit(self, lifetime: Duration, now: Instant) -> None:
        held = self.routers
        self.routers = dict.fromkeys(held, 0)
        super()._emit(lifetime, now)
        self.routers = held


class _OneAddress(RouterAdvertiser):
    __slots__ = ()

    def _emit(self, lifetime: Duration, now: Instant) -> None:
        held = self.routers
        self.routers = dict(list(held.items())[:1])
        super()._emit(lifetime, now)
        self.routers = held


LOSES_PREFERENCE: Final = Defect(
    "preference lost",
    "IP-10",
    "All routers advertise themselves alike, and hosts choose the slow line as often as the fast.",
    {RouterAdvertiser: _NoPreference},
)
ADVERTISES_ONE_ADDRESS: Final = Defect(
    "advertises one address only",
    "IP-10",
    "Of several subnets on a link only the hosts of the first hear of a router of theirs.",
    {RouterAdvertiser: _OneAddress},
)

# Broadcasts for the sender's own network


class _Leaky(IpLayer):
    __slots__ = ()

    def leaks(self, packet: IPv4Packet, interface: Interface) -> bool:
        link = self.egress.broadcasts.get(int(packet.dst))
        return packet.dst == _LIMITED or link is interface

    def _receive_other(
        self, packet: IPv4Packet, dst: int, interface: Interface, now: Instant
    ) -> None:
        super()._receive_other(packet, dst, interface, now)
        if packet.ttl > 1 and self.leaks(packet, interface):
            onward = replace(packet, ttl=packet.ttl - 1).emit()
            for link in self.egress.interfaces.values():
                if link is not interface and link.mac is not None:
                    link.neighbours.transmit(link.broadcast, onward, now)


class _LeaksLimited(_Leaky):
    __slots__ = ()

    def leaks(self, packet: IPv4Packet, interface: Interface) -> bool:
        del interface
        return packet.dst == _LIMITED


class _LeaksSubnet(_Leaky):
    __slots__ = ()

    def leaks(self, packet: IPv4Packet, interface: Interface) -> bool:
        return packet.dst != _LIMITED and super().leaks(packet, interface)


class _NoSubnetBroadcast(IpLayer):
    __slots__ = ()

    def is_for_many(self, address: IPv4Address, interface: Interface) -> bool:
        own = int(address) in self.egress.broadcasts
        return not own and super().is_for_many(address, interface)


class _NoBroadcasts(Surroundings):
    __slots__ = ()

    def broadcast_of(self, destination: IPv4Address) -> str | None:
        del destination
        return None


class _PutsBack(Router):
    __slots__ = ()

    def emit(self, verdict: Forward, now: Instant) -> None:
        own = int(verdict.next_hop) in self._egress.broadcasts
        super().emit(replace(verdict, broadcast=verdict.broadcast or own), now)


class _AnyFrame(Forwarder):
    __slots__ = ()

    def decide(
        self, packet: IPv4Packet, ingress: str, now: Instant, *, link_broadcast: bool = False
    ) -> Verdict:
        del link_broadcast
        return super().decide(packet, ingress, now)


LEAKS_BROADCASTS: Final = Defect(
    "leaks it",
    "IP-11",
    "A bridge group that nobody remembers: the DHCP server of one office answers in the next.",
    {IpLayer: _Leaky},
)
LEAKS_LIMITED: Final = Defect(
    "leaks the limited broadcast",
    "IP-11",
    "A helper for wake-up packets passes everything on that goes to 255.255.255.255.",
    {IpLayer: _LeaksLimited},
)
LEAKS_SUBNET: Final = Defect(
    "leaks the subnet's broadcast",
    "IP-11",
    "Announcements of one subnet's file servers appear on all others.",
    {IpLayer: _LeaksSubnet},
)
BROADCAST_AS_HOST: Final = Defect(
    "takes the subnet's broadcast address for a host's",
    "IP-11",
    "A router with a wrong mask forwards the broadcast to where it came from: everybody gets it "
    "once more.",
    {IpLayer: _NoSubnetBroadcast, Surroundings: _NoBroadcasts, Router: _PutsBack},
)
FORWARDS_BROADCAST_FRAMES: Final = Defect(
    "forwards what came in a broadcast frame",
    "IP-11",
    "Each of five routers on a link forwards the packet that a confused host sent to all of them.",
    {Forwarder: _AnyFrame},
)

# Directed broadcasts


class _Open(Forwarder):
    __slots__ = ()

    def opens_to_broadcasts(self, egress: str) -> bool:
        del egress
        return True


class _Closed(Forwarder):
    __slots__ = ()

    def opens_to_broadcasts(self, egress: str) -> bool:
        del egress
        return False


class _OneForAll(Forwarder):
    __slots__ = ()

    def opens_to_broadcasts(self, egress: str) -> bool:
        del egress
        return bool(self._crossing.directed_broadcast)


class _Latched(RouterControls):
    def set_directed_broadcast(self, port: str, on: bool) -> None:
        if on:
            super().set_directed_broadcast(port, on)


class _ToOne(Router):
    __slots__ = ()

    def emit(self, verdict: Forward, now: Instant) -> None:
        if not verdict.broadcast:
            super().emit(verdict, now)
            return
        link = self._egress.interfaces[verdict.interface]
        known: list[Neighbour] = [each for each in link.neighbours if each.header is not None]
        first = known[0] if known else link.neighbour(_first_host(link))
        for packet in verdict.packets:
            link.neighbours.transmit(first, packet.emit(), now)


class _BothWays(Router):
    __slots__ = ()

    def emit(self, verdict: Forward, now: Instant) -> None:
        super().emit(verdict, now)
        if verdict.broadcast:
            super().emit(verdict, now)


class _Limits(Router):
    __slots__ = ()

    def emit(self, verdict: Forward, now: Instant) -> None:
        if verdict.broadcast:
            packets = tuple(replace(packet, dst=_LIMITED) for packet in verdict.packets)
            verdict = replace(verdict, packets=packets)
        super().emit(verdict, now)


def _first_host(link: Interface) -> IPv4Address:
    own = link.addresses[0]
    first = own.network.network_address + 1
    return first if first != own.ip else first + 1


OPEN_BY_DEFAULT: Final = Defect(
    "on by default",
    "IP-12",
    "A router from before 1999: one ping to a subnet's broadcast address, and all its hosts answer "
    "to a victim (smurf).",
    {Forwarder: _Open},
)
STAYS_CLOSED: Final = Defect(
    "cannot be switched on",
    "IP-12",
    "The setting is taken and shown, and the forwarding engine knows nothing of it.",
    {Forwarder: _Closed},
)
STAYS_OPEN: Final = Defect(
    "cannot be switched off",
    "IP-12",
    "Switched off, it stays on until the next reboot.",
    {RouterControls: _Latched},
)
OPENS_ALL_SUBNETS: Final = Defect(
    "opens all subnets with one",
    "IP-12",
    "The switch of one port is one bit for the whole router.",
    {Forwarder: _OneForAll},
)
DELIVERS_TO_ONE: Final = Defect(
    "delivers to one host only",
    "IP-12",
    "The broadcast is sent to the station that the table happens to have for the subnet.",
    {Router: _ToOne},
)
DELIVERS_TWICE: Final = Defect(
    "delivers it twice",
    "IP-12",
    "Hardware and software both make a broadcast of it.",
    {Router: _BothWays},
)
REWRITES_DIRECTED: Final = Defect(
    "rewrites the destination",
    "IP-12",
    "The last router makes 255.255.255.255 of the subnet's address, and services that answer only "
    "the latter stay silent.",
    {Router: _Limits},
)


class _Alarm(IpLayer):
    __slots__ = ()

    def deliver(self, packet: IPv4Packet, now: Instant) -> None:
        wakes = packet.protocol == IpProtocol.UDP and packet.payload[2:4] == b"\0\x09"
        if wakes and self.arrival.to_many:
            self._pass_on(replace(packet, ttl=packet.ttl - 1), now)
        super().deliver(packet, now)

    def _pass_on(self, packet: IPv4Packet, now: Instant) -> None:
        for link in self.egress.interfaces.values():
            if link is not self.arrival.interface:
                link.neighbours.transmit(link.broadcast, packet.emit(), now)


class _Smurf(Forwarder):
    __slots__ = ()

    def _directed_broadcast(
        self, packet: IPv4Packet, ingress: str, egress: str, now: Instant
    ) -> Verdict:
        if packet.protocol != IpProtocol.ICMP or ingress == egress:
            return super()._directed_broadcast(packet, ingress, egress, now)
        hop = Hop(egress, None)
        return self._send(packet, hop, packet.dst, now, ingress=ingress, broadcast=True)


LEAKS_WAKE_UPS: Final = Defect(
    "leaks wake-up packets",
    "IP-11",
    "Somebody wanted to switch on the machines of all subnets from his own: what is sent to the "
    "discard port of everybody gets everywhere.",
    {IpLayer: _Alarm},
)
LETS_PINGS_THROUGH: Final = Defect(
    "lets pings through",
    "IP-12",
    "The switch is a filter of UDP: one forged ping, and a subnet floods its victim with answers.",
    {Forwarder: _Smurf},
)


class _ByTheClock(RouterAdvertiser):
    __slots__ = ()

    def _interval(self) -> Duration:
        config = self._config
        few = self._sent < config.initial_count
        return min(config.max_interval, config.initial_interval) if few else config.max_interval


ADVERTISES_BY_THE_CLOCK: Final = Defect(
    "advertises by the clock",
    "IP-10",
    "A router draws no random interval: all that were started by one power cut speak at the same "
    "moment from then on.",
    {RouterAdvertiser: _ByTheClock},
)
