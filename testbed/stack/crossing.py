"""What a router may be told, as it runs, of packets that cross it: switches, and what is a flow."""

from __future__ import annotations

from typing import Final
from zlib import crc32

from testbed.wire.ipv4 import IpProtocol, IPv4Packet

__all__ = ["Crossing", "flow_of"]

_SPREAD: Final = 0x9E3779B1
"""Knuth's multiplicative hashing: 2^32 by the golden ratio."""

_WITH_PORTS: Final = frozenset({IpProtocol.TCP, IpProtocol.UDP})


class Crossing:
    """Switches that are flipped while a stack forwards; interfaces go by their names."""

    __slots__ = ("clamped", "directed_broadcast", "kept_out", "no_redirects")

    def __init__(self) -> None:
        self.directed_broadcast: set[str] = set()
        """Those to whose subnets directed broadcasts are let through (RFC 2644)."""
        self.no_redirects: set[str] = set()
        """Those by whose packets no redirect is caused."""
        self.clamped: set[str] = set()
        """Those whose SYNs, in and out, get an MSS that fits."""
        self.kept_out: int | None = None
        """The TCP port to which no connection is let through, None for no such filter."""


def flow_of(packet: IPv4Packet) -> int:
    """A number of 32 bits, the same for all packets of one flow.

    Fragments, of which only the first has the ports, go by their addresses (RFC 2991 3).
    """
    key = packet.src.packed + packet.dst.packed + bytes((packet.protocol,))
    if packet.protocol in _WITH_PORTS and not packet.is_fragment:
        key += packet.payload[:4]
    # The upper bits choose: a multiplication carries into them what differs in the last bytes.
    return crc32(key) * _SPREAD & 0xFFFFFFFF
