"""A filter that lets no connection to one TCP port through, in whatever fragments (RFC 1858)."""

from __future__ import annotations

from typing import Final

from testbed.stack.crossing import Crossing
from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.tcp import TcpFlags

__all__ = ["ConnectionFilter"]

_LEAST: Final = 16
"""RFC 1858 3.2 tmin: bytes of a first fragment that show ports and flags."""

_CONNECTIONS: Final = 4096
_OPENING: Final = TcpFlags.SYN | TcpFlags.ACK | TcpFlags.RST

_Ends = tuple[bytes, bytes, bytes]


class ConnectionFilter:
    """Looks at each packet that leaves a router, where ``crossing.kept_out`` names a port.

    It remembers which connections exist by the segments that the server sends, the latest 4096.
    """

    __slots__ = ("_connections", "_crossing")

    def __init__(self, crossing: Crossing) -> None:
        self._crossing = crossing
        self._connections: dict[_Ends, None] = {}

    def refuses(self, packet: IPv4Packet) -> str | None:
        """Why a packet is kept out, None if it is let through."""
        port = self._crossing.kept_out
        if port is None or packet.protocol != IpProtocol.TCP:
            return None
        if self.is_tiny(packet) or self.overlaps_header(packet):
            return "fragment of a TCP header"
        if packet.offset:
            return None
        number = port.to_bytes(2, "big")
        if packet.payload[:2] == number:
            self._answered(packet)
        return "connection kept out" if self.opens(packet, number) else None

    def is_tiny(self, packet: IPv4Packet) -> bool:
        """RFC 1858 3.2: FO = 0 and less of the transport header than shows what it is."""
        return not packet.offset and len(packet.payload) < _LEAST

    def overlaps_header(self, packet: IPv4Packet) -> bool:
        """RFC 1858 4.2: FO = 1, which would be written over the flags."""
        return packet.offset == 8

    def opens(self, packet: IPv4Packet, port: bytes) -> bool:
        """Whether it is a SYN to ``port`` of a connection that there is not yet."""
        payload = packet.payload
        if payload[2:4] != port or _flags(packet) & _OPENING != TcpFlags.SYN:
            return False
        return (packet.src.packed, packet.dst.packed, payload[:2]) not in self._connections

    def _answered(self, packet: IPv4Packet) -> None:
        """The server sent a segment: the connection exists, or, with RST, no longer does."""
        flags = _flags(packet)
        ends = packet.dst.packed, packet.src.packed, packet.payload[2:4]
        self._connections.pop(ends, None)
        if flags & TcpFlags.ACK and not flags & TcpFlags.RST:
            self._connections[ends] = None
            if len(self._connections) > _CONNECTIONS:
                del self._connections[next(iter(self._connections))]


def _flags(packet: IPv4Packet) -> int:
    """The flags of a segment, none where they are cut off."""
    return packet.payload[13] if len(packet.payload) > 13 else 0
