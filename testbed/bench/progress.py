"""Who is told, while a plan goes on, how far what a NIC sends by itself has come."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from testbed.timing import Duration, milliseconds

__all__ = ["EVERY", "Moving", "Watcher", "watched_by", "watchers"]

EVERY: Duration = milliseconds(100)
"""How often watchers are told."""


class Moving(Protocol):
    """What is under way."""

    @property
    def label(self) -> str:
        """What it is, in a few words."""

    @property
    def sent(self) -> int:
        """Frames sent so far."""

    @property
    def sent_bytes(self) -> int:
        """Bytes of them."""

    @property
    def total(self) -> int | None:
        """Frames in all; None where nobody knows."""


class Watcher(Protocol):
    """Shows how far things have come."""

    def moved(self, what: Moving) -> None:
        """It has come as far as it says; the first time, it has just begun."""

    def ended(self, what: Moving) -> None:
        """It is over."""


watchers: list[Watcher] = []
"""Those who want to be told."""


@contextmanager
def watched_by(watcher: Watcher) -> Iterator[None]:
    """Tell the watcher of everything that is sent within the block."""
    watchers.append(watcher)
    try:
        yield
    finally:
        watchers.remove(watcher)
