"""What each direction of every connection had come to at every segment, without a loop.

Numbers run on past 2**32 here: each direction counts from its own first segment, so that the
highest so far is a running maximum. That is right while numbers move by less than 2**30 at a time,
and while none of the states is met that only ``exact`` knows; connections where that does not hold
are ``odd``, and go to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from testbed.capture.columns.arrays import Bools, Ints, Numbers
from testbed.capture.tcp.flags import ACK, FIN, SYN
from testbed.capture.tcp.segments import Segments

__all__ = ["MASK", "Tracks", "above", "follow"]

MASK = 0xFFFFFFFF
_FAR = 1 << 30
_SPAN = 1 << 41
"""No direction moves on by more than this, or it is odd: running maxima of many fit into 63 bit."""

_BLOCK = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Running:
    """Numbers that run on, direction by direction: in the order of ``Tracks.order``.

    ``start`` and ``end`` are those of each segment; ``expected`` is the highest end before it, for
    the first of a direction its own start, and ``reached`` the highest with it. ``base`` turns
    these into numbers on the wire.
    """

    start: Ints
    end: Ints
    expected: Ints
    reached: Ints
    base: Numbers


@dataclass(frozen=True, slots=True, eq=False)
class Tracks:
    """``order`` puts directions together, ``back`` is where each segment is in it.

    ``begins`` is where each direction begins in the order. ``across`` is the last segment of the
    other direction before each one; -1 where there is none. ``odd`` is of connections.
    """

    order: Ints
    back: Ints
    begins: Ints
    across: Ints
    running: Running
    odd: Bools

    @property
    def start(self) -> Ints:
        """``running.start`` in the order of ``Segments``."""
        return self.running.start[self.back]

    @property
    def end(self) -> Ints:
        """``running.end`` in the order of ``Segments``."""
        return self.running.end[self.back]

    @property
    def reached(self) -> Ints:
        """``running.reached`` in the order of ``Segments``."""
        return self.running.reached[self.back]

    @property
    def base(self) -> Numbers:
        """``running.base`` in the order of ``Segments``."""
        return self.running.base[self.back]


def above(one: Numbers, other: Numbers) -> Bools:
    """Whether sequence numbers of 32 bits are later than others, modulo 2**32."""
    later: Bools = one - other - np.uint32(1) < np.uint32(1 << 31)
    return later


def follow(segments: Segments, scale: Ints) -> Tracks:
    """Follow every direction; ``scale`` is each segment's window scale option, -1 without one."""
    order, back, begins = _by_direction(segments)
    sizes = np.diff(begins, append=len(order))
    sequence, flags = segments.sequence[order], segments.flags[order]
    length = segments.length[order]
    jump = np.zeros(len(order), np.int32)
    jump[1:] = np.diff(sequence).view(np.int32)
    jump[begins] = 0
    start = np.cumsum(jump, dtype=np.int64)
    start -= np.repeat(start[begins], sizes)
    end = start + length
    end += flags & (SYN | FIN) != 0
    expected, reached = _highest(start, end, begins, sizes)
    base = np.repeat(sequence[begins], sizes)
    far = _further(jump, -_FAR, _FAR) | _further(start - expected, -_FAR, _FAR)
    far |= _further(end, -_SPAN, _SPAN)
    # 0 stands for "none seen" in the definition: where it is a number, leave it to that.
    far |= end.astype(np.uint32) + base == 0
    # A SYN that comes again takes back what only a RST may have reached.
    again = flags & (SYN | ACK) == SYN
    again[begins] = False
    far |= again & (expected != start + length + 1)
    odd = np.zeros(len(segments.starts) - 1, np.bool_)
    odd[segments.conversation[order[far]]] = True
    _mark_odd_scales(segments, scale, odd)
    running = Running(start, end, expected, reached, base)
    return Tracks(order, back, begins, _across(segments), running, odd)


def _further(numbers: Numbers, least: int, most: int) -> Bools:
    """Which numbers do not lie between two others."""
    if not len(numbers) or (numbers.min() > least and numbers.max() < most):
        return np.zeros(len(numbers), np.bool_)
    further: Bools = (numbers <= least) | (numbers >= most)
    return further


def _by_direction(segments: Segments) -> tuple[Ints, Ints, Ints]:
    """The order by direction, the place of each segment in it, and where directions begin there.

    Connections stand together already: within each, those of side 0 go before the others.
    """
    count = len(segments)
    begins, ends = segments.starts[:-1], segments.starts[1:]
    passed = np.zeros(count + 1, np.int64)
    np.cumsum(segments.side, out=passed[1:])
    zeros = (ends - begins) - (passed[ends] - passed[begins])
    # Of side 1, before each segment in its own connection.
    ones = passed[:-1] - np.repeat(passed[begins], ends - begins)
    back = np.arange(count)
    later = np.repeat(begins + zeros, ends - begins) + ones
    back -= ones
    np.copyto(back, later, where=segments.side.view(np.bool_))
    order = np.empty(count, np.int64)
    order[back] = np.arange(count)
    both = np.stack((begins, begins + zeros), axis=1)
    has = np.stack((zeros > 0, begins + zeros < ends), axis=1)
    return order, back, both[has]


def _highest(start: Ints, end: Ints, begins: Ints, sizes: Ints) -> tuple[Ints, Ints]:
    """The highest end before each segment and with it.

    For the first of a direction, the one before is its own start.
    """
    count = len(end)
    # Directions one above the other, far enough apart that the running maximum starts anew.
    reached = np.empty(count, np.int64)
    for low in range(0, len(begins), _BLOCK):
        span = slice(low, low + _BLOCK)
        heights = np.arange(len(begins[span])) * (2 * _SPAN)
        lift = np.repeat(heights, sizes[span])
        part = slice(int(begins[low]), int(begins[low]) + len(lift))
        bounded = np.clip(end[part], -_SPAN + 1, _SPAN - 1)
        bounded += lift
        np.maximum.accumulate(bounded, out=bounded)
        np.subtract(bounded, lift, out=reached[part])
    expected = np.empty(count, np.int64)
    expected[1:] = reached[:-1]
    expected[begins] = start[begins]
    return expected, reached


def _across(segments: Segments) -> Ints:
    """The last segment of the other direction before each one."""
    count = len(segments)
    turns = np.zeros(count, np.bool_)
    turns[1:] = segments.side[1:] != segments.side[:-1]
    fresh = segments.starts[:-1]
    turns[fresh] = True
    runs = np.flatnonzero(turns)
    # What stands before a run of one side is of the other one, unless the connection begins there.
    facing = runs - 1
    facing[np.searchsorted(runs, fresh)] = -1
    return np.repeat(facing, np.diff(runs, append=count))


def _mark_odd_scales(segments: Segments, scale: Ints, odd: Bools) -> None:
    """Connections whose SYNs disagree about window scaling, or come among the data.

    And those that were opened from both sides, or have the option elsewhere than in a SYN.
    """
    syn = np.flatnonzero(segments.flags & SYN)
    where = segments.conversation[syn] * 2 + segments.side[syn]
    offered = np.zeros((2, 2 * len(odd)), np.bool_)
    has = scale[syn] >= 0
    offered[0, where[~has]] = True
    offered[1, where[has]] = True
    both = offered[0] & offered[1]
    odd |= both[0::2] | both[1::2]
    opening = np.zeros(2 * len(odd), np.bool_)
    opening[where[segments.flags[syn] & ACK == 0]] = True
    odd |= opening[0::2] & opening[1::2]
    odd[segments.conversation[(scale >= 0) & (segments.flags & SYN == 0)]] = True
    carrying = np.flatnonzero((segments.length > 0) & (segments.flags & SYN == 0))
    earliest = np.full(len(odd), len(segments), np.int64)
    np.minimum.at(earliest, segments.conversation[carrying], carrying)
    late = syn[syn > earliest[segments.conversation[syn]]]
    odd[segments.conversation[late]] = True
