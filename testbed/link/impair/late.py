"""Faults that make frames late: delay, jitter, another order, a narrow link."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from testbed.errors import PlanError
from testbed.link.impair.select import Selector, any_frame, describe, seeded
from testbed.link.impair.stage import Stage
from testbed.timing import Duration, Instant, after, milliseconds

__all__ = ["MIN_FRAME", "OVERHEAD", "Delay", "HeldBack", "RateLimit", "Reorder"]

NONE = Duration(0)
MAX_HOLD = milliseconds(200)
OVERHEAD = 24  # IEEE 802.3: preamble and SFD 8, FCS 4, gap between frames 12
MIN_FRAME = 60  # without FCS; shorter ones are padded on a real cable


class Delay(Stage):
    """Holds each frame for ``span`` and up to ``jitter`` more, picked by ``seed``.

    Without jitter the order is kept. With it, frames overtake each other unless ``keep_order``.
    """

    def __init__(
        self,
        span: Duration,
        jitter: Duration = NONE,
        *,
        seed: int = 0,
        keep_order: bool = False,
    ) -> None:
        super().__init__()
        if span < 0 or jitter < 0:
            raise PlanError(f"a delay is 0 ns or more, got {span} and jitter {jitter}")
        self.span = span
        self.jitter = jitter
        self.keep_order = keep_order
        self.luck = seeded(seed)
        self.waiting: list[tuple[Instant, int, bytes]] = []
        """When each frame may go, its turn, and itself: a heap."""
        self.order = 0
        self.latest = Instant(0)

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """Whatever is due; the frame itself waits."""
        extra = self.luck.within(0, self.jitter) if self.jitter else 0
        at = Instant(now + self.span + extra)
        if self.keep_order:
            at = self.latest = max(at, self.latest)
        self.order += 1
        heapq.heappush(self.waiting, (at, self.order, frame))
        return self.due(now)

    def due(self, now: Instant) -> Sequence[bytes]:
        """Frames that have waited long enough, the first due first."""
        ready = []
        while self.waiting and self.waiting[0][0] <= now:
            ready.append(heapq.heappop(self.waiting)[2])
        return ready

    def next_deadline(self) -> Instant | None:
        """When the next frame may go."""
        return self.waiting[0][0] if self.waiting else None

    def flush(self, now: Instant) -> Sequence[bytes]:
        """All that wait, as if their time had come."""
        del now
        kept = [heapq.heappop(self.waiting)[2] for _ in range(len(self.waiting))]
        return tuple(kept)


@dataclass(slots=True, eq=False)
class HeldBack:
    """A frame that others are to overtake."""

    frame: bytes
    passes: int  # how many frames are still to overtake it
    until: Instant


class Reorder(Stage):
    """Lets the frames that ``which`` selects be overtaken by ``behind`` later ones.

    Frames that match ``overtaken_by`` count as overtaking; all others pass as well. A frame that
    nobody overtakes goes on after ``max_hold``, so that the last one is late and never lost.
    """

    def __init__(
        self,
        which: Selector,
        behind: int = 1,
        *,
        overtaken_by: Selector = any_frame,
        max_hold: Duration = MAX_HOLD,
    ) -> None:
        super().__init__()
        if behind < 1:
            raise PlanError(f"Reorder puts a frame behind one other at least, got {behind}")
        self.which = which
        self.behind = behind
        self.overtaken_by = overtaken_by
        self.max_hold = max_hold
        self.held: list[HeldBack] = []

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """The frame unless selected, and behind it those that it was the last to overtake."""
        out = list(self.due(now))
        selected = self.which(frame)
        if not selected:
            out.append(frame)
            if self.overtaken_by(frame):
                for held in self.held:
                    held.passes -= 1
                out += self._release(now, [h for h in self.held if h.passes <= 0], "overtaken")
        else:
            note = f"behind {self.behind} others, {describe(self.which)}"
            self.log.add(now, "hold", frame, note)
            self.held.append(HeldBack(frame, self.behind, after(now, self.max_hold)))
        return out

    def due(self, now: Instant) -> Sequence[bytes]:
        """Frames that nobody overtook in time."""
        return self._release(now, [h for h in self.held if h.until <= now], "nobody overtook it")

    def next_deadline(self) -> Instant | None:
        """When a held frame must go."""
        return self.held[0].until if self.held else None

    def flush(self, now: Instant) -> Sequence[bytes]:
        """All that are held."""
        return self._release(now, self.held, "the fault was taken away")

    def _release(self, now: Instant, ready: list[HeldBack], why: str) -> list[bytes]:
        if not ready:
            return []
        for held in ready:
            self.log.add(now, "release", held.frame, why)
        self.held = [held for held in self.held if held not in ready]
        return [held.frame for held in ready]


class RateLimit(Stage):
    """A narrow link: ``bits_per_second`` on the wire, and a queue of ``queue`` frames before it.

    Frames take their time one after the other, preamble, FCS and gap included (RFC 2544 rates
    are those of the wire); what finds the queue full is lost.
    """

    def __init__(self, bits_per_second: float, queue: int = 100) -> None:
        super().__init__()
        if bits_per_second <= 0 or queue < 1:
            raise PlanError(
                "a rate is over 0 bit/s and a queue 1 frame at least, "
                f"got {bits_per_second} and {queue}"
            )
        self.bits_per_second = bits_per_second
        self.queue = queue
        self.waiting: deque[tuple[Instant, bytes]] = deque()
        """When the last bit of each frame leaves, and the frame."""
        self.free_at = Instant(0)

    def push(self, frame: bytes, now: Instant) -> Sequence[bytes]:
        """Whatever has left the link by now; the frame itself takes its turn."""
        out = self.due(now)
        if len(self.waiting) >= self.queue:
            self.log.add(now, "drop", frame, f"queue of {self.queue} is full")
            return out
        bits = (max(len(frame), MIN_FRAME) + OVERHEAD) * 8
        takes = round(bits * 1_000_000_000 / self.bits_per_second)
        self.free_at = Instant(max(self.free_at, now) + takes)
        self.waiting.append((self.free_at, frame))
        return out

    def due(self, now: Instant) -> Sequence[bytes]:
        """Frames whose last bit has left."""
        ready = []
        while self.waiting and self.waiting[0][0] <= now:
            ready.append(self.waiting.popleft()[1])
        return ready

    def next_deadline(self) -> Instant | None:
        """When the frame under way has left."""
        return self.waiting[0][0] if self.waiting else None

    def flush(self, now: Instant) -> Sequence[bytes]:
        """All that wait."""
        kept = tuple(frame for _, frame in self.waiting)
        self.waiting.clear()
        self.free_at = now
        return kept
