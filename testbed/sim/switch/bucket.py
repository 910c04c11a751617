"""A token bucket in whole numbers: so many a second, and so many at once."""

from __future__ import annotations

from testbed.timing import Duration, Instant, seconds

__all__ = ["Bucket"]

_SECOND = seconds(1)


class Bucket:
    """Lets ``rate`` a second through; it holds what comes together in ``depth``, 1 at least."""

    __slots__ = ("_full_at", "_gap", "_slack")

    def __init__(self, rate: int, depth: Duration) -> None:
        self._gap = _SECOND // rate if rate else 0
        self._slack = max(depth - self._gap, 0)
        self._full_at = Instant(0)
        """When the bucket is full again: the virtual scheduling of ITU-T I.371, annex A."""

    def take(self, now: Instant) -> bool:
        """Whether one more may pass now; none does at the rate 0."""
        if not self._gap or self._full_at - now > self._slack:
            return False
        self._full_at = Instant(max(self._full_at, now) + self._gap)
        return True
