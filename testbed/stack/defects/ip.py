"""Faults of IP: address conflicts, masks, and packets that are sent again."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from testbed.stack.conflict import AddressState, Claim
from testbed.stack.egress import Egress, Exit
from testbed.stack.interface import Interface
from testbed.stack.neighbours import Neighbour, Neighbours
from testbed.stack.path import IpPath
from testbed.stack.routes import Origin, Route, Routes
from testbed.stack.variants import Defect
from testbed.timing import Instant, after, milliseconds
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpPacket
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.subnets import class_network

__all__ = [
    "ANSWERS_BEFORE_USE",
    "ASKS_FOR_EVER",
    "BROADCASTS_ONE_OFF",
    "CLASSFUL",
    "DEFENDS_FOR_EVER",
    "HOARDS_FOR_THE_DEAD",
    "IGNORES_RIVALS",
    "MASK_ONE_BIT_LONG",
    "MASK_ONE_BIT_SHORT",
    "NEVER_DEFENDS",
    "NO_SUBNET_BROADCAST",
    "PROBES_AS_OWNER",
    "PROBES_NOT",
    "SENDS_AGAIN",
    "USES_TAKEN_ADDRESS",
    "WAITS_FOR_ANSWERS",
]

# Address conflicts


class _Deaf(Claim):
    __slots__ = ()

    def wanted_elsewhere(self, arp: ArpPacket) -> bool:
        del arp
        return False


class _HearsOwnersOnly(Claim):
    __slots__ = ()

    def wanted_elsewhere(self, arp: ArpPacket) -> bool:
        return not arp.is_probe and super().wanted_elsewhere(arp)


class _Hasty(Claim):
    __slots__ = ()

    def start(self, now: Instant, conflicts: int = 0) -> None:
        del conflicts
        self._announce_first(now)


class _AsksAsOwner(Claim):
    __slots__ = ()

    def ask(self) -> None:
        self.announce()


class _Stubborn(Claim):
    __slots__ = ()

    def _in_use_elsewhere(self, mac: MacAddr, now: Instant) -> None:
        self._conflict(mac, now, defended=True)
        self.announce()


class _Resigned(Claim):
    __slots__ = ()

    def _in_use_elsewhere(self, mac: MacAddr, now: Instant) -> None:
        self._conflict(mac, now, defended=False)


class _AnswersTooSoon(Interface):
    __slots__ = ()

    def holds(self, address: IPv4Address) -> bool:
        claim = self.claims.get(address)
        return claim is not None and claim.state is not AddressState.LOST


USES_TAKEN_ADDRESS: Final = Defect(
    "uses a taken address",
    "IP-02",
    "A host probes for its address and uses it whatever the answer is: two hosts have one address, "
    "and each gets half of the other's packets.",
    {Claim: _Deaf},
)
IGNORES_RIVALS: Final = Defect(
    "ignores rival probes",
    "IP-02",
    "Two machines from one image come up after a power cut, probe for the same address at the same "
    "time, hear no owner, and both take it.",
    {Claim: _HearsOwnersOnly},
)
PROBES_NOT: Final = Defect(
    "announces without probing",
    "IP-02",
    "A host that boots announces its address at once, and draws the traffic of the server that "
    "already had it.",
    {Claim: _Hasty},
)
PROBES_AS_OWNER: Final = Defect(
    "probes as owner",
    "IP-02",
    "A host asks whether an address is taken with that very address as sender: everybody on the "
    "link has its owner at the wrong place from then on.",
    {Claim: _AsksAsOwner},
)
DEFENDS_FOR_EVER: Final = Defect(
    "defends for ever",
    "IP-02",
    "Two hosts that both answer every claim by a claim fill the link with broadcasts, and nobody "
    "can use the address.",
    {Claim: _Stubborn},
)
NEVER_DEFENDS: Final = Defect(
    "never defends",
    "IP-02",
    "A host neither defends an address that another takes nor gives it up.",
    {Claim: _Resigned},
)
ANSWERS_BEFORE_USE: Final = Defect(
    "answers before use",
    "IP-02",
    "A host answers requests for an address that it is still probing for, and spoils the caches of "
    "those who speak to its owner.",
    {Interface: _AnswersTooSoon},
)

# Masks


class _OneBitLong(Routes):
    __slots__ = ()

    def add(self, route: Route) -> None:
        super().add(_remasked(route, 1))


class _OneBitShort(Routes):
    __slots__ = ()

    def add(self, route: Route) -> None:
        super().add(_remasked(route, -1))


class _ByClass(Routes):
    __slots__ = ()

    def add(self, route: Route) -> None:
        if route.origin == Origin.CONNECTED:
            route = replace(route, network=class_network(route.network.network_address))
        super().add(route)


class _OneOff(Egress):
    __slots__ = ()

    def readdress(self) -> None:
        super().readdress()
        self.broadcasts = {address - 1: link for address, link in self.broadcasts.items()}


class _NoBroadcastOfSubnets(Egress):
    __slots__ = ()

    def readdress(self) -> None:
        super().readdress()
        self.broadcasts = {}


def _remasked(route: Route, bits: int) -> Route:
    if route.origin != Origin.CONNECTED:
        return route
    length = min(route.network.prefixlen + bits, 32)
    network = IPv4Network((route.network.network_address, length), strict=False)
    return replace(route, network=network)


MASK_ONE_BIT_LONG: Final = Defect(
    "mask one bit long",
    "IP-14",
    "A host takes the upper half of its own subnet for far away, and sends by the gateway what its "
    "neighbours should get.",
    {Routes: _OneBitLong},
)
MASK_ONE_BIT_SHORT: Final = Defect(
    "mask one bit short",
    "IP-14",
    "A host takes the subnet next door for its own, and asks the link for hosts that are not "
    "there.",
    {Routes: _OneBitShort},
)
CLASSFUL: Final = Defect(
    "classful",
    "IP-14",
    "A stack from before 1993 has its mask from the class of its address.",
    {Routes: _ByClass},
)
BROADCASTS_ONE_OFF: Final = Defect(
    "off by one",
    "IP-14",
    "A host counts the last host of its subnet as the broadcast address: that neighbour's packets "
    "go to everybody.",
    {Egress: _OneOff},
)
NO_SUBNET_BROADCAST: Final = Defect(
    "knows no broadcast of subnets",
    "IP-14",
    "A host asks by ARP for its subnet's broadcast address, and is deaf to it.",
    {Egress: _NoBroadcastOfSubnets},
)

# Best effort

_AGAIN: Final = milliseconds(300)


class _Persistent(Egress):
    __slots__ = ()

    def send(self, packet: IPv4Packet, way: Exit, now: Instant, *, loop: bool = True) -> None:
        super().send(packet, way, now, loop=loop)
        again = super().send
        self._core.alarms.set(
            ("again", packet.dst, packet.ident),
            after(now, _AGAIN),
            lambda then: again(packet, way, then, loop=False),
        )


class _ByTheSlowLane(IpPath):
    __slots__ = ()

    def _take(self, way: Exit) -> None:
        super()._take(way)
        self._entry = Neighbour(IPv4Address(0))


class _OneAtATime(Egress):
    __slots__ = ()

    def send(self, packet: IPv4Packet, way: Exit, now: Instant, *, loop: bool = True) -> None:
        key = ("turn", packet.dst)
        due = self._core.alarms.deadline(key)
        at = now if due is None else after(due, _AGAIN)
        onward = super().send
        self._core.alarms.set(
            ("send", packet.dst, packet.ident),
            at,
            lambda then: onward(packet, way, then, loop=loop),
        )
        self._core.alarms.set(key, after(at, _AGAIN), lambda _: None)


class _AsksOn(Neighbours):
    __slots__ = ()

    def _give_up(self, entry: Neighbour, now: Instant) -> None:
        entry.attempts = 0
        self._ask(entry, now)


class _Hoards(Neighbours):
    __slots__ = ()

    def _give_up(self, entry: Neighbour, now: Instant) -> None:
        kept = entry.queue
        super()._give_up(entry, now)
        entry.queue = kept


SENDS_AGAIN: Final = Defect(
    "IP retries",
    "IP-15",
    "A radio link's driver sends each packet again that nobody answered, so that the far end gets "
    "two of each.",
    {Egress: _Persistent, IpPath: _ByTheSlowLane},
)
WAITS_FOR_ANSWERS: Final = Defect(
    "one packet at a time",
    "IP-15",
    "A stack sends a packet to a host only once the one before has had its time to be answered.",
    {Egress: _OneAtATime, IpPath: _ByTheSlowLane},
)
ASKS_FOR_EVER: Final = Defect(
    "asks for ever",
    "IP-15",
    "A stack asks ARP for a dead host without end, and with a few hundred of them fills the link.",
    {Neighbours: _AsksOn},
)
HOARDS_FOR_THE_DEAD: Final = Defect(
    "hoards for the dead",
    "IP-15",
    "A stack keeps what was sent to a dead host, and the host is met by the questions of yesterday "
    "when it comes back.",
    {Neighbours: _Hoards},
)
