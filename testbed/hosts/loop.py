"""The one loop of a bench on real time: it reads the clock, watches descriptors, fires timers.

Plans are synchronous: every blocking call turns this loop until its condition holds or its time
is up. Nothing sleeps: the loop waits in select(2) for a frame, a timer or a worker's answer.
"""

from __future__ import annotations

import os
import select
import selectors
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from testbed.timing import Duration, Instant, TimerTable, after

__all__ = ["MonotonicClock", "RealLoop"]

T = TypeVar("T")

TURN_EVERY = 0.0005
"""Seconds after which a busy worker lets the loop's thread go on: Python's own 5 ms are too long
for a stack's timers while an answer of a device is read."""

MAX_WORKERS = 16
"""Device calls that can be under way at once; a bench has fewer devices that answer at a time."""


class MonotonicClock:
    """The clock of deadlines where no loop runs."""

    def now(self) -> Instant:
        """The present instant; its epoch means nothing."""
        return Instant(time.monotonic_ns())


class RealLoop:
    """A selector loop over ports and timers, with worker threads for what blocks."""

    def __init__(self) -> None:
        self._switch_before = sys.getswitchinterval()
        sys.setswitchinterval(TURN_EVERY)
        self._selector = selectors.EpollSelector()
        self._timers: TimerTable[object] = TimerTable()
        self._due: dict[object, Callable[[], None]] = {}
        self._before_wait: dict[object, Callable[[], None]] = {}
        self._workers = ThreadPoolExecutor(MAX_WORKERS, thread_name_prefix="testbed")
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._wake_read, selectors.EVENT_READ, self._drain_wakeups)

    def now(self) -> Instant:
        """The monotonic clock: for deadlines."""
        return Instant(time.monotonic_ns())

    def wall_now(self) -> Instant:
        """The capture clock: what the kernel stamps frames with (CLOCK_REALTIME)."""
        return Instant(time.time_ns())

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` whenever ``descriptor`` is readable."""
        self._selector.register(descriptor, selectors.EVENT_READ, callback)

    def remove_reader(self, descriptor: int) -> None:
        """Stop watching ``descriptor``."""
        self._selector.unregister(descriptor)

    def call_at(self, at: Instant, callback: Callable[[], None], name: object = None) -> object:
        """Call ``callback`` at ``at``; returns a name for cancel(). The same name replaces."""
        key = object() if name is None else name
        self._timers.set(key, at)
        self._due[key] = callback
        return key

    def cancel(self, name: object) -> None:
        """Forget a timer; one that has fired is no error."""
        self._timers.cancel(name)
        self._due.pop(name, None)

    def before_wait(self, name: object, callback: Callable[[], None]) -> None:
        """Call ``callback`` each time before the loop waits, until forget()."""
        self._before_wait[name] = callback

    def forget(self, name: object) -> None:
        """End what before_wait() began; one that is not there is no error."""
        self._before_wait.pop(name, None)

    def run_until(self, condition: Callable[[], bool], within: Duration) -> bool:
        """Turn the loop until ``condition`` holds (True) or ``within`` is over (False).

        What is there when the time is over still counts, however late this process gets to look.
        """
        deadline = after(self.now(), within)
        over = False
        while not condition():
            if over:
                return False
            over = self.now() >= deadline
            self.turn(deadline)
        return True

    def turn(self, deadline: Instant) -> None:
        """Wait for the next event, ``deadline`` at the latest, and handle all that is ready."""
        for callback in tuple(self._before_wait.values()):
            callback()
        upcoming = self._timers.next_deadline()
        wake = deadline if upcoming is None else min(deadline, upcoming)
        # epoll rounds a time-out up to whole milliseconds; select(2) on its descriptor does not.
        select.select([self._selector.fileno()], [], [], max(0, wake - self.now()) / 1e9)
        for key, _ in self._selector.select(0):
            key.data()
        self._fire_due()

    def call(self, blocking: Callable[[], T]) -> T:
        """Run ``blocking`` in a worker thread while the loop keeps turning; its answer or error.

        ``blocking`` bounds its own time: every device call takes ``within``.
        """
        future = self.submit(blocking)
        try:
            while not future.done():
                self.turn(Instant(self.now() + 1_000_000_000))
        except BaseException:
            future.cancel()
            raise
        return future.result()

    def submit(self, blocking: Callable[[], T]) -> Future[T]:
        """Start ``blocking`` in a worker thread; the loop wakes when it is done."""
        future = self._workers.submit(blocking)
        future.add_done_callback(lambda _: self._wake())
        return future

    def close(self) -> None:
        """Stop the workers and release the descriptors."""
        self._workers.shutdown(wait=True, cancel_futures=True)
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)
        sys.setswitchinterval(self._switch_before)

    def _fire_due(self) -> None:
        while (key := self._timers.pop_due(self.now())) is not None:
            self._due.pop(key)()

    def _wake(self) -> None:
        try:
            os.write(self._wake_write, b"\0")
        except BlockingIOError:
            return  # the pipe is full: the loop will wake all the same

    def _drain_wakeups(self) -> None:
        try:
            while os.read(self._wake_read, 4096):
                pass
        except BlockingIOError:
            return
