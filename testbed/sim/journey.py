"""Where frames went: every hop of every frame, with what caused it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from testbed.timing import Instant

__all__ = ["Hop", "Journal"]

KEPT = 100_000
"""Hops that are kept: the latest."""


@dataclass(frozen=True, slots=True)
class Hop:
    """A frame on one way of one link.

    ``cause`` is the number of the hop that brought the frame on account of which this one was sent;
    0 for what a device sent by itself. ``at`` is when it arrived, or was lost; ``lost`` says why,
    and is empty when it arrived.
    """

    number: int
    cause: int
    at: Instant
    lane: str
    frame: bytes
    lost: str = ""


class Journal:
    """The hops of a network, the latest of them: arrivals and losses, in order."""

    __slots__ = ("_hops", "_number", "cause")

    def __init__(self, kept: int = KEPT) -> None:
        self._hops: deque[tuple[int, int, Instant, str, bytes, str]] = deque(maxlen=kept)
        self._number = 0
        self.cause = 0
        """The hop whose frame is being handled; what is sent meanwhile is on its account."""

    def arrive(self, at: Instant, lane: str, frame: bytes, cause: int) -> None:
        """Note an arrival: what is sent from here on is on its account."""
        self._number = self.cause = number = self._number + 1
        self._hops.append((number, cause, at, lane, frame, ""))

    def lose(self, at: Instant, lane: str, frame: bytes, why: str) -> None:
        """Note a frame that does not arrive."""
        self._number += 1
        self._hops.append((self._number, self.cause, at, lane, frame, why))

    def __len__(self) -> int:
        """How many hops there were, those no longer kept among them."""
        return self._number

    def hops(self, wanted: Callable[[bytes], bool] = lambda _: True) -> list[Hop]:
        """The hops that are kept whose frame is ``wanted``, oldest first."""
        return [Hop(*hop) for hop in self._hops if wanted(hop[4])]

    def journeys(self, wanted: Callable[[bytes], bool]) -> list[list[Hop]]:
        """The journeys that begin with a frame that is ``wanted``, oldest first."""
        found: list[list[Hop]] = []
        known: set[int] = set()
        for hop in self.hops(wanted):
            if hop.number not in known:
                found.append(self.journey(hop.number))
                known.update(each.number for each in found[-1])
        return found

    def lost(self) -> list[Hop]:
        """The hops that are kept of frames that did not arrive, oldest first."""
        return [Hop(*hop) for hop in self._hops if hop[5]]

    def journey(self, number: int) -> list[Hop]:
        """Hop ``number`` and all that came of it, oldest first: where a frame went."""
        found: list[Hop] = []
        family = {number}
        for hop in self._hops:
            if hop[0] == number or hop[1] in family:
                family.add(hop[0])
                found.append(Hop(*hop))
        return found
