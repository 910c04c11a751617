"""Packets grouped: by flow, and fragments by the datagram they are part of."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from testbed.capture.columns.arrays import Bools, Ints
from testbed.capture.columns.headers import Headers

__all__ = ["Datagram", "Flows", "datagrams", "group", "group_flows"]


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """Rows by flow. ``order`` has the rows of flow 0, then those of flow 1, each in file order.

    ``starts`` is where each flow begins in ``order``, with the end of the last one behind. Flows
    are in the order of their first packets.
    """

    order: Ints
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    def rows(self, flow: int) -> Ints:
        """The rows of one flow, in file order."""
        return self.order[self.starts[flow] : self.starts[flow + 1]]

    def of_row(self) -> Ints:
        """The flow of each element of ``order``."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))


def group(keys: tuple[Ints, ...], rows: Ints) -> Flows:
    """Put together the rows whose keys are all the same; ``keys`` has arrays as long as ``rows``.

    The keys are mixed into one number to sort by, and compared in full afterwards: keys that
    collide, which somebody may have made on purpose, cost a slower sort and nothing else.
    """
    if not len(rows):
        return Flows(rows, np.zeros(1, np.int64))
    mixed = np.zeros(len(rows), np.uint64)
    for key in keys:
        mixed = (mixed ^ key.astype(np.uint64)) * np.uint64(0x9E3779B97F4A7C15)
        mixed ^= mixed >> np.uint64(29)
    # The row in the low bits: sorting numbers is several times as fast as finding their order.
    low = np.uint64((1 << max(1, (len(rows) - 1).bit_length())) - 1)
    packed = np.sort(mixed & ~low | np.arange(len(rows), dtype=np.uint64))
    order = (packed & low).astype(np.int64)
    packed &= ~low
    borders = packed[1:] != packed[:-1]
    exact = _borders(keys, order)
    if not np.array_equal(borders, exact):
        order = np.lexsort((np.arange(len(rows)), *keys))
        exact = _borders(keys, order)
    starts = np.flatnonzero(np.concatenate(([True], exact)))
    return _by_first(rows, order, starts)


def _borders(keys: tuple[Ints, ...], order: Ints) -> Bools:
    """Whether each element but the first differs from the one before it."""
    differs = np.zeros(len(order) - 1, np.bool_)
    for key in keys:
        sorted_key = key[order]
        differs |= sorted_key[1:] != sorted_key[:-1]
    return differs


def _by_first(rows: Ints, order: Ints, starts: Ints) -> Flows:
    """Put the groups into the order of their first rows."""
    sizes = np.diff(np.append(starts, len(order)))
    rank = np.argsort(order[starts], kind="stable")
    sizes = sizes[rank]
    ends = np.cumsum(sizes)
    moved = np.repeat(starts[rank] - (ends - sizes), sizes) + np.arange(len(order))
    return Flows(rows[order[moved]], np.concatenate((np.zeros(1, np.int64), ends)))


def group_flows(headers: Headers) -> Flows:
    """Rows of IP packets by both endpoints, whichever way they go, and protocol."""
    rows = np.flatnonzero((headers.version > 0) & (headers.fragment_at == 0))
    one = headers.src[rows] << 16 | headers.sport[rows]
    other = headers.dst[rows] << 16 | headers.dport[rows]
    keys = (np.minimum(one, other), np.maximum(one, other), headers.protocol[rows])
    return group(keys, rows)


@dataclass(frozen=True, slots=True)
class Datagram:
    """A datagram that came in fragments: its rows by place; ``complete`` when none is missing."""

    rows: tuple[int, ...]
    length: int
    complete: bool


def datagrams(headers: Headers) -> tuple[Datagram, ...]:
    """The datagrams of all fragments, by the order of their first rows.

    RFC 791: fragments belong together that have the same source, destination, protocol and
    identification. A number that is used anew after its datagram was complete begins another one.
    """
    rows = np.flatnonzero(headers.fragment)
    keys = (headers.src[rows], headers.dst[rows], headers.protocol[rows], headers.ident[rows])
    grouped = group(keys, rows)
    found: list[Datagram] = []
    for index in range(len(grouped)):
        found += _assemble(headers, grouped.rows(index))
    return tuple(sorted(found, key=lambda datagram: min(datagram.rows)))


def _assemble(headers: Headers, rows: Ints) -> list[Datagram]:
    found: list[Datagram] = []
    pieces = _Pieces()
    for row in rows.tolist():
        place, length = int(headers.fragment_at[row]), int(headers.payload_length[row])
        pieces.add(row, place, length, last=not headers.more[row])
        if pieces.complete:
            found.append(pieces.datagram())
            pieces = _Pieces()
    if pieces.rows:
        found.append(pieces.datagram())
    return found


class _Pieces:
    """The fragments of one datagram so far."""

    def __init__(self) -> None:
        self.rows: dict[int, int] = {}  # by place
        self._reach = 0  # how many bytes from the start on are there without a hole
        self._beyond: list[tuple[int, int]] = []  # a heap of what lies behind a hole: place, end
        self._end = 0
        self._total = -1

    def add(self, row: int, place: int, length: int, *, last: bool) -> None:
        """Take a fragment; of two for one place, the first stands."""
        if last:
            self._total = place + length
        if place in self.rows:
            return
        self.rows[place] = row
        self._end = max(self._end, place + length)
        heapq.heappush(self._beyond, (place, place + length))
        while self._beyond and self._beyond[0][0] <= self._reach:
            self._reach = max(self._reach, heapq.heappop(self._beyond)[1])

    @property
    def complete(self) -> bool:
        return 0 <= self._total <= self._reach

    def datagram(self) -> Datagram:
        """What there is of it."""
        rows = tuple(self.rows[place] for place in sorted(self.rows))
        return Datagram(rows, max(self._total, self._end), self.complete)
