"""What the faults of a fault box have in common. Nothing here reads a clock or opens a port."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from testbed.errors import PlanError
from testbed.timing import Instant

__all__ = ["KEPT_EVENTS", "EventLog", "Stage", "StageEvent"]

KEPT_EVENTS = 10_000
"""Events of one stage that are kept whole; those after are counted only."""


@dataclass(frozen=True, slots=True)
class StageEvent:
    """One thing that a stage did to a frame.

    ``at`` is on the clock of whoever pushed the frame. ``action`` is one word (``drop``,
    ``duplicate``, ``corrupt``, ``modify``, ``hold``, ``release``), ``frame`` is as it came in.
    """

    at: Instant
    action: str
    frame: bytes
    note: str


class EventLog:
    """What a stage did: every event counted, the first ones kept."""

    def __init__(self) -> None:
        self._events: list[StageEvent] = []
        self._counts: Counter[str] = Counter()
        self.listener: Callable[[StageEvent], None] | None = None
        self.refresh: Callable[[], None] | None = None
        """Brings the log up to date, where something else than the stage does its work."""

    @property
    def events(self) -> list[StageEvent]:
        """The events that are kept, oldest first."""
        if self.refresh is not None:
            self.refresh()
        return self._events

    @property
    def counts(self) -> Counter[str]:
        """How often each action was done, all of them."""
        if self.refresh is not None:
            self.refresh()
        return self._counts

    @property
    def room(self) -> int:
        """How many more events will be kept."""
        return KEPT_EVENTS - len(self._events)

    @property
    def omitted(self) -> int:
        """Events that were counted and not kept."""
        return self.counts.total() - len(self.events)

    def add(self, at: Instant, action: str, frame: bytes, note: str) -> None:
        """Note one event, and tell the listener."""
        self._counts[action] += 1
        event = StageEvent(at, action, frame, note)
        if len(self._events) < KEPT_EVENTS:
            self._events.append(event)
        if self.listener is not None:
            self.listener(event)

    def count(self, action: str, times: int) -> None:
        """Note events of which nothing is known but that they were."""
        self._counts[action] += times


class Stage:
    """One fault, sans-IO: frames and instants in, frames and a deadline out.

    This one lets everything pass; a plan writes a fault of its own by overriding ``push``, and
    ``due`` with ``next_deadline`` when it keeps frames back. Whatever is lost, added or altered is
    noted in ``log``. A stage has state and serves one direction of one box.
    """

    def __init__(self) -> None:
        self.log = EventLog()
        self._changed: Callable[[], None] | None = None

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """Take one frame; those that leave at once, in order. ``now`` never goes back."""
        del now
        return (frame,)

    def due(self, now: Instant) -> Sequence[bytes]:
        """Those frames kept back whose time has come, in order."""
        del now
        return ()

    def next_deadline(self) -> Instant | None:
        """When due() will have frames, or None; one that has passed means: now."""
        return None

    def flush(self, now: Instant) -> Sequence[bytes]:
        """Give up all frames kept back, in order: the stage is being taken away."""
        del now
        return ()

    def attach(self, on_event: Callable[[StageEvent], None], on_change: Callable[[], None]) -> None:
        """Serve one box; PlanError when the stage serves one already.

        ``on_event`` hears of every event, ``on_change`` of a new deadline that came by no frame.
        """
        if self._changed is not None:
            raise PlanError(
                f"{type(self).__name__} is in a box already; a stage keeps count, so each "
                "direction needs one of its own"
            )
        self.log.listener = on_event
        self._changed = on_change

    def detach(self) -> None:
        """Serve no box any more."""
        self.log.listener = None
        self._changed = None

    def _announce_change(self) -> None:
        if self._changed is not None:
            self._changed()
