"""What arrived of signed streams: counts, losses, duplicates, order, and how long it took.

``Tally.hear`` is the definition; the program in the kernel (``counter``) computes the same numbers.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from testbed.link.streams.signing import MARK, SIGNATURE, SIZE, STREAMS
from testbed.timing import Duration

__all__ = ["BUCKETS", "WINDOW", "StreamTally", "Tally"]

WINDOW: Final = 64
"""Frames back to which a frame that comes late is told from one that comes again."""
BUCKETS: Final = 48
_NONE: Final = Duration(0)
_WINDOW_MASK: Final = (1 << WINDOW) - 1


@dataclass(slots=True)
class StreamTally:
    """What arrived of one stream."""

    received: int = 0
    octets: int = 0
    """Bytes of all frames, without their check sequences."""
    due: int = 0
    """One more than the greatest number that came: how many must have been sent."""
    window: int = 0
    """Which of the latest frames came: the least bit is the one before ``due``."""
    duplicates: int = 0
    late: int = 0
    """Frames that came after one that was sent after them."""
    stale: int = 0
    """Frames so late that nobody can tell whether they were late or came again: see WINDOW."""
    total_latency: int = 0
    least_latency: Duration = _NONE
    most_latency: Duration = _NONE
    histogram: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    """Frames by latency: bucket ``n`` holds those below 2**n ns that are not below 2**(n-1)."""

    @property
    def lost(self) -> int:
        """Frames that did not come though a later one did; the stale count as if they had not.

        What was lost at the very end only the sender knows: ``stream.sent - tally.due``.
        """
        return self.due - (self.received - self.duplicates - self.stale)

    @property
    def mean_latency(self) -> Duration:
        """From a frame's stamp to its arrival, on average; 0 while there is none."""
        return Duration(round(self.total_latency / self.received) if self.received else 0)

    def latency_within(self, share: float) -> Duration:
        """A time that ``share`` (0 to 1) of the frames did not exceed, to a power of two."""
        wanted, seen = share * self.received, 0
        for bucket, count in enumerate(self.histogram):
            seen += count
            if count and seen >= wanted:
                return Duration(min(1 << bucket, self.most_latency))
        return Duration(0)

    def hear(self, number: int, size: int, latency: int) -> None:
        """Take a frame of this stream."""
        latency = max(0, latency)
        if not self.received or latency < self.least_latency:
            self.least_latency = Duration(latency)
        self.most_latency = Duration(max(latency, self.most_latency))
        self.received += 1
        self.octets += size
        self.total_latency += latency
        self.histogram[min(latency.bit_length(), BUCKETS - 1)] += 1
        if number >= self.due:
            ahead = number - self.due + 1
            self.window = (self.window << ahead | 1) & _WINDOW_MASK if ahead < WINDOW else 1
            self.due = number + 1
            return
        age = self.due - 1 - number
        if age >= WINDOW:
            self.stale += 1
        elif self.window >> age & 1:
            self.duplicates += 1
        else:
            self.late += 1
            self.window |= 1 << age


class Tally:
    """Counts the signed frames that it is given, by stream."""

    def __init__(self) -> None:
        self.streams: dict[int, StreamTally] = {}

    def hear(self, frame: bytes, now: int) -> bool:
        """Take a frame that came ``now`` (ns, on the sender's clock); whether it is signed."""
        if len(frame) < SIZE:
            return False
        mark, stream, number, sent_at = SIGNATURE.unpack_from(frame, len(frame) - SIZE)
        if mark != MARK or stream >= STREAMS:
            return False
        tally = self.streams.setdefault(stream, StreamTally())
        tally.hear(number, len(frame), now - sent_at)
        return True
