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

from testbed.capture.columns.arrays import Bools, Ints

__all__ = ["Chain", "walk"]

_LANE = 1 << 16  # bytes of a lane at least: guessing its start costs about one packet's length
_LANES = 512
_WINDOW = 1 << 28
_WORTH = 8  # lanes that make lock step faster than single steps
_LOOK = 512  # offsets behind a lane's border that are tried at a time
_TRIES = 32  # of those, before the lane is given up
_PROVEN = 4  # records in a row that must make sense before a guess is worth a lane


@dataclass(frozen=True, slots=True)
class Chain:
    """How records follow each other.

    ``header`` is the length that a record has at least; ``step`` gives the length of the one at
    an offset, ``steps`` that of many. ``plausible`` says at which offsets there may be a record.
    All are asked only about offsets that have ``header`` bytes behind them.
    """

    header: int
    step: Callable[[int], int]
    steps: Callable[[Ints], Ints]
    plausible: Callable[[Ints], Bools]


def walk(chain: Chain, start: int, end: int) -> Iterator[tuple[Ints, int]]:
    """Batches of offsets at which the records from ``start`` on begin, and where each batch leads.

    What a batch costs is in proportion to the bytes before it, so a reader that stops at a fault or
    at another file's beginning has not paid for more than a few times what it read.
    """
    at, batch = start, 32
    while at + chain.header <= end:
        if at - start >= 8 * _LANE:
            window = min(end, at + min(_WINDOW, 8 * (at - start)))
            found, at = _walk_lanes(chain, at, window, end)
        else:
            found, at = _walk_steps(chain, at, end, batch)
            batch *= 2
        yield found, at


def _walk_steps(chain: Chain, at: int, end: int, count: int) -> tuple[Ints, int]:
    found: list[int] = []
    last = end - chain.header
    step = chain.step
    while at <= last and len(found) < count:
        found.append(at)
        at += step(at)
    return np.array(found, np.int64), at


def _walk_lanes(chain: Chain, at: int, until: int, end: int) -> tuple[Ints, int]:
    """The offsets from ``at`` on that lie before ``until``, and the first one that does not."""
    starts = _guess(chain, at, until, end)
    if len(starts) < _WORTH:
        return _walk_steps(chain, at, min(end, until + chain.header - 1), until)
    borders = np.append(starts[1:], until)
    landed, rows, lanes = _run(chain, starts, borders, end)
    order = np.argsort(lanes, kind="stable")
    rows = rows[order]
    ends = np.searchsorted(lanes[order], np.arange(len(starts)), side="right")
    begins = np.concatenate(([0], ends[:-1]))
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
    """Walk all lanes in lock step: where each landed, all offsets, and the lane of each."""
    last = end - chain.header
    landed = starts.copy()
    lane = np.flatnonzero(starts <= last)
    at = starts[lane]
    rows, lanes = [at], [lane]
    while len(at):
        after = at + chain.steps(at)
        landed[lane] = after
        on = (after < borders[lane]) & (after <= last)
        at, lane = after[on], lane[on]
        rows.append(at)
        lanes.append(lane)
    return landed, np.concatenate(rows), np.concatenate(lanes)


def _guess(chain: Chain, at: int, until: int, end: int) -> Ints:
    """``at``, and a likely start of a record behind each border between lanes."""
    count = max(1, min(_LANES, (until - at) // _LANE))
    borders = np.linspace(at, until, count + 1).astype(np.int64)[1:-1]
    starts = np.full(len(borders), -1, np.int64)
    for attempt in range(_TRIES):
        missing = np.flatnonzero(starts < 0)
        if not len(missing):
            break
        first = borders[missing] + attempt * _LOOK
        places = (first[:, None] + np.arange(_LOOK)).ravel()
        lane = np.repeat(missing, _LOOK)
        fits = places <= end - chain.header
        places, lane = places[fits], lane[fits]
        good = chain.plausible(places)
        places, lane = places[good], lane[good]
        good = _makes_sense(chain, places, end)
        places, lane = places[good], lane[good]
        lanes, index = np.unique(lane, return_index=True)
        starts[lanes] = places[index]
    found = np.unique(starts[(starts > at) & (starts < until)])
    return np.concatenate((np.array([at], np.int64), found))


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
