"""Faults of a router that is pinged (IP-08)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from testbed.errors import WireError
from testbed.stack.icmp import IcmpLayer
from testbed.stack.ip import IpLayer
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.icmpv4 import EchoRequest, parse_icmpv4
from testbed.wire.ipv4 import IPv4Packet

__all__ = [
    "ANSWERS_BAD_CHECKSUM",
    "ANSWERS_FOR_NEAR_PORT",
    "ANSWERS_FROM_ELSEWHERE",
    "ANSWERS_TWICE",
    "COUNTS_ITSELF",
    "LOSES_ODD_BYTE",
    "NO_FRAGMENTS",
    "OWN_IDENTIFIER",
    "TRUNCATES_DATA",
]

_MOST: Final = 998


class _Truncates(IcmpLayer):
    __slots__ = ()

    def on_echo(self, packet: IPv4Packet, message: EchoRequest, now: Instant) -> None:
        super().on_echo(packet, replace(message, data=message.data[:_MOST]), now)


class _Even(IcmpLayer):
    __slots__ = ()

    def on_echo(self, packet: IPv4Packet, message: EchoRequest, now: Instant) -> None:
        even = message.data[: len(message.data) & ~1]
        super().on_echo(packet, replace(message, data=even), now)


class _OwnIdentifier(IcmpLayer):
    __slots__ = ()

    def on_echo(self, packet: IPv4Packet, message: EchoRequest, now: Instant) -> None:
        super().on_echo(packet, replace(message, ident=7), now)


class _OwnSequence(IcmpLayer):
    __slots__ = ()

    def on_echo(self, packet: IPv4Packet, message: EchoRequest, now: Instant) -> None:
        self._core.count("pings")
        count = self._core.counts["pings"] & 0xFFFF
        super().on_echo(packet, replace(message, sequence=count), now)


class _Twice(IcmpLayer):
    __slots__ = ()

    def on_echo(self, packet: IPv4Packet, message: EchoRequest, now: Instant) -> None:
        super().on_echo(packet, message, now)
        super().on_echo(packet, message, now)


class _Elsewhere(IcmpLayer):
    __slots__ = ()

    def on_echo(self, packet: IPv4Packet, message: EchoRequest, now: Instant) -> None:
        others = (
            held.ip
            for link in self._ip.egress.interfaces.values()
            for held in link.addresses
            if held.ip != packet.dst
        )
        super().on_echo(replace(packet, dst=next(others, packet.dst)), message, now)


class _Uncritical(IcmpLayer):
    __slots__ = ()

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        try:
            message = parse_icmpv4(packet.payload, verify=False)
        except WireError:
            return
        if isinstance(message, EchoRequest):
            packet = replace(packet, payload=message.emit())
        super().receive(packet, now)


class _WholeOnly(IpLayer):
    __slots__ = ()

    def deliver(self, packet: IPv4Packet, now: Instant) -> None:
        if not packet.is_fragment:
            super().deliver(packet, now)


TRUNCATES_DATA: Final = Defect(
    "truncates data",
    "IP-08",
    "The processor of a router answers pings from a buffer of a kilobyte: large ones come back "
    "short.",
    {IcmpLayer: _Truncates},
)
LOSES_ODD_BYTE: Final = Defect(
    "loses an odd byte",
    "IP-08",
    "Data is copied in words of 16 bits, and the last byte of an odd number stays behind.",
    {IcmpLayer: _Even},
)
OWN_IDENTIFIER: Final = Defect(
    "answers with its own identifier",
    "IP-08",
    "A tracking box in the router puts its own identifier in, and the pinging host does not know "
    "the answer.",
    {IcmpLayer: _OwnIdentifier},
)
COUNTS_ITSELF: Final = Defect(
    "counts by itself",
    "IP-08",
    "The sequence number of the answer is the router's own: losses and changes of order go unseen.",
    {IcmpLayer: _OwnSequence},
)
ANSWERS_TWICE: Final = Defect(
    "answers twice",
    "IP-08",
    "Both processors of a redundant router answer: DUP! behind every ping.",
    {IcmpLayer: _Twice},
)
ANSWERS_FROM_ELSEWHERE: Final = Defect(
    "answers from another address",
    "IP-08",
    "The answer comes from another of the router's addresses, and firewalls on the way know of no "
    "question.",
    {IcmpLayer: _Elsewhere},
)
ANSWERS_BAD_CHECKSUM: Final = Defect(
    "answers a bad checksum",
    "IP-08",
    "The ICMP checksum is not looked at, and a right one is made for the damaged data.",
    {IcmpLayer: _Uncritical},
)
NO_FRAGMENTS: Final = Defect(
    "answers nothing that comes in fragments",
    "IP-08",
    "The filter that protects the processor drops all fragments: large pings die.",
    {IpLayer: _WholeOnly},
)


class _NearPort(IcmpLayer):
    __slots__ = ()

    def on_echo(self, packet: IPv4Packet, message: EchoRequest, now: Instant) -> None:
        link = self._ip.arrival.interface
        if link is None or any(held.ip == packet.dst for held in link.addresses):
            super().on_echo(packet, message, now)


ANSWERS_FOR_NEAR_PORT: Final = Defect(
    "answers for the near port only",
    "IP-08",
    "A ping to the address of another port is lost, and the watch on it reports that it is down.",
    {IcmpLayer: _NearPort},
)
