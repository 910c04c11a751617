"""Recordings made by the loop, frame by frame: in virtual time, and on any port."""

from __future__ import annotations

from testbed.hosts.tap import Subscription, Tap
from testbed.hosts.turning import Loop
from testbed.link.recorder.classic import accepts
from testbed.link.recorder.envelope import ending, heading
from testbed.link.recorder.outcome import Clock, Overrun
from testbed.link.recorder.store import FileStore, RollingStore, Store
from testbed.link.recorder.wish import Wish
from testbed.timing import Instant
from testbed.wire.frame import Direction, Frame
from testbed.wire.pcapng import packet_block

__all__ = ["LoopRecorder"]


class LoopRecorder:
    """What ``link.recorder.recorder.Recorder`` is, for a port that no kernel has."""

    engine = "frame by frame"
    why = "it keeps the lab's own time"
    clock = Clock("the loop", "the lab's own time, as the frame reaches the port")

    def __init__(self, wish: Wish, tap: Tap, loop: Loop, name: str) -> None:
        self.frames = 0
        self.passed = 0
        self.ended_by = ""
        self.overruns: list[Overrun] = []
        self.fault = ""
        self.began = loop.wall_now()
        self.store: Store = RollingStore(wish.keep) if wish.keep else FileStore(wish.path)
        self._wish = wish
        self._tap = tap
        self._loop = loop
        self._dropped = tap.port.dropped()
        self.store.write(
            heading(name, f"by {self.engine}, {self.clock}", wish.snap, str(wish.wanted or ""))
        )
        tap.pump()
        self._subscription: Subscription | None = tap.subscribe(self._hear)
        if wish.limits.duration is not None:
            loop.call_at(Instant(loop.now() + wish.limits.duration), self._expire, name=self)

    @property
    def lost(self) -> int:
        """Frames that came and are not in the recording, as far as is known."""
        return sum(overrun.lost for overrun in self.overruns)

    @property
    def running(self) -> bool:
        """Whether it records."""
        return self._subscription is not None

    def stop(self) -> None:
        """Record no more; twice is no error."""
        if self._subscription is not None and not self.ended_by:
            self._tap.pump()
        self._end("")

    def _expire(self) -> None:
        self._tap.pump()
        self._end("duration")

    def _end(self, why: str) -> None:
        if self._subscription is None:
            return
        self._subscription.close()
        self._subscription = None
        self._loop.cancel(self)
        self.ended_by = self.ended_by or why
        lost = self._tap.port.dropped() - self._dropped
        now = self._loop.wall_now()
        if lost:
            self.overruns.append(Overrun(lost, self.began, now, "the port had no room"))
        self.store.write(ending(self.began, now, self.frames, self.overruns))

    def _hear(self, frame: Frame) -> None:
        if frame.direction is not Direction.IN:
            return
        self.passed += 1
        wish = self._wish
        if wish.wanted is not None and not accepts(wish.wanted, frame.data):
            return
        block = packet_block(0, frame.at, frame.data[: wish.snap], frame.wire_length)
        limits = wish.limits
        if limits.size is not None and self.store.size + len(block) > limits.size:
            self._end("size")
            return
        self.store.write(block)
        self.frames += 1
        if wish.until is not None and accepts(wish.until, frame.data):
            self._end("match")
        elif self.frames == limits.count:
            self._end("count")
