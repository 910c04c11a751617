"""A connection's search for its path's MTU, and the probe that is on its way."""

from __future__ import annotations

from testbed.stack.search import MtuSearch
from testbed.timing import Instant

__all__ = ["Probing"]


class Probing:
    """``search``, and the segment that probes: ``start`` to ``end`` in a packet of ``size``."""

    __slots__ = ("end", "search", "size", "start")

    def __init__(self, search: MtuSearch) -> None:
        self.search = search
        self.start = 0
        self.end = 0
        self.size = 0  # 0: no probe is on its way

    def resent(self, seq: int, end: int, now: Instant) -> None:
        """``seq`` to ``end`` goes out again: if the probe held it, an ACK proves no size any more.

        RFC 4821 7.6.2: loss recovery found the probe lost. That the pieces arrive says nothing.
        """
        if self.size and seq < self.end and end > self.start:
            self.search.probe_lost(self.size, now)
            self.size = 0

    def outstanding(self, una: int) -> bool:
        """Whether a probe is on its way, all before it being acknowledged up to ``una``."""
        return self.size > 0 and self.start >= una
