"""What every loop can do, in real time or in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

from testbed.timing import Duration, Instant

__all__ = ["Loop"]

T = TypeVar("T")


class Loop(Protocol):
    """The one loop of a bench: every blocking call turns it until its condition holds."""

    def now(self) -> Instant:
        """The monotonic clock: for deadlines."""

    def wall_now(self) -> Instant:
        """The capture clock: what frames are stamped with."""

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever ``descriptor`` is readable."""

    def remove_reader(self, descriptor: int) -> None:
        """Stop watching ``descriptor``."""

    def call_at(self, at: Instant, callback: Callable[[], None], name: object = None) -> object:
        """Call ``callback`` at ``at``; returns a name for cancel(). The same name replaces."""

    def cancel(self, name: object) -> None:
        """Forget a timer; one that has fired is no error."""

    def before_wait(self, name: object, callback: Callable[[], None]) -> None:
        """Call ``callback`` each time before the loop waits, until forget()."""

    def forget(self, name: object) -> None:
        """End what before_wait() began; one that is not there is no error."""

    def run_until(self, condition: Callable[[], bool], within: Duration) -> bool:
        """Turn the loop until ``condition`` holds (True) or ``within`` is over (False)."""

    def turn(self, deadline: Instant) -> None:
        """Wait for the next event, ``deadline`` at the latest, and handle all that is ready."""

    def call(self, blocking: Callable[[], T]) -> T:
        """Run ``blocking`` while the loop keeps turning; its answer or error."""

    def submit(self, blocking: Callable[[], T]) -> Future[T]:
        """Start ``blocking``; the loop wakes when it is done."""

    def close(self) -> None:
        """Release what the loop holds."""
