"""What a stack did and why, as typed values: for plans to ask about and for the report to draw."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from testbed.timing import Instant

__all__ = ["Event", "EventLog", "Note", "PacketDropped"]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened at ``at``, on the stack's clock. Each area derives its own."""

    at: Instant


@dataclass(frozen=True, slots=True)
class Note(Event):
    """A remark in words, for what needs no class of its own."""

    text: str


@dataclass(frozen=True, slots=True)
class PacketDropped(Event):
    """A packet came and was not taken: ``layer`` is who refused it, ``reason`` why."""

    layer: str
    reason: str


E = TypeVar("E", bound=Event)


class EventLog:
    """The latest ``limit`` events, oldest first; earlier ones are counted only."""

    def __init__(self, limit: int) -> None:
        self._events: deque[Event] = deque(maxlen=limit)
        self.total = 0
        self.listener: Callable[[Event], None] | None = None
        """Told of each event as it happens."""

    def add(self, event: Event) -> None:
        """Note one event."""
        self.total += 1
        self._events.append(event)
        if self.listener is not None:
            self.listener(event)

    def of(self, kind: type[E]) -> tuple[E, ...]:
        """The events of one class, and of those derived from it."""
        return tuple(event for event in self._events if isinstance(event, kind))

    @property
    def forgotten(self) -> int:
        """Events that were counted and are no longer held."""
        return self.total - len(self._events)

    def __iter__(self) -> Iterator[Event]:
        return iter(tuple(self._events))

    def __len__(self) -> int:
        return len(self._events)
