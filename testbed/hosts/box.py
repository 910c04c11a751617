"""A fault box: a bump in the wire between two NICs, which does to frames what a plan tells it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from testbed.errors import LinkError
from testbed.hosts.loop import RealLoop
from testbed.hosts.tap import Subscription, Tap
from testbed.link.impair.pipeline import Pipeline
from testbed.link.impair.stage import KEPT_EVENTS, Stage, StageEvent
from testbed.link.size import room
from testbed.timing import Instant
from testbed.wire.frame import Direction, Frame

__all__ = ["BoxDirection", "BoxEvent", "FaultBox"]


@dataclass(frozen=True, slots=True)
class BoxEvent:
    """One thing done to a frame on its way through a box, at a time on the capture clock.

    ``way`` names the direction by its NICs: ``x1>x2``.
    """

    at: Instant
    way: str
    action: str
    frame: bytes
    note: str


class BoxDirection:
    """One way through a box. Stages come and go while frames run."""

    def __init__(self, source: Tap, sink: Tap, loop: RealLoop) -> None:
        self.name = f"{source.port.name}>{sink.port.name}"
        self.events: list[BoxEvent] = []
        """What was done to frames, in order; the first 10 000 of each record."""
        self.actions: Counter[str] = Counter()
        """How often each action was done; all of them."""
        self.received = 0
        self.sent = 0
        self.refused = 0
        """Frames that could not be passed on: by no fault of a stage, but of the rig."""
        self.first_refusal = ""
        self._source = source
        self._sink = sink
        self._loop = loop
        self._pipeline = Pipeline()
        self._pipeline.attach(self._note_stage, self._arm)
        self._subscription: Subscription | None = None

    def begin(self) -> None:
        """Start a new record: forget events and counts. Stages stay in place."""
        self.events = []
        self.actions = Counter()
        self.received = self.sent = self.refused = 0
        self.first_refusal = ""

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

    def start(self) -> None:
        """Let frames pass; starting twice is no error."""
        if self._subscription is None:
            self._subscription = self._source.subscribe(self._receive)
            self._arm()

    def stop(self) -> None:
        """Let nothing pass; frames kept back by stages stay there. Twice is no error."""
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None
            self._loop.cancel(self)

    def _receive(self, frame: Frame) -> None:
        # What the box itself sent comes back as OUT: it must not go round.
        if frame.direction is not Direction.IN:
            return
        self.received += 1
        if frame.wire_length != len(frame.data):
            why = f"an offload at the far end made a frame of {frame.wire_length} bytes"
            self._refuse(frame.data, why)
            return
        if self._pipeline.stages:
            self._send(self._pipeline.push(frame.data, self._loop.now()))
            self._arm()
        else:
            self._send((frame.data,))

    def _send(self, frames: Iterable[bytes]) -> None:
        for frame in frames:
            longest = room(frame, self._sink.port.mtu)
            if len(frame) > longest:
                # As between two links of different MTU without a router: lost, not an error.
                note = (
                    f"{len(frame)} bytes do not fit {self._sink.port.name}, which takes {longest}"
                )
                self._note("drop", frame, note)
                continue
            try:
                self._sink.send(frame)
            except LinkError as error:
                self._refuse(frame, str(error))
            else:
                self.sent += 1

    def _arm(self) -> None:
        deadline = self._pipeline.next_deadline()
        if deadline is None or self._subscription is None:
            self._loop.cancel(self)
        else:
            self._loop.call_at(deadline, self._fire, name=self)

    def _fire(self) -> None:
        self._send(self._pipeline.due(self._loop.now()))
        self._arm()

    def _refuse(self, frame: bytes, why: str) -> None:
        self.refused += 1
        self.first_refusal = self.first_refusal or why
        self._note("drop", frame, why)

    def _note_stage(self, event: StageEvent) -> None:
        self._note(event.action, event.frame, event.note)

    def _note(self, action: str, frame: bytes, note: str) -> None:
        self.actions[action] += 1
        if len(self.events) < KEPT_EVENTS:
            self.events.append(BoxEvent(self._loop.wall_now(), self.name, action, frame, note))


class FaultBox:
    """Joins the NICs of two taps as if a cable ran between them, until a plan adds stages.

    Frames from the left leave at the right and the other way round, unaltered. A stage sees
    instants of the loop's clock; the events here are on the capture clock.
    """

    def __init__(self, name: str, left: Tap, right: Tap, loop: RealLoop) -> None:
        self.name = name
        self._taps = (left, right)
        self._rightward = BoxDirection(left, right, loop)
        self._leftward = BoxDirection(right, left, loop)
        self._dropped = [tap.port.dropped() for tap in self._taps]

    def direction(self, *, from_left: bool) -> BoxDirection:
        """The way from the left NIC to the right one, or the way back."""
        return self._rightward if from_left else self._leftward

    @property
    def directions(self) -> tuple[BoxDirection, BoxDirection]:
        """Both ways, the one from the left first."""
        return self._rightward, self._leftward

    @property
    def events(self) -> tuple[BoxEvent, ...]:
        """What was done to frames both ways, oldest first."""
        both = [*self._rightward.events, *self._leftward.events]
        return tuple(sorted(both, key=lambda event: event.at))

    def begin(self) -> None:
        """Start a new record, both ways: what is past counts neither for it nor against it."""
        for way in self.directions:
            way.begin()
        for tap in self._taps:
            tap.port.forgive()
        self._dropped = [tap.port.dropped() for tap in self._taps]

    def start(self) -> None:
        """Let frames pass both ways."""
        for way in self.directions:
            way.start()

    def stop(self) -> None:
        """Let nothing pass; the NICs stay open."""
        for way in self.directions:
            way.stop()

    def clear(self) -> None:
        """Take all stages out, both ways."""
        for way in self.directions:
            way.clear()

    def check_alive(self) -> None:
        """Raise LinkError when since begin() the box itself lost frames, or a NIC its link."""
        for tap, before in zip(self._taps, self._dropped, strict=True):
            tap.port.check_alive()
            if dropped := tap.port.dropped() - before:
                raise LinkError(
                    f"box {self.name}: {tap.port.name} lost {dropped} frames for want of room; "
                    "send less, or give it a larger ring"
                )
        for way in self.directions:
            if way.refused:
                raise LinkError(
                    f"box {self.name}: {way.refused} frames on the way {way.name} could not "
                    f"be passed on; the first: {way.first_refusal}"
                )
