"""Luck that repeats itself, the same in Python and in a program in the kernel.

SplitMix64 (Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014): a
counter goes on by an odd constant, and what it then holds is mixed. That takes multiplying,
shifting and adding, so that an XDP program draws the very numbers that a stage would draw.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from math import ceil
from typing import Any, Final

__all__ = ["MULTIPLIERS", "SHIFTS", "STEP", "UNIT", "WORD", "Luck", "threshold"]

WORD: Final = (1 << 64) - 1
STEP: Final = 0x9E37_79B9_7F4A_7C15
MULTIPLIERS: Final = (0xBF58_476D_1CE4_E5B9, 0x94D0_49BB_1331_11EB)
SHIFTS: Final = (30, 27, 31)
UNIT: Final = 53
"""Bits of a draw that decide on a probability: as many as a float has."""


def _mixed(word: int) -> int:
    word = (word ^ word >> SHIFTS[0]) * MULTIPLIERS[0] & WORD
    word = (word ^ word >> SHIFTS[1]) * MULTIPLIERS[1] & WORD
    return word ^ word >> SHIFTS[2]


def threshold(probability: float) -> int:
    """What a draw of UNIT bits must be less than for a chance of ``probability``, exactly."""
    return ceil(probability * (1 << UNIT))


class Luck:
    """A source of numbers: the same seed gives the same ones. ``state`` is its memory."""

    def __init__(self, seed: int) -> None:
        upper = seed >> 64
        self.state = _mixed((seed ^ (0 if upper in (0, -1) else _mixed(upper & WORD))) & WORD)

    def draw(self) -> int:
        """64 bits."""
        self.state = self.state + STEP & WORD
        return _mixed(self.state)

    def strikes(self, probability: float) -> bool:
        """True with this probability: never for 0, always for 1."""
        return self.draw() >> 64 - UNIT < threshold(probability)

    def within(self, least: int, most: int) -> int:
        """A whole number of ``least`` to ``most``, each as likely as the next."""
        return least + self.draw() % (most - least + 1)

    def shuffle(self, items: MutableSequence[Any]) -> None:
        """Put them into any order, in place (Fisher and Yates)."""
        for last in range(len(items) - 1, 0, -1):
            other = self.within(0, last)
            items[last], items[other] = items[other], items[last]
