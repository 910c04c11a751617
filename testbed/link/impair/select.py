"""Which frames a fault strikes. A selector is a predicate that may keep count.

Any function from a frame's bytes to a truth value will do; these are those with a memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from testbed.errors import PlanError
from testbed.link.impair.luck import Luck

__all__ = ["Chance", "GilbertElliott", "Nth", "Selector", "any_frame", "describe", "seeded"]

Selector: TypeAlias = Callable[[bytes], bool]
"""Asked once for each frame, in order."""


def any_frame(frame: bytes) -> bool:
    """Every frame matches."""
    del frame
    return True


def describe(which: Selector) -> str:
    """A selector in words, for the report."""
    if isinstance(which, Nth | Chance | GilbertElliott):
        return str(which)
    return "any" if which is any_frame else "matched"


class Nth:
    """Those frames that match ``matching`` whose turn, counted from 1, is among ``turns``.

    ``Nth(3)`` is the third frame, ``Nth(1, 4, matching=is_data)`` the first and fourth segment
    with data. ``seen`` is how many have matched. ``rearm()`` counts from 1 anew.
    """

    def __init__(self, *turns: int, matching: Selector = any_frame) -> None:
        self.turns = _turns(turns)
        self.matching = matching
        self.seen = 0
        self.on_rearm: Callable[[], None] | None = None
        """Called after rearm(): whoever decides in this one's place must know."""

    def rearm(self, *turns: int) -> None:
        """Strike these from here on: ``rearm(1)`` the next that matches. Frames may be running."""
        self.turns = _turns(turns)
        self.seen = 0
        if self.on_rearm is not None:
            self.on_rearm()

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        if not self.matching(frame):
            return False
        self.seen += 1
        return self.seen in self.turns

    def __str__(self) -> str:
        return f"number {self.seen} of those that match"


class Chance:
    """Each frame that matches ``matching``, with ``probability`` (0 to 1); same seed, same luck."""

    def __init__(self, probability: float, seed: int, matching: Selector = any_frame) -> None:
        self.probability = _probability(probability, "probability")
        self.seed = seed
        self.matching = matching
        self.luck = seeded(seed)

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        return self.matching(frame) and self.luck.strikes(self.probability)

    def __str__(self) -> str:
        return f"by chance of {self.probability:g}, seed {self.seed}"


class GilbertElliott:
    """Bursts: a channel that is now good, now bad (Gilbert 1960, Elliott 1963).

    Before each frame that matches, a good channel turns bad with probability ``to_bad`` and a bad
    one good with ``to_good``; then the frame is struck with the probability of the state. In the
    long run the channel is bad for ``to_bad / (to_bad + to_good)`` of the frames.
    """

    def __init__(
        self,
        to_bad: float,
        to_good: float,
        seed: int,
        *,
        in_bad: float = 1.0,
        in_good: float = 0.0,
        matching: Selector = any_frame,
    ) -> None:
        self.to_bad = _probability(to_bad, "to_bad")
        self.to_good = _probability(to_good, "to_good")
        self.in_bad = _probability(in_bad, "in_bad")
        self.in_good = _probability(in_good, "in_good")
        self.seed = seed
        self.matching = matching
        self.bad = False
        self.luck = seeded(seed)

    def __call__(self, frame: bytes) -> bool:
        """Whether this frame is struck."""
        if not self.matching(frame):
            return False
        if self.luck.strikes(self.to_good if self.bad else self.to_bad):
            self.bad = not self.bad
        return self.luck.strikes(self.in_bad if self.bad else self.in_good)

    def __str__(self) -> str:
        state = "bad" if self.bad else "good"
        return f"in the {state} state of a burst channel, seed {self.seed}"


def seeded(seed: int) -> Luck:
    """A source of luck that repeats itself: no secret depends on it."""
    return Luck(seed)


def _turns(turns: tuple[int, ...]) -> frozenset[int]:
    if not turns or min(turns) < 1:
        raise PlanError(f"Nth counts from 1 and needs one turn at least, got {turns}")
    return frozenset(turns)


def _probability(value: float, name: str) -> float:
    if not 0 <= value <= 1:
        raise PlanError(f"{name} is a probability from 0 to 1, got {value}")
    return value
