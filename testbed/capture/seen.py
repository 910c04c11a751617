"""A frame as matchers see it: its bytes, and its layers once somebody asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from testbed.errors import WireError
from testbed.wire.describe import summary
from testbed.wire.dhcp import DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpMessage
from testbed.wire.dissect import Dissection, dissect, dissect_ipv4
from testbed.wire.dns import DNS_PORT, DnsMessage
from testbed.wire.ipv4 import IpProtocol

__all__ = ["QuotedTcp", "Seen", "look", "look_quoted"]


@dataclass(frozen=True, slots=True)
class QuotedTcp:
    """What the 8 bytes of a TCP header tell that an ICMP error quotes at the least (RFC 792)."""

    src_port: int
    dst_port: int
    seq: int


class Seen:
    """The bytes of a frame, or of the packet that an ICMP error quotes, and their layers."""

    def __init__(self, data: bytes, *, quoted: bool = False) -> None:
        self.data = data
        self.quoted = quoted

    @cached_property
    def layers(self) -> Dissection:
        """The layers, as far as they can be read."""
        return dissect_ipv4(self.data, partial=True) if self.quoted else dissect(self.data)

    @cached_property
    def tcp(self) -> object | None:
        """The TCP segment, or what a quotation tells of it."""
        if self.layers.tcp is not None or not self.quoted:
            return self.layers.tcp
        packet = self.layers.ipv4
        if packet is None or packet.protocol != IpProtocol.TCP or packet.offset:
            return None
        head = packet.payload
        if len(head) < 8:
            return None
        numbers = int.from_bytes(head[:8], "big")
        return QuotedTcp(numbers >> 48, numbers >> 32 & 0xFFFF, numbers & 0xFFFF_FFFF)

    @cached_property
    def dhcp(self) -> DhcpMessage | None:
        """The DHCP message, if it is one that can be read."""
        udp = self.layers.udp
        if udp is None or {udp.src_port, udp.dst_port} - {DHCP_CLIENT_PORT, DHCP_SERVER_PORT}:
            return None
        try:
            return DhcpMessage.parse(udp.payload)
        except WireError:
            return None

    @cached_property
    def dns(self) -> DnsMessage | None:
        """The DNS message; in TCP, one that a segment holds whole, its length before it."""
        carrier = self.layers.udp or self.layers.tcp
        if carrier is None or DNS_PORT not in (carrier.src_port, carrier.dst_port):
            return None
        data = carrier.payload
        if self.layers.tcp is not None:
            if len(data) - 2 != int.from_bytes(data[:2], "big"):
                return None
            data = data[2:]
        try:
            return DnsMessage.parse(data)
        except WireError:
            return None

    @property
    def packet_start(self) -> int:
        """Where the network layer begins."""
        eth = self.layers.eth
        return len(self.data) - len(eth.payload) if eth else 0

    def __str__(self) -> str:
        return summary(self.layers)


@lru_cache(maxsize=8192)
def look(data: bytes) -> Seen:
    """The frame ``data``. Several matchers look at one frame, so the last ones are kept."""
    return Seen(data)


def look_quoted(data: bytes) -> Seen:
    """The IPv4 packet that an ICMP error quotes, its end missing as a rule."""
    return Seen(data, quoted=True)
