"""The flags of every segment of a capture, by arrays: what ``exact`` says, many times as fast.

All that a rule needs of earlier segments is a running maximum, the segment before, or a count since
the last change, and these need no loop. Connections that come to a state where that is not so (a
probe of a zero window, numbers that jump) are given to ``exact``. A test holds both to each other.
"""

from __future__ import annotations

import numpy as np

from testbed.capture.columns.arrays import Bools, Ints, Numbers
from testbed.capture.columns.parallel import in_parts
from testbed.capture.tcp import exact
from testbed.capture.tcp.flags import ACK, FIN, RST, SYN, Flag
from testbed.capture.tcp.segments import Segments
from testbed.capture.tcp.tracks import MASK, Tracks, above, follow

__all__ = ["judge"]

_CONTROL = SYN | FIN | RST
_BLOCK = 1 << 14
_HALF = np.uint32((1 << 31) - 1)
_NEAR = 8
"""Segments after a hole's beginning that are looked at for all holes at once."""
_PART = 1 << 17
"""Segments that are worth a thread."""


def judge(segments: Segments, scale: Ints) -> Numbers:
    """The flags of every segment, in the order of ``segments``.

    ``scale`` is each segment's window scale option, -1 without one. Some connections at a time:
    what they need stays in the processor's cache then, and memory is used again.
    """
    found = np.zeros(len(segments), np.int32)
    starts = segments.starts
    # The first connection of each block.
    firsts = np.searchsorted(starts, np.arange(0, len(segments), _BLOCK))
    blocks = [*np.unique(firsts[firsts < len(starts) - 1]).tolist(), len(starts) - 1]

    def some(begin: int, stop: int) -> None:
        for first, last in zip(blocks[begin:stop], blocks[begin + 1 : stop + 1], strict=True):
            span = slice(int(starts[first]), int(starts[last]))
            found[span] = _judge(segments.part(first, last), scale[span])

    in_parts(some, len(blocks) - 1, max(1, _PART // _BLOCK))
    return found


def _judge(segments: Segments, scale: Ints) -> Numbers:
    tracks = follow(segments, scale)
    judged = _Judge(segments, scale, tracks)
    found = judged.findings()
    judged.repetitions(found)
    judged.unseen(found)
    for connection in np.flatnonzero(judged.odd).tolist():
        first, end = int(segments.starts[connection]), int(segments.starts[connection + 1])
        found[first:end] = _exactly(segments, scale, first, end)
    found[segments.reused] |= int(Flag.REUSED_PORTS)
    return found


def _exactly(segments: Segments, scale: Ints, first: int, end: int) -> Ints:
    rows = zip(
        segments.time[first:end].tolist(),
        segments.side[first:end].tolist(),
        segments.sequence[first:end].tolist(),
        segments.ack[first:end].tolist(),
        segments.flags[first:end].tolist(),
        segments.window[first:end].tolist(),
        segments.length[first:end].tolist(),
        [None if shift < 0 else shift for shift in scale[first:end].tolist()],
        strict=True,
    )
    found = exact.judge(exact.Segment(*numbers) for numbers in rows)
    return np.array(found, np.int64)


# What a segment is to those before it of its own direction.
_SAME = 1 << 0  # its window is that of the one before
_AGAIN = 1 << 1  # so is the number that it acknowledges
_NEXT = 1 << 2  # it begins where the highest so far ended
_LAST_BYTE = 1 << 3  # it begins one before that
_BEYOND = 1 << 4
_BEHIND = 1 << 5
_BREAK = 1 << 6  # it moves on, and begins elsewhere than where the highest so far ended


class _Judge:
    """The rules of ``exact``, one array operation each."""

    def __init__(self, segments: Segments, scale: Ints, tracks: Tracks) -> None:
        self._segments = segments
        self._tracks = tracks
        self._plain = segments.flags & _CONTROL == 0
        self._facing = tracks.across >= 0
        self._other_flags = segments.flags[tracks.across]
        self._other_window = segments.window[tracks.across]
        self._other_ack = segments.ack[tracks.across]
        self._place = self._places()
        self._known, self._shift = self._scales(scale)
        self._duplicates = np.empty(0, np.int64)
        self.odd = tracks.odd.copy()

    def _places(self) -> Numbers:
        """What each segment is to those before it: bits of the above."""
        segments, order, begins = self._segments, self._tracks.order, self._tracks.begins
        running = self._tracks.running
        ahead = running.start - running.expected
        window, ack, sequence = (
            each[order] for each in (segments.window, segments.ack, segments.sequence)
        )
        place = (ahead > 0).view(np.uint8) * np.uint8(_BEYOND)
        place |= (ahead < 0).view(np.uint8) * np.uint8(_BEHIND)
        place |= (ahead == 0).view(np.uint8) * np.uint8(_NEXT)
        place |= (ahead == -1).view(np.uint8) * np.uint8(_LAST_BYTE)
        moves = (ahead != 0) & (running.end > running.expected)
        place |= moves.view(np.uint8) * np.uint8(_BREAK)
        place[1:] |= (window[1:] == window[:-1]).view(np.uint8) * np.uint8(_SAME)
        place[1:] |= (ack[1:] == ack[:-1]).view(np.uint8) * np.uint8(_AGAIN)
        # Before the first of a direction everything is 0.
        first = (ack[begins] == 0) * _AGAIN
        first += (sequence[begins] == 0) * _NEXT + (sequence[begins] == MASK) * _LAST_BYTE
        place[begins] = first
        return place[self._tracks.back]

    def _is(self, bit: int) -> Bools:
        is_so: Bools = self._place & bit != 0
        return is_so

    def _scales(self, scale: Ints) -> tuple[Bools, Numbers]:
        """Whether the window that each direction faces can be told, and how it is scaled."""
        segments = self._segments
        count = len(segments.starts) - 1
        syn = np.flatnonzero(segments.flags & SYN)
        where = segments.conversation[syn] * 2 + segments.side[syn]
        scales = np.full(2 * count, -1, np.int64)
        seen = np.zeros(2 * count, np.bool_)
        scales[where] = scale[syn]
        seen[where] = True
        unscaled = np.repeat((seen & (scales < 0)).reshape(count, 2).any(axis=1), 2)
        shift = np.where(unscaled, 0, np.clip(scales, 0, 14)).astype(np.int32)
        turned = np.arange(2 * count) ^ 1
        return (unscaled | (scales >= 0))[turned], shift[turned]

    def findings(self) -> Numbers:
        """What is told of a segment before it is asked whether it repeats anything."""
        segments, tracks, plain = self._segments, self._tracks, self._plain
        found = np.zeros(len(segments), np.int32)
        bare = plain & (segments.length == 0)
        closed, next_one = segments.window == 0, self._is(_NEXT)
        _set(found, plain & closed, Flag.ZERO_WINDOW)
        _set(found, self._is(_BEYOND) & (segments.flags & RST == 0), Flag.LOST_SEGMENT)
        alive = plain & (segments.length <= 1) & self._is(_LAST_BYTE)
        _set(found, alive, Flag.KEEP_ALIVE)
        _set(found, self._full(), Flag.WINDOW_FULL)
        # Probes of a closed window lead to states that only ``exact`` knows.
        probe = next_one & (segments.length == 1) & self._facing & (self._other_window == 0)
        self.odd[segments.conversation[probe]] = True
        told = bare & next_one & ~closed & self._is(_AGAIN)
        repeated = told & self._is(_SAME)
        _set(found, told & ~repeated, Flag.WINDOW_UPDATE)
        asked = repeated & self._facing & alive[tracks.across]
        _set(found, asked, Flag.KEEP_ALIVE_ACK)
        duplicate = repeated & ~asked
        _set(found, duplicate, Flag.DUPLICATE_ACK)
        self._duplicates = np.flatnonzero(duplicate[tracks.order])
        return found

    def _full(self) -> Bools:
        """Which segments fill the window that they face."""
        segments = self._segments
        direction = segments.conversation * 2 + segments.side
        carries = self._plain & (segments.length > 0) & self._facing
        # Whether a side that tells neither has sent ACKs since its SYN takes a look back.
        mute = carries & (self._other_flags & (SYN | ACK) == 0)
        self.odd[segments.conversation[mute]] = True
        shift = self._shift[direction]
        shift[self._other_flags & SYN != 0] = 0
        edge = self._other_ack + (self._other_window << shift).view(np.uint32)
        full: Bools = carries & (edge == self._ends())
        full &= self._known[direction]
        return full

    def _ends(self) -> Numbers:
        """Where the payload of each segment ends, on the wire."""
        segments = self._segments
        return segments.sequence + segments.length.view(np.uint32)

    def repetitions(self, found: Numbers) -> None:
        """Which kind of repetition segments are that do not begin at a new number."""
        segments = self._segments
        control = segments.flags & (SYN | FIN) != 0
        fresh = found & int(Flag.KEEP_ALIVE) == 0
        end = self._ends()
        needless = fresh & (segments.length > 0) & self._facing & (self._other_ack != 0)
        needless &= ~above(end, self._other_ack)
        _set(found, needless, exact.NEEDLESS)
        behind = self._is(_BEHIND) & fresh & ~needless & ((segments.length > 0) | control)
        behind &= ~(self._is(_LAST_BYTE) & (segments.length > 1))
        rows = np.flatnonzero(behind)
        if len(rows):
            found[rows] |= self._behind(rows, end[rows] + control[rows])

    def _behind(self, rows: Ints, end: Numbers) -> Numbers:
        segments, tracks, running = self._segments, self._tracks, self._tracks.running
        across, place = tracks.across[rows], tracks.back[rows]
        time = segments.time[rows]
        asked = (across >= 0) & (self._repeated(tracks.back[across]) >= 2)
        since = time - segments.time[across]
        asked &= (since >= 0) & (since < exact.FAST)
        asked &= segments.ack[across] == segments.sequence[rows]
        raised = segments.time[tracks.order[self._raised(place - 1)]]
        limits = self._limits(rows)
        early = (time >= raised) & ((time - raised < limits) | (limits < 0))
        early &= end != running.expected[place].astype(np.uint32) + running.base[place]
        kinds = np.where(early, int(Flag.OUT_OF_ORDER), int(Flag.RETRANSMISSION))
        return np.where(asked, int(exact.ASKED_FOR), kinds)

    def _repeated(self, places: Ints) -> Ints:
        """How many duplicates in a row a direction had sent by places in the order by direction."""
        ack = self._segments.ack[self._tracks.order]
        fresh = np.ones(len(ack), np.bool_)
        fresh[1:] = ack[1:] != ack[:-1]
        fresh[self._tracks.begins] = True
        changes = np.flatnonzero(fresh)
        since = changes[np.searchsorted(changes, places, side="right") - 1]
        low, high = np.searchsorted(self._duplicates, (since, places), side="right")
        repeated: Ints = high - low
        return repeated

    def _raised(self, places: Ints) -> Ints:
        """At which place each direction had come to its highest number by other places."""
        running = self._tracks.running
        rises = running.end > running.expected
        rises[self._tracks.begins] = True
        risen = np.flatnonzero(rises)
        last: Ints = risen[np.searchsorted(risen, places, side="right") - 1]
        return last

    def _limits(self, rows: Ints) -> Ints:
        """How late what was overtaken may come: a round trip, where one is known by then.

        That is the time from a SYN to the first ACK without SYN at which it is not 0.
        """
        segments = self._segments
        kind, count = segments.flags & (SYN | ACK), len(segments.starts) - 1
        opening, acks = np.flatnonzero(kind == SYN), np.flatnonzero(kind == ACK)
        stops = np.minimum(
            np.append(opening[1:], len(kind)), segments.starts[segments.conversation[opening] + 1]
        )
        earliest = np.full(count, len(kind), np.int64)
        trips = np.zeros(count, np.int64)
        began = segments.time[opening]
        begin, end = np.searchsorted(acks, (opening, stops))
        answered = np.flatnonzero((begin < end) & (began != 0))
        begin, end, began = begin[answered], end[answered], began[answered]
        answers = acks[begin]
        for index in np.flatnonzero(segments.time[answers] == began).tolist():
            # A clock that stood still: the first ACK after it went on.
            others = acks[begin[index] : end[index]]
            answers[index] = others[(segments.time[others] != began[index]).argmax()]
        trip = segments.time[answers] - began
        # From the back, so that the first of a connection stands.
        known = np.flatnonzero(trip != 0)[::-1]
        mine = segments.conversation[answers[known]]
        earliest[mine], trips[mine] = answers[known], trip[known]
        mine = segments.conversation[rows]
        return np.where(earliest[mine] < rows, trips[mine], exact.OVERTAKEN)

    def unseen(self, found: Numbers) -> None:
        """Which segments acknowledge what was not captured."""
        segments, tracks, running = self._segments, self._tracks, self._tracks.running
        reached = running.reached.astype(np.uint32) + running.base
        beyond = self._facing & (segments.flags & ACK != 0)
        beyond &= above(segments.ack, reached[tracks.back[tracks.across]])
        told = self._holes()
        found[told] |= int(Flag.ACK_LOST_SEGMENT)
        # Where nothing is known to be missing, more is asked than what the arrays know.
        beyond[told] = False
        self.odd[segments.conversation[beyond]] = True

    def _holes(self) -> list[int]:
        """The segments that acknowledge what is beyond a hole, which they end."""
        segments, tracks, running = self._segments, self._tracks, self._tracks.running
        breaks = np.flatnonzero(self._is(_BREAK))
        breaks = breaks[~self.odd[segments.conversation[breaks]]]
        place = tracks.back[breaks]
        by_direction = np.argsort(place)
        breaks, place = breaks[by_direction], place[by_direction]
        numbers = running.expected[place].astype(np.uint32) + running.base[place]
        stops = segments.starts[segments.conversation[breaks] + 1]
        sides = segments.side[breaks]
        ends, ended = self._near_ends(breaks, numbers, stops, sides)
        told: list[int] = []
        until = direction = -1
        columns = (breaks, segments.conversation[breaks] * 2 + sides, ends, ended, numbers, stops)
        for at, own, near, by_ack, number, stop in zip(
            *(each.tolist() for each in columns), strict=True
        ):
            if own == direction and at < until:
                continue
            end = near, by_ack
            if near < 0:
                end = self._end_of_hole(at + 1 + _NEAR, stop, own & 1, np.uint32(number))
            direction, until = own, end[0] + 1
            if end[1]:
                told.append(end[0])
        return told

    def _near_ends(
        self, breaks: Ints, numbers: Numbers, stops: Ints, sides: Numbers
    ) -> tuple[Ints, Bools]:
        """What ends holes among the few segments after each: -1 where nothing does so soon."""
        ends, ended = np.full(len(breaks), -1, np.int64), np.zeros(len(breaks), np.bool_)
        for begin in range(0, len(breaks), _BLOCK):
            part = slice(begin, begin + _BLOCK)
            places = breaks[part, None] + np.arange(1, 1 + _NEAR)
            inside = places < stops[part, None]
            places[~inside] = 0
            fits, own = self._fits(places, sides[part, None], numbers[part, None])
            fits &= inside
            rows = np.flatnonzero(fits.any(axis=1))
            first = fits[rows].argmax(axis=1)
            ends[begin + rows] = places[rows, first]
            ended[begin + rows] = ~own[rows, first]
        return ends, ended

    def _fits(
        self, places: Ints | slice, side: Numbers | int, number: Numbers | np.uint32
    ) -> tuple[Bools, Bools]:
        """Whether segments end a hole that begins at a number, and whether they are of its side."""
        segments = self._segments
        own = segments.side[places] == side
        ahead = np.where(own, segments.sequence[places], segments.ack[places]) - number
        fits = own & (ahead == 0)
        fits |= ~own & (segments.flags[places] & ACK != 0) & (ahead - np.uint32(1) < _HALF)
        return fits, own

    def _end_of_hole(self, at: int, stop: int, side: int, number: np.uint32) -> tuple[int, bool]:
        """What ends a hole: what was missing comes, or an ACK (True) of what is beyond it."""
        size = 64
        while at < stop:
            fits, own = self._fits(slice(at, min(stop, at + size)), side, number)
            first = int(fits.argmax())
            if fits[first]:
                return at + first, not own[first]
            at, size = at + size, min(_BLOCK, size * 2)
        return stop, False


def _set(found: Numbers, where: Bools, flag: Flag) -> None:
    found[where] |= int(flag)
