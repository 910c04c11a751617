"""Reels played by the loop, frame by frame: exactly timed in virtual time, and on any port."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from testbed.errors import LinkError, TestbedError, Unsupported
from testbed.hosts.loop_sender import require_rate
from testbed.hosts.tap import Tap
from testbed.hosts.turning import Loop
from testbed.link.replay.reel import Limits, Reel, blamed
from testbed.link.streams import Pace
from testbed.link.streams.pace import OVERHEAD, TICKS
from testbed.timing import Instant

__all__ = ["LoopPlayer"]

_AT_ONCE = 256


class LoopPlayer:
    """``Sender`` of a reel on a loop; without a pace, frames leave when they are due.

    As fast as it can is as fast as the line: ``line_rate`` in bit/s.
    """

    name = "the loop"

    def __init__(
        self, reel: Reel, pace: Pace | None, tap: Tap, loop: Loop, limits: Limits,
        *, line_rate: int | None,
    ) -> None:  # fmt: skip
        self.sent = 0
        self.sent_bytes = 0
        self.done = False
        self.lateness = 0
        self._pace = pace
        self._tap = tap
        self._loop = loop
        self._line_rate = line_rate
        self._began = Instant(0)
        self._since = (0, 0)  # frames and bytes sent as the pace began
        self._error: TestbedError | None = None
        self._frames = _frames(reel, limits)
        self._next: tuple[int, bytes] | None = None
        if pace is not None:
            require_rate(pace, line_rate, "the frames")

    def start(self) -> None:
        """Begin: the first frame leaves at this instant."""
        self._began = self._loop.now()
        self._advance()
        self._schedule()

    def set_pace(self, pace: Pace) -> None:
        """Go on at another pace; Unsupported where frames have times of their own."""
        if self._pace is None:
            raise Unsupported("these frames leave when they are due: their rate cannot change")
        require_rate(pace, self._line_rate, "the frames")
        self._pace = pace
        self._began, self._since = self._loop.now(), (self.sent, self.sent_bytes)
        self._schedule()

    def stop(self) -> None:
        """Send no more; raises what went wrong."""
        self.done = True
        self._loop.cancel(self)
        if self._error is not None:
            raise self._error

    def _advance(self) -> None:
        try:
            self._next = next(self._frames, None)
        except Exception as error:  # noqa: BLE001 - whatever makes the frames may raise anything
            self._error, self._next = blamed(error), None

    def _schedule(self) -> None:
        if self._next is None:
            self.done = True
        if not self.done:
            self._loop.call_at(self._due(), self._send_due, name=self)

    def _due(self) -> Instant:
        """When the next frame is to leave."""
        pace = self._pace
        if pace is None:
            return Instant(self._began + (self._next[0] if self._next else 0))
        frames = self.sent - self._since[0]
        if pace.pps is not None:
            return Instant(self._began + frames // pace.burst * pace.interval // TICKS)
        octets = self.sent_bytes - self._since[1] + frames * OVERHEAD
        return Instant(self._began + octets * 8 * 1_000_000_000 // (self._line_rate or 1))

    def _send_due(self) -> None:
        now = self._loop.now()
        while self._next is not None and self._due() <= now:
            _, frame = self._next
            try:
                self._tap.send(frame)
            except LinkError as error:
                self._error, self.done = error, True
                return
            self.sent += 1
            self.sent_bytes += len(frame)
            self._advance()
        self._schedule()


def _frames(reel: Reel, limits: Limits) -> Iterator[tuple[int, bytes]]:
    """Each frame with when it is due; the reel is opened at once."""
    feed = reel.open(limits)

    def each() -> Iterator[tuple[int, bytes]]:
        rows = np.zeros((_AT_ONCE, -(-reel.longest // 8) * 8), np.uint8)
        lengths, due = np.zeros(_AT_ONCE, np.int64), np.zeros(_AT_ONCE, np.int64)
        while count := feed.take(rows, lengths, due):
            for row in range(count):
                yield int(due[row]), rows[row, : lengths[row]].tobytes()

    return each()
