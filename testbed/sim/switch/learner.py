"""The learning process: what a frame's source address teaches (IEEE 802.1Q 8.7)."""

from __future__ import annotations

from typing import Final

from testbed.sim.switch.bucket import Bucket
from testbed.sim.switch.fdb import Entry, Fdb
from testbed.sim.switch.ports import Port
from testbed.timing import Instant, milliseconds

__all__ = ["Learner"]

_BURST: Final = milliseconds(10)
"""New addresses that come faster are queued for so long; the queue is what a burst may fill."""


class Learner:
    """Learns individual addresses, moves stations that reappear, notes that they still speak.

    ``rate`` is how many new addresses a second can be taken up, None for as many as like.
    """

    def __init__(self, fdb: Fdb, rate: int | None) -> None:
        self.fdb = fdb
        self.bucket = None if rate is None else Bucket(rate, _BURST)

    def learn(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        """A good frame came in by ``port``, in a VLAN of that port."""
        entry = self.fdb.find(vlan, frame[6:12], now)
        if entry is None:
            if not self.is_group(frame):
                self.meet(frame, vlan, port, now)
        elif entry.static:
            return
        elif entry.port is port:
            self.refresh(entry, frame, now)
        else:
            self.move(entry, frame, vlan, port, now)

    def is_group(self, frame: bytes) -> bool:
        """Whether the source is a group address, and so no station's."""
        return bool(frame[6] & 1)

    def meet(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        """A station speaks that the table does not have."""
        if self.bucket is None or self.bucket.take(now):
            self.fdb.learn(vlan, frame[6:12], port, now)

    def refresh(self, entry: Entry, frame: bytes, now: Instant) -> None:  # noqa: ARG002 - a seam
        """A known station speaks on its port: its age is nothing again."""
        entry.seen = now

    def move(self, entry: Entry, frame: bytes, vlan: int, port: Port, now: Instant) -> None:  # noqa: ARG002 - a seam
        """A known station speaks on another port: that is where it is now."""
        entry.vlan = vlan
        entry.port = port
        entry.seen = now
