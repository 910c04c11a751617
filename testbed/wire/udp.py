"""UDP datagrams (RFC 768)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct

from testbed.errors import WireError
from testbed.wire.checksum import checksum_ok, fold, ones_sum, pseudo_header_sum
from testbed.wire.ipv4 import IpProtocol
from testbed.wire.ranges import not_bytes, out_of_range
from testbed.wire.trusted import trusted

__all__ = ["UdpDatagram"]

_HEADER = Struct("!HHHH")


@dataclass(frozen=True, slots=True)
class UdpDatagram:
    """A UDP datagram. It knows no addresses: they are the IP packet's, and its checksum's."""

    src_port: int
    dst_port: int
    payload: bytes = b""

    def __post_init__(self) -> None:
        if (self.src_port | self.dst_port) >> 16:
            raise out_of_range(
                "UDP datagram", src_port=(self.src_port, 16), dst_port=(self.dst_port, 16)
            )
        if type(self.payload) is not bytes:
            raise not_bytes("UDP datagram", "payload", self.payload)
        if len(self.payload) > 65527:
            size = len(self.payload)
            raise WireError(f"UDP datagram: payload of {size} bytes, expected at most 65527")

    def emit(
        self, src_ip: IPv4Address, dst_ip: IPv4Address, *, checksum: int | None = None
    ) -> bytes:
        """The datagram's bytes between two addresses.

        ``checksum`` replaces the right one: 0 sends none, anything else a wrong one.
        """
        length = 8 + len(self.payload)
        if checksum is None:
            words = pseudo_header_sum(src_ip, dst_ip, IpProtocol.UDP, length)
            words += self.src_port + self.dst_port + length + ones_sum(self.payload)
            # "If the computed checksum is zero, it is transmitted as all ones" (RFC 768).
            checksum = fold(words) or 0xFFFF
        elif checksum >> 16:
            raise out_of_range("UDP datagram", checksum=(checksum, 16))
        return _HEADER.pack(self.src_port, self.dst_port, length, checksum) + self.payload

    @staticmethod
    def parse(
        data: bytes,
        src_ip: IPv4Address,
        dst_ip: IPv4Address,
        *,
        verify: bool = True,
        partial: bool = False,
    ) -> UdpDatagram:
        """The datagram at the start of ``data``, sent from ``src_ip`` to ``dst_ip``.

        ``verify`` refuses a wrong checksum; 0 stands for none and is right (RFC 768). ``partial``
        takes a datagram whose end is missing, as in a first fragment, and verifies nothing.
        Raises WireError where it is cut short or its length is impossible.
        """
        if len(data) < 8:
            raise WireError(f"a UDP header has 8 bytes, {len(data)} came", len(data))
        src_port, dst_port, length, checksum = _HEADER.unpack_from(data)
        if length < 8:
            raise WireError(f"UDP length {length}, expected 8 or more", 4)
        if not partial:
            if length > len(data):
                raise WireError(f"UDP length {length}, but {len(data)} bytes came", 4)
            if verify and checksum:
                start = pseudo_header_sum(src_ip, dst_ip, IpProtocol.UDP, length)
                if not checksum_ok(data[:length], start):
                    raise WireError("UDP checksum is wrong", 6)
        return _trusted(src_port, dst_port, data[8:length])


_trusted = trusted(UdpDatagram)
