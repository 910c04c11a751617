"""What is known of a recording: its clock, and what it lost and when."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.timing import Instant

__all__ = ["Clock", "Overrun"]


@dataclass(frozen=True, slots=True)
class Clock:
    """What frames are stamped with: a name, and what it means."""

    name: str
    about: str

    def __str__(self) -> str:
        return f"{self.name}: {self.about}"


@dataclass(frozen=True, slots=True)
class Overrun:
    """Frames that came and are not in the recording.

    They came between ``after``, the frame recorded before them (or the recording's start), and
    ``before``, the frame recorded next (or its end): nanoseconds of the capture clock.
    """

    lost: int
    after: Instant
    before: Instant
    where: str
    """What had no room for them."""

    def __str__(self) -> str:
        frames = "1 frame was" if self.lost == 1 else f"{self.lost} frames were"
        return f"{frames} lost between {_clock(self.after)} and {_clock(self.before)}: {self.where}"


def _clock(at: int) -> str:
    """Seconds since 1970 to the microsecond, as tools show them that read the file."""
    return f"{at // 1_000_000_000}.{at // 1000 % 1_000_000:06}"
