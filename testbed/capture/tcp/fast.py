"""The flags of every segment of a capture, by arrays: what ``exact`` says, many times as fast.

All that a rule needs of earlier segments is a running maximum, the segment before, or a count since
the last change, and these need no loop. Connections that come to a state where that is not so (a
probe of a zero window, numbers that jump) are given to ``exact``. A test holds both to each other.
"""

from __future__ import annotations

import numpy as np

from testbed.capture.columns.arrays import Bools, Ints
from testbed.capture.tcp import exact
from testbed.capture.tcp.flags import ACK, FIN, RST, SYN, Flag
from testbed.capture.tcp.segments import Segments
from testbed.capture.tcp.tracks import MASK, Tracks, above, follow

__all__ = ["judge"]

_CONTROL = SYN | FIN | RST
_BLOCK = 1 << 14


def judge(segments: Segments, scale: Ints) -> Ints:
    """The flags of every segment, in the order of ``segments``.

    ``scale`` is each segment's window scale option, -1 without one. Some connections at a time:
    what they need stays in the processor's cache then, and memory is used again.
    """
    found = np.zeros(len(segments), np.int64)
    count = len(segments.starts) - 1
    begin = 0
    while begin < count:
        stop = int(np.searchsorted(segments.starts, segments.starts[begin] + _BLOCK))
        stop = min(count, max(begin + 1, stop))
        span = slice(int(segments.starts[begin]), int(segments.starts[stop]))
        found[span] = _judge(segments.part(begin, stop), scale[span])
        begin = stop
    return found


def _judge(segments: Segments, scale: Ints) -> Ints:
    tracks = follow(segments, scale)
    judged = _Judge(segments, scale, tracks)
    found = judged.findings()
    found |= judged.repetitions(found)
    found |= judged.unseen()
    odd = np.flatnonzero(tracks.odd | judged.odd | judged.probes())
    for connection in odd.tolist():
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


class _Judge:
    """The rules of ``exact``, one array operation each."""

    def __init__(self, segments: Segments, scale: Ints, tracks: Tracks) -> None:
        self._segments = segments
        self._scale = scale
        self._tracks = tracks
        before, across = tracks.before, tracks.across
        self._plain = segments.flags & _CONTROL == 0
        self._expected = np.where(tracks.first, 0, tracks.wire(tracks.expected))
        self._same = ~tracks.first & (segments.window == segments.window[before])
        self._again = segments.ack == np.where(tracks.first, 0, segments.ack[before])
        self._facing = across >= 0
        self._other_window = np.where(self._facing, segments.window[across], -1)
        self._other_ack = np.where(self._facing, segments.ack[across], 0)
        self._duplicates = np.zeros(len(segments), np.int64)
        self.odd = np.zeros(len(segments.starts) - 1, np.bool_)

    def probes(self) -> Bools:
        """Which connections probe a zero window."""
        segments = self._segments
        probe = (segments.length == 1) & (self._other_window == 0)
        probe &= segments.sequence == self._expected
        odd = np.zeros(len(segments.starts) - 1, np.bool_)
        odd[segments.conversation[probe]] = True
        return odd

    def findings(self) -> Ints:
        """What is told of a segment before it is asked whether it repeats anything."""
        segments, tracks, plain = self._segments, self._tracks, self._plain
        found = np.zeros(len(segments), np.int64)
        bare = plain & (segments.length == 0)
        _set(found, plain & (segments.window == 0), Flag.ZERO_WINDOW)
        lost = ~tracks.first & (tracks.start > tracks.expected) & (segments.flags & RST == 0)
        _set(found, lost, Flag.LOST_SEGMENT)
        alive = plain & (segments.length <= 1)
        alive &= segments.sequence == (self._expected - 1 & MASK)
        _set(found, alive, Flag.KEEP_ALIVE)
        _set(found, self._full(), Flag.WINDOW_FULL)
        next_one = bare & (segments.sequence == self._expected) & (segments.window > 0)
        next_one &= self._again
        _set(found, next_one & ~self._same, Flag.WINDOW_UPDATE)
        repeated = next_one & self._same
        asked = self._facing & alive[tracks.across]
        _set(found, repeated & asked, Flag.KEEP_ALIVE_ACK)
        duplicate = repeated & ~asked
        _set(found, duplicate, Flag.DUPLICATE_ACK)
        self._count(duplicate)
        return found

    def _count(self, duplicate: Bools) -> None:
        """How many duplicates in a row each direction had sent by each segment."""
        order = self._tracks.order
        total = np.cumsum(duplicate[order])
        fresh = (self._tracks.first | ~self._again)[order]
        begins = np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))
        self._duplicates[order] = total - total[begins]

    def _full(self) -> Bools:
        """Which segments fill the window that they face."""
        segments, tracks = self._segments, self._tracks
        rows = np.flatnonzero(self._plain & (segments.length > 0) & self._facing)
        known, scale = self._scales(rows)
        across = tracks.across[rows]
        fresh = segments.flags[across] & SYN != 0
        # Whether a side that tells neither has sent ACKs since its SYN takes a look back.
        self.odd[segments.conversation[rows[segments.flags[across] & (SYN | ACK) == 0]]] = True
        edge = segments.ack[across] + (segments.window[across] << np.where(fresh, 0, scale))
        full = np.zeros(len(segments), np.bool_)
        end = segments.sequence[rows] + segments.length[rows]
        full[rows] = known & ((edge - end) & MASK == 0)
        return full

    def _scales(self, rows: Ints) -> tuple[Bools, Ints]:
        """Whether the other side's window can be told at these segments, and its scale."""
        segments = self._segments
        count = len(segments.starts) - 1
        syn = np.flatnonzero(segments.flags & SYN)
        where = segments.conversation[syn] * 2 + segments.side[syn]
        scales = np.full(2 * count, -1, np.int64)
        seen = np.zeros(2 * count, np.bool_)
        scales[where] = self._scale[syn]
        seen[where] = True
        neither = (seen & (scales < 0)).reshape(count, 2)
        without = neither[:, 0] | neither[:, 1]
        conversation = segments.conversation[rows]
        scale = scales[conversation * 2 + 1 - segments.side[rows]]
        unscaled = without[conversation]
        return unscaled | (scale >= 0), np.where(unscaled, 0, np.clip(scale, 0, 14))

    def repetitions(self, found: Ints) -> Ints:
        """Which kind of repetition segments are that do not begin at a new number."""
        segments, tracks = self._segments, self._tracks
        result = np.zeros(len(segments), np.int64)
        control = segments.flags & (SYN | FIN) != 0
        carries = (segments.length > 0) | control
        carries &= found & int(Flag.KEEP_ALIVE) == 0
        rows = np.flatnonzero(carries)
        end = segments.sequence[rows] + segments.length[rows] & MASK
        acked = self._other_ack[rows]
        spurious = (segments.length[rows] > 0) & (acked != 0) & ~above(end, acked)
        result[rows[spurious]] = int(exact.NEEDLESS)
        behind = ~spurious & ~tracks.first[rows] & (tracks.start[rows] < tracks.expected[rows])
        advances = tracks.start[rows] == tracks.expected[rows] - 1
        behind &= ~(advances & (segments.length[rows] > 1))
        rows, end = rows[behind], end[behind]
        self._behind(rows, end + control[rows] & MASK, result)
        return result

    def _behind(self, rows: Ints, end: Ints, result: Ints) -> None:
        segments, tracks = self._segments, self._tracks
        across = tracks.across[rows]
        time = segments.time[rows]
        asked = (across >= 0) & (self._duplicates[across] >= 2)
        since = time - segments.time[across]
        asked &= (since >= 0) & (since < exact.FAST)
        asked &= segments.ack[across] == segments.sequence[rows]
        raised = segments.time[tracks.raised[tracks.before[rows]]]
        limits = self._limits(rows)
        early = (time >= raised) & ((time - raised < limits) | (limits < 0))
        early &= end != self._expected[rows]
        kinds = np.where(early, int(Flag.OUT_OF_ORDER), int(Flag.RETRANSMISSION))
        result[rows] = np.where(asked, int(exact.ASKED_FOR), kinds)

    def _limits(self, rows: Ints) -> Ints:
        """How late what was overtaken may come: a round trip, where one is known by then."""
        segments = self._segments
        count = len(segments)
        places = np.arange(count)
        kind = segments.flags & (SYN | ACK)
        opened = np.maximum.accumulate(np.where(kind == SYN, places, -1))
        known = (kind == ACK) & (opened >= segments.starts[segments.conversation])
        known &= segments.time[opened] != 0
        trip = np.where(known, segments.time - segments.time[opened], 0)
        earliest = np.full(len(segments.starts) - 1, count, np.int64)
        told = np.flatnonzero(trip != 0)
        np.minimum.at(earliest, segments.conversation[told], told)
        at = earliest[segments.conversation[rows]]
        trips = trip[np.minimum(at, count - 1)]
        return np.where(at < rows, trips, exact.OVERTAKEN)

    def unseen(self) -> Ints:
        """Which segments acknowledge what was not captured."""
        segments, tracks = self._segments, self._tracks
        result = np.zeros(len(segments), np.int64)
        across = tracks.across
        acks = self._facing & (segments.flags & ACK != 0)
        beyond = acks & above(segments.ack, tracks.wire(tracks.reached)[across])
        # Where a direction has a hole, or what begins elsewhere than expected, walk it.
        breaks = ~tracks.first & (tracks.start != tracks.expected)
        breaks &= tracks.end > tracks.expected
        holed = np.zeros((len(segments.starts) - 1, 2), np.bool_)
        holed[segments.conversation[breaks], segments.side[breaks]] = True
        simple = beyond & ~holed[segments.conversation, 1 - segments.side]
        self.odd[segments.conversation[simple]] = True
        for connection, side in zip(*(each.tolist() for each in np.nonzero(holed)), strict=True):
            if not (tracks.odd[connection] or self.odd[connection]):
                result[self._walk(connection, side)] |= int(Flag.ACK_LOST_SEGMENT)
        return result

    def _walk(self, connection: int, side: int) -> list[int]:
        """The same for one direction that has holes, segment by segment."""
        segments, tracks = self._segments, self._tracks
        span = slice(int(segments.starts[connection]), int(segments.starts[connection + 1]))
        mine = segments.side[span] == side
        reached = np.where(mine, tracks.wire(tracks.reached)[span], 0).tolist()
        number = np.where(mine, segments.sequence[span], segments.ack[span]).tolist()
        acks = (segments.flags[span] & ACK != 0).tolist()
        found: list[int] = []
        contiguous = expected = -1
        for index, own in enumerate(mine.tolist()):
            if own:
                expected = reached[index]
                if contiguous < 0 or number[index] == contiguous:
                    contiguous = expected
            elif contiguous >= 0 and acks[index]:
                if not 0 < (number[index] - contiguous & MASK) < 1 << 31:
                    continue
                if contiguous == expected:  # nothing is known to be missing
                    self.odd[connection] = True
                    return []
                found.append(span.start + index)
                contiguous = expected
        return found


def _set(found: Ints, where: Bools, flag: Flag) -> None:
    found[where] |= int(flag)
