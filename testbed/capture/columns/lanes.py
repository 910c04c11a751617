"""Where the records of a capture begin: a chain that is walked in many lanes at once.

A record tells only how long it is, so the next one is found through it: a walk of one step after
the other. To let numpy do it, places spread over the file are guessed to be starts of records, and
every lane is walked from its guess up to the next one's. The result is exact whatever the guesses
are worth: lane 0 begins at a true start, and a lane's positions are taken only when the walk before
it landed on exactly its start. Where it did not, single steps go on until they meet a later lane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from testbed.capture.columns.arrays import Bools, Bytes, Ints
from testbed.capture.columns.parallel import in_parts

__all__ = ["Chain", "walk"]

_SINGLE = 1 << 19  # bytes that are walked step by step, before there are lanes
_LANE = 64  # records of a lane, about: guessing its start costs about one record's length
_SHORTEST = 1 << 13  # bytes of a lane at least
_LANES = 1 << 12
_WINDOW = 1 << 28
_WORTH = 8  # lanes that make lock step faster than single steps
_PART = 1 << 8  # lanes that are worth a thread
_LOOK = 512  # offsets behind a lane's border that are tried at a time
_TRIES = 32  # of those, before the lane is given up
_LIKELY = 8  # places in each of those that are looked at closely, at most
_PROVEN = 4  # records in a row that must make sense before a guess is worth a lane
_HEAD = 16
"""Bytes of a record that ``Chain.likely`` is shown."""


@dataclass(frozen=True, slots=True)
class Chain:
    """How records follow each other.

    ``header`` is the length that a record has at least; ``step`` gives the length of the one at
    an offset, ``steps`` that of many. ``plausible`` says at which offsets there may be a record.
    All are asked only about offsets that have ``header`` bytes behind them. ``likely`` says the
    same in haste of every offset in rows of bytes, but for the last 15 of each row.
    """

    data: Bytes
    header: int
    step: Callable[[int], int]
    steps: Callable[[Ints], Ints]
    plausible: Callable[[Ints], Bools]
    likely: Callable[[Bytes], Bools]


def walk(chain: Chain, start: int, end: int) -> Iterator[tuple[Ints, int]]:
    """Batches of offsets at which the records from ``start`` on begin, and where each batch leads.

    What a batch costs is in proportion to the bytes before it, so a reader that stops at a fault or
    at another file's beginning has not paid for more than a few times what it read.
    """
    at, batch, count = start, 32, 0
    while at + chain.header <= end:
        if at - start >= _SINGLE:
            window = min(end, at + min(_WINDOW, 8 * (at - start)))
            lane = max(_SHORTEST, _LANE * (at - start) // count)
            found, at = _walk_lanes(chain, at, window, end, lane)
        else:
            found, at = _walk_steps(chain, at, end, batch)
            batch *= 2
        count += len(found)
        yield found, at


def _walk_steps(chain: Chain, at: int, end: int, count: int) -> tuple[Ints, int]:
    found: list[int] = []
    last = end - chain.header
    step = chain.step
    while at <= last and len(found) < count:
        found.append(at)
        at += step(at)
    return np.array(found, np.int64), at


def _walk_lanes(chain: Chain, at: int, until: int, end: int, size: int) -> tuple[Ints, int]:
    """The offsets from ``at`` on that lie before ``until``, and the first one that does not.

    ``size`` is that of a lane in bytes.
    """
    starts = _guess(chain, at, until, end, size)
    if len(starts) < _WORTH:
        return _walk_steps(chain, at, min(end, until + chain.header - 1), until)
    landed, rows, ends = _run(chain, starts, np.append(starts[1:], until), end)
    begins = np.concatenate(([0], ends[:-1]))
    if np.array_equal(landed[:-1], starts[1:]):
        return rows, int(landed[-1])
    taken: list[Ints] = []
    lane = 0
    while True:
        taken.append(rows[begins[lane] : ends[lane]])
        at = int(landed[lane])
        lane += 1
        if lane == len(starts):
            return np.concatenate(taken), at
        if at != starts[lane]:
            single, at, lane = _rejoin(chain, at, starts, lane, (until, end))
            taken.append(single)
            if lane == len(starts):
                return np.concatenate(taken), at


def _rejoin(
    chain: Chain, at: int, starts: Ints, lane: int, limits: tuple[int, int]
) -> tuple[Ints, int, int]:
    """Single steps from ``at`` to the start of a lane, or to the end of the window."""
    until, end = limits
    found: list[int] = []
    count = len(starts)
    while at < until and at + chain.header <= end:
        while lane < count and starts[lane] < at:
            lane += 1
        if lane < count and starts[lane] == at:
            return np.array(found, np.int64), at, lane
        found.append(at)
        at += chain.step(at)
    return np.array(found, np.int64), at, count


def _run(chain: Chain, starts: Ints, borders: Ints, end: int) -> tuple[Ints, Ints, Ints]:
    """Walk all lanes: where each landed, the offsets lane by lane, and where each lane's end."""
    landed = starts.copy()
    found: dict[int, tuple[Ints, Ints]] = {}

    def lockstep(begin: int, stop: int) -> None:
        part = slice(begin, stop)
        found[begin] = _lockstep(chain, landed[part], borders[part], end)

    in_parts(lockstep, len(starts), _PART)
    parts = [found[begin] for begin in sorted(found)]
    return (
        landed,
        np.concatenate([rows for rows, _ in parts]),
        np.cumsum(np.concatenate([counts for _, counts in parts])),
    )


def _lockstep(chain: Chain, landed: Ints, borders: Ints, end: int) -> tuple[Ints, Ints]:
    """Walk lanes one step of all at a time: the offsets lane by lane, and how many each has.

    ``landed`` is where they start, and then where they landed.
    """
    last = end - chain.header
    at, lane = landed.copy(), np.arange(len(landed), dtype=np.uint16)
    rows, lanes = [], []
    while len(lane):
        rows.append(at)
        lanes.append(lane)
        at = at + chain.steps(at)
        on = at < borders
        on &= at <= last
        if not on.all():
            landed[lane[~on]] = at[~on]
            at, lane, borders = at[on], lane[on], borders[on]
    every = np.concatenate(lanes)
    # Numbers of 16 bits are sorted by counting them.
    order = np.argsort(every, kind="stable")
    return np.concatenate(rows)[order], np.bincount(every, minlength=len(landed))


def _guess(chain: Chain, at: int, until: int, end: int, size: int) -> Ints:
    """``at``, and a likely start of a record behind each border between lanes."""
    count = max(1, min(_LANES, (until - at) // size))
    borders = np.linspace(at, until, count + 1).astype(np.int64)[1:-1]
    starts = np.full(len(borders), -1, np.int64)

    def search(begin: int, stop: int) -> None:
        _search(chain, borders[begin:stop], starts[begin:stop], end)

    in_parts(search, len(borders), _PART)
    found = np.unique(starts[(starts > at) & (starts < until)])
    return np.concatenate((np.array([at], np.int64), found))


def _search(chain: Chain, borders: Ints, starts: Ints, end: int) -> None:
    """Fill in the likely start behind each border."""
    last = min(end - chain.header, len(chain.data) - _LOOK - _HEAD)
    for attempt in range(_TRIES):
        first = borders + attempt * _LOOK
        missing = np.flatnonzero((starts < 0) & (first <= last))
        if not len(missing):
            break
        places, lane = _likely(chain, first[missing])
        fits = places <= end - chain.header
        places, lane = places[fits], missing[lane[fits]]
        good = chain.plausible(places)
        places, lane = places[good], lane[good]
        good = _makes_sense(chain, places, end)
        places, lane = places[good], lane[good]
        lanes, index = np.unique(lane, return_index=True)
        starts[lanes] = places[index]


def _likely(chain: Chain, first: Ints) -> tuple[Ints, Ints]:
    """Likely starts among the offsets from each of ``first`` on, and which of them they are of."""
    width = _LOOK + _HEAD - 1
    room = len(chain.data) - width + 1
    runs: Bytes = np.ndarray((room, width), np.uint8, chain.data, strides=(1, 1))
    lane, place = np.divmod(np.flatnonzero(chain.likely(runs[first])), _LOOK)
    if len(lane) > _LIKELY * len(first):
        begins = np.searchsorted(lane, np.arange(len(first)))
        few = np.arange(len(lane)) - begins[lane] < _LIKELY
        lane, place = lane[few], place[few]
    return first[lane] + place, lane


def _makes_sense(chain: Chain, places: Ints, end: int) -> Bools:
    """Whether the records after each place look like records too."""
    good = np.ones(len(places), np.bool_)
    at = places
    for _ in range(_PROVEN):
        at = np.where(good, at + chain.steps(np.where(good, at, places)), places)
        inside = at <= end - chain.header
        good &= inside
        good[good] = chain.plausible(at[good])
    return good
