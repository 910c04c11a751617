"""Store and forward: the memory that frames wait in until their ports send them."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Callable
from operator import itemgetter
from typing import Final

from testbed.stack.output import Outgoing
from testbed.timing import Duration, Instant, microseconds

__all__ = ["LATENCY", "Fabric"]

LATENCY: Final = microseconds(4)
"""From a frame's last bit in to its first bit out (RFC 1242 3.8): what a gigabit switch takes."""


class Fabric:
    """Each frame leaves its latency after it came, in the order in which they came."""

    def __init__(self, latency: Duration = LATENCY) -> None:
        self.latency = latency
        self.waiting: deque[tuple[Instant, Outgoing]] = deque()

    def store(self, port: str, frame: bytes, now: Instant) -> None:
        """Take a frame that is to leave by ``port``."""
        self.waiting.append((now + self.latency, Outgoing(port, frame)))  # type: ignore[arg-type]

    def place(self, due: Instant, port: str, frame: bytes) -> None:
        """Let a frame wait until ``due``, behind all that are due no later."""
        insort(self.waiting, (due, Outgoing(port, frame)), key=itemgetter(0))

    def drop(self, chosen: Callable[[Outgoing], bool]) -> None:
        """Lose the frames that are ``chosen``."""
        self.waiting = deque(each for each in self.waiting if not chosen(each[1]))
