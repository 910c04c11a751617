"""How large the segments of one direction were, and when that changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from testbed.capture.columns.arrays import Ints
from testbed.capture.tcp.way import Way

__all__ = ["SizeChange", "Told", "size_changes"]

_AFTER = 10
"""So many segments after a change show what the size is then."""

_Reason = Literal["too big", "cut up", "larger"]


@dataclass(frozen=True, slots=True)
class SizeChange:
    """From ``time`` on the largest segments had ``after`` bytes and no more ``before``.

    Why: *too big*, a router said so (RFC 1191, RFC 8201), and that its ``mtu`` is as given; *cut
    up*, what had been lost went again in smaller pieces and nothing larger came behind, as where a
    sender finds a black hole (RFC 4821 7.7); *larger*, after one of these a larger one went.
    ``index`` is the first segment of the new size, among all of the capture.
    """

    time: int
    before: int
    after: int
    reason: _Reason
    mtu: int | None
    index: int


@dataclass(frozen=True, slots=True)
class Told:
    """What is known besides the segments: when routers said that something was too big.

    ``headers`` is how much of a packet its IP and TCP headers are, ``limit`` what the other end's
    SYN allowed: longer segments are what a NIC is to cut (TSO).
    """

    times: Ints
    mtus: Ints
    headers: int
    limit: int | None


def size_changes(way: Way, told: Told) -> tuple[SizeChange, ...]:
    """The changes of one direction."""
    limit = told.limit
    carries = (way.length > 0) & ((limit is None) | (way.length <= (limit or 0)))
    places = np.flatnonzero(carries)
    length = way.length[places].astype(np.int64)
    events = sorted([*_told(way, places, told), *_cut_up(way, places)])
    found: list[SizeChange] = []
    for number, (place, mtu) in enumerate(events):
        until = events[number + 1][0] if number + 1 < len(events) else len(places)
        before = found[-1].after if found else int(length[:place].max(initial=0))
        after = int(length[place : min(until, place + _AFTER)].max(initial=0))
        # What a router said made a difference where what went before did not fit, and now does.
        fits = mtu - told.headers if mtu > 0 else after
        if not 0 < after <= fits < before:
            continue
        reason: _Reason = "too big" if mtu >= 0 else "cut up"
        at = int(places[place])
        mtu_told = mtu if mtu >= 0 else None
        found.append(
            SizeChange(int(way.time[at]), before, after, reason, mtu_told, int(way.index[at]))
        )
        larger = np.flatnonzero(length[place + _AFTER : until] > after)
        if len(larger):
            at = int(places[place + _AFTER + larger[0]])
            grown = int(way.length[at])
            found.append(
                SizeChange(int(way.time[at]), after, grown, "larger", None, int(way.index[at]))
            )
    return tuple(found)


def _told(way: Way, places: Ints, told: Told) -> list[tuple[int, int]]:
    """The first segment that was sent again after each message, and the MTU in it."""
    again = np.flatnonzero(way.again[places])
    events: list[tuple[int, int]] = []
    for time, mtu in zip(told.times.tolist(), told.mtus.tolist(), strict=True):
        behind = int(np.searchsorted(way.time[places], time))
        repeated = again[again >= behind]
        place = int(repeated[0]) if len(repeated) else behind
        if place < len(places):
            events.append((place, mtu))
    return events


def _cut_up(way: Way, places: Ints) -> list[tuple[int, int]]:
    """Where what was sent went again in smaller pieces, and nothing larger right behind."""
    again = np.flatnonzero(way.again[places])
    if not len(again):
        return []
    length, start = way.length[places], way.start[places]
    sizes: dict[int, int] = {}
    events: list[tuple[int, int]] = []
    asked = set(again.tolist())
    largest = 0
    for place, (number, size) in enumerate(zip(start.tolist(), length.tolist(), strict=True)):
        if place in asked and size < sizes.get(number, 0) == largest:
            behind = length[place : place + _AFTER]
            if int(behind.max()) <= size and len(behind) > 1:
                events.append((place, -1))
                largest = size
        sizes[number] = size
        largest = max(largest, size)
    return events
