"""The loop of the sim lab: it does not wait, it jumps to the next event."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from testbed.errors import PlanError
from testbed.sim.network import Network
from testbed.timing import Duration, Instant, TimerTable, after

__all__ = ["EPOCH", "SimLoop"]

T = TypeVar("T")

EPOCH = Instant(946_684_800_000_000_000)
"""When every plan on a sim bench begins, on the capture clock: 2000-01-01T00:00:00Z. Always the
same, so that the same plan with the same seed leaves the same bytes."""


LOOK = Duration(2)
"""How long a look at the clock takes."""


class SimLoop:
    """``Loop`` in virtual time: the network's events and the bench's timers, soonest first."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._timers: TimerTable[object] = TimerTable()
        self._due: dict[object, Callable[[], None]] = {}
        self._before_wait: dict[object, Callable[[], None]] = {}
        self.elapsed = Duration(0)
        """Virtual time on networks that were there before this one."""

    def renew(self, network: Network) -> None:
        """Go on with another network, at its present; timers of the old one are forgotten."""
        self.elapsed = Duration(self.elapsed + self._network.instant)
        self._network = network
        self._timers = TimerTable()
        self._due.clear()
        self._before_wait.clear()

    def now(self) -> Instant:
        """Virtual time, from the plan's beginning."""
        return self._network.instant

    def wall_now(self) -> Instant:
        """The capture clock: virtual time from a fixed date on.

        A look at it takes a moment, as on any machine: what was sent before is earlier than what it
        says, what is sent after is later.
        """
        return Instant(EPOCH + self._network.linger(LOOK) - LOOK // 2)

    def add_reader(self, descriptor: int, callback: Callable[[], None]) -> None:
        """PlanError: nothing of this machine can be waited for in virtual time."""
        del callback
        raise PlanError(
            f"descriptor {descriptor}: a sim bench runs in virtual time, it waits for none"
        )

    def remove_reader(self, descriptor: int) -> None:
        """Nothing to do: there are none."""

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
        """Call ``callback`` each time before the loop goes on, until forget()."""
        self._before_wait[name] = callback

    def forget(self, name: object) -> None:
        """End what before_wait() began; one that is not there is no error."""
        self._before_wait.pop(name, None)

    def advance(self, span: Duration) -> Instant:
        """Let ``span`` pass, and all that is due in it happen."""
        self.run_until(lambda: False, span)
        return self.now()

    def run_until(self, condition: Callable[[], bool], within: Duration) -> bool:
        """Go from event to event until ``condition`` holds (True) or ``within`` is over (False)."""
        deadline = after(self.now(), within)
        over = False
        while not condition():
            if over:
                return False
            self.turn(deadline)
            over = self.now() >= deadline
        return True

    def turn(self, deadline: Instant) -> None:
        """Go to the next event, ``deadline`` at the latest, and let all of that instant happen."""
        for callback in tuple(self._before_wait.values()):
            callback()
        network = self._network
        wake = max(self._next(deadline), network.instant)
        network.run_until(wake)
        while (key := self._timers.pop_due(wake)) is not None:
            self._due.pop(key)()

    def call(self, blocking: Callable[[], T]) -> T:
        """Run ``blocking``; it takes as much virtual time as it turns the loop."""
        return blocking()

    def submit(self, blocking: Callable[[], T]) -> Future[T]:
        """Run ``blocking`` at once: its answer is there when this returns."""
        future: Future[T] = Future()
        try:
            future.set_result(blocking())
        except Exception as error:  # noqa: BLE001 - it is the answer
            future.set_exception(error)
        return future

    def close(self) -> None:
        """Forget everything that was still to come."""
        self._due.clear()
        self._before_wait.clear()

    def _next(self, deadline: Instant) -> Instant:
        upcoming, event = self._timers.next_deadline(), self._network.next_event()
        if upcoming is not None and upcoming < deadline:
            deadline = upcoming
        return event if event is not None and event < deadline else deadline
