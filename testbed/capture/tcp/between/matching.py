"""Which segment at one point is which at another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from testbed.capture.columns.arrays import Ints
from testbed.capture.tcp.between.sightings import Sightings

__all__ = ["Matched", "match", "sure_delays"]


@dataclass(frozen=True, eq=False)
class Matched:
    """Places at the first point and at the second: those of the same segment, and what is left.

    ``pairs`` has a row for each that was seen at both; ``cut`` the places at the first whose bytes
    came in other pieces; ``lost`` and ``extra`` what only one point saw; ``repeated`` are places
    at the second of what it saw once more.
    """

    pairs: Ints
    cut: Ints
    lost: Ints
    extra: Ints
    repeated: Ints


def sure_delays(first: Sightings, second: Sightings) -> Ints:
    """From one point's clock to the other's, of segments that each has seen exactly once."""
    one, other = (
        _places(first.strict, range(len(first))),
        _places(second.strict, range(len(second))),
    )
    pairs = [
        (places[0], other[key][0])
        for key, places in one.items()
        if len(places) == 1 and len(other.get(key, ())) == 1
    ]
    if not pairs:
        return np.empty(0, np.int64)
    left, right = np.array(pairs).T
    delays: Ints = second.time[right] - first.time[left]
    return delays


def match(first: Sightings, second: Sightings, offset: int) -> Matched:
    """Match what passed the first point, then the second; ``offset`` is how its clock is ahead.

    Three times, each with what is left: by all that tells one sending from another; by what
    nothing changes; by the bytes of the stream, as NICs cut segments and put them together.
    """
    before, after = first.time.tolist(), (second.time - offset).tolist()
    pairs: list[tuple[int, int]] = []
    left, right = list(range(len(first))), list(range(len(second)))
    for one, other in ((first.strict, second.strict), (first.loose, second.loose)):
        found = _match(_places(one, left), _places(other, right), before, after)
        pairs += found
        used = {place for place, _ in found}, {place for _, place in found}
        left = [place for place in left if place not in used[0]]
        right = [place for place in right if place not in used[1]]
    seen = {first.loose[place] for place, _ in pairs}
    repeated = [place for place in right if second.loose[place] in seen]
    right = [place for place in right if second.loose[place] not in seen]
    cut, pieces = _recut(first, second, left, right)
    lost = [place for place in left if place not in cut]
    extra = [place for place in right if place not in pieces]
    return Matched(
        np.array(sorted(pairs), np.int64).reshape(-1, 2),
        *(np.array(sorted(each), np.int64) for each in (cut, lost, extra, repeated)),
    )


def _places(keys: Sequence[Hashable], places: Iterable[int]) -> dict[Hashable, list[int]]:
    found: dict[Hashable, list[int]] = defaultdict(list)
    for place in places:
        found[keys[place]].append(place)
    return found


def _match(
    one: dict[Hashable, list[int]],
    other: dict[Hashable, list[int]],
    before: list[int],
    after: list[int],
) -> list[tuple[int, int]]:
    """Pair those alike: in their order where each point has as many, else the nearest before."""
    found: list[tuple[int, int]] = []
    for key, places in one.items():
        there = other.get(key, [])
        if len(places) == len(there):
            found += zip(places, there, strict=True)
            continue
        waiting = list(places)
        for place in there:
            sent = [each for each in waiting if before[each] <= after[place]]
            if sent:
                found.append((sent[-1], place))
                # What was sent before it and has not come by now is lost.
                waiting = waiting[waiting.index(sent[-1]) + 1 :]
    return found


def _recut(
    first: Sightings, second: Sightings, left: list[int], right: list[int]
) -> tuple[set[int], set[int]]:
    """Which segments of either point's rest are made of whole ones of the other's."""
    cut: set[int] = set()
    pieces: set[int] = set()
    for one, rest, other, others, whole, parts in (
        (first, left, second, right, cut, pieces),
        (second, right, first, left, pieces, cut),
    ):
        starts: dict[int, int] = {}
        for place in others:
            if other.way.length[place]:
                starts.setdefault(int(other.start[place]), place)
        for place in rest:
            chain = _chain(int(one.start[place]), int(one.way.length[place]), starts, other)
            if chain:
                whole.add(place)
                parts.update(chain)
    return cut, pieces


def _chain(start: int, length: int, starts: dict[int, int], other: Sightings) -> list[int]:
    """The segments that make up a longer one; none where they do not."""
    chain: list[int] = []
    while length > 0:
        place = starts.get(start)
        if place is None:
            return []
        size = int(other.way.length[place])
        chain.append(place)
        start, length = start + size & 0xFFFFFFFF, length - size
    return chain if length == 0 and len(chain) > 1 else []
