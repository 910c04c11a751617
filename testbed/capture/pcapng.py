"""Writes a trace as pcapng (draft-ietf-opsawg-pcapng), as Wireshark's tools read it.

One interface per point, nanosecond times, directions, a comment on every frame that has one, and
the kernel's drop counts at the end. Blocks are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import BinaryIO

from testbed.capture.recording import Point, Recording, Statistics, TracedFrame, format_offset
from testbed.errors import WireError
from testbed.wire.frame import Direction

__all__ = [
    "BYTE_ORDER_MAGIC",
    "LINKTYPE_ETHERNET",
    "UNKNOWN_LENGTH",
    "Block",
    "Option",
    "Section",
    "write_pcapng",
]

BYTE_ORDER_MAGIC = 0x1A2B3C4D
LINKTYPE_ETHERNET = 1

_NANOSECONDS = 9
"""if_tsresol: times count units of 10 to the power of minus 9 seconds."""

UNKNOWN_LENGTH = 0xFFFF_FFFF_FFFF_FFFF
"""Section Length -1: the section ends where the file does."""

_OPTION_LIMIT = 0xFFFF
"""An option's length is a 16-bit field."""

_FLAGS = {Direction.IN: 0b01, Direction.OUT: 0b10}
"""epb_flags bits 0 and 1: inbound, outbound."""


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
    PACKET_FLAGS = 2
    STATISTICS_RECEIVED = 4
    STATISTICS_DROPPED = 5


@dataclass(frozen=True, slots=True)
class Section:
    """Who wrote the file, on what. Left empty, a field is not written."""

    hardware: str = ""
    os: str = ""
    application: str = "testbed"
    comments: tuple[str, ...] = ()


def write_pcapng(
    stream: BinaryIO,
    recording: Recording,
    comments: Mapping[int, Iterable[str]] | None = None,
    section: Section | None = None,
) -> None:
    """Write every frame of ``recording``, numbered as it numbers them.

    ``comments`` adds comments by frame number to those that the recording holds. A mark becomes a
    comment on the first frame that is not earlier, on the last frame where none is.
    """
    frames = recording.frames
    notes: dict[int, list[str]] = {
        traced.number: list(recording.comments(traced.number)) for traced in frames
    }
    about = section or Section()
    loose = _place_marks(recording, notes)
    for number, texts in (comments or {}).items():
        notes[recording.frame(number).number].extend(texts)
    ranks = {point.name: rank for rank, point in enumerate(recording.points)}
    stream.write(_section_block(about, loose))
    stream.writelines(_interface_block(point) for point in recording.points)
    stream.writelines(
        _packet_block(traced, ranks[traced.point], notes[traced.number]) for traced in frames
    )
    last = max((traced.at for traced in frames), default=recording.start)
    for name, rank in ranks.items():
        statistics = recording.statistics(name)
        if statistics:
            stream.write(_statistics_block(rank, last, statistics))


def _place_marks(recording: Recording, notes: dict[int, list[str]]) -> list[str]:
    """Put the text of each mark on a frame; returns those of a recording without frames."""
    by_time = sorted(recording.frames, key=lambda traced: (traced.at, traced.number))
    loose: list[str] = []
    position = 0
    for mark in recording.marks:
        while position < len(by_time) and by_time[position].at < mark.at:
            position += 1
        where = f" at {mark.point}" if mark.point else ""
        text = f"{format_offset(recording.offset(mark.at))}{where}: {mark.text}"
        if by_time:
            notes[by_time[min(position, len(by_time) - 1)].number].append(text)
        else:
            loose.append(text)
    return loose


def _block(kind: Block, body: bytes) -> bytes:
    total = 12 + len(body)
    return struct.pack("<II", kind, total) + body + struct.pack("<I", total)


def _option(code: Option, value: bytes) -> bytes:
    return struct.pack("<HH", code, len(value)) + value + _padding(value)


def _padding(value: bytes) -> bytes:
    """Zeros up to the next multiple of 32 bits."""
    return bytes(-len(value) % 4)


def _text(code: Option, text: str) -> bytes:
    """A UTF-8 option, cut at a character where it is longer than an option can be."""
    encoded = text.encode("utf-8", "replace")
    if len(encoded) > _OPTION_LIMIT:
        encoded = encoded[:_OPTION_LIMIT].decode("utf-8", "ignore").encode()
    return _option(code, encoded) if encoded else b""


def _options(*written: bytes) -> bytes:
    """The options followed by opt_endofopt; nothing where there are none."""
    joined = b"".join(written)
    return joined + _option(Option.END, b"") if joined else b""


def _section_block(section: Section, loose: list[str]) -> bytes:
    head = struct.pack("<IHHQ", BYTE_ORDER_MAGIC, 1, 0, UNKNOWN_LENGTH)
    comments = (_text(Option.COMMENT, text) for text in (*section.comments, *loose))
    options = _options(
        *comments,
        _text(Option.SECTION_HARDWARE, section.hardware),
        _text(Option.SECTION_OS, section.os),
        _text(Option.SECTION_APPLICATION, section.application),
    )
    return _block(Block.SECTION, head + options)


def _interface_block(point: Point) -> bytes:
    head = struct.pack("<HHI", LINKTYPE_ETHERNET, 0, 0)  # snap length 0: no limit
    options = _options(
        _text(Option.INTERFACE_NAME, point.name),
        _text(Option.INTERFACE_DESCRIPTION, point.description),
        _option(Option.INTERFACE_RESOLUTION, bytes([_NANOSECONDS])),
    )
    return _block(Block.INTERFACE, head + options)


def _packet_block(traced: TracedFrame, rank: int, notes: list[str]) -> bytes:
    frame = traced.frame
    head = struct.pack(
        "<IIIII", rank, *_halves(frame.at), len(frame.data), max(frame.wire_length, len(frame.data))
    )
    options = _options(
        *(_text(Option.COMMENT, note) for note in notes),
        _option(Option.PACKET_FLAGS, struct.pack("<I", _FLAGS[frame.direction])),
    )
    return _block(Block.PACKET, head + frame.data + _padding(frame.data) + options)


def _statistics_block(rank: int, at: int, statistics: Statistics) -> bytes:
    head = struct.pack("<III", rank, *_halves(at))
    options = _options(
        _option(Option.STATISTICS_RECEIVED, struct.pack("<Q", statistics.received)),
        _option(Option.STATISTICS_DROPPED, struct.pack("<Q", statistics.dropped)),
    )
    return _block(Block.STATISTICS, head + options)


def _halves(at: int) -> tuple[int, int]:
    """A time as the upper and lower 32 bits of an unsigned 64-bit count."""
    if not 0 <= at < 1 << 64:
        raise WireError(f"pcapng holds times of 0 to 2**64-1 ns, got {at}")
    return at >> 32, at & 0xFFFF_FFFF
