"""Bytes that came: in order, for the user to read, and out of order, waiting for what lacks."""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from itertools import islice
from typing import NamedTuple

__all__ = ["Inserted", "ReceiveBuffer"]

_COALESCE = 1024
"""Small pieces are joined up to this size: one-byte segments cost no more than their bytes."""


class Inserted(NamedTuple):
    """What became of a segment's data.

    ``advance``: bytes by which RCV.NXT moved. ``duplicate``: the first stretch of it that was there
    already, for DSACK (RFC 2883). ``filled``: it was in order while more was held above a gap, so
    an ACK is due at once (RFC 5681 4.2), as it is for all that comes out of order. ``kept``: False
    where it had to be dropped, for want of space to keep one more stretch apart.
    """

    advance: int
    duplicate: tuple[int, int] | None
    filled: bool
    kept: bool


class _Stretch:
    """Bytes without a gap among them, above RCV.NXT."""

    __slots__ = ("end", "pieces", "start")

    def __init__(self, start: int, data: bytes) -> None:
        self.start = start
        self.end = start + len(data)
        self.pieces: deque[bytes] = deque((data,))


class ReceiveBuffer:
    """The receiver's side of the stream, by sequence number; ``start`` is its first byte's."""

    __slots__ = (
        "_ahead",
        "_pieces",
        "_recent",
        "_skip",
        "_starts",
        "limit",
        "next",
        "out_of_order_bytes",
        "out_of_order_limit",
        "unread",
    )

    next: int
    """RCV.NXT, FIN apart."""
    limit: int
    """Bytes that may be unread and out of order together: what windows are made from."""
    unread: int
    """Bytes in order that the user has not read yet."""
    out_of_order_bytes: int
    """Bytes held above a gap."""

    def __init__(self, start: int, limit: int, out_of_order_limit: int) -> None:
        """``out_of_order_limit``: separate stretches held above gaps at most."""
        self.next = start
        self.limit = limit
        self.out_of_order_limit = out_of_order_limit
        self.unread = 0
        self.out_of_order_bytes = 0
        self._pieces: list[bytes] = []
        self._skip = 0  # bytes of the first piece already read
        self._ahead: list[_Stretch] = []  # sorted, disjoint, not touching one another
        self._starts: list[int] = []  # of _ahead
        self._recent: dict[int, _Stretch] = {}  # by id, the one touched last at the end

    @property
    def room(self) -> int:
        """Bytes that could still come, from ``next`` on."""
        return max(0, self.limit - self.unread)

    def insert(self, seq: int, data: bytes) -> Inserted:
        """Take in ``data`` from ``seq`` on, trimmed by the caller to the window.

        What is there already stays as it is: the copy is not looked at.
        """
        if seq == self.next and not self._ahead:
            size = len(data)
            self.next = seq + size
            self.unread += size
            pieces = self._pieces
            if pieces and size + len(pieces[-1]) <= _COALESCE:
                pieces[-1] += data
            elif size:
                pieces.append(data)
            return Inserted(size, None, filled=False, kept=True)
        return self._insert_slowly(seq, data)

    def sack_blocks(
        self, limit: int, duplicate: tuple[int, int] | None = None
    ) -> tuple[tuple[int, int], ...]:
        """Up to ``limit`` blocks to report, the most recently changed first (RFC 2018 4).

        A ``duplicate`` goes before them all, followed by the block that it lies in (RFC 2883 4).
        """
        if duplicate is None:
            if not self._ahead:
                return ()
            return tuple((s.start, s.end) for s in islice(reversed(self._recent.values()), limit))
        blocks = [duplicate]
        around = self._stretch_around(duplicate)
        if around is not None:
            blocks.append((around.start, around.end))
        for stretch in reversed(self._recent.values()):
            if len(blocks) >= limit:
                break
            if stretch is not around:
                blocks.append((stretch.start, stretch.end))
        return tuple(blocks[:limit])

    def read(self, limit: int, *, peek: bool = False) -> bytes:
        """Up to ``limit`` bytes in order; with ``peek`` they stay unread."""
        wanted = min(limit, self.unread)
        if wanted <= 0:
            return b""
        taken: list[bytes] = []
        left = wanted
        skip = self._skip
        whole = 0
        for piece in self._pieces:
            rest = len(piece) - skip
            if rest > left:
                taken.append(piece[skip : skip + left])
                skip += left
                break
            taken.append(piece[skip:] if skip else piece)
            skip = 0
            whole += 1
            left -= rest
            if not left:
                break
        if not peek:
            del self._pieces[:whole]
            self._skip = skip
            self.unread -= wanted
        return taken[0] if len(taken) == 1 else b"".join(taken)

    def _insert_slowly(self, seq: int, data: bytes) -> Inserted:
        end = seq + len(data)
        if not data:
            return Inserted(0, None, filled=False, kept=True)
        if end <= self.next:
            return Inserted(0, (seq, end), filled=False, kept=True)
        if seq > self.next:
            return self._insert_ahead(seq, data)
        duplicate = (seq, self.next) if seq < self.next else None
        return self._insert_in_order(data[self.next - seq :], duplicate)

    def _insert_in_order(self, data: bytes, duplicate: tuple[int, int] | None) -> Inserted:
        """``data`` starts at RCV.NXT; it, and stretches that it reaches, become readable."""
        before = self.next
        start, end = before, before + len(data)
        pieces = self._pieces
        ahead = self._ahead
        reached = 0
        for stretch in ahead:
            if stretch.start > end:
                break
            reached += 1
            if stretch.start < end and duplicate is None:
                duplicate = (stretch.start, min(end, stretch.end))
            if stretch.start > start:
                pieces.append(data[start - before : stretch.start - before])
            pieces.extend(stretch.pieces)
            self.out_of_order_bytes -= stretch.end - stretch.start
            del self._recent[id(stretch)]
            start = stretch.end
        del ahead[:reached], self._starts[:reached]
        if start < end:
            pieces.append(data[start - before :])
        advance = max(start, end) - before
        self.next += advance
        self.unread += advance
        # Without a gap above, the segment filled none.
        return Inserted(advance, duplicate, filled=bool(reached or ahead), kept=True)

    def _insert_ahead(self, seq: int, data: bytes) -> Inserted:
        """``data`` lies above a gap: join it with the stretches that it touches."""
        end = seq + len(data)
        starts, ahead = self._starts, self._ahead
        first = bisect_right(starts, seq) - 1
        if first < 0 or ahead[first].end < seq:
            first += 1
        last = bisect_right(starts, end)  # ahead[first:last] touch or overlap it
        if first == last:
            return self._insert_apart(first, seq, data)
        touched = ahead[first:last]
        whole = touched[0]
        held = sum(stretch.end - stretch.start for stretch in touched)
        pieces, reached = whole.pieces, whole.end
        if seq < whole.start:
            pieces.appendleft(data[: whole.start - seq])
        for stretch in touched[1:]:
            pieces.append(data[reached - seq : stretch.start - seq])
            pieces.extend(stretch.pieces)
            reached = stretch.end
            del self._recent[id(stretch)]
        if reached < end:
            _append(pieces, data[reached - seq :])
        duplicate = _first_overlap(touched, seq, end)
        whole.start, whole.end = min(seq, whole.start), max(reached, end)
        ahead[first:last] = [whole]
        starts[first:last] = [whole.start]
        self._recent[id(whole)] = self._recent.pop(id(whole))
        self.out_of_order_bytes += whole.end - whole.start - held
        return Inserted(0, duplicate, filled=False, kept=True)

    def _insert_apart(self, at: int, seq: int, data: bytes) -> Inserted:
        if len(self._ahead) >= self.out_of_order_limit:
            return Inserted(0, None, filled=False, kept=False)
        stretch = _Stretch(seq, data)
        self._ahead.insert(at, stretch)
        self._starts.insert(at, seq)
        self._recent[id(stretch)] = stretch
        self.out_of_order_bytes += len(data)
        return Inserted(0, None, filled=False, kept=True)

    def _stretch_around(self, block: tuple[int, int]) -> _Stretch | None:
        at = bisect_right(self._starts, block[0]) - 1
        if at >= 0 and block[0] < self._ahead[at].end:
            return self._ahead[at]
        return None


def _append(pieces: deque[bytes], data: bytes) -> None:
    if len(pieces[-1]) + len(data) <= _COALESCE:
        pieces[-1] += data
    else:
        pieces.append(data)


def _first_overlap(touched: list[_Stretch], seq: int, end: int) -> tuple[int, int] | None:
    for stretch in touched:
        start, stop = max(seq, stretch.start), min(end, stretch.end)
        if start < stop:
            return start, stop
    return None
