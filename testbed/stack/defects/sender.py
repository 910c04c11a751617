"""Faults of senders: congestion windows, and what timeouts make of them."""

from __future__ import annotations

from testbed.stack.tcp.congestion import Cubic, NewReno, Reno
from testbed.stack.tcp.congestion.window import Window
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant

__all__ = [
    "BEGINS_WITH_FORTY",
    "CUBIC_LEAPS",
    "CUBIC_TAKES_HALF",
    "EXPONENTIAL_FOREVER",
    "EXTRA_EIGHTH",
    "GROWS_BY_SPLIT_ACKS",
    "HALVES_AT_EACH_TIMEOUT",
    "KEEPS_SSTHRESH",
    "KEEPS_WINDOW",
    "NEVER_GROWS",
    "NO_SLOW_START",
    "RESTARTS_WITH_INITIAL_WINDOW",
    "SENDS_ALL_AT_ONCE",
    "TWO_FOR_EACH_ACK",
]

_NO_BOUND = 1 << 30


def _of_all(mixin: type) -> dict[type, type]:
    """The same fault for every congestion control."""
    return {Reno: mixin, NewReno: mixin, Cubic: mixin}


# TC-17: slow start


class _Unbounded(Window):
    __slots__ = ()

    def initial_window(self) -> int:
        return _NO_BOUND


class _Forty(Window):
    __slots__ = ()

    def initial_window(self) -> int:
        return 40 * self.smss


class _Triples(Window):
    __slots__ = ()

    def slow_start(self, acked: int) -> None:  # noqa: ARG002
        self.cwnd += 2 * self.smss


class _NoSlowStart(Window):
    __slots__ = ()

    def on_ack(
        self, acked: int, now: Instant, srtt: Duration | None, flight: int, *, limited: bool
    ) -> None:
        self.ssthresh = min(self.ssthresh, self.cwnd)
        super().on_ack(acked, now, srtt, flight, limited=limited)


class _CountsAcks(Window):
    __slots__ = ()

    def slow_start(self, acked: int) -> None:  # noqa: ARG002
        self.cwnd += self.smss


SENDS_ALL_AT_ONCE = Defect(
    "sends all at once",
    "TC-17",
    "A stack has no congestion window: it throws whatever the receiver takes at a path of which it "
    "knows nothing, and the first switch with a small queue drops most of it.",
    _of_all(_Unbounded),
)

BEGINS_WITH_FORTY = Defect(
    "begins with forty",
    "TC-17",
    "A content server is tuned to an initial window of 40 segments: its pages come sooner, and the "
    "telephone calls on the same line break up.",
    _of_all(_Forty),
)

TWO_FOR_EACH_ACK = Defect(
    "two segments for each ACK",
    "TC-17",
    "A stack makes up for receivers that delay their ACKs by adding two segments for each, also "
    "where every segment has its own: the window triples in a round.",
    _of_all(_Triples),
)

NO_SLOW_START = Defect(
    "no slow start",
    "TC-17",
    "A stack begins in congestion avoidance: on a long fast line it takes minutes to gain speed.",
    _of_all(_NoSlowStart),
)

GROWS_BY_SPLIT_ACKS = Defect(
    "counts ACKs, not what they acknowledge",
    "TC-17",
    "A stack adds a segment for every ACK that moves: a greedy receiver acknowledges each segment "
    "in many small parts and gets a server to send without restraint.",
    _of_all(_CountsAcks),
)


# TC-18: congestion avoidance


class _Exponential(Window):
    __slots__ = ()

    def avoid_congestion(self, acked: int, now: Instant, srtt: Duration | None) -> None:  # noqa: ARG002
        self.cwnd += min(acked, self.smss)


class _Stays(Window):
    __slots__ = ()

    def avoid_congestion(self, acked: int, now: Instant, srtt: Duration | None) -> None:
        pass


class _ExtraEighth(Window):
    __slots__ = ()

    def avoid_congestion(self, acked: int, now: Instant, srtt: Duration | None) -> None:  # noqa: ARG002
        self.cwnd += self.smss * self.smss // self.cwnd + self.smss // 8


class _TakesHalf(Cubic):
    __slots__ = ()

    def reduced(self, flight: int) -> int:
        return max(flight // 2, 2 * self.smss)


class _Leaps(Cubic):
    __slots__ = ()

    def avoid_congestion(self, acked: int, now: Instant, srtt: Duration | None) -> None:  # noqa: ARG002
        self.cwnd += acked // 2


EXPONENTIAL_FOREVER = Defect(
    "exponential forever",
    "TC-18",
    "A stack never leaves slow start: it doubles its window until packets are lost, and again "
    "right after; nobody else on the line gets anything through.",
    _of_all(_Exponential),
)

NEVER_GROWS = Defect(
    "never grows again",
    "TC-18",
    "A stack does not grow its window once there was a loss: one lost packet, and a transfer of "
    "hours runs at a tenth of what the line could carry.",
    _of_all(_Stays),
)

EXTRA_EIGHTH = Defect(
    "an eighth too much",
    "TC-18",
    "A descendant of 4.3BSD adds an eighth of a segment to the increase for each ACK (RFC 2525 "
    "2.4): with a large window that is several segments in a round, and they are lost again.",
    _of_all(_ExtraEighth),
)


CUBIC_TAKES_HALF = Defect(
    "CUBIC takes half",
    "TC-18",
    "A stack was given CUBIC's growth and kept Reno's halving: it never gets its share beside "
    "others.",
    {Cubic: _TakesHalf},
)

CUBIC_LEAPS = Defect(
    "CUBIC leaps",
    "TC-18",
    "A stack takes the bound of CUBIC's target, one and a half of the window, for the target: it "
    "is back at the window that lost a packet within two round trips.",
    {Cubic: _Leaps},
)


# TC-19: timeout


class _KeepsWindow(Window):
    __slots__ = ()

    def on_timeout(self, flight: int, now: Instant, *, first: bool) -> None:
        before = self.cwnd
        super().on_timeout(flight, now, first=first)
        self.cwnd = before


class _KeepsSsthresh(Window):
    __slots__ = ()

    def on_timeout(self, flight: int, now: Instant, *, first: bool) -> None:
        before = self.ssthresh
        super().on_timeout(flight, now, first=first)
        self.ssthresh = before


class _HalvesEachTime(Window):
    __slots__ = ()

    def on_timeout(self, flight: int, now: Instant, *, first: bool) -> None:  # noqa: ARG002
        super().on_timeout(self.cwnd, now, first=True)


class _RestartsInitial(Window):
    __slots__ = ()

    def on_timeout(self, flight: int, now: Instant, *, first: bool) -> None:
        super().on_timeout(flight, now, first=first)
        self.cwnd = self.initial_window()


KEEPS_WINDOW = Defect(
    "cwnd kept",
    "TC-19",
    "A stack resends a whole window when its timer expires: where a queue overflowed it overflows "
    "again, as the Internet's did in October 1986.",
    _of_all(_KeepsWindow),
)

KEEPS_SSTHRESH = Defect(
    "forgets the threshold",
    "TC-19",
    "A stack begins anew after a timeout and learns nothing from it: slow start goes on to the "
    "very window that was too much.",
    _of_all(_KeepsSsthresh),
)

HALVES_AT_EACH_TIMEOUT = Defect(
    "halves at each timeout",
    "TC-19",
    "A stack takes half of its window for the threshold at every timeout, also the next of the "
    "same segment: after an outage of seconds the transfer crawls for minutes.",
    _of_all(_HalvesEachTime),
)

RESTARTS_WITH_INITIAL_WINDOW = Defect(
    "restarts with the initial window",
    "TC-19",
    "A stack takes the loss window for the initial one: since that is ten segments, a timeout "
    "hardly slows it down.",
    _of_all(_RestartsInitial),
)
