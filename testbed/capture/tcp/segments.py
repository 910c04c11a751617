"""The TCP segments of a capture as arrays, by connection."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from ipaddress import IPv4Address, IPv6Address

import numpy as np

from testbed.capture.columns import Columns, Headers, datagrams, group, read_headers
from testbed.capture.columns.arrays import Bools, Ints, Numbers
from testbed.capture.tcp.flags import ACK, SYN

__all__ = ["Segments", "read_segments"]

_TCP = 6


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """One element for every segment, connection by connection, each in file order.

    ``row`` is the packet's row in the capture, ``header`` the one that has its TCP header: another
    one for what came in fragments. ``conversation`` is which pair of endpoints it is of, ``side``
    which of the two sent it. ``sequence`` and ``ack`` are as on the wire, and their differences
    modulo 2**32; ``window`` is not scaled; ``length`` counts the payload that was sent, whatever of
    it was captured. ``starts`` is where each conversation begins, with the end behind.
    """

    columns: Columns
    headers: Headers
    row: Ints
    header: Ints
    time: Ints
    sequence: Numbers
    ack: Numbers
    flags: Numbers
    window: Numbers
    length: Numbers
    side: Numbers
    conversation: Numbers
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

    def ends(self, index: int) -> tuple[int, int]:
        """Who sent a segment and to whom, as numbers: those of addresses, and 16 bits of port."""
        headers, row = self.headers, int(self.header[index])
        sender = int(headers.src[row]) << 16 | int(headers.sport[row])
        return sender, int(headers.dst[row]) << 16 | int(headers.dport[row])

    def endpoint(self, index: int) -> tuple[IPv4Address | IPv6Address, int]:
        """The address and port that sent a segment."""
        headers, row = self.headers, int(self.header[index])
        return headers.addresses.address(int(headers.src[row])), int(headers.sport[row])

    def opposite(self, index: int) -> tuple[IPv4Address | IPv6Address, int]:
        """The address and port that a segment was sent to."""
        headers, row = self.headers, int(self.header[index])
        return headers.addresses.address(int(headers.dst[row])), int(headers.dport[row])


@dataclass(frozen=True, slots=True)
class _Found:
    """Segments by the row that they count as seen with, the row that has the header, and length.

    ``starts`` is where those between two endpoints begin, with the end behind.
    """

    row: Ints
    header: Ints
    length: Numbers
    starts: Ints


def read_segments(
    columns: Columns, headers: Headers | None = None, *, apart: bool = False
) -> Segments:
    """Find the TCP segments of a capture and put them into order by connection.

    ``apart``: what each interface saw of a connection is one of its own.
    """
    headers = read_headers(columns) if headers is None else headers
    found = _find(columns, headers, apart=apart and len(columns.sources) > 1)
    row, header = found.row, found.header
    control = headers.control[header]
    flags = (control >> 16).astype(np.uint8)
    sequence, ack = headers.sequence[header], headers.ack[header]
    side = _sides(headers)[header]
    starts, reused = _connections(found.starts, headers, header, (side, sequence, ack, flags))
    return Segments(
        columns=columns,
        headers=headers,
        row=row,
        header=header,
        time=columns.time[row],
        sequence=sequence,
        ack=ack,
        flags=flags,
        window=(control & 0xFFFF).astype(np.int32),
        length=found.length,
        side=side,
        conversation=_numbered(starts),
        starts=starts,
        reused=reused,
    )


def _sides(headers: Headers) -> Numbers:
    """1 for packets whose source comes after their destination."""
    later = headers.sport > headers.dport
    later &= headers.src == headers.dst
    later |= headers.src > headers.dst
    return later.view(np.int8)


def _numbered(starts: Ints) -> Numbers:
    return np.repeat(np.arange(len(starts) - 1, dtype=np.int32), np.diff(starts))


def _find(columns: Columns, headers: Headers, *, apart: bool) -> _Found:
    """Whole segments, and those of datagrams whose fragments are all there."""
    tcp = headers.protocol == _TCP
    size = (headers.control >> 28).astype(np.int32) << 2
    in_parts = bool((tcp & headers.fragment).any())
    good = tcp & (headers.room >= 20) & (size >= 20)
    if not in_parts and not apart:
        good &= size <= headers.payload_length
        flows = headers.flows.only(good)
        length = headers.payload_length - size
        return _Found(flows.order, flows.order, length[flows.order], flows.starts)
    row, header, length = _whole(headers, tcp, good) if in_parts else _plain(headers, good)
    size = size[header]
    fits = size <= length
    row, header, length = row[fits], header[fits], (length - size)[fits]
    src = headers.src[header] << 16 | headers.sport[header]
    dst = headers.dst[header] << 16 | headers.dport[header]
    ends = np.minimum(src, dst), np.maximum(src, dst)
    keys = (*ends, columns.source[row]) if apart else ends
    pairs = group(keys, np.arange(len(row)))
    order = pairs.order
    return _Found(row[order], header[order], length[order], pairs.starts)


def _plain(headers: Headers, good: Bools) -> tuple[Ints, Ints, Numbers]:
    rows = np.flatnonzero(good & ~headers.fragment)
    return rows, rows, headers.payload_length[rows]


def _whole(headers: Headers, tcp: Bools, good: Bools) -> tuple[Ints, Ints, Numbers]:
    """Segments in fragments too; such one counts as seen with the fragment that made it whole."""
    rows, _, lengths = _plain(headers, good)
    whole = [
        (max(each.rows), each.rows[0], each.length)
        for each in datagrams(headers)
        if each.complete and tcp[each.rows[0]] and good[each.rows[0]]
    ]
    last, first, total = np.array(whole, np.int64).reshape(-1, 3).T
    every = np.concatenate((rows, last))
    order = np.argsort(every, kind="stable")
    return (
        every[order],
        np.concatenate((rows, first))[order],
        np.concatenate((lengths, total.astype(np.int32)))[order],
    )


def _connections(
    pairs: Ints, headers: Headers, header: Ints, columns: tuple[Numbers, Numbers, Numbers, Numbers]
) -> tuple[Ints, Bools]:
    """Where each connection begins, and which SYNs reuse ports.

    ``pairs`` is where the segments between two endpoints begin, with the end behind.
    """
    side, sequence, ack, flags = columns
    reused = np.zeros(len(flags), np.bool_)
    opening = np.flatnonzero(flags & SYN)
    if not len(opening):
        return pairs, reused
    between = np.searchsorted(pairs, opening, side="right") - 1
    counts = np.bincount(between, minlength=len(pairs) - 1)
    first = pairs[:-1]
    usual = (flags[first] & SYN != 0) & (counts <= _expected(pairs, flags, side))
    odd = np.flatnonzero((counts > 0) & ~usual)
    bounds = np.searchsorted(between, (odd, odd + 1))
    begins: list[int] = []
    ends = _Ends(side, sequence, ack, flags)
    alone = headers.src[header[first[odd]]] == headers.dst[header[first[odd]]]
    alone &= headers.sport[header[first[odd]]] == headers.dport[header[first[odd]]]
    for pair, low, high, own in zip(odd.tolist(), *bounds.tolist(), alone.tolist(), strict=True):
        fresh, again = ends.split(int(pairs[pair]), opening[low:high].tolist(), alone=own)
        begins += fresh
        reused[again] = True
    return np.sort(np.concatenate((pairs, np.array(begins, np.int64)))), reused


def _expected(pairs: Ints, flags: Numbers, side: Numbers) -> Numbers:
    """How many SYNs say nothing new: one at the start, and one more where it answers that."""
    first = pairs[:-1]
    second = np.minimum(first + 1, len(flags) - 1)
    answered = (flags[first] & ACK == 0) & (flags[second] & (SYN | ACK) == SYN | ACK)
    answered &= (np.diff(pairs) > 1) & (side[first] != side[second])
    most: Numbers = 1 + answered
    return most


class _Ends:
    """The segments between two endpoints, and where the numbers of each one begin."""

    def __init__(self, side: Numbers, sequence: Numbers, ack: Numbers, flags: Numbers) -> None:
        self._side = side
        self._sequence = sequence
        self._ack = ack
        self._flags = flags
        self._initial: dict[int, int] = {}

    def split(self, start: int, opening: list[int], *, alone: bool) -> tuple[list[int], list[int]]:
        """Which of the SYNs begin a connection, and which reuse ports.

        A SYN with another number than the one before begins a connection. The endpoints' segments
        begin at ``start``; ``alone`` where both are the same one.
        """
        self._initial = {}
        begins: list[int] = []
        again: list[int] = []
        looked = start
        for index in opening:
            self._look(looked, index, alone)
            looked = index
            who, number = int(self._side[index]), int(self._sequence[index])
            if self._initial.get(who, number) == number:
                continue
            again.append(index)
            if self._flags[index] & ACK:
                self._initial[who] = number
            else:
                begins.append(index)
                self._initial = {}
        return begins, again

    def _look(self, start: int, end: int, alone: bool) -> None:
        """Learn from segments where the numbers begin: at the SYN, else one before the first."""
        for index in range(start, end):
            if len(self._initial) == 2:
                return
            who, flags = int(self._side[index]), int(self._flags[index])
            number = int(self._sequence[index]) - (0 if flags & SYN else 1)
            self._initial.setdefault(who, number & 0xFFFFFFFF)
            if flags & ACK:
                number = int(self._ack[index]) - 1 & 0xFFFFFFFF
                self._initial.setdefault(who if alone else 1 - who, number)
