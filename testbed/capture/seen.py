"""A frame as matchers see it: its bytes, and its layers once somebody asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from testbed.wire.describe import summary
from testbed.wire.dissect import Dissection, dissect, dissect_ipv4
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
