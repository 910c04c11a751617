"""Times in which a connection stood still, and what it waited for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from testbed.capture.tcp.flags import Flag
from testbed.capture.tcp.way import Way

__all__ = ["Blame", "Stall", "find_stalls"]

Blame = Literal["application", "receiver", "network", "sender"]

_SHORTEST = 200_000_000
_AGAIN = int(
    Flag.RETRANSMISSION
    | Flag.FAST_RETRANSMISSION
    | Flag.SPURIOUS_RETRANSMISSION
    | Flag.OUT_OF_ORDER
)


@dataclass(frozen=True, slots=True)
class Stall:
    """Nothing passed from ``start`` on for ``span`` nanoseconds; ``index`` is what ended it.

    ``cause``: *network*, what was lost went again, or an answer took that long; *receiver*, its
    window was full or closed; *sender*, it had data out, might have sent more and did not;
    *application*, nothing was out: nobody had anything to send.
    """

    start: int
    span: int
    cause: Blame
    reason: str
    index: int


def find_stalls(ways: tuple[Way, Way], shortest: int | None = None) -> tuple[Stall, ...]:
    """The stalls between a connection's segments: 200 ms, or four round trips, or longer."""
    trips = [took for way in ways for took in way.round_trips[1].tolist()]
    least = shortest or max(_SHORTEST, 4 * int(np.median(trips)) if trips else 0)
    times = np.concatenate([way.time for way in ways])
    sides = np.repeat([0, 1], [len(way.time) for way in ways])
    places = np.concatenate([np.arange(len(way.time)) for way in ways])
    order = np.argsort(np.concatenate([way.index for way in ways]), kind="stable")
    gaps = np.diff(times[order])
    found: list[Stall] = []
    for gap in np.flatnonzero(gaps >= least).tolist():
        after = order[gap + 1]
        side, place = int(sides[after]), int(places[after])
        start = int(times[order[gap]])
        cause, reason = _cause(ways, side, place, start)
        found.append(Stall(start, int(gaps[gap]), cause, reason, int(ways[side].index[place])))
    return tuple(found)


def _cause(ways: tuple[Way, Way], side: int, place: int, start: int) -> tuple[Blame, str]:
    """What ``place`` of one side, which ended a stall that began at ``start``, tells of it."""
    mine, other = ways[side], ways[1 - side]
    flags = int(mine.flags[place])
    if flags & int(Flag.ZERO_WINDOW_PROBE):
        return "receiver", "its window was closed"
    if flags & _AGAIN:
        return "network", "what was lost was sent again"
    if mine.length[place] and not flags & int(Flag.KEEP_ALIVE):
        return _late_data(mine, place, start)
    return _late_answer(other, start, update=bool(flags & int(Flag.WINDOW_UPDATE)))


def _late_data(mine: Way, place: int, start: int) -> tuple[Blame, str]:
    """Why data came no sooner."""
    if not _out(mine, start):
        return "application", "nothing was on its way: it had nothing to send"
    if _edge(mine, start) < int(mine.end[place]):
        return "receiver", "its window was full"
    return "sender", "the window was open, and it did not send"


def _late_answer(other: Way, start: int, *, update: bool) -> tuple[Blame, str]:
    """Why an ACK of what ``other`` sent came no sooner."""
    closed = _edge(other, start) <= _sent(other, start)
    if update or (closed and _out(other, start)):
        return "receiver", "it opened its window only then"
    if _out(other, start):
        return "network", "what was on its way was answered only then"
    return "application", "nothing was on its way"


def _sent(way: Way, time: int) -> int:
    """The highest number sent by a time."""
    count = int(np.searchsorted(way.time, time, side="right"))
    return int(way.end[:count].max(initial=0))


def _out(way: Way, time: int) -> int:
    """How much was sent and not acknowledged at a time."""
    count = int(np.searchsorted(way.answered, time, side="right"))
    floor = int(way.start[0]) if len(way.start) else 0
    return max(0, _sent(way, time) - int(way.ack[:count].max(initial=floor)))


def _edge(way: Way, time: int) -> int:
    """The end of the window that was announced at a time."""
    count = int(np.searchsorted(way.answered, time, side="right"))
    return int(way.edge[count - 1]) if count else 1 << 62
