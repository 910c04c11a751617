"""Frames played by the kernel: a thread fills a ring in its memory, a program sends from it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np

from testbed.errors import Unsupported
from testbed.link.ebpf import SharedArray
from testbed.link.replay.player import (
    BYTES,
    DUE,
    LENGTH,
    MADE,
    PLAYER_STATE,
    WORST,
    player,
)
from testbed.link.replay.reel import Feed, Limits, Reel, blamed
from testbed.link.streams.job import UNLIMITED, Outlet
from testbed.link.streams.live import LiveSender, batch_for
from testbed.link.streams.pace import Pace
from testbed.link.streams.transmitter import INTERVAL, LIMIT, SENT

__all__ = ["RingPlayer"]

HEAD = 16
"""Bytes in front of each frame in the ring."""

MOST_BYTES = 64 << 20
MOST_SLOTS = 1 << 15
AT_ONCE = 4096
"""Frames that are put into the ring in one go, at most."""

LOOK_EVERY = 0.0002
"""Seconds until there may be room in the ring again: it holds a few milliseconds of frames."""


@dataclass(eq=False)
class _Ring:
    """The slots that a program sends from, as arrays."""

    longest: int
    memory: SharedArray = field(init=False)

    def __post_init__(self) -> None:
        self.stride = HEAD + -(-self.longest // 8) * 8
        self.slots = MOST_SLOTS
        while self.slots * self.stride > MOST_BYTES:
            self.slots //= 2
        self.memory = SharedArray(self.slots * self.stride, "ring")
        slots = self.memory.view("u1").reshape(self.slots, self.stride)
        self.rows = slots[:, HEAD:]
        self.lengths = slots[:, LENGTH : LENGTH + 4].view(np.uint32)[:, 0]
        self.due = slots[:, DUE : DUE + 8].view(np.int64)[:, 0]

    def take(self, feed: Feed, made: int, count: int) -> int:
        """Put the next frames in, from number ``made`` on; how many, 0 where there are no more."""
        first = made % self.slots
        part = slice(first, min(first + count, self.slots))
        return feed.take(self.rows[part], self.lengths[part], self.due[part])


class RingPlayer(LiveSender):
    """``Sender`` of a reel in the kernel; a second CPU is busy with filling the ring.

    Without a pace, frames leave when they are due.
    """

    def __init__(self, reel: Reel, pace: Pace | None, outlet: Outlet, limits: Limits) -> None:
        self._pace = pace
        self._ring: _Ring | None = None
        self._made = 0
        self._over = threading.Event()
        span, count = reel.span, reel.count
        pps = pace.pps if pace else count * 1e9 / max(1, span) if count and span else 0.0
        limit = UNLIMITED if count is None else count
        super().__init__(outlet, PLAYER_STATE, limit=limit, duration=None, batch=batch_for(pps))
        try:
            self._ring = _Ring(reel.longest)
            code = player(
                self._state.fd,
                self._ring.memory.fd,
                outlet.index,
                slots=self._ring.slots,
                stride=self._ring.stride,
                longest=reel.longest,
                alike=reel.alike,
                burst=pace.burst if pace else None,
            )
            self._load(code, reel.longest)
            # What cannot be played here is for another to open: some reels can be opened once.
            self._feed = reel.open(limits)
            self._put()
        except BaseException:
            self._release()
            raise

    @property
    def sent_bytes(self) -> int:
        """Bytes of the frames that were sent so far."""
        return int(self._words[BYTES // 8])

    @property
    def lateness(self) -> int:
        """By how many nanoseconds the latest frame left after it was due."""
        return int(self._words[WORST // 8])

    def set_pace(self, pace: Pace) -> None:
        """Go on at another pace, from now on; Unsupported where frames have times of their own."""
        if self._pace is None:
            raise Unsupported("these frames leave when they are due: their rate cannot change")
        if pace.burst != self._pace.burst:
            raise Unsupported("the burst of a stream cannot change while it runs: stop it first")
        super().set_pace(pace)

    def stop(self) -> None:
        """Send no more; returns when nothing is under way."""
        self._over.set()
        super().stop()

    def _begin(self) -> None:
        if self._pace is not None:
            self._words[INTERVAL // 8] = self._pace.interval
        self._threads.append(threading.Thread(target=self._fill, name="reel", daemon=True))

    def _fill(self) -> None:
        """Keep the ring full until there are no more frames, or it is over."""
        self._come_first()
        try:
            while not self._over.is_set() and self.error is None and self._put():
                pass
        except Exception as error:  # noqa: BLE001 - whatever makes the frames may raise anything
            self.error = blamed(error)
        self._words[LIMIT // 8] = min(self._made, int(self._words[LIMIT // 8]))

    def _put(self) -> bool:
        """Put some frames into the ring, when there is room; False when there are no more."""
        ring = self._ring
        assert ring is not None  # noqa: S101 - made with this object
        room = ring.slots - (self._made - int(self._words[SENT // 8]))
        if room < min(AT_ONCE, ring.slots // 2):
            self._over.wait(LOOK_EVERY)
            return True
        taken = ring.take(self._feed, self._made, min(room, AT_ONCE))
        self._made += taken
        self._words[MADE // 8] = self._made
        return taken > 0

    def _release(self) -> None:
        super()._release()
        if self._ring is not None:
            self._ring.memory.close()
            self._ring = None  # its arrays hold on to the memory
