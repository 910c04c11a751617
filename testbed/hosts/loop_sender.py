"""Streams sent by the loop, frame by frame: exactly paced in virtual time, and on any port."""

from __future__ import annotations

from testbed.errors import LinkError, PlanError
from testbed.hosts.tap import Tap
from testbed.hosts.turning import Loop
from testbed.link.streams import Job, Pace
from testbed.link.streams.pace import OVERHEAD, TICKS
from testbed.timing import Instant

__all__ = ["LoopSender", "require_rate"]


class LoopSender:
    """``Sender`` on a loop. As fast as it can is as fast as the line: ``line_rate`` in bit/s."""

    name = "the loop"

    def __init__(self, job: Job, tap: Tap, loop: Loop, line_rate: int | None) -> None:
        self.job = job
        self.sent = 0
        self.done = False
        self._tap = tap
        self._loop = loop
        self._line_rate = line_rate
        self._pace = job.pace
        self._end: int | None = None
        self._error: LinkError | None = None
        self._began = Instant(0)
        self._bytes = 0
        self._bursts = 0
        require_rate(job.pace, line_rate, "the stream")

    def start(self) -> None:
        """Begin: the first frame leaves at this instant."""
        self._began = self._loop.now()
        if self.job.duration is not None:
            self._end = self._began + self.job.duration
        self._loop.call_at(self._began, self._send_due, name=self)

    def set_pace(self, pace: Pace) -> None:
        """Go on at another pace: the first frame of it leaves at this instant."""
        require_rate(pace, self._line_rate, "the stream")
        self._pace = pace
        self._began, self._bytes, self._bursts = self._loop.now(), 0, 0
        if not self.done:
            self._loop.call_at(self._began, self._send_due, name=self)

    def stop(self) -> None:
        """Send no more; raises what the port could not do."""
        self.done = True
        self._loop.cancel(self)
        if self._error is not None:
            raise self._error

    def _send_due(self) -> None:
        now = self._loop.now()
        for _ in range(self._pace.burst):
            over = self._end is not None and now >= self._end
            if over or self.sent >= self.job.limit:
                self.done = True
                return
            frame = self.job.blend.frame(self.sent, now)
            try:
                self._tap.send(frame)
            except LinkError as error:
                self._error, self.done = error, True
                return
            self.sent += 1
            self._bytes += len(frame) + OVERHEAD
        self._bursts += 1
        if self.sent >= self.job.limit:
            self.done = True
            return
        self._loop.call_at(self._next(), self._send_due, name=self)

    def _next(self) -> Instant:
        if self._pace.pps is not None:
            return Instant(self._began + self._bursts * self._pace.interval // TICKS)
        rate = self._line_rate or 1
        return Instant(self._began + self._bytes * 8 * 1_000_000_000 // rate)


def require_rate(pace: Pace, line_rate: int | None, what: str) -> None:
    """PlanError where ``what`` is to be sent as fast as the line, and that is not known."""
    if pace.pps is None and line_rate is None:
        raise PlanError(f"this NIC does not tell its line rate: give {what} one, as pps")
