"""One way of frames, with stages of impairment that come and go while frames run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testbed.hosts.turning import Loop
from testbed.link.impair.pipeline import Pipeline
from testbed.link.impair.stage import KEPT_EVENTS, Stage, StageEvent
from testbed.timing import Instant

__all__ = ["ImpairedWay", "WayEvent"]


@dataclass(frozen=True, slots=True)
class WayEvent:
    """One thing done to a frame on its way, at a time on the capture clock.

    ``way`` names the direction, such as ``x1>x2``.
    """

    at: Instant
    way: str
    action: str
    frame: bytes
    note: str


class ImpairedWay:
    """Frames in, frames out, after what the stages do to them; nothing while there are none.

    ``deliver`` takes what comes out. Stages see instants of the loop's clock; the events here are
    on the capture clock.
    """

    def __init__(self, name: str, loop: Loop, deliver: Callable[[bytes], None]) -> None:
        self.name = name
        self._events: list[WayEvent] = []
        self._actions: Counter[str] = Counter()
        self._loop = loop
        self._deliver = deliver
        self._running = False
        self._pipeline = Pipeline()
        self._pipeline.attach(self._note_stage, self._arm)

    def begin(self) -> None:
        """Start a new record: forget events and counts. Stages stay in place."""
        self._events = []
        self._actions = Counter()

    @property
    def events(self) -> list[WayEvent]:
        """What was done to frames, in order; the first 10 000 of each record."""
        self._refresh()
        return self._events

    @property
    def actions(self) -> Counter[str]:
        """How often each action was done; all of them."""
        self._refresh()
        return self._actions

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages in place, in the order in which frames pass them."""
        return self._pipeline.stages

    def add(self, stage: Stage) -> None:
        """Put a stage behind those in place."""
        self._pipeline.add(stage)

    def remove(self, stage: Stage) -> None:
        """Take a stage out; frames that it kept back go on at once."""
        self._send(self._pipeline.remove(stage, self._loop.now()))

    def clear(self) -> None:
        """Take all stages out."""
        for stage in self.stages:
            self.remove(stage)

    @contextmanager
    def impaired(self, *stages: Stage) -> Iterator[None]:
        """Have these stages in place within a ``with`` block."""
        added: list[Stage] = []
        try:
            for stage in stages:
                self.add(stage)
                added.append(stage)
            yield
        finally:
            for stage in added:
                if stage in self.stages:
                    self.remove(stage)

    def push(self, frame: bytes) -> None:
        """Send one frame on its way."""
        if self._pipeline.stages:
            self._send(self._pipeline.push(frame, self._loop.now()))
            self._arm()
        else:
            self._deliver(frame)

    def start(self) -> None:
        """Let the stages' times run; starting twice is no error."""
        self._running = True
        self._arm()

    def stop(self) -> None:
        """Frames kept back by stages stay there. Twice is no error."""
        self._running = False
        self._loop.cancel(self)

    def note(self, action: str, frame: bytes, text: str) -> None:
        """Write down what was done to a frame."""
        self._note(self._loop.wall_now(), action, frame, text)

    def _note(self, at: Instant, action: str, frame: bytes, text: str) -> None:
        self._actions[action] += 1
        if len(self._events) < KEPT_EVENTS:
            self._events.append(WayEvent(at, self.name, action, frame, text))

    def _refresh(self) -> None:
        """Bring the record up to date, where something else does the work."""

    def _send(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            self._deliver(frame)

    def _arm(self) -> None:
        deadline = self._pipeline.next_deadline()
        if deadline is None or not self._running:
            self._loop.cancel(self)
        else:
            self._loop.call_at(deadline, self._fire, name=self)

    def _fire(self) -> None:
        self._send(self._pipeline.due(self._loop.now()))
        self._arm()

    def _note_stage(self, event: StageEvent) -> None:
        age = self._loop.now() - event.at
        at = Instant(self._loop.wall_now() - age)
        self._note(at, event.action, event.frame, event.note)
