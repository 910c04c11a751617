"""What each port of a CSMA/CD medium heard, and when it was free to send: read from the log.

Everything is counted in bit times of the medium, from the log's times and the delays between ports.
IEEE 802.3 4.2.3 and 4.4.2.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from testbed.devices.media import Attempt
from testbed.timing import Duration, Instant

__all__ = ["Hearing", "Try"]

_LIMIT: Final = 10
"""After so many collisions the range of the back-off grows no more (4.4.2: backoffLimit)."""


class Heard(NamedTuple):
    """A signal as it was at one port."""

    start: Instant
    end: Instant
    attempt: Attempt


@dataclass(frozen=True, slots=True)
class Try:
    """An attempt in the life of its frame: ``collisions`` had come before, ``last`` at the end."""

    attempt: Attempt
    collisions: int
    last: Attempt | None = None
    """The station's attempt before this one, of whatever frame."""

    @property
    def range(self) -> int:
        """The number of slots to wait before this one was drawn below this."""
        return 1 << min(self.collisions, _LIMIT)


class Hearing:
    """The log of a medium, heard from each of its ports."""

    GAP: Final = 96
    """Bit times that the medium must have been quiet (4.4.2: interPacketGap)."""
    SLOT: Final = 512
    """Bit times of a slot (slotTime)."""
    JAM: Final = 32
    """Bits of a jam (jamSize)."""
    PREAMBLE: Final = 64
    """Bits before a frame; a collision does not shorten them (4.2.8)."""
    ATTEMPTS: Final = 16
    """How often a frame is tried (attemptLimit)."""
    SLACK: Final = 10
    """Bit times by which a station's timers may be off, to and fro."""

    def __init__(
        self,
        log: Sequence[Attempt],
        delays: Mapping[tuple[str, str], Duration],
        bit: Duration,
    ) -> None:
        self.log = tuple(log)
        self.bit = bit
        self._at: dict[str, list[Heard]] = {}
        self._longest = max((each.end - each.start for each in log), default=0)
        ports = sorted({each.port for each in log})
        for port in ports:
            delay = {source: delays.get((source, port), Duration(0)) for source in ports}
            self._at[port] = sorted(
                (
                    Heard(
                        Instant(each.start + delay[each.port]),
                        Instant(each.end + delay[each.port]),
                        each,
                    )
                    for each in log
                ),
                key=lambda heard: heard.start,
            )

    def bits(self, span: int) -> float:
        """A span of time in bit times."""
        return span / self.bit

    def tries(self) -> Iterator[Try]:
        """Every attempt with its place among those for the same frame, port by port.

        A frame ends with an attempt that was no collision, or with the sixteenth collision.
        """
        for port in self._at:
            collisions, last = 0, None
            for each in self.log:
                if each.port == port:
                    yield Try(each, collisions, last)
                    collisions = (collisions + 1) % self.ATTEMPTS if each.collided else 0
                    last = each

    def given_up(self, port: str) -> int:
        """How many frames of ``port`` met sixteen collisions."""
        return sum(
            one.collisions == self.ATTEMPTS - 1 and one.attempt.collided
            for one in self.tries()
            if one.attempt.port == port
        )

    def trespass(self, attempt: Attempt) -> Attempt | None:
        """A signal for which ``attempt`` should have waited, if there is one.

        The port must have heard nothing for a gap. What begins within the gap may be passed over.
        """
        before = self._before(attempt)
        due = attempt.start - self.GAP * self.bit
        slack = self.SLACK * self.bit
        in_gap = any(abs(each.end - due) <= slack for each in before)
        for each in before:
            is_over = each.end <= due + slack
            is_unheard = each.start > attempt.start - slack and each.attempt.port != attempt.port
            if not (is_over or is_unheard or (each.start > due and in_gap)):
                return each.attempt
        return None

    def slots(self, one: Try) -> range:
        """How many slots the station may have waited before ``one``; none where no number fits.

        A medium that was not clear hides when a wait was over, so there may be several.
        """
        if one.last is None or not one.collisions:
            raise ValueError(f"no back-off came before {one.attempt}")
        begun, slot, slack = one.last.end, self.SLOT * self.bit, self.SLACK * self.bit
        start = one.attempt.start
        most = max(0, (start - begun + slack) // slot)
        least = bisect_left(
            range(most + 1),
            start - slack,
            key=lambda slots: self.clear_after(one.attempt, begun + slots * slot),
        )
        return range(least, most + 1)

    def late(self, one: Try) -> float:
        """Bit times by which ``one`` came after the medium was clear for it, a new frame."""
        free = self.clear_after(one.attempt, one.last.end if one.last else 0)
        return self.bits(one.attempt.start - free)

    def clear_after(self, attempt: Attempt, at: int) -> Instant:
        """When, from ``at`` on, the port of ``attempt`` had been quiet for a gap, by its start."""
        gap = self.GAP * self.bit
        for each in self._before(attempt, at - gap):
            if each.start < at:
                at = max(at, each.end + gap)
        return Instant(at)

    def met(self, attempt: Attempt) -> Instant | None:
        """When another signal met ``attempt`` at its own port, or None."""
        around = self._at[attempt.port]
        first = bisect_left(around, attempt.start - self._longest, key=lambda each: each.start)
        for each in around[first:]:
            if each.start >= attempt.end:
                return None
            if each.attempt.port != attempt.port and each.end > attempt.start:
                return max(each.start, attempt.start)
        return None

    def _before(self, attempt: Attempt, since: int | None = None) -> list[Heard]:
        """What the port heard that began before ``attempt`` and was not over long before."""
        around = self._at[attempt.port]
        since = attempt.start - 2 * self.GAP * self.bit if since is None else since
        first = bisect_left(around, since - self._longest, key=lambda each: each.start)
        last = bisect_left(around, attempt.start + 1, key=lambda each: each.start)
        return [each for each in around[first:last] if each.attempt is not attempt]
