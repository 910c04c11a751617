"""Faults of the retransmission timeout: what it is made of, when it runs, how far it goes."""

from __future__ import annotations

from typing import Final

from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery import LossRecovery
from testbed.stack.tcp.recovery.scoreboard import Segment
from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp.tcb import Tcb
from testbed.stack.tcp.timers import Timers
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, seconds

__all__ = [
    "A_SECOND_TOO_MUCH",
    "BOUND_OF_30_S",
    "DOUBLES_THREE_TIMES",
    "EACH_SEGMENT_RESTARTS",
    "FIRST_SAMPLE_FOR_EVER",
    "GIVES_UP_IN_15_S",
    "LAST_SAMPLE_ALONE",
    "NO_KARN",
    "STAYS_BACKED_OFF",
]

_BOUND: Final = seconds(30)
_MARGIN: Final = seconds(1)
_DOUBLINGS: Final = 3
_PATIENCE: Final = seconds(15)


class _Impatient(Timers):
    __slots__ = ()

    def _timed_out(self, c: Tcb, oldest: Instant, now: Instant) -> None:
        if now - oldest >= _PATIENCE:
            self._give_up(c, "no answer from the peer", now)
        else:
            super()._timed_out(c, oldest, now)


class _LastAlone(RttEstimator):
    __slots__ = ()

    def sample(self, rtt: Duration, now: Instant, expected: int = 1) -> None:
        self._srtt = None
        super().sample(rtt, now, expected)


class _FirstAlone(RttEstimator):
    __slots__ = ()

    def sample(self, rtt: Duration, now: Instant, expected: int = 1) -> None:
        if self._srtt is None:
            super().sample(rtt, now, expected)
        self.backoffs = 0


class _Cautious(RttEstimator):
    __slots__ = ()

    def sample(self, rtt: Duration, now: Instant, expected: int = 1) -> None:
        super().sample(rtt, now, expected)
        self._base += _MARGIN


class _KeepsBackOff(RttEstimator):
    __slots__ = ()

    def sample(self, rtt: Duration, now: Instant, expected: int = 1) -> None:
        backoffs = self.backoffs
        super().sample(rtt, now, expected)
        self.backoffs = backoffs


class _Bounded(RttEstimator):
    __slots__ = ()

    @property
    def rto(self) -> Duration:
        return min(super().rto, _BOUND)


class _ThreeDoublings(RttEstimator):
    __slots__ = ()

    def back_off(self) -> None:
        self.backoffs = min(self.backoffs + 1, _DOUBLINGS)


class _MeasuresAll(LossRecovery):
    __slots__ = ()

    def _note_delivered(
        self,
        gone: list[Segment],
        news: list[Segment],
        now: Instant,
        rtt_sample: Duration | None,
        flight: int,
    ) -> None:
        if gone:
            self._measure(Duration(now - gone[0].first_at), now, flight)
        super()._note_delivered(gone, news, now, rtt_sample, flight)


class _Restarts(LossRecovery):
    __slots__ = ()

    def sent(self, seq: int, end: int, now: Instant, reason: Reason | None = None) -> None:
        super().sent(seq, end, now, reason)
        self._rto_at = Instant(now + self.rtt.rto)


LAST_SAMPLE_ALONE: Final = Defect(
    "takes the last sample alone",
    "TC-10",
    "A stack for a small controller keeps no average: each round trip is all it knows, and three "
    "times as much its timeout.",
    {RttEstimator: _LastAlone},
)
FIRST_SAMPLE_FOR_EVER: Final = Defect(
    "keeps to the first sample",
    "TC-10",
    "A stack measures the handshake and nothing after it: when the line fills up, all that is "
    "queued in it is sent again.",
    {RttEstimator: _FirstAlone},
)
A_SECOND_TOO_MUCH: Final = Defect(
    "a second too much",
    "TC-10",
    "A vendor adds a second to every timeout, against complaints about spurious ones: each loss "
    "costs a second more.",
    {RttEstimator: _Cautious},
)
STAYS_BACKED_OFF: Final = Defect(
    "stays backed off",
    "TC-10",
    "A stack never takes the doublings back: after one outage each loss costs minutes.",
    {RttEstimator: _KeepsBackOff},
)
BOUND_OF_30_S: Final = Defect(
    "a bound of 30 s",
    "TC-10",
    "A stack bounds its timeout by half a minute: a thousand devices behind a dead line send twice "
    "as much as it can ever take.",
    {RttEstimator: _Bounded},
)
DOUBLES_THREE_TIMES: Final = Defect(
    "doubles three times",
    "TC-10",
    "A stack has a table of timeouts with four entries and stays at the last: a congested line is "
    "kept so.",
    {RttEstimator: _ThreeDoublings},
)
NO_KARN: Final = Defect(
    "measures what was sent twice",
    "TC-10",
    "A stack counts from the first sending, whatever was sent again since (Karn's problem): an "
    "outage counts as a long round trip, and the next timeout is as long.",
    {LossRecovery: _MeasuresAll},
)
EACH_SEGMENT_RESTARTS: Final = Defect(
    "each segment starts the timer anew",
    "TC-10",
    "A stack sets its timer whenever it sends: as long as there is something new to send, what was "
    "lost is never sent again.",
    {LossRecovery: _Restarts},
)
GIVES_UP_IN_15_S: Final = Defect(
    "gives up after 15 s",
    "TC-29",
    "A stack tuned for a data centre ends a connection after a few timeouts: whoever moves a cable "
    "to another socket has lost all sessions.",
    {Timers: _Impatient},
)
