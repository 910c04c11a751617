"""What a plan can ask of a medium that stations share: who sent when, and how it ended.

Times are of the device's own clock: only differences between them mean anything.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from testbed.devices.capabilities import Configurable, Device
from testbed.timing import Duration, Instant

__all__ = [
    "Attempt",
    "MediumCounters",
    "Outcome",
    "RingFacts",
    "SharedMedium",
    "TokenRing",
]


class Outcome(Enum):
    """How an attempt to send went, as an oscilloscope at the medium shows it."""

    OK = "ok"  # whole, and by itself at every port
    COLLISION = "collision"  # another signal met it at some port
    CUT = "cut"  # by itself, but broken off


@dataclass(frozen=True, slots=True)
class Attempt:
    """One signal that a port put on the medium; ``token`` for a token that it sent or repeated.

    ``octets`` is the length of the whole frame without its FCS, however much of it was sent.
    """

    number: int
    port: str
    start: Instant
    end: Instant
    octets: int
    outcome: Outcome
    token: bool = False

    @property
    def collided(self) -> bool:
        """Whether another signal met it."""
        return self.outcome is Outcome.COLLISION

    @property
    def succeeded(self) -> bool:
        """Whether it was whole, and by itself."""
        return self.outcome is Outcome.OK

    def __str__(self) -> str:
        what = "a token" if self.token else f"{self.octets} bytes"
        return f"#{self.number} {self.port} from {self.start} to {self.end} ns: {what}, " + (
            self.outcome.value
        )


@dataclass(frozen=True, slots=True)
class MediumCounters:
    """What the station at one port met (IEEE 802.3 30.3.1.1); None where it does not count it.

    Frames that met ``excessive`` collisions were given up; ``late`` collisions came after the slot
    time; ``deferred`` frames found the medium busy at their first attempt.
    """

    frames: int
    collisions: int | None = None
    late: int | None = None
    excessive: int | None = None
    deferred: int | None = None


class SharedMedium(Device, Configurable, Protocol):
    """A hub or a bus: one may send at a time."""

    def bit_time(self) -> Duration:
        """The time of one bit."""

    def delays(self) -> Mapping[tuple[str, str], Duration]:
        """How long a signal of the first port takes to the second."""

    def medium_mark(self) -> int:
        """The number of the newest attempt, for medium_log()."""

    def medium_log(self, since: int) -> tuple[Attempt, ...]:
        """The attempts after ``since`` that are over, by their start."""

    def medium_counters(self, port: str) -> MediumCounters:
        """What the station at ``port`` met."""


@dataclass(frozen=True, slots=True)
class RingFacts:
    """What a ring tells of itself.

    ``order``: the ports as a token passes them; ``rotation``: the time of a free token once round;
    ``regenerated``: how often the monitor made a token because there was none.
    """

    order: tuple[str, ...]
    rotation: Duration
    holding_time: Duration
    regenerated: int


class TokenRing(SharedMedium, Protocol):
    """A ring on which a token goes round, and only who has it may send."""

    def ring(self) -> RingFacts:
        """Its order and its times."""
