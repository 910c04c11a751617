"""Streams sent by the kernel itself: an XDP program makes every frame of a blend."""

from __future__ import annotations

from testbed.errors import Unsupported
from testbed.link.streams.job import Job, Outlet
from testbed.link.streams.live import LiveSender, batch_for
from testbed.link.streams.pace import Pace
from testbed.link.streams.tables import Tables
from testbed.link.streams.transmitter import INTERVAL, STATE_SIZE, transmitter

__all__ = ["XdpSender"]


class XdpSender(LiveSender):
    """``Sender`` of a job in the kernel."""

    def __init__(self, job: Job, outlet: Outlet) -> None:
        self.job = job
        self._tables: Tables | None = None
        super().__init__(
            outlet,
            STATE_SIZE,
            limit=job.limit,
            duration=job.duration,
            batch=batch_for(job.pace.pps),
        )
        try:
            self._tables = Tables(job.blend)
            code = transmitter(self._tables, self._state.fd, outlet.index, job.pace.burst)
            self._load(code, job.blend.longest)
        except BaseException:
            self._release()
            raise

    def _begin(self) -> None:
        self._words[INTERVAL // 8] = self.job.pace.interval

    def set_pace(self, pace: Pace) -> None:
        """Go on at another pace, from now on. How many frames a burst has cannot change."""
        if pace.burst != self.job.pace.burst:
            raise Unsupported("the burst of a stream cannot change while it runs: stop it first")
        super().set_pace(pace)

    def _release(self) -> None:
        super()._release()
        if self._tables is not None:
            self._tables.close()
