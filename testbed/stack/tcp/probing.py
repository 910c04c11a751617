"""A connection's search for its path's MTU, and the probe that is on its way."""

from __future__ import annotations

from testbed.stack.search import MtuSearch

__all__ = ["Probing"]


class Probing:
    """``search``, and the segment that probes: ``start`` to ``end`` in a packet of ``size``."""

    __slots__ = ("end", "search", "size", "start")

    def __init__(self, search: MtuSearch) -> None:
        self.search = search
        self.start = 0
        self.end = 0
        self.size = 0  # 0: no probe is on its way

    def outstanding(self, una: int) -> bool:
        """Whether a probe is on its way, all before it being acknowledged up to ``una``."""
        return self.size > 0 and self.start >= una
