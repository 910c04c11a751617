"""F-RTO finds out whether a timeout was spurious (RFC 5682)."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from testbed.stack.tcp.recovery.scoreboard import Segment

__all__ = ["Frto", "Verdict"]


class Verdict(Enum):
    """What an ACK after a timeout says of it."""

    OPEN = "not known yet"
    REAL = "segments were lost"
    SPURIOUS = "only the ACKs were late"


class Frto:
    """The steps of RFC 5682 2.1 and 3.1, for the timeout at hand."""

    __slots__ = ("_retransmitted", "fresh", "recover", "step")

    step: int
    """The step whose ACK is awaited: 2, 3, or 0 while nothing is to be found out."""
    recover: int
    """The highest number sent before the timeout."""
    fresh: int
    """Bytes of new data sent in step 2b."""

    def __init__(self) -> None:
        self.step = 0
        self.recover = 0
        self.fresh = 0
        self._retransmitted = 0

    def start(self, first_end: int, recover: int) -> None:
        """Step 1: the timer expired; the first segment, up to ``first_end``, is sent again."""
        self.step = 2
        self.recover = recover
        self.fresh = 0
        self._retransmitted = first_end

    def stop(self) -> None:
        """The answer no longer matters."""
        self.step = 0

    def on_ack(self, ack: int, *, advanced: bool, delivered: Iterable[Segment]) -> Verdict:
        """Steps 2 and 3. ``delivered``: segments newly acknowledged, by number or by SACK."""
        if self.step == 3:
            return self.judge(advanced=advanced, delivered=delivered)
        # 2a: "If that ACK is a duplicate ACK, OR ... acknowledges a sequence number equal to the
        # value of recover, OR the ACK does not acknowledge all of the data that was retransmitted
        # in step 1, revert to the conventional RTO recovery".
        if not advanced or ack >= self.recover or ack < self._retransmitted:
            self.step = 0
            return Verdict.REAL
        self.step = 3  # 2b: two new segments go out
        return Verdict.OPEN

    def judge(self, *, advanced: bool, delivered: Iterable[Segment]) -> Verdict:
        """Step 3: whether the ACK came for what was not sent again."""
        self.step = 0
        original = any(s.sends == 1 and s.end <= self.recover for s in delivered)
        # 2.1 3b: the ACK advances the window; 3.1 3b: SACK reports what was not retransmitted.
        return Verdict.SPURIOUS if advanced or original else Verdict.REAL
