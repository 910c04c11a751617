"""Writes a trace as pcapng (draft-ietf-opsawg-pcapng), as Wireshark's tools read it.

One interface per point, nanosecond times, directions, a comment on every frame that has one, and
the kernel's drop counts at the end. Blocks are little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from typing import BinaryIO

from testbed.capture.recording import Point, Recording, format_offset
from testbed.wire.frame import Direction
from testbed.wire.pcapng import (
    BYTE_ORDER_MAGIC,
    LINKTYPE_ETHERNET,
    UNKNOWN_LENGTH,
    Block,
    Option,
    Section,
    interface_block,
    number_option,
    option,
    packet_block,
    section_block,
    statistics_block,
    text_option,
)

__all__ = [
    "BYTE_ORDER_MAGIC",
    "CLOCK",
    "LINKTYPE_ETHERNET",
    "UNKNOWN_LENGTH",
    "Block",
    "Option",
    "Section",
    "write_pcapng",
]

CLOCK = "time stamps by "
"""How the comment on an interface begins that names its clock: there is no option for it."""

_FLAGS = {Direction.IN: 0b01, Direction.OUT: 0b10}
"""epb_flags bits 0 and 1: inbound, outbound."""


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
    stream.write(section_block(about, loose))
    stream.writelines(map(_interface, recording.points))
    for traced in frames:
        frame = traced.frame
        options = (
            *(text_option(Option.COMMENT, note) for note in notes[traced.number]),
            option(Option.PACKET_FLAGS, struct.pack("<I", _FLAGS[frame.direction])),
        )
        length = max(frame.wire_length, len(frame.data))
        stream.write(packet_block(ranks[traced.point], frame.at, frame.data, length, options))
    last = max((traced.at for traced in frames), default=recording.start)
    for name, rank in ranks.items():
        statistics = recording.statistics(name)
        if statistics:
            counts = (
                number_option(Option.STATISTICS_RECEIVED, statistics.received),
                number_option(Option.STATISTICS_DROPPED, statistics.dropped),
            )
            stream.write(statistics_block(rank, last, counts))


def _interface(point: Point) -> bytes:
    clock = text_option(Option.COMMENT, CLOCK + point.clock) if point.clock else b""
    return interface_block(point.name, point.description, options=(clock,))


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
