"""ICMP messages that ask and tell: routers (RFC 1256), the time (RFC 792), the mask (RFC 950)."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address
from struct import Struct
from typing import ClassVar, Final

from testbed.errors import WireError
from testbed.wire.addresses import ipv4_from_int
from testbed.wire.icmp_message import ICMP_HEADER, IcmpMessage, IcmpType
from testbed.wire.ranges import out_of_range

__all__ = [
    "MaskReply",
    "MaskRequest",
    "RouterAdvertisement",
    "RouterSolicitation",
    "TimestampReply",
    "TimestampRequest",
    "mask_fields",
    "router_fields",
    "timestamp_fields",
]

_ENTRY: Final = Struct("!Ii")
_TIMES: Final = Struct("!III")
_BODY: Final = ICMP_HEADER.size
_LEAST: Final = -(1 << 31)


@dataclass(frozen=True, slots=True)
class RouterAdvertisement(IcmpMessage):
    """A router names its addresses (RFC 1256 3): each with its preference, a signed number.

    ``lifetime`` is how many seconds they may be believed; 0 takes them back. The preference
    ``RouterAdvertisement.NEVER`` says that the address must not be a default router.
    """

    lifetime: int
    routers: tuple[tuple[IPv4Address, int], ...]
    type: ClassVar[int] = IcmpType.ROUTER_ADVERTISEMENT
    code: ClassVar[int] = 0
    NEVER: ClassVar[int] = _LEAST

    def __post_init__(self) -> None:
        if self.lifetime >> 16:
            raise out_of_range("ICMP router advertisement", lifetime=(self.lifetime, 16))
        if not 1 <= len(self.routers) <= 255:
            count = len(self.routers)
            raise WireError(f"ICMP router advertisement: {count} routers, expected 1 to 255")
        for address, preference in self.routers:
            if type(address) is not IPv4Address:
                raise WireError("ICMP router advertisement: routers must have IPv4Address values")
            if not _LEAST <= preference <= 0x7FFFFFFF:
                raise WireError(
                    f"ICMP router advertisement: preference is {preference},"
                    " expected -2147483648 to 2147483647"
                )

    def _parts(self) -> tuple[int, int, int, bytes]:
        body = b"".join(_ENTRY.pack(int(ip), preference) for ip, preference in self.routers)
        return 9, 0, len(self.routers) << 24 | 2 << 16 | self.lifetime, body


def router_fields(word: int, body: bytes) -> tuple[int, tuple[tuple[IPv4Address, int], ...]]:
    """Lifetime and routers of an advertisement; WireError for what RFC 1256 5.2 discards."""
    count, size, lifetime = word >> 24, word >> 16 & 0xFF, word & 0xFFFF
    if not count:
        raise WireError("ICMP router advertisement of no address", 4)
    if size < 2:
        raise WireError(f"ICMP router advertisement: entries of {size} words, expected 2", 5)
    if len(body) < count * size * 4:
        need, have = _BODY + count * size * 4, _BODY + len(body)
        raise WireError(f"ICMP router advertisement of {need} bytes, {have} came", have)
    entries = (_ENTRY.unpack_from(body, at * size * 4) for at in range(count))
    return lifetime, tuple((ipv4_from_int(ip), preference) for ip, preference in entries)


@dataclass(frozen=True, slots=True)
class RouterSolicitation(IcmpMessage):
    """A host asks all routers to advertise themselves at once (RFC 1256 3)."""

    type: ClassVar[int] = IcmpType.ROUTER_SOLICITATION
    code: ClassVar[int] = 0

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 10, 0, 0, b""


@dataclass(frozen=True, slots=True)
class _Timestamp(IcmpMessage):
    ident: int
    sequence: int
    originate: int = 0
    receive: int = 0
    transmit: int = 0

    def __post_init__(self) -> None:
        times = self.originate | self.receive | self.transmit
        if (self.ident | self.sequence) >> 16 or times >> 32:
            raise out_of_range(
                "ICMP timestamp",
                ident=(self.ident, 16),
                sequence=(self.sequence, 16),
                originate=(self.originate, 32),
                receive=(self.receive, 32),
                transmit=(self.transmit, 32),
            )

    def _times(self) -> bytes:
        return _TIMES.pack(self.originate, self.receive, self.transmit)


@dataclass(frozen=True, slots=True)
class TimestampRequest(_Timestamp):
    """What time is it there? Times are milliseconds since midnight UT (RFC 792)."""

    type: ClassVar[int] = IcmpType.TIMESTAMP
    code: ClassVar[int] = 0

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 13, 0, self.ident << 16 | self.sequence, self._times()


@dataclass(frozen=True, slots=True)
class TimestampReply(_Timestamp):
    """The answer: when the request came (``receive``) and when this left (``transmit``)."""

    type: ClassVar[int] = IcmpType.TIMESTAMP_REPLY
    code: ClassVar[int] = 0

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 14, 0, self.ident << 16 | self.sequence, self._times()


def timestamp_fields(word: int, body: bytes) -> tuple[int, int, int, int, int]:
    """Identifier, sequence number and the three times; WireError where they are cut short."""
    if len(body) < 12:
        have = _BODY + len(body)
        raise WireError(f"an ICMP timestamp has 20 bytes, {have} came", have)
    originate, receive, transmit = _TIMES.unpack_from(body)
    return word >> 16, word & 0xFFFF, originate, receive, transmit


@dataclass(frozen=True, slots=True)
class _Mask(IcmpMessage):
    ident: int
    sequence: int
    mask: IPv4Address = IPv4Address(0)  # noqa: RUF009 - a value that never changes

    def __post_init__(self) -> None:
        if (self.ident | self.sequence) >> 16:
            raise out_of_range("ICMP mask", ident=(self.ident, 16), sequence=(self.sequence, 16))
        if type(self.mask) is not IPv4Address:
            raise WireError("ICMP mask: mask must be an IPv4Address value")


@dataclass(frozen=True, slots=True)
class MaskRequest(_Mask):
    """Asks what this network's mask is (RFC 950 appendix I)."""

    type: ClassVar[int] = IcmpType.MASK_REQUEST
    code: ClassVar[int] = 0

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 17, 0, self.ident << 16 | self.sequence, self.mask.packed


@dataclass(frozen=True, slots=True)
class MaskReply(_Mask):
    """The answer, with the mask."""

    type: ClassVar[int] = IcmpType.MASK_REPLY
    code: ClassVar[int] = 0

    def _parts(self) -> tuple[int, int, int, bytes]:
        return 18, 0, self.ident << 16 | self.sequence, self.mask.packed


def mask_fields(word: int, body: bytes) -> tuple[int, int, IPv4Address]:
    """Identifier, sequence number and mask; WireError where they are cut short."""
    if len(body) < 4:
        have = _BODY + len(body)
        raise WireError(f"an ICMP mask message has 12 bytes, {have} came", have)
    return word >> 16, word & 0xFFFF, ipv4_from_int(int.from_bytes(body[:4], "big"))
