"""What was sent and is not yet cumulatively acknowledged, segment by segment (RFC 6675 3)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from operator import attrgetter

from testbed.stack.tcp.reasons import Reason
from testbed.timing import Instant

__all__ = ["Scoreboard", "Segment"]

_START = attrgetter("seq")
_END = attrgetter("end")
_ORDER = attrgetter("order", "seq")

_MOST_PIECES = 16_384
"""SACK blocks may cut segments up to so many: a peer that reports single bytes costs no more."""


class Segment:
    """A stretch of numbers that went out in one piece.

    ``at`` is when it last did, ``order`` counts transmissions and tells those of one instant apart,
    ``first_at`` is when it first did, ``sends`` how often. ``lost``: its
    first copy is believed to have left the network undelivered; ``copy``: a later one is believed
    to be on its way. ``reason`` is why it is to be sent again, or why it was.
    """

    __slots__ = (
        "at",
        "copy",
        "end",
        "first_at",
        "lost",
        "order",
        "reason",
        "sacked",
        "sends",
        "seq",
        "timed_out",
    )

    def __init__(self, seq: int, end: int, at: Instant, order: int) -> None:
        self.seq = seq
        self.end = end
        self.at = at
        self.order = order
        self.first_at = at
        self.sends = 1
        self.sacked = False
        self.lost = False
        self.copy = False
        self.timed_out = False
        self.reason: Reason | None = None

    def split(self, at: int) -> Segment:
        """Cut off and return what lies from ``at`` on; all else is alike."""
        tail = Segment(at, self.end, self.at, self.order)
        tail.first_at = self.first_at
        tail.sends = self.sends
        tail.sacked = self.sacked
        tail.lost = self.lost
        tail.copy = self.copy
        tail.timed_out = self.timed_out
        tail.reason = self.reason
        self.end = at
        return tail

    @property
    def missing(self) -> bool:
        """Whether it is to be sent again, and was not yet."""
        return self.lost and not self.copy and not self.sacked

    def __repr__(self) -> str:
        marks = [name for name in ("sacked", "lost", "copy") if getattr(self, name)]
        return f"<{self.seq}-{self.end} sent {self.sends} times {' '.join(marks)}>"


class Scoreboard:
    """Segments in the order of their numbers, with running totals; all totals in bytes."""

    __slots__ = (
        "_known",
        "_missing",
        "_sends",
        "_serial",
        "by_time",
        "copies",
        "high",
        "highest_sacked",
        "lost",
        "sacked",
        "sacked_segments",
        "segments",
        "una",
    )

    segments: list[Segment]
    by_time: dict[Segment, None]
    """Those that may still be on their way, in the order of their last transmission."""
    sacked: int
    lost: int
    """Lost and not SACKed, sent again or not."""
    copies: int
    """Sent again and not SACKed, as far as the copy is not lost in turn."""

    def __init__(self, start: int) -> None:
        self.una = start
        self.high = start
        self.highest_sacked = start
        self.segments = []
        self.by_time = {}
        self.sacked = 0
        self.sacked_segments = 0
        self.lost = 0
        self.copies = 0
        self._missing: list[tuple[int, int, Segment]] = []
        self._serial = 0
        self._sends = 0
        self._known: tuple[tuple[int, int], ...] = ()

    @property
    def pipe(self) -> int:
        """Bytes believed to be in the network (RFC 6675 4 SetPipe)."""
        return self.high - self.una - self.sacked - self.lost + self.copies

    def push(self, end: int, now: Instant) -> Segment:
        """New data up to ``end`` went out."""
        self._sends = order = self._sends + 1
        segment = Segment(self.high, end, now, order)
        self.high = end
        self.segments.append(segment)
        self.by_time[segment] = None
        return segment

    def resend(self, seq: int, end: int, now: Instant, *, counts: bool = True) -> list[Segment]:
        """``seq`` up to ``end`` went out again; cuts segments so that this is whole ones.

        Returns them. ``counts``: whether the copies count as being in the network.
        """
        resent = []
        self._sends += 1
        for segment in self._carve(seq, end):
            segment.sends += 1
            segment.at = now
            segment.order = self._sends
            self.by_time.pop(segment, None)
            if segment.sacked:
                continue
            self.by_time[segment] = None
            if counts and not segment.copy:
                segment.copy = True
                self.copies += segment.end - segment.seq
            resent.append(segment)
        return resent

    def acknowledge(self, ack: int) -> list[Segment]:
        """Numbers below ``ack`` arrived: remove and return the segments that wholly lie there."""
        segments = self.segments
        count = 0
        for segment in segments:
            if segment.end > ack:
                break
            count += 1
        gone = segments[:count]
        del segments[:count]
        by_time = self.by_time
        if not (self.sacked or self.lost or self.copies):
            for segment in gone:
                del by_time[segment]
        else:
            for segment in gone:
                self._uncount(segment, segment.end - segment.seq)
                by_time.pop(segment, None)
        if segments and segments[0].seq < ack:
            self._trim(segments[0], ack)
        self.una = ack
        self.highest_sacked = max(self.highest_sacked, ack)
        return gone

    def sack(self, blocks: Sequence[tuple[int, int]]) -> list[Segment]:
        """The receiver holds ``blocks``: mark and return the segments that this is news of."""
        news: list[Segment] = []
        valid = [b for b in blocks if self.una <= b[0] < b[1] <= self.high]
        for block in valid:
            for seq, end in _without(block, self._known):
                news.extend(s for s in self._cut_sacked(max(seq, self.una), end) if self._sack(s))
        if valid:
            self._known = tuple(valid)
        return news

    def forget_sacked(self) -> None:
        """The receiver may have thrown away what it reported (RFC 2018 8)."""
        for segment in self.segments:
            if segment.sacked:
                segment.sacked = False
                size = segment.end - segment.seq
                if segment.lost:
                    self.lost += size
                if segment.copy:
                    self.copies += size
                if segment.missing:
                    self._note_missing(segment)
        self.sacked = 0
        self.sacked_segments = 0
        self.highest_sacked = self.una
        self._known = ()
        self._remake_order()

    def mark_lost(
        self, segments: Iterable[Segment], reason: Reason, *, copies: bool = True
    ) -> bool:
        """These are lost; whether that is news.

        ``copies``: what was sent again of them is lost too, so they are to be sent once more.
        """
        news = False
        for segment in segments:
            if segment.sacked or segment.missing:
                continue
            news = True
            size = segment.end - segment.seq
            if not segment.lost:
                segment.lost = True
                self.lost += size
            if segment.copy:
                if not copies:
                    continue
                segment.copy = False
                self.copies -= size
            segment.reason = reason
            self.by_time.pop(segment, None)
            self._note_missing(segment)
        return news

    def unmark_lost(self) -> None:
        """Nothing of this is lost after all."""
        for segment in self.segments:
            if segment.lost and not segment.sacked:
                self.lost -= segment.end - segment.seq
            segment.lost = False
        self._missing.clear()
        self._remake_order()

    def first_missing(self) -> Segment | None:
        """The lowest segment to be sent again, or None."""
        missing = self._missing
        while missing:
            segment = missing[0][2]
            if segment.missing and segment.end > self.una:
                return segment
            heappop(missing)
        return None

    def at(self, seq: int) -> int:
        """The index of the segment that holds ``seq``."""
        return bisect_right(self.segments, seq, key=_START) - 1

    def _note_missing(self, segment: Segment) -> None:
        self._serial += 1
        heappush(self._missing, (segment.seq, self._serial, segment))

    def _sack(self, segment: Segment) -> bool:
        if segment.sacked:
            return False
        size = segment.end - segment.seq
        if segment.lost:
            self.lost -= size
        if segment.copy:
            self.copies -= size
        segment.sacked = True
        self.sacked += size
        self.sacked_segments += 1
        self.highest_sacked = max(self.highest_sacked, segment.end)
        self.by_time.pop(segment, None)
        return True

    def _uncount(self, segment: Segment, size: int) -> None:
        if segment.sacked:
            self.sacked -= size
            self.sacked_segments -= size == segment.end - segment.seq
            return
        if segment.lost:
            self.lost -= size
        if segment.copy:
            self.copies -= size

    def _trim(self, segment: Segment, ack: int) -> None:
        self._uncount(segment, ack - segment.seq)
        segment.seq = ack

    def _carve(self, seq: int, end: int) -> list[Segment]:
        """The segments of ``seq`` up to ``end``, cut at both."""
        self._cut(seq)
        self._cut(end)
        first = bisect_left(self.segments, seq, key=_START)
        return self.segments[first : bisect_left(self.segments, end, lo=first, key=_START)]

    def _cut_sacked(self, seq: int, end: int) -> list[Segment]:
        """As ``_carve``, but where there are too many pieces, only those that lie inside."""
        if len(self.segments) < _MOST_PIECES:
            return self._carve(seq, end)
        first = bisect_left(self.segments, seq, key=_START)
        return self.segments[first : bisect_right(self.segments, end, lo=first, key=_END)]

    def _cut(self, seq: int) -> None:
        at = self.at(seq)
        if at < 0:
            return
        segment = self.segments[at]
        if not segment.seq < seq < segment.end:
            return
        tail = segment.split(seq)
        self.segments.insert(at + 1, tail)
        self.sacked_segments += tail.sacked
        if tail.missing:
            self._note_missing(tail)
        elif not tail.sacked:
            self._remake_order()

    def _remake_order(self) -> None:
        live = [s for s in self.segments if not (s.sacked or s.missing)]
        self.by_time = dict.fromkeys(sorted(live, key=_ORDER))


def _without(block: tuple[int, int], known: Sequence[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """The parts of ``block`` that lie in none of ``known``."""
    parts = [block]
    for start, stop in known:
        rest = []
        for seq, end in parts:
            if stop <= seq or end <= start:
                rest.append((seq, end))
                continue
            if seq < start:
                rest.append((seq, start))
            if stop < end:
                rest.append((stop, end))
        parts = rest
    return parts
