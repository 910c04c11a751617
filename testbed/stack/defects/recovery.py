"""Faults of loss recovery: fast recovery, and tail loss probes."""

from __future__ import annotations

from testbed.stack.tcp.congestion import Cubic, NewReno, Reno
from testbed.stack.tcp.congestion.window import Window
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery import LossRecovery
from testbed.stack.tcp.recovery.outcome import Resend
from testbed.stack.tcp.recovery.tlp import TailLossProbe
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant

__all__ = [
    "COUNTS_ONLY",
    "FALLS_TO_SLOW_START",
    "HALVES_AGAIN",
    "LEAVES_AT_PARTIAL_ACK",
    "NEVER_DEFLATES",
    "PROBES_LATE",
    "PROBES_WITH_ALL",
    "PROBES_WITH_THE_FIRST",
]


# TC-21: fast recovery


class _Tahoe(LossRecovery):
    __slots__ = ()

    def _enter_fast(self, reason: Reason, now: Instant) -> None:
        super()._enter_fast(reason, now)
        self.congestion.cwnd = self.congestion.smss

    def _leave(self, now: Instant) -> None:
        super()._leave(now)
        self.congestion.cwnd = self.congestion.smss


class _NoPartialAcks(Window):
    __slots__ = ()

    partial_acks = False


class _HalvesAgain(LossRecovery):
    __slots__ = ()

    def _on_progress(self, acked: int, before: int, flight: int, now: Instant) -> None:
        super()._on_progress(acked, before, flight, now)
        if self.in_recovery:
            self.congestion.on_congestion(self.congestion.ssthresh, now)


class _StaysInflated(LossRecovery):
    __slots__ = ()

    def _leave(self, now: Instant) -> None:
        super()._leave(now)
        self.congestion.cwnd = 4 * self.congestion.ssthresh


FALLS_TO_SLOW_START = Defect(
    "falls to slow start",
    "TC-21",
    "A stack of Tahoe's time begins with one segment after each fast retransmit: a single loss "
    "empties a long line.",
    {LossRecovery: _Tahoe},
)

LEAVES_AT_PARTIAL_ACK = Defect(
    "leaves at a partial ACK",
    "TC-21",
    "A stack of Reno's time ends its recovery with the first ACK that moves: where two segments of "
    "a window are lost, the second waits for the timer.",
    {Reno: _NoPartialAcks, NewReno: _NoPartialAcks, Cubic: _NoPartialAcks},
)

HALVES_AGAIN = Defect(
    "halves again",
    "TC-21",
    "A stack halves its window for every segment that a window lost: five of one burst, and it "
    "goes on at a thirtieth.",
    {LossRecovery: _HalvesAgain},
)

NEVER_DEFLATES = Defect(
    "never deflates",
    "TC-21",
    "A stack keeps the window that duplicates had inflated once recovery is over: it floods the "
    "path that just lost a packet.",
    {LossRecovery: _StaysInflated},
)


# TC-22: tail loss


class _FirstIsProbe(LossRecovery):
    __slots__ = ()

    def probe_segment(self) -> Resend | None:
        segments = self._board.segments
        return Resend(segments[0].seq, segments[0].end, Reason.TLP) if segments else None


class _LateProbe(TailLossProbe):
    __slots__ = ()

    def interval(self, srtt: Duration) -> int:
        return 2 * super().interval(srtt)


class _DupThreshOnly(LossRecovery):
    __slots__ = ()

    def _uses_rack(self) -> bool:
        return False


class _AllIsProbe(LossRecovery):
    __slots__ = ()

    def probe_segment(self) -> Resend | None:
        probe = super().probe_segment()
        self._board.mark_lost(self._board.segments[:-1], Reason.TLP)
        if self._board.segments:
            self._board.mark_lost(self._board.segments[-1:], Reason.TLP)
        return probe


PROBES_WITH_THE_FIRST = Defect(
    "probes with the first",
    "TC-22",
    "A stack resends the first unacknowledged segment for a probe: its ACK tells of one hole at a "
    "time, and a tail of five costs five round trips.",
    {LossRecovery: _FirstIsProbe},
)

PROBES_LATE = Defect(
    "probes too late",
    "TC-22",
    "A stack waits for twice the probe timeout: the timer for retransmissions comes first, and the "
    "window is gone.",
    {TailLossProbe: _LateProbe},
)

COUNTS_ONLY = Defect(
    "learns nothing from the probe",
    "TC-22",
    "A stack was given tail loss probes without RACK: one SACK block is not three duplicates, and "
    "the holes below the probe wait for the timer all the same.",
    {LossRecovery: _DupThreshOnly},
)

PROBES_WITH_ALL = Defect(
    "probes with everything",
    "TC-22",
    "A stack takes the probe timeout for a loss and resends all that is outstanding: on a path "
    "that was only slow, everything goes twice.",
    {LossRecovery: _AllIsProbe},
)
