"""Bytes that came: in order, for the user to read, and out of order, waiting for what lacks."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from itertools import islice
from typing import NamedTuple

__all__ = ["Inserted", "ReceiveBuffer"]

_COALESCE = 1024
"""Small pieces are joined up to this size: one-byte segments cost no more than their bytes."""


class Inserted(NamedTuple):
    """What became of a segment's data.

    ``advance``: bytes by which RCV.NXT moved. ``duplicate``: the first stretch of it that was there
    already, for DSACK (RFC 2883). ``filled``: it filled all or part of a gap, so an ACK is due at
    once (RFC 5681 4.2). ``kept``: False where something had to be dropped, for want of space to
    keep one more stretch apart.
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
        self._pieces: deque[bytes] = deque()
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
            self._pieces.append(data)
            return Inserted(size, None, filled=False, kept=True)
        return self._insert_slowly(seq, data)

    def sack_blocks(
        self, limit: int, duplicate: tuple[int, int] | None = None
    ) -> tuple[tuple[int, int], ...]:
        """Up to ``limit`` blocks to report, the most recently changed first (RFC 2018 4).

        A ``duplicate`` goes before them all, followed by the block that it lies in (RFC 2883 4).
        """

    def read(self, limit: int, *, peek: bool = False) -> bytes:
        """Up to ``limit`` bytes in order; with ``peek`` they stay unread."""
