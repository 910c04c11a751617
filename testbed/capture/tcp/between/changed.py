"""What became other on the way: TTL, addresses, options, marks, contents."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np

from testbed.capture.columns.arrays import Bools, Ints, Numbers
from testbed.capture.tcp.between.sightings import Sightings
from testbed.capture.tcp.flags import SYN

__all__ = ["Change", "changes"]


@dataclass(frozen=True, slots=True)
class Change:
    """A field that was ``before`` at the first point and ``after`` at the second, in ``count``.

    ``frame`` is the first of them, as the first point numbers them. Addresses, ports, TTL, DSCP,
    ECN, identification, window, and sequence numbers where they are counted from elsewhere; of
    SYNs the MSS, the window scale and whether SACK is permitted; ``payload`` is checked as far as
    both points have captured it, and told without its bytes.
    """

    field: str
    before: str
    after: str
    count: int
    frame: int


def changes(first: Sightings, second: Sightings, pairs: Ints) -> tuple[Change, ...]:
    """What differs between the segments of each pair."""
    if not len(pairs):
        return ()
    left, right = pairs.T
    found: list[Change] = []
    mine, theirs = _values(first, left), _values(second, right)
    for name, before in mine.items():
        found += _differences(name, before, theirs[name], first.frames[left])
    found += _identity(first, second, left, right)
    changed = _payloads(first, second, left, right)
    if changed:
        found.append(Change("payload", "", "", len(changed), int(first.frames[changed[0]])))
    return tuple(found)


_EACH = ("window", "identification")
"""What differs from segment to segment: told once, by the first that differs."""


def _differences(name: str, before: Ints, after: Ints, frames: Ints) -> list[Change]:
    where = np.flatnonzero(before != after)
    if name in _EACH:
        where, count = where[:1], len(where)
    else:
        count = 0
    pairs = list(zip(before[where].tolist(), after[where].tolist(), strict=True))
    counts = Counter(pairs)
    return [
        Change(
            name, _word(one), _word(other), count or times, int(frames[where[pairs.index(pair)]])
        )
        for pair, times in counts.items()
        for one, other in (pair,)
    ]


def _word(value: int) -> str:
    return "none" if value < 0 else str(value)


def _values(seen: Sightings, places: Ints) -> dict[str, Ints]:
    segments, options = seen.connection.segments, seen.connection.options
    headers, rows, index = segments.headers, seen.rows[places], seen.way.index[places]
    syn = segments.flags[index] & SYN != 0
    at = headers.columns.offset[rows] + headers.network_at[rows]
    four = headers.version[rows] == 4
    word = headers.gather.u2(at).astype(np.int64)
    service = np.where(four, word & 0xFF, word >> 4 & 0xFF)

    def of_syn(column: Numbers | Bools) -> Ints:
        return np.where(syn, column[index].astype(np.int64), -2)

    return {
        "ttl": headers.ttl[rows],
        "dscp": service >> 2,
        "ecn": service & 3,
        "mss": of_syn(options.maximum),
        "window scale": of_syn(options.scale),
        "sack permitted": of_syn(options.sack_permitted),
        "window": segments.window[index],
        "identification": np.where(four, headers.ident[rows].astype(np.int64), -1),
    }


def _identity(first: Sightings, second: Sightings, left: Ints, right: Ints) -> list[Change]:
    """Addresses, ports and where numbers begin: the same for all of a direction."""
    found: list[Change] = []
    frame = int(first.frames[left[0]])
    one, other = (
        (each.connection.segments, int(each.way.index[places[0]]))
        for each, places in ((first, left), (second, right))
    )
    for name, before, after in (
        ("source", one[0].endpoint(one[1]), other[0].endpoint(other[1])),
        ("target", one[0].opposite(one[1]), other[0].opposite(other[1])),
    ):
        if before != after:
            words = [f"{address} port {port}" for address, port in (before, after)]
            found.append(Change(name, words[0], words[1], len(left), frame))
    if first.own != second.own:
        found.append(Change("sequence", str(first.own), str(second.own), len(left), frame))
    return found


def _payloads(first: Sightings, second: Sightings, left: Ints, right: Ints) -> list[int]:
    """Places at the first point of segments whose data differ, as far as both have them."""
    found: list[int] = []
    carries = first.way.length[left] > 0
    for one, other in zip(left[carries].tolist(), right[carries].tolist(), strict=True):
        mine, theirs = _payload(first, one), _payload(second, other)
        both = min(len(mine), len(theirs))
        if mine[:both] != theirs[:both]:
            found.append(one)
    return found


def _payload(seen: Sightings, place: int) -> bytes:
    headers, row = seen.connection.segments.headers, int(seen.rows[place])
    size = int(headers.control[row] >> 28) * 4
    start = int(headers.columns.offset[row]) + int(headers.payload_at[row])
    stop = start + max(size, min(int(headers.room[row]), size + int(seen.way.length[place])))
    return headers.columns.data[start + size : stop].tobytes()
