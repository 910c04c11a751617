"""How fast a stream goes."""

from __future__ import annotations

from dataclasses import dataclass

from testbed.errors import PlanError

__all__ = ["FCS", "OVERHEAD", "TICKS", "Pace"]

FCS = 4
OVERHEAD = 24
"""Bytes that a frame takes on the wire besides its own: preamble and SFD 8, FCS 4, gap 12 (IEEE
802.3 4.4.2)."""

TICKS = 256
"""Gaps are counted in this part of a nanosecond: at 10 million frames a second the rate is then
right to 1 in 25,000."""


@dataclass(frozen=True, slots=True)
class Pace:
    """``burst`` frames as fast as the sender can, then the gap that gives ``pps`` on average.

    ``pps`` is in frames per second; None is as fast as the sender can.
    """

    pps: float | None = None
    burst: int = 1

    def __post_init__(self) -> None:
        if self.pps is not None and not 0 < self.pps < 1e9:
            raise PlanError(f"a rate of {self.pps:g} frames a second: expected 0 to 10^9")
        if self.burst < 1:
            raise PlanError(f"a burst of {self.burst} frames: expected 1 at least")

    @property
    def interval(self) -> int:
        """From the beginning of one burst to that of the next, in ``TICKS`` of a nanosecond."""
        return 0 if self.pps is None else round(self.burst * TICKS * 1e9 / self.pps)

    @classmethod
    def of(
        cls,
        mean_length: float,
        *,
        pps: float | None = None,
        bits_per_second: float | None = None,
        line_share: float | None = None,
        line_rate: int | None = None,
        burst: int = 1,
    ) -> Pace:
        """The pace given in one of three ways, or in none: as fast as can be.

        ``bits_per_second`` counts the bits of whole frames, check sequence included;
        ``line_share`` is from 0 to 1 of ``line_rate`` (bit/s), preambles and gaps included.
        PlanError for more than one of them, or a share where the line rate is not known.
        """
        given = [each for each in (pps, bits_per_second, line_share) if each is not None]
        if len(given) > 1:
            raise PlanError("a rate is given once: as pps, bits_per_second or line_share")
        if bits_per_second is not None:
            pps = bits_per_second / (8 * (mean_length + FCS))
        if line_share is not None:
            if not 0 < line_share <= 1:
                raise PlanError(f"a share of {line_share:g} of the line rate: expected 0 to 1")
            if line_rate is None:
                raise PlanError("a share of the line rate, which this NIC does not tell: give pps")
            pps = line_share * line_rate / (8 * (mean_length + OVERHEAD))
        return cls(pps, burst)
