"""RACK: a segment is lost once one sent sufficiently later was delivered (RFC 8985 6)."""

from __future__ import annotations

from testbed.stack.tcp.recovery.scoreboard import Scoreboard, Segment
from testbed.stack.tcp.rtt import RttEstimator
from testbed.timing import Duration, Instant

__all__ = ["Rack"]

_PERSIST = 16
"""RFC 8985 6.2 step 4: a widened reordering window lasts for 16 loss recoveries."""


class Rack:
    """Names as in RFC 8985 5.3, without their prefix."""

    __slots__ = (
        "_dsack_round",
        "_rtt_estimator",
        "end_seq",
        "fack",
        "order",
        "reo_wnd_mult",
        "reo_wnd_persist",
        "reordering_seen",
        "rtt",
        "threshold",
        "xmit_ts",
    )

    xmit_ts: int
    """When the segment was sent that was sent last of all that were delivered."""
    end_seq: int
    """Its end, which tells segments of the same instant apart."""
    order: int
    """Its place in the order of sending. Of one instant, a segment counts as sent before only where
    both say so: the clock of a script, or of a host that answers one packet with several, stands
    still meanwhile, and RFC 8985's rule alone takes a low number that was just sent again for older
    than new data before it.
    """
    rtt: int
    """Its round-trip time."""
    fack: int
    """The highest number delivered."""
    threshold: int
    """DupThresh."""

    def __init__(self, rtt: RttEstimator, start: int, threshold: int) -> None:
        self._rtt_estimator = rtt
        self._dsack_round: int | None = None
        self.order = 0
        self.xmit_ts = -1
        self.end_seq = start
        self.rtt = 0
        self.fack = start
        self.threshold = threshold
        self.reordering_seen = False
        self.reo_wnd_mult = 1
        self.reo_wnd_persist = _PERSIST

    def delivered(self, segment: Segment, now: Instant, echoed: Instant | None = None) -> None:
        """Steps 1 to 3 for one newly delivered segment.

        ``echoed``: when what made the receiver answer was sent, as timestamps tell.
        """
        self.detect_reordering(segment)
        rtt = now - segment.at
        if segment.sends > 1:
            # Step 2: was it the first copy that arrived? "the segment's ... RTT ... is less than
            # RACK.min_RTT" or "the timestamp value echoed ... is lower than Segment.xmit_ts".
            least = self._rtt_estimator.min_rtt
            if (least is not None and rtt < least) or (echoed is not None and echoed < segment.at):
                return
        self.rtt = rtt
        self.order = max(self.order, segment.order)
        if (segment.at, segment.end) > (self.xmit_ts, self.end_seq):
            self.xmit_ts = segment.at
            self.end_seq = segment.end

    def detect_reordering(self, segment: Segment) -> None:
        """Step 3: something below the highest delivered was late, not lost."""
        if segment.end > self.fack:
            self.fack = segment.end
        elif segment.end < self.fack and segment.sends == 1:
            self.reordering_seen = True

    def saw_ack(self, una: int, snd_nxt: int, *, dsack: bool) -> None:
        """Step 4, first half: a DSACK tells that the window was too small, once a round."""
        if self._dsack_round is not None and una >= self._dsack_round:
            self._dsack_round = None
        if dsack and self._dsack_round is None:
            self._dsack_round = snd_nxt
            self.reo_wnd_mult += 1
            self.reo_wnd_persist = _PERSIST

    def left_recovery(self) -> None:
        """Step 4: a recovery ended; after 16 of them the window is narrow again."""
        self.reo_wnd_persist -= 1
        if self.reo_wnd_persist <= 0:
            self.reo_wnd_mult = 1
            self.reo_wnd_persist = _PERSIST

    def reo_wnd(self, board: Scoreboard, *, in_recovery: bool) -> Duration:
        """Step 4, second half: how much longer than RACK.rtt a segment may take."""
        if not self.reordering_seen and (in_recovery or board.sacked_segments >= self.threshold):
            return Duration(0)
        least = self._rtt_estimator.min_rtt or 0
        srtt = self._rtt_estimator.srtt or 0
        return Duration(min(self.reo_wnd_mult * least // 4, srtt))

    def detect_loss(
        self, board: Scoreboard, now: Instant, *, in_recovery: bool
    ) -> tuple[list[Segment], Duration | None]:
        """Step 5: what is lost, and how long to wait before asking again, if at all."""
        patience = self.rtt + self.reo_wnd(board, in_recovery=in_recovery)
        lost: list[Segment] = []
        wait = 0
        for segment in board.by_time:
            if segment.order >= self.order:
                break
            if segment.at == self.xmit_ts and segment.end >= self.end_seq:
                continue
            remaining = segment.at + patience - now
            if remaining <= 0:
                lost.append(segment)
            else:
                wait = max(wait, remaining)
        return lost, Duration(wait) if wait else None

    def lost_on_timeout(self, board: Scoreboard, now: Instant) -> list[Segment]:
        """6.3: the first segment, and all that had the time to arrive."""
        patience = self.rtt + self.reo_wnd(board, in_recovery=True)
        return [
            segment
            for segment in board.segments
            if segment.seq == board.una or segment.at + patience <= now
        ]
