"""What arrived of signed streams: counts, losses, duplicates, order, and how long it took.

``Tally.hear`` is the definition; the program in the kernel (``countcode``) computes the same
numbers. All of them have 64 bits and wrap; numbers of frames and times are compared by the sign of
their difference, as serial numbers are (RFC 1982).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from testbed.link.streams.signing import MARK, SIGNATURE, SIZE, STREAMS
from testbed.timing import Duration

__all__ = ["BUCKETS", "PARTS", "WINDOW", "StreamTally", "Tally", "bucket_of", "most_in"]

WINDOW: Final = 64
"""Frames back to which a frame that comes late is told from one that comes again."""
PARTS: Final = 8
"""Parts of the span from one power of two to the next that the histogram tells apart."""
BUCKETS: Final = 304
"""Up to 2**40 ns, 18 minutes; the last bucket holds what took longer, too."""
_NONE: Final = Duration(0)
_WORD: Final = (1 << 64) - 1
_WINDOW_MASK: Final = (1 << WINDOW) - 1


def bucket_of(latency: int) -> int:
    """The bucket of the histogram that counts a latency, in ns."""
    scale = max(0, latency.bit_length() - 4)
    return min(PARTS * scale + (latency >> scale), BUCKETS - 1)


def most_in(bucket: int) -> int:
    """The longest latency that a bucket counts, in ns."""
    scale = max(0, bucket // PARTS - 1)
    return ((bucket - PARTS * scale + 1) << scale) - 1


def _signed(word: int) -> int:
    return (word + (1 << 63) & _WORD) - (1 << 63)


@dataclass(slots=True)
class StreamTally:
    """What arrived of one stream.

    A frame is *late* when a frame with a greater number came before it: Type-P-Reordered of RFC
    4737 3, with duplicates and the stale left out. The extent of its reordering (RFC 4737 4.2) is
    how many arrivals it is behind the first frame that overtook it. Neither a frame that came again
    nor a stale one counts as an arrival there.
    """

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
    most_extent: int = 0
    """The greatest extent of reordering among the late."""
    total_extent: int = 0
    restarts: int = 0
    """How often the sender began anew: a number that is not new, stamped after the newest one."""
    earlier: int = 0
    """How many must have been sent before the last such beginning."""
    total_latency: int = 0
    least_latency: Duration = _NONE
    most_latency: Duration = _NONE
    jitter_sixteenths: int = 0
    """The jitter with the four more bits that RFC 3550 A.8 keeps."""
    histogram: list[int] = field(default_factory=lambda: [0] * BUCKETS)
    """Frames by latency, see ``bucket_of``: in steps of an eighth of a power of two."""
    newest: int = 0
    """When the frame with the greatest number was sent."""
    transit: int = 0
    """What the last frame took; negative where the two clocks differ."""
    overtakers: dict[int, int] = field(default_factory=dict)
    """Frames that left a gap, of those in the window: their numbers, and their arrival's."""

    @property
    def lost(self) -> int:
        """Frames that did not come though a later one did; the stale count as if they had not.

        What was lost at the very end only the sender knows: ``stream.sent - tally.due``. While
        frames come, a few too few may be told.
        """
        return max(0, _signed(self.earlier + self.due - self._arrived))

    @property
    def _arrived(self) -> int:
        return self.received - self.duplicates - self.stale

    @property
    def mean_latency(self) -> Duration:
        """From a frame's stamp to its arrival, on average; 0 while there is none."""
        return Duration(round(self.total_latency / self.received) if self.received else 0)

    @property
    def jitter(self) -> Duration:
        """The interarrival jitter of RFC 3550 6.4.1, over all frames in the order they came.

        Each frame moves it by a sixteenth of the difference between its latency and the one's
        before it; in whole numbers, as RFC 3550 A.8 does.
        """
        return Duration(self.jitter_sixteenths >> 4)

    @property
    def mean_extent(self) -> float:
        """The mean extent of reordering of the late frames; 0 while there are none."""
        return self.total_extent / self.late if self.late else 0.0

    def latency_within(self, share: float) -> Duration:
        """A time that ``share`` (0 to 1) of the frames did not exceed: at most an eighth more."""
        wanted, seen = share * self.received, 0
        for bucket, count in enumerate(self.histogram):
            seen += count
            if count and seen >= wanted:
                most = self.most_latency
                return most if bucket == BUCKETS - 1 else Duration(min(most_in(bucket), most))
        return Duration(0)

    def variation_within(self, share: float) -> Duration:
        """The packet delay variation of RFC 5481 4.2 that ``share`` of the frames did not exceed.

        That is a frame's latency less the least one.
        """
        return Duration(self.latency_within(share) - self.least_latency)

    def as_dict(self) -> dict[str, int | float | dict[str, int]]:
        """All of it for a report, fit for JSON; times in ns, the histogram by longest latency."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p99.9": 0.999}
        filled = {most_in(at): count for at, count in enumerate(self.histogram) if count}
        return {
            "received": self.received,
            "octets": self.octets,
            "lost": self.lost,
            "duplicates": self.duplicates,
            "late": self.late,
            "stale": self.stale,
            "most_extent": self.most_extent,
            "mean_extent": self.mean_extent,
            "restarts": self.restarts,
            "least_latency": self.least_latency,
            "mean_latency": self.mean_latency,
            "most_latency": self.most_latency,
            "jitter": self.jitter,
            "latency_within": {name: self.latency_within(each) for name, each in shares.items()},
            "variation_within": {
                name: self.variation_within(each) for name, each in shares.items()
            },
            "histogram": {str(longest): count for longest, count in filled.items()},
        }

    def hear(self, number: int, size: int, transit: int, sent_at: int = 0) -> None:
        """Take a frame of this stream, ``transit`` ns after it was sent."""
        latency = max(0, transit)
        if not self.received:
            self.least_latency = Duration(latency)
        else:
            step = self.jitter_sixteenths
            change = abs(_signed(transit - self.transit))
            self.jitter_sixteenths = step + change - (step + 8 >> 4) & _WORD
        self.transit = transit
        self.least_latency = Duration(min(latency, self.least_latency))
        self.most_latency = Duration(max(latency, self.most_latency))
        self.received += 1
        self.octets = self.octets + size & _WORD
        self.total_latency = self.total_latency + latency & _WORD
        self.histogram[bucket_of(latency)] += 1
        if _signed(number - self.due) >= 0:
            self._advance(number, sent_at)
        elif _signed(sent_at - self.newest) > 0:
            self.restarts += 1
            self.earlier = self.earlier + self.due & _WORD
            self.due = self.window = 0
            self.overtakers.clear()
            self._advance(number, sent_at)
        else:
            self._look_back(number)

    def _advance(self, number: int, sent_at: int) -> None:
        """Take a number that is new."""
        ahead = (number - self.due & _WORD) + 1
        self.window = (self.window << ahead | 1) & _WINDOW_MASK if ahead < WINDOW else 1
        self.due = number + 1 & _WORD
        self.newest = sent_at
        if ahead > 1:
            self.overtakers = {
                each: arrival
                for each, arrival in self.overtakers.items()
                if number - each & _WORD < WINDOW
            }
            self.overtakers[number] = self._arrived

    def _look_back(self, number: int) -> None:
        """Take a number that is not new: it is late, a duplicate or stale."""
        age = self.due - 1 - number & _WORD
        if age >= WINDOW:
            self.stale += 1
        elif self.window >> age & 1:
            self.duplicates += 1
        else:
            self.late += 1
            self.window |= 1 << age
            ahead = ((each - number & _WORD, at) for each, at in self.overtakers.items())
            first = min(pair for pair in ahead if pair[0] < WINDOW)
            extent = self._arrived - first[1]
            self.total_extent += extent
            self.most_extent = max(self.most_extent, extent)


class Tally:
    """Counts the signed frames that it is given, by stream."""

    def __init__(self) -> None:
        self.streams: dict[int, StreamTally] = {}
        self.others = 0
        """Frames that are not signed: none of them counts anywhere else."""

    def hear(self, frame: bytes, now: int) -> bool:
        """Take a frame that came ``now`` (ns, on the sender's clock); whether it is signed."""
        if len(frame) >= SIZE:
            mark, stream, number, sent_at = SIGNATURE.unpack_from(frame, len(frame) - SIZE)
            if mark == MARK and stream < STREAMS:
                tally = self.streams.setdefault(stream, StreamTally())
                tally.hear(number, len(frame), _signed(now - sent_at), sent_at)
                return True
        self.others += 1
        return False
