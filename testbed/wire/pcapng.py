"""Blocks of a pcapng file (draft-ietf-opsawg-pcapng): little-endian, times in nanoseconds."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from testbed.errors import WireError

__all__ = [
    "BYTE_ORDER_MAGIC",
    "LINKTYPE_ETHERNET",
    "PACKET_FOOT",
    "PACKET_HEAD",
    "UNKNOWN_LENGTH",
    "Block",
    "Option",
    "Section",
    "interface_block",
    "number_option",
    "option",
    "packet_block",
    "section_block",
    "statistics_block",
    "text_option",
    "time_option",
]

BYTE_ORDER_MAGIC = 0x1A2B3C4D
LINKTYPE_ETHERNET = 1

PACKET_HEAD, PACKET_FOOT = 28, 4
"""Bytes of an Enhanced Packet Block before and behind the frame and its padding."""

_NANOSECONDS = 9
"""if_tsresol: times count units of 10 to the power of minus 9 seconds."""

UNKNOWN_LENGTH = 0xFFFF_FFFF_FFFF_FFFF
"""Section Length -1: the section ends where the file does."""

_OPTION_LIMIT = 0xFFFF
"""An option's length is a 16-bit field."""


class Block(IntEnum):
    """Block types."""

    INTERFACE = 0x0000_0001
    SIMPLE_PACKET = 0x0000_0003
    STATISTICS = 0x0000_0005
    PACKET = 0x0000_0006
    SECTION = 0x0A0D_0D0A


class Option(IntEnum):
    """Option codes; those above opt_comment count per block type."""

    END = 0
    COMMENT = 1
    SECTION_HARDWARE = 2
    SECTION_OS = 3
    SECTION_APPLICATION = 4
    INTERFACE_NAME = 2
    INTERFACE_DESCRIPTION = 3
    INTERFACE_RESOLUTION = 9
    INTERFACE_FILTER = 11
    PACKET_FLAGS = 2
    PACKET_DROPPED = 4
    STATISTICS_START = 2
    STATISTICS_END = 3
    STATISTICS_RECEIVED = 4
    STATISTICS_DROPPED = 5
    STATISTICS_ACCEPTED = 6


@dataclass(frozen=True, slots=True)
class Section:
    """Who wrote the file, on what. Left empty, a field is not written."""

    hardware: str = ""
    os: str = ""
    application: str = "testbed"
    comments: tuple[str, ...] = ()


def section_block(section: Section, comments: Iterable[str] = ()) -> bytes:
    """The head of a section, of unknown length; ``comments`` come after its own."""
    head = struct.pack("<IHHQ", BYTE_ORDER_MAGIC, 1, 0, UNKNOWN_LENGTH)
    options = (
        *(text_option(Option.COMMENT, text) for text in (*section.comments, *comments)),
        text_option(Option.SECTION_HARDWARE, section.hardware),
        text_option(Option.SECTION_OS, section.os),
        text_option(Option.SECTION_APPLICATION, section.application),
    )
    return _block(Block.SECTION, head, options)


def interface_block(
    name: str, description: str = "", *, snap: int = 0, options: Iterable[bytes] = ()
) -> bytes:
    """An Ethernet interface; ``snap`` 0: no limit."""
    head = struct.pack("<HHI", LINKTYPE_ETHERNET, 0, snap)
    known = (
        text_option(Option.INTERFACE_NAME, name),
        text_option(Option.INTERFACE_DESCRIPTION, description),
        option(Option.INTERFACE_RESOLUTION, bytes([_NANOSECONDS])),
    )
    return _block(Block.INTERFACE, head, (*known, *options))


def packet_block(
    interface: int, at: int, data: bytes, length: int, options: Iterable[bytes] = ()
) -> bytes:
    """A frame seen at ``at`` that had ``length`` bytes, of which ``data`` was kept."""
    head = struct.pack("<IIIII", interface, *_halves(at), len(data), length)
    return _block(Block.PACKET, head + data + _padding(data), options)


def statistics_block(interface: int, at: int, options: Iterable[bytes]) -> bytes:
    """What is known of an interface at ``at``."""
    return _block(Block.STATISTICS, struct.pack("<III", interface, *_halves(at)), options)


def option(code: Option, value: bytes) -> bytes:
    """An option of any value."""
    return struct.pack("<HH", code, len(value)) + value + _padding(value)


def number_option(code: Option, value: int) -> bytes:
    """A count of 64 bits."""
    return option(code, struct.pack("<Q", value))


def time_option(code: Option, at: int) -> bytes:
    """An instant."""
    return option(code, struct.pack("<II", *_halves(at)))


def text_option(code: Option, text: str) -> bytes:
    """A UTF-8 option, cut at a character where it is longer than an option can be; or nothing."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > _OPTION_LIMIT:
        encoded = encoded[:_OPTION_LIMIT].decode("utf-8", "ignore").encode()
    return option(code, encoded) if encoded else b""


def _block(kind: Block, body: bytes, options: Iterable[bytes]) -> bytes:
    """A block; options are followed by opt_endofopt, and there is nothing where there are none."""
    joined = b"".join(options)
    tail = joined + option(Option.END, b"") if joined else b""
    total = 12 + len(body) + len(tail)
    return struct.pack("<II", kind, total) + body + tail + struct.pack("<I", total)


def _padding(value: bytes) -> bytes:
    """Zeros up to the next multiple of 32 bits."""
    return bytes(-len(value) % 4)


def _halves(at: int) -> tuple[int, int]:
    """A time as the upper and lower 32 bits of an unsigned 64-bit count."""
    if not 0 <= at < 1 << 64:
        raise WireError(f"pcapng holds times of 0 to 2**64-1 ns, got {at}")
    return at >> 32, at & 0xFFFF_FFFF
