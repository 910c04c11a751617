"""What one point saw of one direction of a connection, as another point may have seen it."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from testbed.capture.columns.arrays import Ints, Numbers
from testbed.capture.tcp.connection import Connection
from testbed.capture.tcp.flags import ACK, SYN
from testbed.capture.tcp.way import Way

__all__ = ["Sightings", "initial_numbers"]

_MASK = 0xFFFFFFFF
_NOP_NOP_TIMESTAMPS = 0x0101080A
_ECN = 0xC0
"""CWR and ECE: a router may change what they answer to, and they may change on the way."""


def initial_numbers(connection: Connection) -> tuple[int | None, int | None]:
    """The sequence numbers of the SYNs of client and server, where they were captured."""
    client, server = (_initial(connection, way) for way in (connection.up, connection.down))
    return client, server


def _initial(connection: Connection, way: Way) -> int | None:
    syn = np.flatnonzero(way.control & SYN)
    return int(connection.segments.sequence[way.index[syn[0]]]) if len(syn) else None


@dataclass(frozen=True, eq=False)
class Sightings:
    """The segments of one direction. ``own`` and ``other`` are what to take off its numbers.

    That is where the numbers of each end began at this point: something on the way may have
    changed them. 0 where it is not known at both points.
    """

    connection: Connection
    way: Way
    own: int
    other: int

    def __len__(self) -> int:
        return len(self.way.index)

    @property
    def time(self) -> Ints:
        """When each was seen."""
        return self.way.time

    @cached_property
    def rows(self) -> Ints:
        """The rows that have their headers."""
        return self.connection.segments.header[self.way.index]

    @cached_property
    def frames(self) -> Ints:
        """Their frame numbers, from 1."""
        return self.connection.segments.row[self.way.index] + 1

    @cached_property
    def start(self) -> Ints:
        """Their sequence numbers, from where those began."""
        return self.connection.segments.sequence[self.way.index].astype(np.int64) - self.own & _MASK

    @cached_property
    def loose(self) -> list[Hashable]:
        """What nothing on the way changes: numbers, flags and length."""
        segments, index = self.connection.segments, self.way.index
        acks = segments.flags[index] & ACK != 0
        ack = np.where(acks, segments.ack[index].astype(np.int64) - self.other & _MASK, -1)
        flags = segments.flags[index] & ~np.uint8(_ECN)
        return _tuples(self.start, ack, flags, segments.length[index])

    @cached_property
    def strict(self) -> list[Hashable]:
        """What tells one sending from another: identification, window and time stamp besides."""
        headers, rows = self.connection.segments.headers, self.rows
        stamped = (headers.option[rows] == _NOP_NOP_TIMESTAMPS) & (headers.room[rows] >= 32)
        stamp = np.zeros(len(rows), np.int64)
        at = headers.columns.offset[rows] + headers.payload_at[rows] + 24
        stamp[stamped] = headers.gather.u4(at[stamped])
        window = self.connection.segments.window[self.way.index]
        more = _tuples(headers.ident[rows], window, stamp)
        return list(zip(self.loose, more, strict=True))

    @cached_property
    def span(self) -> tuple[int, int]:
        """From when until when the point captured anything at all."""
        columns = self.connection.segments.columns
        source = columns.source[self.connection.segments.row[self.connection.span.start]]
        times = columns.time[columns.source == source]
        return int(times.min()), int(times.max())


def _tuples(*columns: Numbers) -> list[Hashable]:
    return list(zip(*(column.tolist() for column in columns), strict=True))
