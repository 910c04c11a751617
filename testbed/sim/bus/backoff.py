"""Truncated binary exponential back-off: IEEE 802.3 4.2.3.2.5."""

from __future__ import annotations

from typing import Final

from testbed.stack.entropy import Entropy

__all__ = ["ATTEMPTS", "LIMIT", "SLOT", "Backoff"]

SLOT: Final = 512
"""Bit times of a slot (IEEE 802.3 4.4.2: slotTime)."""

ATTEMPTS: Final = 16
"""How often a frame is tried (attemptLimit)."""

LIMIT: Final = 10
"""After so many collisions the range grows no more (backoffLimit)."""


class Backoff:
    """How many slots a station waits after the nth collision of a frame, by chance of its own."""

    slot = SLOT
    attempts = ATTEMPTS

    def __init__(self, seed: str, port: str) -> None:
        self._entropy = Entropy(self._seed(seed, port))

    def _seed(self, seed: str, port: str) -> bytes:
        return f"{seed}/{port}/back-off".encode()

    def range(self, collisions: int) -> int:
        """The number of slots is below this."""
        return 1 << min(collisions, LIMIT)

    def slots(self, collisions: int) -> int:
        """Slots to wait."""
        return self._entropy.below(self.range(collisions))

    def exhausted(self, collisions: int) -> bool:
        """Whether the frame is given up."""
        return collisions >= self.attempts

    def succeeded(self) -> None:
        """A frame went out whole; a good station draws no advantage from it."""
