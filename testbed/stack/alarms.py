"""Deadlines with what is to be done then: the only timers that a stack has."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TypeAlias

from testbed.timing import Instant, TimerTable

__all__ = ["Action", "Alarms"]

Action: TypeAlias = Callable[[Instant], None]
"""Called with the present instant, which may be later than the deadline."""


class Alarms:
    """At most one deadline per key; the soonest is what the stack reports as its time-out."""

    def __init__(self) -> None:
        self._table: TimerTable[Hashable] = TimerTable()
        self._actions: dict[Hashable, Action] = {}

    def set(self, key: Hashable, at: Instant, action: Action) -> None:
        """Call ``action`` at ``at``, in place of whatever was due under ``key``."""
        self._table.set(key, at)
        self._actions[key] = action

    def cancel(self, key: Hashable) -> None:
        """Forget ``key``; one that is not set is no error."""
        self._table.cancel(key)
        self._actions.pop(key, None)

    def deadline(self, key: Hashable) -> Instant | None:
        """When ``key`` falls due, or None."""
        return self._table.deadline(key)

    def next_deadline(self) -> Instant | None:
        """The soonest deadline of all, or None."""
        return self._table.next_deadline()

    def fire_due(self, now: Instant) -> None:
        """Do all that is due at ``now``, soonest first."""
        while (key := self._table.pop_due(now)) is not None:
            self._actions.pop(key)(now)

    def __len__(self) -> int:
        return len(self._table)
