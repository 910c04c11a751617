"""Storm control: a ceiling on the broadcasts that a port lets in."""

from __future__ import annotations

from typing import Final

from testbed.sim.switch.bucket import Bucket
from testbed.sim.switch.ports import Port
from testbed.timing import Instant, milliseconds

__all__ = ["StormControl"]

_DEPTH: Final = milliseconds(20)
"""What a silent port may send at once, as a span at its ceiling: 2 % of a second's."""


class StormControl:
    """Broadcasts above a port's ceiling are dropped; no other frame is asked for."""

    def __init__(self) -> None:
        self._buckets: dict[Port, Bucket] = {}

    def set_ceiling(self, port: Port, rate: int | None) -> None:
        """Let ``rate`` broadcasts a second in by ``port``; None for as many as come."""
        port.ceiling = rate
        self._buckets.pop(port, None)
        if rate is not None:
            self._buckets[port] = self.bucket(rate)

    def bucket(self, rate: int) -> Bucket:
        """What holds a port to ``rate``."""
        return Bucket(rate, _DEPTH)

    def passes(self, frame: bytes, port: Port, now: Instant) -> bool:  # noqa: ARG002 - a seam
        """Whether a broadcast may pass now."""
        return self._buckets[port].take(now)
