"""A token bucket: so many at once, so many a second (RFC 1812 4.3.2.8)."""

from __future__ import annotations

from testbed.errors import PlanError
from testbed.timing import Instant

__all__ = ["TokenBucket"]

_SECOND = 1_000_000_000


class TokenBucket:
    """``burst`` tokens at once, ``rate`` new ones a second; a rate of 0 means no limit.

    It is full at first. PlanError for a negative rate, or a burst below 1.
    """

    __slots__ = ("_full_at", "_period", "_slack", "refused")

    def __init__(self, rate: float, burst: int) -> None:
        if rate < 0 or burst < 1:
            raise PlanError(f"a bucket of {burst} with {rate} a second, expected 1 and 0 at least")
        self._period = round(_SECOND / rate) if rate else 0
        # The bucket as one instant, when it is full again: no fractions of tokens, no rounding.
        self._slack = self._period * (burst - 1)
        self._full_at: int | None = None
        self.refused = 0
        """Tokens asked for and not given."""

    def take(self, now: Instant) -> bool:
        """Take a token, if there is one."""
        full_at = now if self._full_at is None else max(self._full_at, now)
        if full_at - now > self._slack:
            self.refused += 1
            return False
        self._full_at = full_at + self._period
        return True
