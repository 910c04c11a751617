"""What an acknowledgement means for loss recovery."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery.outcome import AckOutcome
from testbed.stack.tcp.recovery.phases import Phase, Phases
from testbed.stack.tcp.recovery.scoreboard import Segment
from testbed.timing import Duration, Instant

__all__ = ["Acknowledgements", "duplicate_reported"]


class Acknowledgements(Phases):
    """How ACKs drive the phases: all but the common case, which is ``LossRecovery.on_ack``'s."""

    __slots__ = ()

    def _on_ack_slowly(
        self,
        ack: int,
        blocks: Sequence[tuple[int, int]],
        now: Instant,
        rtt_sample: Duration | None,
        *,
        pure: bool,
        window_moved: bool,
    ) -> AckOutcome:
        board = self._board
        before, flight = board.una, self.flight
        dsack = duplicate_reported(ack, blocks) if self.sack_enabled else None
        if ack < before or not board.segments:
            self._rack.saw_ack(before, board.high, dsack=dsack is not None)
            return AckOutcome(0, 0, duplicate=False, dsack=dsack, spurious=None)
        acked = ack - before
        gone = [s for s in board.acknowledge(ack) if not s.sacked] if acked else []
        news = board.sack(blocks) if self.sack_enabled else []
        self._note_delivered(gone, news, now, rtt_sample if acked else None, flight)
        self._rack.saw_ack(ack, board.high, dsack=dsack is not None)
        again = bool(news) if self.sack_enabled else self._asks_again(pure, window_moved)
        duplicate = not acked and again
        if self._tlp.on_ack(ack, dsack=dsack, duplicate=duplicate, has_sack=bool(blocks)):
            self._repaired_by_probe(flight, now)
        spurious = None
        if (
            self._frto.step
            and (acked or duplicate)
            and self._ask_frto(ack, gone + news, now, moved=bool(acked))
        ):
            spurious = Reason.RTO
        if acked or duplicate or news:
            self._alone = False
        if acked:
            self._on_progress(acked, before, flight, now)
        elif duplicate:
            self._on_duplicate(now)
        if self.sack_enabled and board.segments:
            self._find_losses(now)
        if acked or news:
            self._arm_probe(now)
        sacked = sum(s.end - s.seq for s in news)
        return AckOutcome(acked, sacked, duplicate, dsack, spurious)

    def _asks_again(self, pure: bool, window_moved: bool) -> bool:
        """Whether an ACK that moves nothing is a duplicate, without SACK.

        RFC 5681 2: "(b) the incoming acknowledgment carries no data, (c) the SYN and FIN bits are
        both off, [...] and (e) the advertised window in the incoming acknowledgment equals the
        advertised window in the last incoming acknowledgment."
        """
        return pure and not window_moved

    def _note_delivered(
        self,
        gone: list[Segment],
        news: list[Segment],
        now: Instant,
        rtt_sample: Duration | None,
        flight: int,
    ) -> None:
        """Round-trip times, by Karn's algorithm, and RACK's view of what arrived."""
        # Timestamps tell in ticks when what is echoed was sent.
        echoed = None
        if rtt_sample is not None:
            echoed = Instant(now - rtt_sample + self._config.timestamp_tick)
        if gone and all(s.sends == 1 for s in gone):
            self._measure(Duration(now - gone[0].at), now, flight)
        elif rtt_sample is not None and echoed is not None and self._answers(gone, echoed):
            self._measure(rtt_sample, now, flight)
        elif news and news[-1].sends == 1:
            backed_off = self.rtt.backoffs
            self._measure(Duration(now - news[-1].at), now, flight)
            if backed_off and self._rto_at is not None:
                # The doublings are over, so the timer need not run out its backed-off time.
                self._rto_at = min(self._rto_at, Instant(now + self.rtt.rto))
        if self.sack_enabled:
            for segment in gone:
                self._rack.delivered(segment, now, echoed)
            for segment in news:
                self._rack.delivered(segment, now)

    def _answers(self, gone: list[Segment], echoed: Instant) -> bool:
        """Whether an ACK of resent segments answers what was sent last of them.

        Where its ACK was lost, what was resent is an old duplicate to the receiver, whose answer
        echoes a timestamp from before (RFC 7323 5.3, R2 comes before R3): the sample would count
        the wait for the timeout as time on the way, and the next timeout would be longer still.
        """
        return bool(gone) and echoed >= max(s.at for s in gone)

    def _measure(self, rtt: Duration, now: Instant, flight: int) -> None:
        # RFC 7323 appendix G: ExpectedSamples = ceiling(FlightSize / (SMSS * 2))
        self.rtt.sample(rtt, now, -(-flight // (2 * self.congestion.smss)) or 1)
        self._tlp.measured()

    def _on_progress(self, acked: int, before: int, flight: int, now: Instant) -> None:
        """SND.UNA moved by ``acked``, from ``before``."""
        self._previous_una = before
        self._dupacks = self._limited = 0
        una = self._board.una
        if self.phase is Phase.FAST:
            if una >= self._recover or not (self.sack_enabled or self.congestion.partial_acks):
                self._leave(now)
            elif not self.sack_enabled:
                self._on_partial_ack(acked, now)
                return
            self._restart_rto(now)
            return
        self.congestion.on_ack(
            acked, now, self.rtt.srtt, flight, limited=before >= self._full_until
        )
        if self.phase is Phase.TIMEOUT and una >= self._recover:
            self._leave(now)
        self._restart_rto(now)

    def _on_partial_ack(self, acked: int, now: Instant) -> None:
        """RFC 6582 3.2 step 3, partial acknowledgments."""
        congestion, board = self.congestion, self._board
        board.mark_lost(board.segments[:1], Reason.FAST)
        self._force = True
        # "Deflate the congestion window by the amount of new data acknowledged ... If the partial
        # ACK acknowledges at least one SMSS of new data, then add back SMSS bytes".
        congestion.cwnd -= acked - (congestion.smss if acked >= congestion.smss else 0)
        congestion.cwnd = max(congestion.cwnd, congestion.smss)
        self._partial_acks += 1
        if self._partial_acks == 1:
            # "For the first partial ACK that arrives during fast recovery, also reset the
            # retransmit timer".
            self._restart_rto(now)

    def _on_duplicate(self, now: Instant) -> None:
        """RFC 5681 3.2 steps 1 to 4, RFC 6582 3.2 step 2."""
        self._dupacks += 1
        if self.sack_enabled:
            return
        if self.phase is Phase.FAST:
            self.congestion.cwnd += self.congestion.smss
        elif (
            self.phase is Phase.OPEN
            and self._dupacks == self._config.duplicate_ack_threshold
            and self._may_be_loss()
        ):
            self._enter_fast(Reason.FAST, now)

    def _may_be_loss(self) -> bool:
        """RFC 6582 3.2 step 2 and 4.1: duplicates may come from what was sent again for nothing."""
        una, smss = self._board.una, self.congestion.smss
        if una > self._recover or not self.congestion.partial_acks:
            return True
        # 4.1: "if the congestion window is greater than SMSS bytes and the difference between
        # highest_ack and prev_highest_ack is at most 4*SMSS bytes", a segment was lost.
        return self.congestion.cwnd > smss and una - self._previous_una <= 4 * smss

    def _restart_rto(self, now: Instant) -> None:
        # RFC 6298 5.2, 5.3
        if self._board.segments:
            self._rto_at = Instant(now + self.rtt.rto)
        else:
            self._rto_at = self._reorder_at = None
            self._tlp.disarm()

    def _arm_probe(self, now: Instant) -> None:
        """RFC 8985 7.2: with SACK, nothing SACKed outstanding, and no recovery going on."""
        board = self._board
        if not self.sack_enabled or not self._config.tlp:
            return
        if board.segments and self.phase is Phase.OPEN and not (board.sacked or board.lost):
            self._tlp.arm(now, single=len(board.segments) == 1)
        else:
            self._tlp.disarm()


def duplicate_reported(ack: int, blocks: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The stretch that the first block says came twice (RFC 2883 4), if it is such a block."""
    if not blocks:
        return None
    first = blocks[0]
    if first[1] <= ack:
        return first
    if len(blocks) > 1 and blocks[1][0] <= first[0] and first[1] <= blocks[1][1]:
        return first
    return None
