"""What became of one direction of a connection between two points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from testbed.capture.columns.arrays import Ints
from testbed.capture.tcp.between.changed import Change, changes
from testbed.capture.tcp.between.matching import match
from testbed.capture.tcp.between.sightings import Sightings

__all__ = ["Passage", "pass_on"]


@dataclass(frozen=True, eq=False)
class Passage:
    """The segments of one direction from the ``first`` point that they passed to the ``second``.

    Frame numbers count from 1. ``sent`` is how many passed the first while the second captured, and
    ``arrived`` how many of them passed the second, whole or in other pieces (``cut``). ``lost`` are
    the others, by their frames at the first point; of these ``uncaptured`` must have passed the
    second all the same, as they were acknowledged and nobody sent them again. ``extra`` are frames
    at the second that were not at the first, ``repeated`` those that came once more than they
    were sent, ``overtaken`` those that came behind a later one. ``delay`` is of each
    segment that arrived whole, in nanoseconds, and ``at`` when it passed the first point.
    """

    way: Literal["up", "down"]
    first: str
    second: str
    sent: int
    arrived: int
    cut: int
    lost: tuple[int, ...]
    uncaptured: tuple[int, ...]
    extra: tuple[int, ...]
    repeated: tuple[int, ...]
    overtaken: tuple[int, ...]
    at: Ints
    delay: Ints
    changes: tuple[Change, ...]


def pass_on(
    way: Literal["up", "down"],
    seen: tuple[Sightings, Sightings],
    names: tuple[str, str],
    offset: int,
) -> Passage:
    """Follow one direction; ``offset`` is how much the second point's clock is ahead."""
    first, second = seen
    matched = match(first, second, offset)
    left, right = matched.pairs.T
    delay = second.time[right] - offset - first.time[left]
    lost = _while(first, matched.lost, second, -offset)
    extra = _while(second, matched.extra, first, offset)
    # In the order of the first point: who has one behind him that is before him at the second.
    behind = right > np.minimum.accumulate(right[::-1])[::-1]
    uncaptured = lost[_acknowledged(first, lost) & ~np.isin(first.start[lost], second.start)]
    arrived = len(left) + len(matched.cut)
    return Passage(
        way,
        *names,
        sent=arrived + len(lost),
        arrived=arrived,
        cut=len(matched.cut),
        lost=_frames(first, lost),
        uncaptured=_frames(first, uncaptured),
        extra=_frames(second, extra),
        repeated=_frames(second, matched.repeated),
        overtaken=_frames(second, right[behind]),
        at=first.time[left],
        delay=delay,
        changes=changes(first, second, matched.pairs),
    )


def _frames(seen: Sightings, places: Ints) -> tuple[int, ...]:
    return tuple(np.sort(seen.frames[places]).tolist())


def _while(seen: Sightings, places: Ints, other: Sightings, offset: int) -> Ints:
    """Those that one point saw while the other captured, whose clock is ``offset`` behind."""
    begin, end = other.span
    times = seen.time[places]
    return places[(times >= begin + offset) & (times <= end + offset)]


def _acknowledged(seen: Sightings, places: Ints) -> np.typing.NDArray[np.bool_]:
    way = seen.way
    highest = int(way.ack.max()) if len(way.ack) else 0
    acked: np.typing.NDArray[np.bool_] = (way.end[places] <= highest) & (way.length[places] > 0)
    return acked
