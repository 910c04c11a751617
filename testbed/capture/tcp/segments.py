"""The TCP segments of a capture as arrays, by connection."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Address, IPv6Address

import numpy as np

from testbed.capture.columns import Columns, Headers, datagrams, group, read_headers
from testbed.capture.columns.arrays import Bools, Ints
from testbed.capture.tcp.flags import ACK, SYN

__all__ = ["Segments", "read_segments"]

_TCP = 6


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """One element for every segment, connection by connection, each in file order.

    ``row`` is the packet's row in the capture, ``conversation`` which pair of endpoints it is of,
    ``side`` which of the two sent it. ``sequence`` and ``ack`` are as on the wire, ``window`` is
    not scaled; ``length`` counts the payload that was sent, whatever of it was captured.
    ``options`` is where the options are in the capture's bytes, ``options_length`` how much of
    them is there, ``option`` what their first four bytes are. ``starts`` is where each
    conversation begins, with the end behind.
    """

    columns: Columns
    headers: Headers
    row: Ints
    time: Ints
    sequence: Ints
    ack: Ints
    flags: Ints
    window: Ints
    length: Ints
    options: Ints
    options_length: Ints
    option: Ints
    src: Ints
    dst: Ints
    side: Ints
    conversation: Ints
    starts: Ints
    reused: Bools

    def __len__(self) -> int:
        return len(self.row)

    def part(self, begin: int, stop: int) -> Segments:
        """The segments of some conversations in a row, which are numbered from 0 then."""
        span = slice(int(self.starts[begin]), int(self.starts[stop]))
        columns = {
            each.name: getattr(self, each.name)[span]
            for each in fields(self)
            if each.name not in {"columns", "headers", "starts", "conversation"}
        }
        return replace(
            self,
            starts=self.starts[begin : stop + 1] - span.start,
            conversation=self.conversation[span] - begin,
            **columns,
        )

    def endpoint(self, index: int) -> tuple[IPv4Address | IPv6Address, int]:
        """The address and port that sent a segment."""
        number = int(self.src[index])
        return self.headers.addresses.address(number >> 16), number & 0xFFFF

    def opposite(self, index: int) -> tuple[IPv4Address | IPv6Address, int]:
        """The address and port that a segment was sent to."""
        number = int(self.dst[index])
        return self.headers.addresses.address(number >> 16), number & 0xFFFF


@dataclass(frozen=True, slots=True)
class _Found:
    """Segments by the row that they count as seen with, the row that has the header, and length."""

    row: Ints
    source: Ints
    length: Ints


def read_segments(
    columns: Columns, headers: Headers | None = None, *, apart: bool = False
) -> Segments:
    """Find the TCP segments of a capture and put them into order by connection.

    ``apart``: what each interface saw of a connection is one of its own.
    """
    headers = read_headers(columns) if headers is None else headers
    found = _find(headers)
    row, source, length = found.row, found.source, found.length
    size = (headers.control[source] >> 28) * 4
    good = (size >= 20) & (size <= length)
    if not good.all():
        row, source, length, size = row[good], source[good], length[good], size[good]
    src = headers.src[source] << 16 | headers.sport[source]
    dst = headers.dst[source] << 16 | headers.dport[source]
    ends = np.minimum(src, dst), np.maximum(src, dst)
    pairs = group((*ends, columns.source[row]) if apart else ends, np.arange(len(row)))
    order = pairs.order
    source, row, size, src, dst = (each[order] for each in (source, row, size, src, dst))
    control = headers.control[source]
    numbers = headers.sequence[source], headers.ack[source]
    starts, reused = _connections(pairs.starts, (src, dst), numbers, control >> 16 & 0xFF)
    return Segments(
        columns=columns,
        headers=headers,
        row=row,
        time=columns.time[row],
        sequence=numbers[0],
        ack=numbers[1],
        flags=control >> 16 & 0xFF,
        window=control & 0xFFFF,
        length=length[order] - size,
        options=headers.payload[source] + 20,
        options_length=np.minimum(size, headers.room[source]) - 20,
        option=headers.option[source],
        src=src,
        dst=dst,
        side=(src > dst).astype(np.int64),
        conversation=np.repeat(np.arange(len(starts) - 1), np.diff(starts)),
        starts=starts,
        reused=reused,
    )


def _find(headers: Headers) -> _Found:
    """Whole segments, and those of datagrams whose fragments are all there.

    Such a segment counts as seen with the fragment that made it whole.
    """
    tcp = headers.protocol == _TCP
    rows = np.flatnonzero(tcp & ~headers.fragment & (headers.room >= 20))
    length = headers.payload_length[rows]
    if not (tcp & headers.fragment).any():
        return _Found(rows, rows, length)
    whole = [
        (max(each.rows), each.rows[0], each.length)
        for each in datagrams(headers)
        if each.complete and tcp[each.rows[0]] and headers.room[each.rows[0]] >= 20
    ]
    last, first, total = np.array(whole, np.int64).reshape(-1, 3).T
    every = np.concatenate((rows, last))
    order = np.argsort(every, kind="stable")
    return _Found(
        every[order],
        np.concatenate((rows, first))[order],
        np.concatenate((length, total))[order],
    )


def _connections(
    pairs: Ints, ends: tuple[Ints, Ints], numbers: tuple[Ints, Ints], flags: Ints
) -> tuple[Ints, Bools]:
    """Where each connection begins, and which SYNs reuse ports.

    ``pairs`` is where the segments between two endpoints begin, with the end behind.
    """
    (src, dst), (sequence, ack) = ends, numbers
    reused = np.zeros(len(flags), np.bool_)
    if not len(flags):
        return pairs, reused
    opening = flags & SYN != 0
    counts = np.add.reduceat(opening, pairs[:-1])
    begins: list[int] = []
    for pair in np.flatnonzero(counts > 0).tolist():
        first, end = int(pairs[pair]), int(pairs[pair + 1])
        if opening[first] and counts[pair] <= _usual(src, flags, first, end):
            continue
        span = slice(first, end)
        between = _Ends(src[span], dst[span], sequence[span], ack[span], flags[span])
        fresh, again = between.split(np.flatnonzero(opening[span]))
        begins += [first + index for index in fresh]
        reused[[first + index for index in again]] = True
    return np.sort(np.concatenate((pairs, np.array(begins, np.int64)))), reused


def _usual(src: Ints, flags: Ints, first: int, end: int) -> int:
    """How many SYNs say nothing new: one at the start, and one more where it answers that."""
    if end - first < 2 or flags[first] & ACK or src[first] == src[first + 1]:
        return 1
    return 2 if flags[first + 1] & (SYN | ACK) == SYN | ACK else 1


class _Ends:
    """The segments between two endpoints, and where the numbers of each one begin."""

    def __init__(self, src: Ints, dst: Ints, sequence: Ints, ack: Ints, flags: Ints) -> None:
        self._src = src
        self._dst = dst
        self._sequence = sequence
        self._ack = ack
        self._flags = flags
        self._initial: dict[int, int] = {}

    def split(self, opening: Ints) -> tuple[list[int], list[int]]:
        """Which of the SYNs begin a connection, and which reuse ports.

        A SYN with another number than the one before begins a connection.
        """
        begins: list[int] = []
        again: list[int] = []
        looked = 0
        for index in opening.tolist():
            self._look(looked, index)
            looked = index
            who, number = int(self._src[index]), int(self._sequence[index])
            if self._initial.get(who, number) == number:
                continue
            again.append(index)
            if self._flags[index] & ACK:
                self._initial[who] = number
            else:
                begins.append(index)
                self._initial = {}
        return begins, again

    def _look(self, start: int, end: int) -> None:
        """Learn from segments where the numbers begin: at the SYN, else one before the first."""
        for index in range(start, end):
            if len(self._initial) == 2:
                return
            syn = bool(self._flags[index] & SYN)
            number = int(self._sequence[index]) - (0 if syn else 1)
            self._initial.setdefault(int(self._src[index]), number & 0xFFFFFFFF)
            if self._flags[index] & ACK:
                number = int(self._ack[index]) - 1 & 0xFFFFFFFF
                self._initial.setdefault(int(self._dst[index]), number)
