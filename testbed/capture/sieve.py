"""What a view of a trace has found so far: only frames that are new are looked at again.

A plan that waits asks the same question after every event. A trace only grows at its end, so what
was found stays found.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

__all__ = ["Sieve", "Sieves"]

T = TypeVar("T")

KEPT = 64
"""Questions of one trace that are remembered, the latest: plans ask few at a time."""


class Sieve(Generic[T]):
    """What of a growing sequence is wanted."""

    __slots__ = ("_taken", "_wanted", "found")

    def __init__(self, wanted: Callable[[T], bool]) -> None:
        self._wanted = wanted
        self._taken = 0
        self.found: list[T] = []

    def sift(self, source: Sequence[T]) -> list[T]:
        """All that is wanted of ``source``, which begins with all that it was before."""
        if self._taken < len(source):
            wanted = self._wanted
            self.found += [each for each in source[self._taken :] if wanted(each)]
            self._taken = len(source)
        return self.found


class Sieves(Generic[T]):
    """Sieves by what is asked."""

    def __init__(self) -> None:
        self._held: dict[Hashable, Sieve[T]] = {}

    def of(self, question: Hashable, wanted: Callable[[T], bool]) -> Sieve[T]:
        """The sieve for ``question``: the one that was made when it was asked first."""
        sieve = self._held.pop(question, None) or Sieve(wanted)
        self._held[question] = sieve  # the latest question goes last
        if len(self._held) > KEPT:
            del self._held[next(iter(self._held))]
        return sieve
