"""One direction of a connection: what was sent, what of it was out, and how long answers took."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from functools import cached_property

import numpy as np

from testbed.capture.columns.arrays import Bools, Ints
from testbed.capture.tcp.flags import FIN, SYN, Flag

__all__ = ["Cause", "Way"]

_AGAIN = int(Flag.RETRANSMISSION | Flag.FAST_RETRANSMISSION | Flag.SPURIOUS_RETRANSMISSION)
_LEAST_TIMEOUT = 190_000_000
"""No sender waits less for its timer (RFC 6298 says 1 s, Linux 200 ms); in nanoseconds."""


_DELAYED_ACK = 220_000_000
"""What RFC 8985 allows for a delayed ACK, 200 ms, and a tick of the clock; in nanoseconds."""
_HOLES = 1000
"""How many holes of a direction are remembered, the latest ones."""


class Cause(Enum):
    """Why a segment was sent again."""

    FAST = "fast"  # duplicate ACKs or SACK blocks asked for it
    TIMEOUT = "timeout"  # nothing came, and the timer went off (RFC 6298)
    PROBE = "probe"  # the last segment again, to provoke an answer (TLP, RFC 8985 7)
    SPURIOUS = "spurious"  # it had been acknowledged already
    COPIED = "copied"  # it was not: the network brought the same packet twice
    RECOVERY = "recovery"  # it followed one of these before it was acknowledged


@dataclass(frozen=True, eq=False)
class Way:
    """The segments that one end sent, and what the other end answered; times in nanoseconds.

    ``index`` are places in the capture's ``Segments``. Numbers count from the first segment's;
    ``end`` is the one behind a segment. ``answered`` is where the other's ACKs were, ``ack`` what
    they acknowledged, ``edge`` the end of the window that they announced: all in this direction's
    numbers. ``copied`` are packets that came twice, by their identification. ``sack`` holds rows of
    ``answered``-time, left and right edge of every SACK block.
    """

    index: Ints
    time: Ints
    start: Ints
    end: Ints
    length: Ints
    control: Ints
    flags: Ints
    copied: Bools
    answered: Ints
    ack: Ints
    edge: Ints
    sack: Ints

    @cached_property
    def again(self) -> Bools:
        """Which segments carry what was sent before.

        What is told to be out of order is among them where all of it had been seen already: that
        was not overtaken, but sent again too soon for the flag to know.
        """
        again: Bools = (self.flags & _AGAIN) != 0
        early = np.flatnonzero(self.flags & int(Flag.OUT_OF_ORDER))
        if len(early):
            again[early[self._seen_before(early)]] = True
        return again

    def _seen_before(self, early: Ints) -> Bools:
        """Whether segments fill no hole that is there when they come."""
        expected = np.maximum.accumulate(self.end)
        expected[1:], expected[0] = expected[:-1].copy(), self.start[0]
        asked = set(early.tolist())
        holes: list[tuple[int, int]] = []
        seen: list[bool] = []
        for place in np.flatnonzero((self.start != expected) & (self.end > self.start)).tolist():
            start, end = int(self.start[place]), int(self.end[place])
            if start > expected[place]:
                holes.append((int(expected[place]), start))
            left = [hole for low, high in holes for hole in _without(low, high, start, end)]
            if place in asked:
                seen.append(left == holes)
            holes = left[-_HOLES:]
        return np.array(seen, np.bool_)

    @property
    def bytes(self) -> int:
        """Bytes of the stream that were sent, each counted once."""
        control = int((self.control & (SYN | FIN) != 0)[~self.again].sum())
        span = int(self.end.max() - self.start.min()) - control if len(self.end) else 0
        return max(0, min(span, int(self.length.sum())))

    @cached_property
    def acknowledged(self) -> Ints:
        """What the other end had acknowledged by the time of each segment."""
        return self._highest(self.time)

    def _highest(self, times: Ints) -> Ints:
        if not len(self.ack) or not len(self.start):
            return np.full(len(times), int(self.start[0]) if len(self.start) else 0, np.int64)
        highest = np.maximum.accumulate(self.ack)
        place = np.searchsorted(self.answered, times, side="right") - 1
        return np.where(place >= 0, highest[place], self.start[0])

    @cached_property
    def flight(self) -> Ints:
        """Bytes sent and not acknowledged, right after each segment."""
        reached = np.maximum.accumulate(self.end) if len(self.end) else self.end
        return np.maximum(0, reached - self.acknowledged)

    @cached_property
    def round_trips(self) -> tuple[Ints, Ints]:
        """When ACKs came that measure the round trip, and how long each took.

        Karn's algorithm (RFC 6298 3): none for what was sent more than once, nor where the ACK may
        have waited for such a segment. An ACK counts for the newest segment that it covers.
        """
        empty = np.empty(0, np.int64)
        carries = (self.length > 0) | (self.control & (SYN | FIN) != 0)
        if not carries.any() or not len(self.ack):
            return empty, empty
        ends, first = np.unique(self.end[carries], return_index=True)
        sent = self.time[carries][first]
        highest = np.maximum.accumulate(self.ack)
        rises = np.concatenate(([True], highest[1:] > highest[:-1]))
        acks, times = highest[rises], self.answered[rises]
        place = np.searchsorted(ends, acks)
        exact = (place < len(ends)) & (ends[np.minimum(place, len(ends) - 1)] == acks)
        late = (self.flags & (_AGAIN | int(Flag.OUT_OF_ORDER)) != 0) & carries
        repeated = np.unique(self.end[late])
        counted = np.searchsorted(repeated, acks, side="right")
        exact &= np.diff(counted, prepend=0) == 0
        took = times[exact] - sent[place[exact]]
        return times[exact][took >= 0], took[took >= 0]

    @cached_property
    def causes(self) -> tuple[tuple[int, Cause], ...]:
        """Each segment that was sent again, by its place in this direction, and why."""
        found: list[tuple[int, Cause]] = []
        _, trips = self.round_trips
        trip = int(np.median(trips)) if len(trips) else 0
        recovering = probed = -1
        for place in np.flatnonzero(self.again).tolist():
            cause = self._cause(place, trip, int(self.start[place]) < recovering)
            if cause is Cause.PROBE:
                # One probe at most (RFC 8985 7.3), then the timer counts.
                cause = Cause.TIMEOUT if self.start[place] == probed else cause
                probed = int(self.start[place])
            found.append((place, cause))
            if cause in {Cause.FAST, Cause.TIMEOUT}:
                recovering = int(self.end[:place].max(initial=0))
        return tuple(found)

    def _cause(self, place: int, trip: int, inside: bool) -> Cause:
        flags = int(self.flags[place])
        if self.copied[place]:
            return Cause.COPIED
        if flags & Flag.SPURIOUS_RETRANSMISSION:
            return Cause.SPURIOUS
        if flags & Flag.FAST_RETRANSMISSION or self._reported(place):
            return Cause.RECOVERY if inside and not self._idle(place, trip) else Cause.FAST
        waited = self._waited(place)
        if trip and not inside and self._is_probe(place, waited, trip):
            return Cause.PROBE
        if inside and not self._idle(place, trip):
            return Cause.RECOVERY
        return Cause.TIMEOUT

    def _is_probe(self, place: int, waited: int, trip: int) -> bool:
        """Whether the last segment goes again, where a timer would have sent the first one.

        Of one segment alone only the time can tell: two round trips, and what an ACK may be
        delayed (RFC 8985 7.2).
        """
        if waited < trip or int(self.end[place]) != int(self.end[:place].max(initial=0)):
            return False
        alone = int(self.start[place]) <= int(self.acknowledged[place])
        return not alone or waited < 2 * trip + _DELAYED_ACK

    def _waited(self, place: int) -> int:
        """How long nothing had been sent."""
        return int(self.time[place] - self.time[place - 1]) if place else 0

    def _idle(self, place: int, trip: int) -> bool:
        return self._waited(place) >= max(_LEAST_TIMEOUT, trip)

    def _reported(self, place: int) -> bool:
        """Whether a SACK block told, within the time of a fast answer, that later data had come."""
        if not len(self.sack):
            return False
        time = int(self.time[place])
        stop = int(np.searchsorted(self.sack[:, 0], time, side="right"))
        recent = self.sack[max(0, stop - 4) : stop]
        later = recent[:, 1] >= self.end[place]
        return bool((later & (time - recent[:, 0] < _LEAST_TIMEOUT)).any())

    @property
    def holes(self) -> int:
        """How many holes SACK blocks told of: one before each place that blocks begin at."""
        return len(np.unique(self.sack[:, 1])) if len(self.sack) else 0


def _without(low: int, high: int, start: int, end: int) -> list[tuple[int, int]]:
    """What is left of a hole when a segment has come."""
    if end <= low or start >= high:
        return [(low, high)]
    return [part for part in ((low, start), (end, high)) if part[0] < part[1]]
