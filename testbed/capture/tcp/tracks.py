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
class Tracks:
    """One element for every segment, in the order of ``Segments``.

    ``before`` is the segment before it of its own direction, ``across`` the last one of the other
    before it; -1 where there is none. ``first``: it is the first one of its direction. ``start``
    and ``end`` are its numbers, running on; ``expected`` is the highest end before it, and
    ``reached`` with it; ``raised`` is the segment that made it so. ``base`` turns these into
    numbers on the wire. ``odd`` is of connections. ``order`` puts directions together.
    """

    before: Ints
    across: Ints
    first: Bools
    start: Ints
    end: Ints
    expected: Ints
    reached: Ints
    raised: Ints
    base: Numbers
    odd: Bools
    order: Ints

    def wire(self, numbers: Ints) -> Ints:
        """Running numbers of each segment's own direction as they stand on the wire."""
        return numbers + self.base & MASK


def above(one: Numbers, other: Numbers) -> Bools:
    """Whether sequence numbers are later than others, modulo 2**32."""
    ahead = one - other & MASK
    return (ahead > 0) & (ahead < 1 << 31)


def follow(segments: Segments, scale: Ints) -> Tracks:
    """Follow every direction; ``scale`` is each segment's window scale option, -1 without one."""
    count = len(segments)
    places = np.arange(count)
    order, back, first = _by_direction(segments, places)
    control = (segments.flags & (SYN | FIN) != 0).astype(np.int64)
    start, jump = _unwrap(segments.sequence[order], first)
    end = start + (segments.length + control)[order]
    expected, reached, raised = _highest(start, end, first)
    far = (np.abs(jump) >= _FAR) | (np.abs(expected - start) >= _FAR) | (np.abs(end) >= _SPAN)
    begins = np.maximum.accumulate(np.where(first, np.arange(count), 0))
    base = segments.sequence[order][begins]
    # 0 stands for "none seen" in the definition: where it is a number, leave it to that.
    far |= (end + base & MASK) == 0
    before = np.where(first, -1, np.concatenate((order[:1], order[:-1])))[back]
    # A SYN that comes again takes back what only a RST may have reached.
    again = ~first & (segments.flags[order] & (SYN | ACK) == SYN)
    far |= again & (expected != start + segments.length[order] + 1)
    odd = np.zeros(len(segments.starts) - 1, np.bool_)
    odd[segments.conversation[order[far]]] = True
    _mark_odd_scales(segments, scale, odd)
    return Tracks(
        before=before,
        across=_across(segments, places),
        first=first[back],
        start=start[back],
        end=end[back],
        expected=expected[back],
        reached=reached[back],
        raised=order[raised][back],
        base=base[back],
        odd=odd,
        order=order,
    )


def _by_direction(segments: Segments, places: Ints) -> tuple[Ints, Ints, Bools]:
    """The order by direction, the place of each segment in it, and which begin a direction there.

    Connections stand together already: within each, those of side 0 go before the others.
    """
    count = len(places)
    begins, ends = segments.starts[:-1], segments.starts[1:]
    passed = np.concatenate((np.zeros(1, np.int64), np.cumsum(segments.side)))
    ones = passed[:-1] - passed[begins][segments.conversation]  # of side 1, before each in its own
    zeros = (ends - begins) - (passed[ends] - passed[begins])
    start = begins[segments.conversation]
    later = start + zeros[segments.conversation] + ones
    back = np.where(segments.side == 1, later, places - ones)
    order = np.empty(count, np.int64)
    order[back] = places
    first = np.zeros(count, np.bool_)
    first[begins] = True
    split = (begins + zeros)[begins + zeros < ends]
    first[split] = True
    return order, back, first


def _unwrap(sequence: Numbers, first: Bools) -> tuple[Ints, Ints]:
    """Sequence numbers running on from 0 at the first of each direction, and how they moved."""
    jump = np.zeros(len(sequence), np.int64)
    jump[1:] = np.diff(sequence).view(np.int32)
    jump[first] = 0
    total = np.cumsum(jump)
    begins = np.maximum.accumulate(np.where(first, np.arange(len(sequence)), 0))
    return total - total[begins], jump


def _highest(start: Ints, end: Ints, first: Bools) -> tuple[Ints, Ints, Ints]:
    """The highest end before each segment and with it, and the segment that brought the latter.

    For the first of a direction, the one before is its own start.
    """
    count = len(end)
    # Directions one above the other, far enough apart that the running maximum starts anew.
    level = np.cumsum(first) - 1
    reached = np.empty(count, np.int64)
    for low in range(0, int(level[-1]) + 1 if count else 0, _BLOCK):
        begin, stop = np.searchsorted(level, (low, low + _BLOCK))
        lift = (level[begin:stop] - low) * (2 * _SPAN)
        bounded = np.clip(end[begin:stop], -_SPAN + 1, _SPAN - 1)
        reached[begin:stop] = np.maximum.accumulate(bounded + lift) - lift
    expected = np.empty(count, np.int64)
    expected[1:] = reached[:-1]
    expected[first] = start[first]
    rises = first | (end > expected)
    raised = np.maximum.accumulate(np.where(rises, np.arange(count), 0))
    return expected, reached, raised


def _across(segments: Segments, places: Ints) -> Ints:
    """The last segment of the other direction before each one."""
    latest = [np.maximum.accumulate(np.where(segments.side == side, places, -1)) for side in (0, 1)]
    across = np.where(segments.side == 0, latest[1], latest[0])
    begins = segments.starts[segments.conversation]
    return np.where(across >= begins, across, -1)


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
