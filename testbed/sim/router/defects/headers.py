"""Faults of a router that looks at headers too little, or too closely (IP-03)."""

from __future__ import annotations

from typing import Final

from testbed.errors import WireError
from testbed.stack.interface import Interface
from testbed.stack.ip import IpLayer
from testbed.stack.router import Router
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.checksum import checksum_ok, pseudo_header_sum
from testbed.wire.icmp_message import IcmpType
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = [
    "ANSWERS_MALFORMED",
    "CHECKS_THE_PAYLOAD",
    "COUNTS_THE_FCS",
    "FORWARDS_BAD_CHECKSUM",
    "FORWARDS_CUT_SHORT",
    "OPTIONS_UNCHECKED",
    "TAKES_ANY_VERSION",
    "TAKES_BAD_CHECKSUM",
    "TAKES_SHORT_HEADERS",
    "TAKES_SHORT_LENGTH",
]


class _NoChecksum(IpLayer):
    __slots__ = ()

    def parse(self, data: bytes) -> IPv4Packet:
        return IPv4Packet.parse(data, verify=False)


class _NoChecksumToItself(IpLayer):
    __slots__ = ()

    def parse(self, data: bytes) -> IPv4Packet:
        packet = IPv4Packet.parse(data, verify=False)
        return packet if self.is_local(packet.dst) else super().parse(data)


class _NoLength(IpLayer):
    __slots__ = ()

    def parse(self, data: bytes) -> IPv4Packet:
        return IPv4Packet.parse(data, partial=True)


class _AnyVersion(IpLayer):
    __slots__ = ()

    def parse(self, data: bytes) -> IPv4Packet:
        if data and data[0] >> 4 != 4:
            return IPv4Packet.parse(bytes((0x40 | data[0] & 15,)) + data[1:], verify=False)
        return super().parse(data)


class _AnyHeaderLength(IpLayer):
    __slots__ = ()

    def parse(self, data: bytes) -> IPv4Packet:
        if data and data[0] & 15 < 5:
            return IPv4Packet.parse(b"\x45" + data[1:], verify=False)
        return super().parse(data)


class _AnyTotalLength(IpLayer):
    __slots__ = ()

    def parse(self, data: bytes) -> IPv4Packet:
        header = (data[0] & 15) * 4 if data else 0
        if int.from_bytes(data[2:4], "big") < header:
            data = data[:2] + min(len(data), 0xFFFF).to_bytes(2, "big") + data[4:]
            return IPv4Packet.parse(data, verify=False)
        return super().parse(data)


class _Talkative(IpLayer):
    __slots__ = ()

    def receive(
        self, data: bytes, interface: Interface, now: Instant, *, link_broadcast: bool
    ) -> None:
        try:
            self.parse(data)
        except WireError:
            self._complain(data, interface, now)
            return
        super().receive(data, interface, now, link_broadcast=link_broadcast)

    def _complain(self, data: bytes, interface: Interface, now: Instant) -> None:
        try:
            packet = IPv4Packet.parse(data, verify=False, partial=True)
        except WireError:
            return
        self.arrival.interface = interface
        self.report(packet, IcmpType.PARAMETER_PROBLEM, 0, now, value=10)


class _Deep(Router):
    __slots__ = ()

    def forward(self, packet: IPv4Packet, ingress: str, now: Instant) -> None:
        payload = packet.payload
        if packet.protocol in {IpProtocol.UDP, IpProtocol.TCP, IpProtocol.ICMP}:
            start = 0
            if packet.protocol != IpProtocol.ICMP:
                start = pseudo_header_sum(packet.src, packet.dst, packet.protocol, len(payload))
            if not packet.is_fragment and not checksum_ok(payload, start):
                self._core.drop("forwarding", "checksum of the payload", now)
                return
        super().forward(packet, ingress, now)


FORWARDS_BAD_CHECKSUM: Final = Defect(
    "forwards a bad checksum",
    "IP-03",
    "The line card takes the checksum on trust and makes a new one: what was damaged on the way "
    "goes on as good, perhaps to somebody else.",
    {IpLayer: _NoChecksum},
)
TAKES_BAD_CHECKSUM: Final = Defect(
    "takes a bad checksum for its own",
    "IP-03",
    "The forwarding chip checks headers, the processor behind it, to which the router's own "
    "packets go, does not.",
    {IpLayer: _NoChecksumToItself},
)
FORWARDS_CUT_SHORT: Final = Defect(
    "forwards more than it has",
    "IP-03",
    "A packet whose end is missing is forwarded as far as it came, or with what the buffer held "
    "before.",
    {IpLayer: _NoLength},
)
TAKES_ANY_VERSION: Final = Defect(
    "takes any version",
    "IP-03",
    "The Ethertype says IP, and so the version is not looked at.",
    {IpLayer: _AnyVersion},
)
TAKES_SHORT_HEADERS: Final = Defect(
    "takes headers that are too short",
    "IP-03",
    "A header length below five words is taken for five, since no header can be shorter.",
    {IpLayer: _AnyHeaderLength},
)
TAKES_SHORT_LENGTH: Final = Defect(
    "takes a total length below the header's",
    "IP-03",
    "The length of the frame is believed, and that in the header is put right in passing.",
    {IpLayer: _AnyTotalLength},
)
ANSWERS_MALFORMED: Final = Defect(
    "answers what is malformed",
    "IP-03",
    "A router sends parameter problems about headers whose checksum is wrong: to whatever address "
    "the damage has left there.",
    {IpLayer: _Talkative},
)
CHECKS_THE_PAYLOAD: Final = Defect(
    "checks the payload's checksum",
    "IP-03",
    "A security feature drops packets whose transport checksum is wrong, and with them what it "
    "has no idea of.",
    {Router: _Deep},
)


class _NoChecksumOfOptions(IpLayer):
    __slots__ = ()

    def parse(self, data: bytes) -> IPv4Packet:
        return IPv4Packet.parse(data, verify=not data or data[0] & 15 == 5)


class _FourMore(IpLayer):
    __slots__ = ()

    def parse(self, data: bytes) -> IPv4Packet:
        beyond = int.from_bytes(data[2:4], "big") - len(data)
        return super().parse(data + bytes(beyond) if 0 < beyond <= 4 else data)


OPTIONS_UNCHECKED: Final = Defect(
    "checks no checksum where there are options",
    "IP-03",
    "The chip checks headers of 20 bytes, and hands the others to a processor that relies on it.",
    {IpLayer: _NoChecksumOfOptions},
)
COUNTS_THE_FCS: Final = Defect(
    "counts the frame's check sequence in",
    "IP-03",
    "The length of a frame is taken with its last four bytes, and a packet may be so much longer "
    "than what came of it.",
    {IpLayer: _FourMore},
)
