"""What an oscilloscope at a shared medium keeps: every attempt to send, and how it ended."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from testbed.timing import Instant

__all__ = ["KEPT", "AttemptLog", "Outcome", "Signal"]

KEPT: Final = 65_536
"""Attempts that are kept; older ones are forgotten."""


class Outcome(Enum):
    """How an attempt went, as the cable showed it."""

    OK = "ok"  # whole, and by itself at every port
    COLLISION = "collision"  # another signal met it at some port
    CUT = "cut"  # by itself, but broken off


@dataclass(slots=True, eq=False)
class Signal:
    """What one port puts on the medium, from its first bit to its last.

    ``frame`` is there as long as the signal is; ``octets`` is its length, and 0 of a token.
    """

    number: int
    port: str
    frame: bytes
    octets: int
    start: Instant
    end: Instant | None = None
    whole: bool = False
    disturbed: bool = False

    @property
    def outcome(self) -> Outcome:
        """How it went; meant once it is over."""
        if self.disturbed:
            return Outcome.COLLISION
        return Outcome.OK if self.whole else Outcome.CUT

    def __str__(self) -> str:
        what = "frame" if self.octets else "token"
        times = f"{self.start} {self.end}"
        return f"{self.number} {self.port} {what} {times} {self.octets} {self.outcome.value}"


class AttemptLog:
    """The last ``KEPT`` attempts, numbered from 1."""

    def __init__(self) -> None:
        self.last = 0
        """The number of the newest."""
        self._kept: deque[Signal] = deque(maxlen=KEPT)

    def add(self, port: str, frame: bytes, octets: int, start: Instant) -> Signal:
        """Write down that ``port`` begins."""
        self.last += 1
        signal = Signal(self.last, port, frame, octets, start)
        self._kept.append(signal)
        return signal

    def reaches_back_to(self, number: int) -> bool:
        """Whether all after ``number`` are still there."""
        return not self._kept or self._kept[0].number <= number + 1

    def after(self, number: int) -> Iterator[Signal]:
        """Those after ``number`` that are over, by their start."""
        return (each for each in self._kept if each.number > number and each.end is not None)
