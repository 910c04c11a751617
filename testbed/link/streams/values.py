"""How a field differs from frame to frame: what it holds in the n-th frame of its flow.

``at()`` is the definition; the senders in numpy and in the kernel compute the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, TypeAlias

from testbed.errors import PlanError
from testbed.wire.addresses import MacAddr

__all__ = [
    "SENT_AT",
    "SEQUENCE",
    "Increment",
    "Listed",
    "Number",
    "Random",
    "TimeStamp",
    "Values",
    "as_number",
    "mixed",
]

Number: TypeAlias = int | IPv4Address | MacAddr
"""What a field can be given as."""

WORD: Final = (1 << 64) - 1


def as_number(value: Number) -> int:
    """A value as the number that its bytes are."""
    return int.from_bytes(value.packed, "big") if isinstance(value, MacAddr) else int(value)


@dataclass(frozen=True, slots=True)
class Increment:
    """``start``, then ``step`` more in each frame; from ``start`` again after ``count`` frames.

    Without a ``start`` it is what the frame holds already; a ``count`` of 0 means never again. A
    number that has outgrown its field loses its upper bits.
    """

    start: Number | None = None
    step: int = 1
    count: int = 0

    def at(self, n: int, now: int) -> int:
        """The number in frame ``n``."""
        del now
        first = 0 if self.start is None else as_number(self.start)
        return first + (n % self.count if self.count else n) * self.step & WORD

    def bounds(self, width: int) -> tuple[int, int]:
        """The least and the most that it can be in a field of ``width`` bits."""
        first = 0 if self.start is None else as_number(self.start)
        last = first + (self.count - 1) * self.step
        least, most = min(first, last), max(first, last)
        if not self.count or least < 0 or most >> width:
            return 0, (1 << width) - 1
        return least, most


@dataclass(frozen=True, slots=True)
class Listed:
    """Each of ``values`` in turn, and again."""

    values: tuple[Number, ...]

    def __init__(self, values: Iterable[Number]) -> None:
        object.__setattr__(self, "values", tuple(values))
        if not self.values:
            raise PlanError("a list of values for a field is empty")

    def at(self, n: int, now: int) -> int:
        """The number in frame ``n``."""
        del now
        return as_number(self.values[n % len(self.values)])

    def bounds(self, width: int) -> tuple[int, int]:
        """The least and the most of the values, as a field of ``width`` bits holds them."""
        numbers = [as_number(value) & ((1 << width) - 1) for value in self.values]
        return min(numbers), max(numbers)


@dataclass(frozen=True, slots=True)
class Random:
    """A number from ``least`` to ``most``, which follows from ``seed`` and the frame's number."""

    least: Number
    most: Number
    seed: int = 1

    def __post_init__(self) -> None:
        if not 0 <= as_number(self.least) <= as_number(self.most) <= WORD:
            raise PlanError(f"no random number from {self.least} to {self.most}")

    @property
    def span(self) -> int:
        """How many numbers there are to draw from."""
        return as_number(self.most) - as_number(self.least) + 1

    def at(self, n: int, now: int) -> int:
        """The number in frame ``n``."""
        del now
        return as_number(self.least) + mixed(n, self.seed) % self.span

    def bounds(self, width: int) -> tuple[int, int]:
        """The least and the most that it can be in a field of ``width`` bits."""
        most = as_number(self.most)
        return (0, (1 << width) - 1) if most >> width else (as_number(self.least), most)


@dataclass(frozen=True, slots=True)
class TimeStamp:
    """When the frame was sent: nanoseconds on the bench's monotonic clock.

    The time at which a sender made the frame ready. In the kernel that is each frame's own, unless
    it is ``shared``: then a sender without a gap looks at the clock for one frame in 16. Through a
    packet socket frames are made ready by the batch, and those of a batch are stamped alike.
    """

    shared: bool = False

    def at(self, n: int, now: int) -> int:
        """The number in frame ``n``, which is sent ``now``."""
        del n
        return now & WORD

    def bounds(self, width: int) -> tuple[int, int]:
        """It can be anything."""
        return 0, (1 << width) - 1


Values: TypeAlias = Increment | Listed | Random | TimeStamp

SEQUENCE = Increment(0)
"""The number of the frame in its flow, from 0 on."""

SENT_AT = TimeStamp()

STEP: Final = 0x9E37_79B9_7F4A_7C15
MULTIPLIERS: Final = (0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB)


def mixed(n: int, seed: int) -> int:
    """64 bits that look like chance: the ``n``-th step of SplitMix64 from ``seed`` on.

    Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators (2014), figure 16. It needs
    no state, so the frame's number is all that a sender must know.
    """
    word = seed + (n + 1) * STEP & WORD
    word = (word ^ word >> 30) * MULTIPLIERS[0] & WORD
    word = (word ^ word >> 27) * MULTIPLIERS[1] & WORD
    return word ^ word >> 31
