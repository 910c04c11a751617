"""PPP over Ethernet (RFC 2516): discovery and sessions, each with an EtherType of its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from testbed.errors import WireError
from testbed.wire.ranges import not_bytes, out_of_range

__all__ = [
    "PPPOE_MRU",
    "PppoeCode",
    "PppoePacket",
    "PppoeTag",
    "TagType",
    "emit_tags",
    "parse_tags",
]

PPPOE_MRU: Final = 1492
"""The largest MRU: Ethernet's 1500 less 6 of PPPoE and 2 of PPP's protocol (RFC 2516 7)."""


class PppoeCode:
    """What a packet is (RFC 2516 5)."""

    SESSION: Final = 0x00
    PADO: Final = 0x07
    PADI: Final = 0x09
    PADR: Final = 0x19
    PADS: Final = 0x65
    PADT: Final = 0xA7


class TagType:
    """Types of discovery tags (RFC 2516 appendix A)."""

    END_OF_LIST: Final = 0x0000
    SERVICE_NAME: Final = 0x0101
    AC_NAME: Final = 0x0102
    HOST_UNIQ: Final = 0x0103
    AC_COOKIE: Final = 0x0104
    VENDOR_SPECIFIC: Final = 0x0105
    RELAY_SESSION_ID: Final = 0x0110
    SERVICE_NAME_ERROR: Final = 0x0201
    AC_SYSTEM_ERROR: Final = 0x0202
    GENERIC_ERROR: Final = 0x0203


@dataclass(frozen=True, slots=True)
class PppoeTag:
    """A tag of the discovery stage. End-of-List is none: it is where the list ends."""

    kind: int
    data: bytes = b""

    def __post_init__(self) -> None:
        if self.kind >> 16:
            raise out_of_range("PPPoE tag", kind=(self.kind, 16))
        if self.kind == TagType.END_OF_LIST:
            raise WireError("PPPoE tag: kind 0 is the end of the list")
        if type(self.data) is not bytes:
            raise not_bytes("PPPoE tag", "data", self.data)
        if len(self.data) > 0xFFFF:
            raise WireError(f"PPPoE tag: {len(self.data)} bytes of data, expected at most 65535")

    def emit(self) -> bytes:
        """The tag's bytes."""
        return self.kind.to_bytes(2, "big") + len(self.data).to_bytes(2, "big") + self.data


def emit_tags(tags: Iterable[PppoeTag]) -> bytes:
    """The bytes of ``tags``, one after the other; no end mark is needed (RFC 2516 appendix A)."""
    return b"".join([tag.emit() for tag in tags])


def parse_tags(data: bytes) -> tuple[PppoeTag, ...]:
    """The tags in ``data``, up to its end or the end of the list; WireError where one runs out."""
    tags: list[PppoeTag] = []
    at = 0
    while at < len(data):
        if at + 4 > len(data):
            raise WireError(f"a PPPoE tag has 4 bytes or more, {len(data) - at} came", at)
        kind = int.from_bytes(data[at : at + 2], "big")
        if kind == TagType.END_OF_LIST:
            break
        end = at + 4 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data):
            raise WireError(f"PPPoE tag {kind:#06x} of {end - at - 4} bytes is cut short", at + 2)
        tags.append(PppoeTag(kind, data[at + 4 : end]))
        at = end
    return tuple(tags)


@dataclass(frozen=True, slots=True)
class PppoePacket:
    """What follows the Ethernet header, in either stage. Version and type are 1 (RFC 2516 4)."""

    code: int
    session: int = 0
    payload: bytes = b""

    def __post_init__(self) -> None:
        if self.code >> 8 or self.session >> 16:
            raise out_of_range("PPPoE packet", code=(self.code, 8), session=(self.session, 16))
        if type(self.payload) is not bytes:
            raise not_bytes("PPPoE packet", "payload", self.payload)
        if len(self.payload) > 0xFFFF:
            size = len(self.payload)
            raise WireError(f"PPPoE packet: {size} bytes of payload, expected at most 65535")

    @classmethod
    def discovery(cls, code: int, tags: Iterable[PppoeTag], session: int = 0) -> PppoePacket:
        """A packet of the discovery stage."""
        return cls(code, session, emit_tags(tags))

    @property
    def tags(self) -> tuple[PppoeTag, ...]:
        """The payload's tags; WireError where they are none. Offsets count from the payload."""
        return parse_tags(self.payload)

    def tag(self, kind: int) -> bytes | None:
        """The data of the first tag of ``kind``, or None; WireError as ``tags`` does."""
        return next((tag.data for tag in self.tags if tag.kind == kind), None)

    def emit(self) -> bytes:
        """The packet's bytes."""
        head = bytes((0x11, self.code)) + self.session.to_bytes(2, "big")
        return head + len(self.payload).to_bytes(2, "big") + self.payload

    @staticmethod
    def parse(data: bytes) -> PppoePacket:
        """The packet at the start of ``data``; what follows its length is Ethernet's padding.

        Raises WireError where it is cut short or of another version or type.
        """
        if len(data) < 6:
            raise WireError(f"a PPPoE header has 6 bytes, {len(data)} came", len(data))
        if data[0] != 0x11:
            raise WireError(
                f"PPPoE version {data[0] >> 4} type {data[0] & 15}, expected 1 and 1", 0
            )
        length = int.from_bytes(data[4:6], "big")
        if 6 + length > len(data):
            raise WireError(f"PPPoE length {length}, but {len(data) - 6} bytes came", 4)
        return PppoePacket(data[1], int.from_bytes(data[2:4], "big"), data[6 : 6 + length])
