"""IPv4 packets (RFC 791)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct
from typing import Final

from testbed.errors import WireError
from testbed.wire.addresses import ipv4_from_int
from testbed.wire.checksum import fold, ones_sum
from testbed.wire.ranges import not_bytes, out_of_range
from testbed.wire.trusted import quickly_made, trusted

__all__ = ["IPv4Packet", "IpProtocol"]

_HEADER = Struct("!HHHHHHII")
_DF: Final = 0x4000
_MF: Final = 0x2000
_RESERVED: Final = 0x8000


class IpProtocol:
    """Numbers that say what a packet carries (IANA, Protocol Numbers)."""

    ICMP: Final = 1
    IGMP: Final = 2
    IPIP: Final = 4
    TCP: Final = 6
    UDP: Final = 17
    GRE: Final = 47
    OSPF: Final = 89
    EXPERIMENTAL: Final = 253
    """For experimentation and testing (RFC 3692): no stack has a use for it."""


@quickly_made
@dataclass(frozen=True, slots=True)
class IPv4Packet:
    """An IPv4 packet, or a fragment of one.

    ``offset`` is the fragment's, in bytes, a multiple of 8. ``options`` are raw and get padded with
    zeros (end of options) to whole 32-bit words. ``tos`` is the byte of DSCP and ECN. ``reserved``
    is the flag that RFC 791 wants to be zero.
    """

    src: IPv4Address
    dst: IPv4Address
    protocol: int = IpProtocol.EXPERIMENTAL
    payload: bytes = b""
    ttl: int = 64
    ident: int = 0
    df: bool = False
    mf: bool = False
    offset: int = 0
    tos: int = 0
    options: bytes = b""
    reserved: bool = False

    def __post_init__(self) -> None:
        if type(self.src) is not IPv4Address or type(self.dst) is not IPv4Address:
            raise WireError("IPv4 packet: src and dst must be IPv4Address values")
        offset = self.offset
        if (self.protocol | self.ttl | self.tos) >> 8 or (self.ident | offset) >> 16 or offset & 7:
            raise self._misfit()
        if type(self.payload) is not bytes:
            raise not_bytes("IPv4 packet", "payload", self.payload)
        if self.options:
            self._pad_options()
        if len(self.payload) + len(self.options) > 65515:
            total = 20 + len(self.options) + len(self.payload)
            raise WireError(f"IPv4 packet: {total} bytes in all, expected at most 65535")

    def _pad_options(self) -> None:
        if type(self.options) is not bytes:
            raise not_bytes("IPv4 packet", "options", self.options)
        if len(self.options) > 40:
            raise WireError(f"IPv4 packet: {len(self.options)} option bytes, expected at most 40")
        padded = self.options + bytes(-len(self.options) % 4)
        object.__setattr__(self, "options", padded)

    def _misfit(self) -> WireError:
        if self.offset >= 0 and self.offset & 7:
            return WireError(f"IPv4 packet: offset is {self.offset}, expected a multiple of 8")
        return out_of_range(
            "IPv4 packet",
            protocol=(self.protocol, 8),
            ttl=(self.ttl, 8),
            tos=(self.tos, 8),
            ident=(self.ident, 16),
            offset=(self.offset, 16),
        )

    @property
    def dscp(self) -> int:
        """The differentiated services code point (RFC 2474): the upper six bits of ``tos``."""
        return self.tos >> 2

    @property
    def ecn(self) -> int:
        """The explicit congestion notification field (RFC 3168): the lower two bits of ``tos``."""
        return self.tos & 3

    @property
    def header_length(self) -> int:
        """Bytes of the header, with its options."""
        return 20 + len(self.options)

    @property
    def total_length(self) -> int:
        """Bytes of header and payload."""
        return 20 + len(self.options) + len(self.payload)

    @property
    def is_fragment(self) -> bool:
        """Whether it is a part of a packet: more follow, or some came before."""
        return self.mf or self.offset > 0

    def emit(self, *, checksum: int | None = None) -> bytes:
        """The packet's bytes; ``checksum`` replaces the right one, to send a wrong one."""
        options = self.options
        first = 0x4500 + (len(options) << 6) + self.tos
        total = 20 + len(options) + len(self.payload)
        fragment = self.offset >> 3
        if self.df:
            fragment |= _DF
        if self.mf:
            fragment |= _MF
        if self.reserved:
            fragment |= _RESERVED
        src, dst = int(self.src), int(self.dst)
        ident, lived = self.ident, (self.ttl << 8) + self.protocol
        if checksum is None:
            words = first + total + ident + fragment + lived + src + dst
            checksum = fold(words + ones_sum(options) if options else words)
        elif checksum >> 16:
            raise out_of_range("IPv4 packet", checksum=(checksum, 16))
        head = _HEADER.pack(first, total, ident, fragment, lived, checksum, src, dst)
        return head + options + self.payload if options else head + self.payload

    @staticmethod
    def parse(data: bytes, *, verify: bool = True, partial: bool = False) -> IPv4Packet:
        """The packet at the start of ``data``; what follows its total length is padding.

        ``verify`` refuses a wrong header checksum. ``partial`` takes a packet whose end is missing,
        as ICMP errors quote it. Raises WireError for all that RFC 1122 3.2.1 has a host discard:
        a version other than 4, a bad checksum, lengths that contradict each other.
        """
        if len(data) < 20:
            raise WireError(f"an IPv4 header has 20 bytes or more, {len(data)} came", len(data))
        first, total, ident, fragment, lived, checksum, src, dst = _HEADER.unpack_from(data)
        length = first >> 6 & 0x3C
        if first >> 8 != 0x45:
            _check_form(first >> 8, len(data))
        if total < length:
            raise WireError(f"IPv4 total length {total}, below the header's {length}", 2)
        if total > len(data) and not partial:
            raise WireError(f"IPv4 total length {total}, but {len(data)} bytes came", 2)
        if verify:
            words = first + total + ident + fragment + lived + checksum + src + dst
            if (words if length == 20 else words + ones_sum(data[20:length])) % 0xFFFF:
                raise WireError("IPv4 header checksum is wrong", 10)
        return _trusted(
            ipv4_from_int(src),
            ipv4_from_int(dst),
            lived & 0xFF,
            data[length:total],
            lived >> 8,
            ident,
            fragment & _DF != 0,
            fragment & _MF != 0,
            (fragment & 0x1FFF) << 3,
            first & 0xFF,
            data[20:length] if length > 20 else b"",
            fragment & _RESERVED != 0,
        )


_trusted = trusted(IPv4Packet)


def _check_form(first: int, came: int) -> None:
    """Whether a header whose first byte is ``first`` can be one, with ``came`` bytes there."""
    length = (first & 15) << 2
    if first >> 4 != 4:
        raise WireError(f"IP version {first >> 4}, expected 4", 0)
    if length < 20:
        raise WireError(f"IPv4 header length {length}, expected 20 to 60", 0)
    if length > came:
        raise WireError(f"IPv4 header of {length} bytes, {came} came", came)
