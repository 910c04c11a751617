"""Time as a value: instants and durations in whole nanoseconds, clocks, and a table of deadlines.

Nothing here reads a clock. The loop in ``testbed.hosts`` is the only reader of a real one.
"""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, NewType, Protocol, TypeVar

__all__ = [
    "Clock",
    "Duration",
    "Instant",
    "ManualClock",
    "TimerTable",
    "after",
    "format_duration",
    "microseconds",
    "milliseconds",
    "seconds",
    "to_seconds",
]

Instant = NewType("Instant", int)
"""A point in time: nanoseconds since the epoch of the clock that gave it."""

Duration = NewType("Duration", int)
"""A span of time in nanoseconds."""


def seconds(value: float) -> Duration:
    """A duration of ``value`` seconds."""
    return Duration(round(value * 1_000_000_000))


def milliseconds(value: float) -> Duration:
    """A duration of ``value`` milliseconds."""
    return Duration(round(value * 1_000_000))


def microseconds(value: float) -> Duration:
    """A duration of ``value`` microseconds."""
    return Duration(round(value * 1_000))


def to_seconds(span: Duration) -> float:
    """``span`` in seconds."""
    return span / 1_000_000_000


def after(start: Instant, span: Duration) -> Instant:
    """The instant ``span`` after ``start``."""
    return Instant(start + span)


def format_duration(span: Duration) -> str:
    """``span`` for people, in its natural unit: ``1.5 s``, ``20 ms``, ``3 us``, ``7 ns``."""
    for unit, size in (("s", 1_000_000_000), ("ms", 1_000_000), ("us", 1_000)):
        if abs(span) >= size:
            return f"{span / size:.4g} {unit}"
    return f"{span} ns"


class Clock(Protocol):
    """Tells the time of its lab: monotonic, in nanoseconds."""

    def now(self) -> Instant:
        """The present instant."""


class ManualClock:
    """A clock that moves only when told to."""

    def __init__(self, start: Instant = Instant(0)) -> None:
        self._now = start

    def now(self) -> Instant:
        """The present instant."""
        return self._now

    def advance(self, span: Duration) -> Instant:
        """Move forward by ``span``; time never goes back (ValueError)."""
        if span < 0:
            raise ValueError(f"time does not go back: {format_duration(span)}")
        self._now = Instant(self._now + span)
        return self._now


K = TypeVar("K", bound=Hashable)


class TimerTable(Generic[K]):
    """Named deadlines: at most one per name, soonest first, ties in the order they were set."""

    def __init__(self) -> None:
        self._deadline: dict[K, tuple[Instant, int]] = {}
        self._heap: list[tuple[Instant, int, K]] = []
        self._order = 0

    def set(self, name: K, at: Instant) -> None:
        """Let ``name`` fall due at ``at``, in place of any deadline that it had."""
        self._order += 1
        self._deadline[name] = (at, self._order)
        heapq.heappush(self._heap, (at, self._order, name))

    def cancel(self, name: K) -> None:
        """Forget ``name``; a name that is not set is no error."""
        self._deadline.pop(name, None)

    def deadline(self, name: K) -> Instant | None:
        """When ``name`` falls due, or None."""
        entry = self._deadline.get(name)
        return entry[0] if entry else None

    def next_deadline(self) -> Instant | None:
        """The soonest deadline of all, or None."""
        self._drop_stale()
        return self._heap[0][0] if self._heap else None

    def pop_due(self, now: Instant) -> K | None:
        """Remove and return the soonest name that is due at ``now``, or None."""
        self._drop_stale()
        if not self._heap or self._heap[0][0] > now:
            return None
        _, _, name = heapq.heappop(self._heap)
        del self._deadline[name]
        return name

    def __len__(self) -> int:
        return len(self._deadline)

    def _drop_stale(self) -> None:
        while self._heap:
            at, order, name = self._heap[0]
            if self._deadline.get(name) == (at, order):
                return
            heapq.heappop(self._heap)
