"""Stages one behind the other, as one stage."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from testbed.errors import PlanError
from testbed.link.impair.stage import Stage, StageEvent
from testbed.timing import Instant

__all__ = ["Pipeline"]


class Pipeline(Stage):
    """What one stage lets out goes into the next; stages come and go while frames run.

    Its events are those of its stages; its own ``log`` stays empty.
    """

    def __init__(self, *stages: Stage) -> None:
        super().__init__()
        self._stages: list[Stage] = []
        self._on_event: Callable[[StageEvent], None] | None = None
        for stage in stages:
            self.add(stage)

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages, in the order in which frames pass them."""
        return tuple(self._stages)

    def add(self, stage: Stage) -> None:
        """Put a stage at the end; PlanError when it serves elsewhere already."""
        stage.attach(self._tell, self._announce_change)
        self._stages.append(stage)
        self._announce_change()

    def remove(self, stage: Stage, now: Instant) -> Sequence[bytes]:
        """Take a stage out; the frames that it kept back, after the stages behind it."""
        if stage not in self._stages:
            raise PlanError(f"{type(stage).__name__} is not in this box: it cannot be taken out")
        index = self._stages.index(stage)
        out = self._run(index + 1, stage.flush(now), now)
        del self._stages[index]
        stage.detach()
        self._announce_change()
        return out

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """The frame through all stages, behind those that were due before it."""
        if not self._stages:
            return (frame,)
        return [*self.due(now), *self._run(0, (frame,), now)]

    def due(self, now: Instant) -> Sequence[bytes]:
        """Frames kept back whose time has come; those further on in the line come first."""
        out: list[bytes] = []
        for index in range(len(self._stages) - 1, -1, -1):
            deadline = self._stages[index].next_deadline()
            if deadline is not None and deadline <= now:
                out += self._run(index + 1, self._stages[index].due(now), now)
        return out

    def next_deadline(self) -> Instant | None:
        """The soonest of all stages'."""
        deadlines = (stage.next_deadline() for stage in self._stages)
        return min((at for at in deadlines if at is not None), default=None)

    def flush(self, now: Instant) -> Sequence[bytes]:
        """All frames kept back by any stage."""
        out: list[bytes] = []
        for index in range(len(self._stages) - 1, -1, -1):
            out += self._run(index + 1, self._stages[index].flush(now), now)
        return [*out, *self._left(now)]

    def attach(self, on_event: Callable[[StageEvent], None], on_change: Callable[[], None]) -> None:
        """Serve one box, with all stages."""
        super().attach(on_event, on_change)
        self._on_event = on_event

    def detach(self) -> None:
        """Serve no box any more; the stages stay in line."""
        super().detach()
        self._on_event = None

    def _run(self, start: int, frames: Sequence[bytes], now: Instant) -> Sequence[bytes]:
        for stage in self._stages[start:]:
            if not frames:
                break
            frames = [out for frame in frames for out in stage.push(frame, now)]
        return frames

    def _left(self, now: Instant) -> Sequence[bytes]:
        """What a flushed stage put into a later one that keeps frames back in turn."""
        out: list[bytes] = []
        for index in range(1, len(self._stages)):
            out += self._run(index + 1, self._stages[index].flush(now), now)
        return out

    def _tell(self, event: StageEvent) -> None:
        if self._on_event is not None:
            self._on_event(event)
