"""Faults of cables and of the MACs at their ends, each a ``Defect`` to switch on."""

from __future__ import annotations

from testbed.sim.link import Lane
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = [
    "DUPLEX_MISMATCH",
    "FULL_BUFFER",
    "HALF_DUPLEX",
    "HALF_RATE",
    "ONE_WAY_SLOW",
    "TURNS_ROUND_SLOWLY",
]


class _Aware(Lane):
    """Knows whether the other way is in use."""

    __slots__ = ()

    @property
    def is_met(self) -> bool:
        """Whether frames are on the wire the other way."""
        return self.opposite.medium.busy_until > self.network.instant


class _HalfRate(_Aware):
    __slots__ = ()

    def time_on_wire(self, size: int) -> int:
        return super().time_on_wire(size) * (2 if self.is_met else 1)


class _HalfDuplex(_Aware):
    """One wire for both ways, whoever comes first."""

    __slots__ = ()

    def send(self, frame: bytes) -> None:
        busy = max(self.medium.busy_until, self.opposite.medium.busy_until)
        self.medium.busy_until = Instant(busy)
        super().send(frame)


class _DuplexMismatch(_Aware):
    """One end sends whenever it likes; the other takes that for a late collision, and gives up."""

    __slots__ = ()

    def send(self, frame: bytes) -> None:
        if self.is_met and self.name > self.opposite.name:
            self._lose(frame, "late collision")
            return
        super().send(frame)


class _FullBuffer(_Aware):
    """A buffer for both ways, which what waits the other way has filled."""

    __slots__ = ()

    def send(self, frame: bytes) -> None:
        waiting = self.opposite.medium.busy_until - self.network.instant
        if waiting > 40 * self.time_on_wire(len(frame)):
            self._lose(frame, "buffer full")
            return
        super().send(frame)


class _OneWaySlow(Lane):
    __slots__ = ()

    def time_on_wire(self, size: int) -> int:
        return super().time_on_wire(size) * (2 if self.name < self.opposite.name else 1)


class _TurnsRoundSlowly(_Aware):
    __slots__ = ()

    def time_on_wire(self, size: int) -> int:
        return super().time_on_wire(size) + (super().time_on_wire(60) if self.is_met else 0)


HALF_RATE = Defect(
    "half the rate when both send",
    "SW-23",
    "The bus behind the port is shared by both directions, and has the rate of one.",
    {Lane: _HalfRate},
)
HALF_DUPLEX = Defect(
    "negotiates half duplex",
    "SW-23",
    "Negotiation failed and both ends fell back to half duplex: who hears the other waits.",
    {Lane: _HalfDuplex},
)
DUPLEX_MISMATCH = Defect(
    "duplex mismatch",
    "SW-23",
    "One end was forced to full duplex, the other fell back to half: it sees late collisions.",
    {Lane: _DuplexMismatch},
)
FULL_BUFFER = Defect(
    "loses frames when both send",
    "SW-23",
    "Both directions of a port share one buffer, which is enough for one of them.",
    {Lane: _FullBuffer},
)
ONE_WAY_SLOW = Defect(
    "one direction at half the rate",
    "SW-23",
    "One pair of the cable is bad, and its direction was trained to a lower rate.",
    {Lane: _OneWaySlow},
)
TURNS_ROUND_SLOWLY = Defect(
    "a pause after each frame when both send",
    "SW-23",
    "The card's driver handles one interrupt at a time, so each direction waits for the other.",
    {Lane: _TurnsRoundSlowly},
)
