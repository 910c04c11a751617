"""The flags of one connection, segment by segment: the definition that everything else is held to.

It takes any segments whatever, in any order, and needs a few microseconds for each. The rules are
those of Wireshark's User's Guide, 7.5 TCP Analysis, with the details that its text leaves open
settled by experiment against tshark 4.0. Numbers are compared modulo 2**32 (RFC 1982).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from testbed.capture.tcp.flags import ACK, FIN, RST, SYN, Flag

__all__ = ["ASKED_FOR", "FAST", "NEEDLESS", "OVERTAKEN", "Segment", "judge"]

FAST = 20_000_000
"""A fast retransmission comes within this time after the last ACK, in nanoseconds."""
OVERTAKEN = 3_000_000
"""What was overtaken comes within this time, where no round trip is known."""

ASKED_FOR = Flag.RETRANSMISSION | Flag.FAST_RETRANSMISSION
NEEDLESS = Flag.RETRANSMISSION | Flag.SPURIOUS_RETRANSMISSION

_CONTROL = SYN | FIN | RST
_UNKNOWN = -1


@dataclass(frozen=True, slots=True)
class Segment:
    """What is needed of a segment. ``scale`` is of its window scale option: None without one."""

    time: int
    side: int
    sequence: int
    ack: int
    flags: int
    window: int
    length: int
    scale: int | None = None


class _Side:
    """What is remembered of one direction."""

    __slots__ = (
        "ack", "ack_time", "contiguous", "duplicates", "expected", "expected_time", "fresh",
        "initial", "last", "scale", "window",
    )  # fmt: skip

    def __init__(self) -> None:
        self.expected = 0  # 0 stands for none seen: as Wireshark has it, and its rare mistake
        self.expected_time = 0
        self.contiguous = 0  # the highest number up to which nothing is missing
        self.ack = 0
        self.ack_time = 0
        self.window = -1
        self.scale: int | None = None
        self.initial: int | None = None  # where its numbers begin, once that is known
        self.fresh = False  # it sent a SYN and no ACK since: the window of a SYN is never scaled
        self.duplicates = 0  # in a row; -1, as good as many, where what nobody saw was acknowledged
        self.last = Flag(0)


def _above(one: int, other: int) -> bool:
    """Whether a sequence number is later than another."""
    return 0 < (one - other & 0xFFFFFFFF) <= 0x80000000


def judge(segments: Iterable[Segment]) -> list[Flag]:
    """The flags of each segment of one connection."""
    connection = _Connection()
    return [connection.take(segment) for segment in segments]


class _Connection:
    def __init__(self) -> None:
        self._sides = (_Side(), _Side())
        self._opened = 0  # 0 stands for no SYN seen
        self._round_trip = 0

    def take(self, segment: Segment) -> Flag:
        """The flags of the next segment."""
        mine, other = self._sides[segment.side], self._sides[1 - segment.side]
        self._begin(segment, mine, other)
        found = self._findings(segment, mine, other)
        if segment.ack != mine.ack:
            mine.duplicates = 0
        found |= self._acknowledged(segment, other)
        found |= self._repeated(segment, mine, other, found)
        self._remember(segment, mine, found)
        self._handshake(segment, mine)
        return found

    def _begin(self, segment: Segment, mine: _Side, other: _Side) -> None:
        """Learn where numbers begin; a SYN that comes again takes back what only a RST reached."""
        syn = bool(segment.flags & SYN)
        if syn and not segment.flags & ACK and mine.initial == segment.sequence:
            mine.expected = mine.contiguous
        if mine.initial is None or syn:
            mine.initial = segment.sequence - (not syn) & 0xFFFFFFFF
        if other.initial is None and segment.flags & ACK:
            other.initial = segment.ack - 1 & 0xFFFFFFFF

    def _handshake(self, segment: Segment, mine: _Side) -> None:
        if segment.flags & SYN:
            mine.fresh = True
            if not segment.flags & ACK:
                self._opened = segment.time
        elif segment.flags & ACK:
            mine.fresh = False
            if self._opened and not self._round_trip:
                self._round_trip = segment.time - self._opened

    def _findings(self, segment: Segment, mine: _Side, other: _Side) -> Flag:
        """What can be told of a segment before it is asked whether it repeats anything."""
        found = Flag(0)
        length, sequence = segment.length, segment.sequence
        plain = not segment.flags & _CONTROL
        if length == 1 and sequence == mine.expected and other.window == 0:
            return Flag.ZERO_WINDOW_PROBE
        if plain and segment.window == 0:
            found |= Flag.ZERO_WINDOW
        if mine.expected and _above(sequence, mine.expected) and not segment.flags & RST:
            found |= Flag.LOST_SEGMENT
        if not plain:
            return found
        if length <= 1 and sequence == (mine.expected - 1 & 0xFFFFFFFF):
            found |= Flag.KEEP_ALIVE
        if length:
            return found | _window_full(segment, other)
        if sequence != mine.expected or segment.ack != mine.ack:
            return found
        return found | _bare(segment, mine, other)

    def _acknowledged(self, segment: Segment, other: _Side) -> Flag:
        if not (segment.flags & ACK and other.contiguous):
            return Flag(0)
        if not _above(segment.ack, other.contiguous):
            return Flag(0)
        if _above(other.expected, other.contiguous):
            other.contiguous = other.expected
            return Flag.ACK_LOST_SEGMENT
        # Nothing is known to be missing: one such ACK tells of it, and then none until the other
        # side has acknowledged something new.
        told = other.duplicates != 0
        other.duplicates = -1
        return Flag(0) if told else Flag.ACK_LOST_SEGMENT

    def _repeated(self, segment: Segment, mine: _Side, other: _Side, found: Flag) -> Flag:
        """Which kind of repetition a segment is, that does not begin at a new number."""
        length, sequence = segment.length, segment.sequence
        control = 1 if segment.flags & (SYN | FIN) else 0
        if not (length or control) or found & Flag.KEEP_ALIVE:
            return Flag(0)
        end = sequence + length & 0xFFFFFFFF
        if length and other.ack and (end == other.ack or _above(other.ack, end)):
            return NEEDLESS
        # More than the one byte of a probe, beginning at it: there is something new in it.
        advances = length > 1 and sequence == mine.expected - 1 & 0xFFFFFFFF
        if advances or not mine.expected or not _above(mine.expected, sequence):
            return Flag(0)
        asked = not 0 <= other.duplicates < 2 and 0 <= segment.time - other.ack_time < FAST
        if asked and other.ack == sequence:
            return ASKED_FOR
        # A clock that was set back in between leaves no time to judge by, or all of it.
        limit = (self._round_trip or OVERTAKEN) % (1 << 64)
        early = 0 <= segment.time - mine.expected_time < limit
        if early and end + control & 0xFFFFFFFF != mine.expected:
            return Flag.OUT_OF_ORDER
        return Flag.RETRANSMISSION

    def _remember(self, segment: Segment, mine: _Side, found: Flag) -> None:
        control = 1 if segment.flags & (SYN | FIN) else 0
        after = segment.sequence + segment.length + control & 0xFFFFFFFF
        if not found & Flag.ZERO_WINDOW_PROBE:
            if not mine.expected or _above(after, mine.expected):
                mine.expected = after
                mine.expected_time = segment.time
            if not mine.contiguous or segment.sequence == mine.contiguous:
                mine.contiguous = mine.expected
        if segment.scale is not None:
            mine.scale = min(14, segment.scale)  # RFC 7323 2.3: more counts as 14
        if segment.flags & SYN:
            self._scaling(segment, mine)
        mine.window = segment.window
        mine.ack = segment.ack
        mine.ack_time = segment.time
        mine.last = found

    def _scaling(self, segment: Segment, mine: _Side) -> None:
        """RFC 7323 2.2: windows are scaled only where both sides have offered it."""
        other = self._sides[0] if mine is self._sides[1] else self._sides[1]
        if mine.scale is None:
            mine.scale = other.scale = _UNKNOWN
        elif segment.flags & ACK and other.scale == _UNKNOWN:
            mine.scale = _UNKNOWN


def _bare(segment: Segment, mine: _Side, other: _Side) -> Flag:
    """What is told of a segment without data, at the next number, that acknowledges nothing new."""
    same = segment.window == mine.window
    if not segment.window:
        probed = same and other.last & Flag.ZERO_WINDOW_PROBE
        return Flag.ZERO_WINDOW_PROBE_ACK if probed else Flag(0)
    if not same:
        return Flag.WINDOW_UPDATE
    if other.last & Flag.KEEP_ALIVE:
        return Flag.KEEP_ALIVE_ACK
    mine.duplicates = max(0, mine.duplicates) + 1
    return Flag.DUPLICATE_ACK


def _window_full(segment: Segment, other: _Side) -> Flag:
    if other.scale is None:
        return Flag(0)
    shift = 0 if other.fresh or other.scale == _UNKNOWN else other.scale
    end = segment.sequence + segment.length & 0xFFFFFFFF
    full = end == other.ack + (other.window << shift) & 0xFFFFFFFF
    return Flag.WINDOW_FULL if full else Flag(0)
