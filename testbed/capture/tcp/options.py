"""TCP options of many segments at once, as far as the analysis needs them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from testbed.capture.columns.arrays import Bools, Ints
from testbed.capture.tcp.flags import ACK, SYN
from testbed.capture.tcp.segments import Segments

__all__ = ["Options", "Sacks", "read_options"]

_NOP_NOP_TIMESTAMPS = 0x0101080A
"""RFC 7323, appendix A: how the options of nearly every segment begin, and end after 12 bytes."""

_FAST_OPEN, _FAST_OPEN_EXPERIMENT = 34, 0xF989
_BLOCK = 1 << 14
"""Segments at a time: what they need stays in the processor's cache."""

_MSS, _SCALE, _SACK_PERMITTED, _SACK = 2, 3, 4, 5


@dataclass(frozen=True, slots=True, eq=False)
class Sacks:
    """SACK blocks, as on the wire: ``segment`` is the index of the segment that has the block."""

    segment: Ints
    left: Ints
    right: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """Options by segment. What a segment has not is -1.

    ``cookie`` is whether a SYN has one of Fast Open (RFC 7413, and as before it had a number of its
    own). ``maximum`` (MSS) is of SYNs only; ``scale`` means something in a SYN only (RFC 7323 2.2).
    """

    maximum: Ints
    scale: Ints
    sack_permitted: Bools
    cookie: Bools
    sacks: Sacks


def read_options(segments: Segments) -> Options:
    """Go through the options of every segment, many at once, one option at a time."""
    reader = _Reader(segments)
    reader.read()
    return reader.options()


class _Reader:
    def __init__(self, segments: Segments) -> None:
        count = len(segments)
        self._segments = segments
        self._gather = segments.headers.gather
        self._maximum, self._scale = np.full((2, count), -1, np.int64)
        self._permitted, self._cookie = np.zeros((2, count), np.bool_)
        self._sacks: list[tuple[Ints, Ints, Ints, Ints]] = []

    def read(self) -> None:
        """Read all options. Every round steps over one option of each segment that has more."""
        headers, rows = self._segments.headers, self._segments.header
        size = (headers.control >> 26 & 0x3C).astype(np.int32)
        left = np.minimum(size, headers.room) - 20
        others = (headers.option != _NOP_NOP_TIMESTAMPS) | (left != 12)
        others &= left > 0
        every = np.flatnonzero(others[rows])
        for begin in range(0, len(every), _BLOCK):
            index = every[begin : begin + _BLOCK]
            some = rows[index]
            place = headers.columns.offset[some] + headers.payload_at[some] + 20
            self._walk(index, place, place + left[some])

    def _walk(self, index: Ints, place: Ints, end: Ints) -> None:
        while len(index):
            kind = self._gather.u1(place)
            long = (kind > 1) & (place + 1 < end)
            size = np.where(kind == 1, 1, 0)
            size[long] = self._gather.u1(place[long] + 1)
            on = (size > 0) & ((kind == 1) | (size >= 2)) & (place + size <= end)
            index, place, end, kind, size = (each[on] for each in (index, place, end, kind, size))
            self._take(index, place, kind, size)
            place = place + size
            more = place < end
            index, place, end = index[more], place[more], end[more]

    def _take(self, index: Ints, place: Ints, kind: Ints, size: Ints) -> None:
        gather = self._gather
        syn = self._segments.flags[index] & SYN != 0
        these = (kind == _MSS) & (size == 4) & syn
        self._maximum[index[these]] = gather.u2(place[these] + 2)
        these = (kind == _SCALE) & (size == 3)
        self._scale[index[these]] = gather.u1(place[these] + 2)
        these = (kind == _SACK_PERMITTED) & (size == 2)
        self._permitted[index[these]] = True
        self._cookies(index, place, kind, size)
        these = (kind == _SACK) & (size >= 10)
        index, place, blocks = index[these], place[these], (size[these] - 2) // 8
        for block in range(int(blocks.max()) if len(blocks) else 0):
            has = blocks > block
            where = place[has] + 2 + 8 * block
            rank = np.full(len(where), block, np.int64)
            self._sacks.append((index[has], rank, gather.u4(where), gather.u4(where + 4)))

    def _cookies(self, index: Ints, place: Ints, kind: Ints, size: Ints) -> None:
        """RFC 7413, and before it RFC 6994: an experiment's option, with a number in front."""
        cookie = (kind == _FAST_OPEN) & (size > 2)
        shared = ((kind == 253) | (kind == 254)) & (size > 4)
        shared[shared] = self._gather.u2(place[shared] + 2) == _FAST_OPEN_EXPERIMENT
        opening = self._segments.flags[index] & (SYN | ACK) == SYN
        self._cookie[index[(cookie | shared) & opening]] = True

    def options(self) -> Options:
        """What was found."""
        return Options(
            self._maximum,
            self._scale,
            self._permitted,
            self._cookie,
            self._collected(),
        )

    def _collected(self) -> Sacks:
        if not self._sacks:
            empty = np.empty(0, np.int64)
            return Sacks(empty, empty, empty)
        segment, rank, left, right = (
            np.concatenate(column) for column in zip(*self._sacks, strict=True)
        )
        order = np.lexsort((rank, segment))
        return Sacks(segment[order], left[order], right[order])
