"""Packets grouped: by flow, and fragments by the datagram they are part of."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from testbed.capture.columns.arrays import Ints
from testbed.capture.columns.grouping import Flows, group
from testbed.capture.columns.headers import Headers

__all__ = ["Datagram", "Flows", "datagrams", "group", "group_flows"]


def group_flows(headers: Headers) -> Flows:
    """Rows of IP packets by both endpoints, whichever way they go, and protocol.

    What was grouped once is kept with the headers: the TCP analyser begins with it.
    """
    return headers.flows


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
