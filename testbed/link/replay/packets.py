"""Frames played through a packet socket: what works on every Linux."""

from __future__ import annotations

import time

import numpy as np

from testbed.errors import Unsupported
from testbed.link.replay.reel import Ints, Limits, Reel, Rows, blamed
from testbed.link.streams.job import UNLIMITED, Outlet
from testbed.link.streams.pace import Pace
from testbed.link.streams.packets import BATCH, SocketSender

__all__ = ["PacketPlayer"]

LONGEST_SLEEP = 50_000_000


class _Buffer:
    """The next frames of a reel, in the memory that the socket sends from."""

    still = False

    def __init__(self, width: int) -> None:
        self.rows: Rows = np.zeros((BATCH, width), np.uint8)
        self.lengths: Ints = np.zeros(BATCH, np.int64)
        self.due: Ints = np.zeros(BATCH, np.int64)

    def fill(self, first: int, count: int, now: int) -> None:
        """The player itself takes what comes next."""


class PacketPlayer(SocketSender):
    """``Sender`` of a reel through a packet socket. Without a pace, frames leave when due."""

    def __init__(
        self,
        reel: Reel,
        pace: Pace | None,
        outlet: Outlet,
        limits: Limits,
        *,
        captured: bool = False,
    ) -> None:
        self._source = reel.open(limits)
        self._timed = pace is None
        self._buffer = _Buffer(-(-reel.longest // 8) * 8)
        self._have = self._next = 0  # rows of the buffer: filled, and sent
        self._start = 0
        self.sent_bytes = 0
        self.lateness = 0
        limit = UNLIMITED if reel.count is None else reel.count
        super().__init__(outlet, self._buffer, pace or Pace(), limit=limit, captured=captured)

    def set_pace(self, pace: Pace) -> None:
        """Go on at another pace, from now on; Unsupported where frames have times of their own."""
        if self._timed:
            raise Unsupported("these frames leave when they are due: their rate cannot change")
        super().set_pace(pace)

    def start(self) -> None:
        """Begin."""
        self._start = time.monotonic_ns()
        super().start()

    def _run(self) -> None:
        try:
            super()._run()
        except Exception as error:  # noqa: BLE001 - whatever makes the frames may raise anything
            self.error = blamed(error)

    def _due(self, now: int) -> int:
        """How many frames of the buffer are due; having waited for the next, 0 where none is."""
        buffer = self._buffer
        if self._next == self._have:
            self._next = 0
            self._have = self._source.take(buffer.rows, buffer.lengths, buffer.due)
            self._vectors[:, 1] = buffer.lengths
            if not self._have:
                self._limit = self._handed
                return 0
        if not self._timed:
            return min(super()._due(now), self._have - self._next)
        left = buffer.due[self._next : self._have]
        past = now - self._start
        due = int(np.searchsorted(left, past, side="right"))
        if due:
            self.lateness = max(self.lateness, past - int(left[0]))
        else:
            time.sleep(min(int(left[0]) - past, LONGEST_SLEEP) / 1e9)
        return due

    def _send(self, count: int, now: int) -> None:
        del now
        before = self._handed
        self._hand_over(self._next, count)
        handed = self._handed - before
        lengths = self._buffer.lengths[self._next : self._next + handed]
        self.sent_bytes += int(lengths.sum())
        self._next += handed
