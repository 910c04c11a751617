"""One connection of a capture: its ends, its options, how it opened and closed, what befell it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv6Address
from typing import Literal

import numpy as np

from testbed.capture.columns.arrays import Bools, Ints
from testbed.capture.tcp.cwnd import CongestionWindow, estimate_window
from testbed.capture.tcp.flags import ACK, FIN, RST, SYN, Flag
from testbed.capture.tcp.options import Options
from testbed.capture.tcp.segments import Segments
from testbed.capture.tcp.sizes import SizeChange, Told, size_changes
from testbed.capture.tcp.stalls import Stall, find_stalls
from testbed.capture.tcp.toobig import TooBig
from testbed.capture.tcp.tracks import MASK, Tracks, follow
from testbed.capture.tcp.way import Way

__all__ = ["Connection", "Endpoint", "Offer"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port."""

    address: IPv4Address | IPv6Address
    port: int

    def __str__(self) -> str:
        bare = str(self.address)
        return f"[{bare}]:{self.port}" if self.address.version == 6 else f"{bare}:{self.port}"


@dataclass(frozen=True, slots=True)
class Offer:
    """What a SYN offered; None where it did not."""

    maximum_segment: int | None
    window_scale: int | None
    sack: bool


@dataclass(frozen=True, eq=False)
class Connection:
    """A connection. ``up`` is from the client, ``down`` to it.

    The client is who sent the first SYN; where none was captured, who sent first.
    """

    number: int
    segments: Segments
    options: Options
    flags: Ints
    notices: TooBig

    @property
    def span(self) -> slice:
        """Its segments among all."""
        return slice(
            int(self.segments.starts[self.number]), int(self.segments.starts[self.number + 1])
        )

    @property
    def point(self) -> str:
        """Where its first segment was captured: the interface's name, if the file has it."""
        columns = self.segments.columns
        source = int(columns.source[int(self.segments.row[self.span.start])])
        return columns.sources[source].name if columns.sources else ""

    @cached_property
    def _tracks(self) -> Tracks:
        """Where its directions had come to: of its own segments only, counted from its first."""
        own = self.segments.part(self.number, self.number + 1)
        return follow(own, self.options.scale[self.span])

    @cached_property
    def _client(self) -> int:
        control = self.segments.flags[self.span]
        syns = np.flatnonzero(control & SYN)
        if not len(syns):
            return int(self.segments.side[self.span.start])
        first = int(syns[0])
        side = int(self.segments.side[self.span.start + first])
        return 1 - side if control[first] & ACK else side

    @cached_property
    def client(self) -> Endpoint:
        """Who opened it."""
        return self._end(self._client)

    @cached_property
    def server(self) -> Endpoint:
        """Whom it was opened to."""
        return self._end(1 - self._client)

    def _end(self, side: int) -> Endpoint:
        first = self.span.start
        if int(self.segments.side[first]) == side:
            return Endpoint(*self.segments.endpoint(first))
        return Endpoint(*self.segments.opposite(first))

    @cached_property
    def up(self) -> Way:
        """What the client sent."""
        return self._way(self._client)

    @cached_property
    def down(self) -> Way:
        """What the server sent."""
        return self._way(1 - self._client)

    @cached_property
    def windows(self) -> tuple[CongestionWindow, CongestionWindow]:
        """An estimate of the congestion windows of client and server; ``cwnd`` says how."""
        return estimate_window(self.up, self.down), estimate_window(self.down, self.up)

    @cached_property
    def size_changes(self) -> tuple[tuple[SizeChange, ...], tuple[SizeChange, ...]]:
        """When the largest segments of client and server became smaller, or larger again."""
        client, server = self._sizes(self._client), self._sizes(1 - self._client)
        return client, server

    def _sizes(self, side: int) -> tuple[SizeChange, ...]:
        way = self.up if side == self._client else self.down
        carries = way.index[way.length > 0]
        if not len(carries):
            return ()
        sender, target = self.segments.ends(int(carries[0]))
        notices = self.notices.about(sender, target)
        offer = self._offer(1 - side)
        headers, rows = self.segments.headers, self.segments.header[carries]
        network = 20 if headers.version[rows[0]] == 4 else 40
        size = network + int((headers.control[rows] >> 28).max()) * 4
        limit = offer.maximum_segment if offer else None
        times = self.segments.columns.time[notices.row]
        return size_changes(way, Told(times, notices.mtu, size, limit))

    def _way(self, side: int) -> Way:
        segments, tracks = self.segments, self._tracks
        places = np.arange(self.span.start, self.span.stop)
        mine = places[segments.side[places] == side]
        acks = places[(segments.side[places] != side) & (segments.flags[places] & ACK != 0)]
        own = mine - self.span.start
        first = tracks.base[own] if len(mine) else segments.ack[acks]
        base = int(first[0]) if len(first) else 0
        reached = self._reached(mine, acks)
        ack = reached + _signed(segments.ack[acks] - base - reached)
        shift = np.where(segments.flags[acks] & SYN != 0, 0, self._scale(1 - side))
        sacks = self.options.sacks
        begin, stop = np.searchsorted(sacks.segment, (self.span.start, self.span.stop))
        theirs = np.arange(begin, stop)
        theirs = theirs[segments.side[sacks.segment[theirs]] != side]
        near = self._reached(mine, sacks.segment[theirs])
        left = near + _signed(sacks.left[theirs] - base - near)
        right = near + _signed(sacks.right[theirs] - base - near)
        return Way(
            index=mine,
            time=segments.time[mine],
            start=tracks.start[own],
            end=tracks.end[own],
            length=segments.length[mine],
            control=segments.flags[mine],
            flags=self.flags[mine],
            copied=self._copied(mine),
            answered=segments.time[acks],
            ack=ack,
            edge=ack + (segments.window[acks] << shift),
            sack=np.stack((segments.time[sacks.segment[theirs]], left, right), axis=1),
        )

    def _copied(self, mine: Ints) -> Bools:
        """Which packets have the identification of an earlier one with the same segment.

        Only where a sender counts its packets, as most do in IPv4 (RFC 6864 lets it be).
        """
        headers, rows = self.segments.headers, self.segments.header[mine]
        ident = headers.ident[rows].astype(np.int64)
        copied = np.zeros(len(mine), np.bool_)
        asked = np.flatnonzero((headers.version[rows] == 4) & (self.segments.length[mine] > 0))
        if 2 * len(np.unique(ident[asked])) <= len(asked):
            return copied
        keys = self.segments.sequence[mine][asked].astype(np.int64) << 16 | ident[asked]
        _, first = np.unique(keys, return_index=True)
        copied[np.delete(asked, first)] = True
        return copied

    def _reached(self, mine: Ints, others: Ints) -> Ints:
        """The highest number that a direction had come to before segments of the other one."""
        if not len(mine):
            return np.zeros(len(others), np.int64)
        place = np.searchsorted(mine, others) - 1
        return np.where(
            place >= 0, self._tracks.reached[mine[np.maximum(place, 0)] - self.span.start], 0
        )

    def _scale(self, side: int) -> int:
        """By how much the windows of a side are shifted: not at all unless both have offered it."""
        mine, other = self._offer(side), self._offer(1 - side)
        if mine is None or mine.window_scale is None:
            return 0
        if other is None or other.window_scale is None:
            return 0
        return min(14, mine.window_scale)  # RFC 7323 2.3: more than 14 counts as 14

    def _offer(self, side: int) -> Offer | None:
        places = np.arange(self.span.start, self.span.stop)
        syn = places[(self.segments.side[places] == side) & (self.segments.flags[places] & SYN > 0)]
        if not len(syn):
            return None
        first = int(syn[0])
        maximum, scale = int(self.options.maximum[first]), int(self.options.scale[first])
        return Offer(
            None if maximum < 0 else maximum,
            None if scale < 0 else scale,
            bool(self.options.sack_permitted[first]),
        )

    @property
    def offers(self) -> tuple[Offer | None, Offer | None]:
        """What client and server offered in their SYNs; None where none was captured."""
        return self._offer(self._client), self._offer(1 - self._client)

    @property
    def opening(self) -> Literal["whole", "refused", "half", "unseen"]:
        """How it opened: ``half`` where a SYN had no answer, ``unseen`` where none was captured."""
        control = self.segments.flags[self.span]
        syn = bool((control & (SYN | ACK) == SYN).any())
        answer = bool((control & (SYN | ACK) == SYN | ACK).any())
        if answer:
            return "whole" if syn else "unseen"
        if not syn:
            return "unseen"
        return "refused" if (control & RST).any() else "half"

    @property
    def closing(self) -> Literal["closed", "half closed", "reset", "open"]:
        """How it ended, as far as the capture goes."""
        if any((way.control & RST).any() for way in (self.up, self.down)):
            return "reset"
        ended = sum(bool((way.control & FIN).any()) for way in (self.up, self.down))
        return ("open", "half closed", "closed")[ended]

    @property
    def start(self) -> int:
        """When its first segment was seen."""
        return int(self.segments.time[self.span.start])

    @property
    def duration(self) -> int:
        """Nanoseconds from its first segment to its last."""
        return int(self.segments.time[self.span.stop - 1]) - self.start

    @property
    def packets(self) -> int:
        """How many segments it has."""
        return int(self.span.stop) - int(self.span.start)

    @property
    def frames(self) -> Ints:
        """The frame numbers of its segments, from 1, as Wireshark counts."""
        return self.segments.row[self.span] + 1

    def count(self, flag: Flag) -> int:
        """How many segments have a flag."""
        return int((self.flags[self.span] & int(flag) != 0).sum())

    def counts(self) -> dict[str, int]:
        """Every flag that any segment has, by its name."""
        found = {flag: self.count(flag) for flag in Flag}
        return {flag.name.lower(): n for flag, n in found.items() if n and flag.name}

    def causes(self) -> Counter[str]:
        """Why segments of either way were sent again, and how often."""
        return Counter(cause.value for way in (self.up, self.down) for _, cause in way.causes)

    @cached_property
    def stalls(self) -> tuple[Stall, ...]:
        """When it stood still, and why."""
        return find_stalls((self.up, self.down))

    def __str__(self) -> str:
        return f"{self.client} > {self.server}"


def _signed(numbers: Ints) -> Ints:
    """Differences of sequence numbers, from -2**31 up."""
    return (numbers + (1 << 31) & MASK) - (1 << 31)
