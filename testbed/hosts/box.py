"""A fault box: a bump in the wire between two NICs, which does to frames what a plan tells it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from testbed.errors import LinkError, Unsupported
from testbed.hosts.tap import Subscription, Tap
from testbed.hosts.turning import Loop
from testbed.hosts.way import ImpairedWay, WayEvent
from testbed.link.impair.stage import Stage, StageEvent
from testbed.link.size import room
from testbed.timing import Instant, after, milliseconds
from testbed.wire.frame import Direction, Frame

__all__ = ["BoxDirection", "Bypass", "FaultBox"]

LOOK_EVERY = milliseconds(5)
"""How often Python looks at what the kernel did by itself."""

IN_PYTHON = "user space"
IN_KERNEL = "XDP"


class Bypass(Protocol):
    """One way of a box in the kernel: ``testbed.link.inline.Engine``."""

    @property
    def received(self) -> int:
        """Frames that came and did not pass up to Python's sockets."""

    @property
    def passed(self) -> int:
        """Frames that the kernel passed on by itself."""

    @property
    def refused(self) -> int:
        """Frames lost for want of memory."""

    def require_sending(self) -> None:
        """Unsupported, with the reason, where the sink does not send what the kernel gives it."""

    def lost_by_sink(self, by_python: int) -> int:
        """Frames that the sink did not send, of all that it was given."""

    def take_over(self, stages: Sequence[Stage]) -> None:
        """Have the kernel decide by these stages; Unsupported, with the reason."""

    def suspend(self) -> None:
        """Have Python decide; frames wait."""

    def stand_back(self) -> None:
        """Have Python decide, and frames pass up to its sockets."""

    def poll(self) -> None:
        """Bring logs and stages up to date."""

    def close(self) -> None:
        """Leave it to Python for good."""


OpenBypass = Callable[["BoxDirection"], Bypass]
"""Makes the bypass of a way; Unsupported or LinkError, with the reason, where there can be none."""


class BoxDirection(ImpairedWay):
    """One way through a box, named by its NICs: ``x1>x2``.

    Python takes frames from one NIC and sends them at the other, or the kernel does, with the same
    stages, where it can: ``engine`` says who, and ``why``.
    """

    def __init__(self, source: Tap, sink: Tap, loop: Loop) -> None:
        super().__init__(f"{source.port.name}>{sink.port.name}", loop, self._pass_on)
        self.first_refusal = ""
        self.engine = IN_PYTHON
        self.why = "there is nothing else on this bench"
        self.source = source
        self.sink = sink
        self._received = self._sent = self._refused = 0
        self._handed = 0
        self._lost = 0
        self._before = (0, 0, 0)
        self._subscription: Subscription | None = None
        self._open_bypass: OpenBypass | None = None
        self._bypass: Bypass | None = None
        self._changed = False
        self._unheard = [0, 0]
        source.passed_by.append(lambda: self._passed_by(0))
        sink.passed_by.append(lambda: self._passed_by(1))

    @property
    def received(self) -> int:
        """Frames that came in since begin()."""
        return self._received + (self._bypass.received if self._bypass else 0) - self._before[0]

    @property
    def sent(self) -> int:
        """Frames that were passed on since begin()."""
        return self._sent + (self._bypass.passed if self._bypass else 0) - self._before[1]

    @property
    def refused(self) -> int:
        """Frames that could not be passed on: by no fault of a stage, but of the rig."""
        without = self._bypass.refused if self._bypass else 0
        return self._refused + without + self._lost - self._before[2]

    def begin(self) -> None:
        """Start a new record: forget events and counts. Stages stay in place."""
        super().begin()
        self.settle()
        self._before = (0, 0, 0)
        self._before = (self.received, self.sent, self.refused)
        self.first_refusal = ""

    def start(self) -> None:
        """Let frames pass; starting twice is no error."""
        if self._subscription is None:
            self._subscription = self.source.subscribe(self._receive)
            super().start()

    def stop(self) -> None:
        """Let nothing pass; frames kept back by stages stay there. Twice is no error."""
        if self._subscription is not None:
            self._disconnect()
            self._subscription.close()
            self._subscription = None
            super().stop()

    def add(self, stage: Stage) -> None:
        """Put a stage behind those in place."""
        self._hold()
        super().add(stage)

    def remove(self, stage: Stage) -> None:
        """Take a stage out; frames that it kept back go on at once."""
        self._hold()
        super().remove(stage)

    def connect(self, open_bypass: OpenBypass) -> None:
        """Have the kernel carry frames whenever it can; ``why`` says why not."""
        self._open_bypass = open_bypass
        for tap in (self.source, self.sink):
            tap.watchers.append(self._hold_all)
        self._loop.before_wait(self, self._choose)
        self._changed = True

    def settle(self) -> None:
        """Find out what the sink did not send of what the kernel gave it."""
        if self._bypass is not None:
            self._lost = self._bypass.lost_by_sink(self._handed)
            if self._lost and not self.first_refusal:
                self.first_refusal = f"{self.sink.port.name} did not send what it was given"
            elif self._bypass.refused and not self.first_refusal:
                self.first_refusal = "more waited than the kernel's memory has room for"

    def take(self, frame: bytes, at: Instant) -> None:
        """Send a frame on its way that came at ``at`` and has waited since."""
        self._send(self._pipeline.push(frame, at))

    def _passed_by(self, end: int) -> int:
        """Frames that no socket has seen at the source (0) or at the sink (1)."""
        bypass = self._bypass
        now = (bypass.received, bypass.passed)[end] if bypass is not None else 0
        return self._unheard[end] + now

    def _disconnect(self) -> None:
        if self._open_bypass is None:
            return
        self._open_bypass = None
        self._loop.forget(self)
        self._loop.cancel((self, "look"))
        for tap in (self.source, self.sink):
            tap.watchers.remove(self._hold_all)
        self.engine, self.why = IN_PYTHON, "the box is stopped"
        bypass = self._bypass
        if bypass is None:
            return
        try:
            bypass.stand_back()
            self.settle()
        finally:
            bypass.close()
        self._received += bypass.received
        self._sent += bypass.passed
        self._unheard[0] += bypass.received
        self._unheard[1] += bypass.passed
        self._refused += bypass.refused + self._lost
        self._lost = 0
        self._bypass = None

    def _hold(self) -> None:
        """Python decides from here on, until the loop waits; frames wait meanwhile."""
        self._changed = True
        if self._bypass is not None:
            self._bypass.suspend()
            self.engine = IN_PYTHON

    def _hold_all(self) -> None:
        """Somebody begins or ends to listen: where frames are to be heard, Python carries them."""
        self._changed = True
        if self._bypass is not None and self._overheard():
            self._bypass.stand_back()
            self.engine, self.why = IN_PYTHON, self._overheard()

    def _overheard(self) -> str:
        heard = [tap.port.name for tap in (self.source, self.sink) if tap.listeners > 1]
        return f"{' and '.join(heard)} is captured, which XDP frames pass by" if heard else ""

    def _choose(self) -> None:
        """Before the loop waits: let the kernel carry frames, if it can."""
        if not self._changed or self._open_bypass is None:
            return
        self._changed = False
        self.engine, self.why = IN_PYTHON, self._overheard()
        try:
            if not self.why:
                if self._bypass is None:
                    self._bypass = self._open_bypass(self)
                    self._handed = 0
                self._bypass.require_sending()
                self._bypass.take_over(self.stages)
                self.engine, self.why = IN_KERNEL, "the fastest, and all stages can be compiled"
                self._look_later()
        except (Unsupported, LinkError) as reason:
            self.why = str(reason)
        if self.engine == IN_PYTHON and self._bypass is not None:
            self._bypass.stand_back()

    def _look_later(self) -> None:
        self._loop.call_at(after(self._loop.now(), LOOK_EVERY), self._look, name=(self, "look"))

    def _look(self) -> None:
        if self._bypass is None or self.engine != IN_KERNEL:
            return
        try:
            self._bypass.poll()
        except (Unsupported, LinkError) as reason:
            self._bypass.stand_back()
            self.engine, self.why = IN_PYTHON, str(reason)
            return
        self._look_later()

    def _refresh(self) -> None:
        if self._bypass is not None and self.engine == IN_KERNEL:
            self._look()

    def _arm(self) -> None:
        super()._arm()
        if self._bypass is not None:
            self._refresh()

    def count(self, action: str, times: int) -> None:
        """Note what was done and not written down."""
        self._actions[action] += times

    def hear(self, event: StageEvent) -> None:
        """Note what was done to a frame by no stage."""
        self._note_stage(event)

    def _receive(self, frame: Frame) -> None:
        # What the box itself sent comes back as OUT: it must not go round.
        if frame.direction is not Direction.IN:
            return
        self._received += 1
        if frame.wire_length != len(frame.data):
            why = f"an offload at the far end made a frame of {frame.wire_length} bytes"
            self._refuse(frame.data, why)
            return
        self.push(frame.data)

    def _pass_on(self, frame: bytes) -> None:
        longest = room(frame, self.sink.port.mtu)
        if len(frame) > longest:
            # As between two links of different MTU without a router: lost, not an error.
            note = f"{len(frame)} bytes do not fit {self.sink.port.name}, which takes {longest}"
            self.note("drop", frame, note)
            return
        self._handed += 1
        try:
            self.sink.send(frame)
        except LinkError as error:
            self._handed -= 1
            self._refuse(frame, str(error))
        else:
            self._sent += 1

    def _refuse(self, frame: bytes, why: str) -> None:
        self._refused += 1
        self.first_refusal = self.first_refusal or why
        self.note("drop", frame, why)


class FaultBox:
    """Joins the NICs of two taps as if a cable ran between them, until a plan adds stages.

    Frames from the left leave at the right and the other way round, unaltered. A stage sees
    instants of the loop's clock; the events here are on the capture clock.
    """

    def __init__(
        self, name: str, left: Tap, right: Tap, loop: Loop, bypass: OpenBypass | None = None
    ) -> None:
        self.name = name
        self._open_bypass = bypass
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
    def events(self) -> tuple[WayEvent, ...]:
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
        if self._open_bypass is not None:
            for way in self.directions:
                way.connect(self._open_bypass)

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
            way.settle()
            if way.refused:
                raise LinkError(
                    f"box {self.name}: {way.refused} frames on the way {way.name} could not "
                    f"be passed on; the first: {way.first_refusal}"
                )
