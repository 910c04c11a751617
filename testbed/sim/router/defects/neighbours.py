"""Faults of ARP on a router (IP-01)."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from typing import Final

from testbed.stack.forwarding import Forward
from testbed.stack.interface import Interface
from testbed.stack.neighbours import FOREVER, Neighbour, Neighbours, NeighbourState
from testbed.stack.router import Router
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpOp, ArpPacket

__all__ = [
    "ANSWERS_BY_BROADCAST",
    "ANSWERS_FOR_OTHERS",
    "ANSWERS_PROBES",
    "ASKS_FOR_EACH_PACKET",
    "ASKS_FOR_THE_FAR",
    "ASKS_WITHOUT_ADDRESS",
    "BELIEVES_HEARSAY",
    "FORGETS_THE_ASKER",
    "KEEPS_THE_OLD_MAC",
    "KEEPS_THE_SILENT",
    "NEVER_EXPIRES",
]


class _Proxy(Interface):
    __slots__ = ()

    def proxies(self, arp: ArpPacket) -> bool:
        return not arp.is_probe


class _Eternal(Neighbours):
    __slots__ = ()

    def _learn(self, entry: Neighbour, mac: MacAddr, now: Instant) -> None:
        super()._learn(entry, mac, now)
        entry.fresh_until = entry.expires = FOREVER


class _Ungrateful(Neighbours):
    __slots__ = ()

    def hear(self, arp: ArpPacket, for_us: bool, now: Instant) -> None:
        del for_us
        super().hear(arp, False, now)


class _AsksForTheEnd(Router):
    __slots__ = ()

    def emit(self, verdict: Forward, now: Instant) -> None:
        super().emit(replace(verdict, next_hop=verdict.packets[0].dst), now)


class _Loud(Interface):
    __slots__ = ()

    def answer(self, arp: ArpPacket) -> None:
        if self.mac is not None:
            reply = ArpPacket.reply(self.mac, arp.target_ip, arp.sender_mac, arp.sender_ip)
            self.neighbours.send(reply, MacAddr.BROADCAST)


class _Credulous(Neighbours):
    __slots__ = ()

    def hear(self, arp: ArpPacket, for_us: bool, now: Instant) -> None:
        del for_us
        super().hear(replace(arp, op=ArpOp.REQUEST), True, now)


class _Stubborn(Neighbours):
    __slots__ = ()

    def hear(self, arp: ArpPacket, for_us: bool, now: Instant) -> None:
        held = self.get(arp.sender_ip, now)
        if held is None or held == arp.sender_mac:
            super().hear(arp, for_us, now)


class _Nameless(Neighbours):
    __slots__ = ()

    def request(self, target: IPv4Address, to: MacAddr | None = None) -> None:
        request = ArpPacket.request(self._mac, IPv4Address(0), target)
        self.send(request, to or MacAddr.BROADCAST)


class _Impatient(Neighbours):
    __slots__ = ()

    def transmit(self, entry: Neighbour, packet: bytes, now: Instant) -> None:
        waits = entry.state is NeighbourState.INCOMPLETE and entry.queue
        super().transmit(entry, packet, now)
        if waits:
            self.request(entry.address)


ANSWERS_FOR_OTHERS: Final = Defect(
    "answers for others",
    "IP-01",
    "Proxy ARP was left on: the router draws the traffic between hosts of one link to itself.",
    {Interface: _Proxy},
)
NEVER_EXPIRES: Final = Defect(
    "never expires",
    "IP-01",
    "A host's card is replaced, and the router sends to the old one until somebody clears the "
    "table by hand.",
    {Neighbours: _Eternal},
)
FORGETS_THE_ASKER: Final = Defect(
    "does not cache the asker",
    "IP-01",
    "A router answers who asks for it, and then asks back for the very address that it just heard.",
    {Neighbours: _Ungrateful},
)
ASKS_FOR_THE_FAR: Final = Defect(
    "asks for what is off the link",
    "IP-01",
    "A default route was set through a port, without its gateway: the router asks the link for "
    "all the Internet.",
    {Router: _AsksForTheEnd},
)
ANSWERS_BY_BROADCAST: Final = Defect(
    "answers by broadcast",
    "IP-01",
    "Each answer goes to all stations of the link, and wakes them up.",
    {Interface: _Loud},
)
BELIEVES_HEARSAY: Final = Defect(
    "learns what it overhears",
    "IP-01",
    "A router takes up everybody who asks anybody: on a large link its table overflows, and a "
    "forger has an easy time.",
    {Neighbours: _Credulous},
)
KEEPS_THE_OLD_MAC: Final = Defect(
    "keeps the old MAC address",
    "IP-01",
    "After a fail-over to the standby, which announces itself, the router goes on to send to the "
    "dead machine.",
    {Neighbours: _Stubborn},
)
ASKS_WITHOUT_ADDRESS: Final = Defect(
    "asks without its address",
    "IP-01",
    "The request names 0.0.0.0 as its sender: who answers has to ask back first, and some hosts "
    "take it for a probe.",
    {Neighbours: _Nameless},
)
ASKS_FOR_EACH_PACKET: Final = Defect(
    "asks once for each packet",
    "IP-01",
    "While an answer is awaited each further packet causes one more broadcast: a scan of an empty "
    "subnet fills the link.",
    {Neighbours: _Impatient},
)


class _Jealous(Interface):
    __slots__ = ()

    def proxies(self, arp: ArpPacket) -> bool:
        return arp.is_probe or super().proxies(arp)


class _Loyal(Neighbours):
    __slots__ = ()

    def _learn(self, entry: Neighbour, mac: MacAddr, now: Instant) -> None:
        super()._learn(entry, mac, now)
        entry.fresh_until, entry.expires = entry.expires, FOREVER


ANSWERS_PROBES: Final = Defect(
    "answers probes for others",
    "IP-01",
    "Whoever looks whether an address is free is told that the router has it: no host of the link "
    "gets an address any more.",
    {Interface: _Jealous},
)
KEEPS_THE_SILENT: Final = Defect(
    "keeps who is silent",
    "IP-01",
    "A neighbour is asked whether it is still there, and goes on to be sent to though it does not "
    "answer: nobody is told, and no other way is taken.",
    {Neighbours: _Loyal},
)
