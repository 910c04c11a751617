"""Loss recovery of one connection: the face that the connection talks to."""

from __future__ import annotations

from collections.abc import Sequence

from testbed.stack.tcp.reasons import Reason, Retransmission
from testbed.stack.tcp.recovery.acks import Acknowledgements
from testbed.stack.tcp.recovery.outcome import AckOutcome, Fired, Resend
from testbed.stack.tcp.recovery.phases import Phase
from testbed.stack.tcp.recovery.scoreboard import Segment
from testbed.timing import Duration, Instant

__all__ = ["LossRecovery"]

_HISTORY = 256
"""Retransmissions remembered."""


class LossRecovery(Acknowledgements):
    """Everything sent and unacknowledged, with its RTO, probe and reordering deadlines.

    Sequence numbers are unwrapped and count SYN and FIN as one. SND.NXT never goes back: what must
    be sent again comes from ``next_retransmission``. The caller's output is::

        recovery.before_sending(now)
        while True:
            fresh = unsent data is there and the peer's window takes a segment of it
            if resend := recovery.next_retransmission(fresh=fresh):
                put it on the wire; recovery.sent(resend.seq, resend.end, now, resend.reason)
            elif fresh and size <= recovery.allowance():
                put it on the wire; recovery.sent(snd_nxt, snd_nxt + size, now)
            else:
                break

    and after each ``sent``, ``on_ack``, ``on_deadline`` it looks at ``next_deadline``.
    """

    __slots__ = ()

    def before_sending(self, now: Instant) -> None:
        """New data is about to go out: where nothing did for an RTO, cwnd starts afresh."""
        # RFC 5681 4.1: "if the TCP has not sent data in an interval exceeding the retransmission
        # timeout", cwnd goes down to the restart window.
        last = self._last_sent
        if last is None or self._board.segments or not self._config.restart_after_idle:
            return
        if now - last > self.rtt.rto:
            self.congestion.on_idle(now)
            self._last_sent = None

    def sent(self, seq: int, end: int, now: Instant, reason: Reason | None = None) -> None:
        """``seq`` up to ``end`` went out: new data, or, with a ``reason``, again.

        A probe of new data is new data with ``Reason.TLP``; zero-window probes and keepalives of
        numbers that lie below ``una`` are not to be told.
        """
        board = self._board
        self._last_sent = now
        if self._rto_at is None:  # RFC 6298 5.1
            self._rto_at = Instant(now + self.rtt.rto)
        if seq < board.high:
            self._sent_again(max(seq, board.una), min(end, board.high), now, reason)
        if end <= board.high:
            return
        size = end - board.high
        board.push(end, now)
        if self._dupacks and self.phase is Phase.OPEN:
            self._limited += size
        if board.high - board.una + self.congestion.smss > self.congestion.cwnd:
            self._full_until = end
        if self._frto.step:
            self._frto.fresh += size
        elif reason is Reason.TLP:
            self._tlp.sent(end, is_retrans=False)
        else:
            self._arm_probe(now)

    def on_ack(
        self,
        ack: int,
        sack_blocks: Sequence[tuple[int, int]],
        now: Instant,
        *,
        rtt_sample: Duration | None = None,
        pure: bool = True,
        window_moved: bool = False,
    ) -> AckOutcome:
        """A segment acknowledged ``ack`` and reported ``sack_blocks``, in the order it had them.

        The caller has checked that ``ack`` is not above ``highest_sent``. ``rtt_sample`` is RTTM's
        (RFC 7323 4.1), where timestamps are agreed: used where what is acknowledged was sent more
        than once. ``pure``: no payload, SYN or FIN. ``window_moved``: the segment changed SND.WND.
        An ``ack`` below ``una`` is looked at for its DSACK only.
        """
        board = self._board
        una = board.una
        if (
            ack <= una
            or sack_blocks
            or self.phase is not Phase.OPEN
            or board.sacked
            or board.lost
            or board.copies
            or self._dupacks
            or self._tlp.end_seq is not None
        ):
            return self._on_ack_slowly(
                ack, sack_blocks, now, rtt_sample, pure=pure, window_moved=window_moved
            )
        flight = board.high - una
        gone = board.acknowledge(ack)
        self._previous_una = una
        if gone:
            self._measure(Duration(now - gone[0].at), now, flight)
            if self.sack_enabled:
                self._rack.delivered(gone[-1], now)
        self.congestion.on_ack(
            ack - una, now, self.rtt.srtt, flight, limited=una >= self._full_until
        )
        self._restart_rto(now)
        self._arm_probe(now)
        return AckOutcome(ack - una, 0, False, None, None)

    def on_path_mtu(self, smss: int, now: Instant) -> None:
        """Segments carry ``smss`` bytes from now on; larger ones in flight are to be sent again.

        That is no sign of congestion (RFC 1191 6.4): ssthresh stays.
        """
        smaller = smss < self.congestion.smss
        self.congestion.on_smss(smss)
        if not smaller:
            return
        large = [s for s in self._board.segments if self._data_end(s) - s.seq > smss]
        if self._board.mark_lost(large, Reason.PMTU):
            self._alone = False
            self._rto_at = Instant(now + self.rtt.rto)
            self._tlp.reset()

    def on_probe_lost(self, seq: int, end: int) -> None:
        """A probe of the path MTU (RFC 4821) is lost: send it again, without blame (7.7)."""
        self._board.mark_lost(
            [s for s in self._board.segments if s.seq < end and seq < s.end], Reason.PMTU
        )

    def on_window_open(self, now: Instant) -> None:
        """The peer takes data again, after it shut its window over what is in flight.

        What it refused is sent again at once, rather than when the backed-off timer fires.
        """
        if self.phase is Phase.TIMEOUT and self._board.segments:
            self._frto.stop()
            self._alone = False
            self._mark_timed_out(now)
            self.rtt.reset_back_off()
            self._restart_rto(now)

    def next_deadline(self) -> Instant | None:
        """When ``on_deadline`` is to be called, None while nothing is outstanding."""
        at = self._rto_at
        if at is None:
            return None
        if self._reorder_at is not None:
            return min(at, self._reorder_at)
        if self._tlp.armed_at is not None:
            probe = self._tlp.deadline()
            if probe is not None and probe < at:
                return probe
        return at

    def on_deadline(self, now: Instant) -> Fired | None:
        """Act on the deadline that is due at ``now``; None where none is due yet."""
        at = self.next_deadline()
        if at is None or now < at:
            return None
        if self._reorder_at is not None and self._reorder_at <= now:
            self._reorder_at = None
            self._find_losses(now)
            return Fired.REORDER
        if self._tlp.armed_at is not None:
            # RFC 8985 7.2: a PTO that would lie after the RTO takes its place.
            # 7.3: "the sender MUST re-arm the RTO timer, not the PTO timer".
            self._tlp.disarm()
            self._rto_at = Instant(now + self.rtt.rto)
            return Fired.PROBE
        self._time_out(now)
        return Fired.RTO

    def next_retransmission(self, *, fresh: bool = False) -> Resend | None:
        """What is to be sent again now, at most one SMSS; None where nothing is or may be.

        ``fresh``: new data could be sent in its place (there is some, and the peer's window takes
        it), which comes before RFC 6675 NextSeg rules 3 and 4 and, with F-RTO, before going back.
        The answer stays the same until something is ``sent``.
        """
        if self._alone and not self._force:
            return None
        segment = self._board.first_missing() if self._board.lost else None
        if segment is not None:
            return self._admitted(segment)
        if fresh or self.phase is Phase.OPEN:
            return None
        if self._frto.step == 3 and not self._frto.fresh:
            # RFC 5682 2.1 step 2b: without new data to send, recover as ever.
            self._frto.stop()
            self._board.mark_lost(
                [s for s in self._board.segments if s.end <= self._recover], Reason.RTO
            )
            segment = self._board.first_missing()
            return None if segment is None else self._admitted(segment)
        return self._filler()

    def probe_segment(self) -> Resend | None:
        """The last segment sent, for a tail loss probe where no new data can be sent."""
        segments = self._board.segments
        if not segments:
            return None
        last = segments[-1]
        start = max(last.seq, self._data_end(last) - self.congestion.smss)
        return Resend(start, last.end, Reason.TLP)

    def allowance(self) -> int:
        """Bytes of new data that congestion control allows now; never below 0.

        A segment goes where it fits wholly.
        """
        board, cwnd = self._board, self.congestion.cwnd
        if self._alone:
            return 0
        if self._frto.step:
            # RFC 5682 2.1 step 2b: "transmit up to two new (previously unsent) segments".
            spare = 2 * self.congestion.smss - self._frto.fresh if self._frto.step == 3 else 0
            return max(0, spare)
        if board.lost and board.first_missing() is not None:
            return 0  # what is lost goes first (RFC 6675 4 NextSeg rule 1)
        if self.sack_enabled and (self._config.limited_transmit or self.phase is not Phase.OPEN):
            return max(0, cwnd - board.pipe)
        if self.phase is Phase.TIMEOUT:
            return max(0, cwnd - board.pipe)
        if self.phase is Phase.OPEN and self._config.limited_transmit:
            # RFC 3042: on each of the first two duplicates one segment beyond cwnd.
            cwnd += min(self._dupacks, 2) * self.congestion.smss
        return max(0, cwnd - (board.high - board.una))

    @property
    def oldest_sent_at(self) -> Instant | None:
        """When the oldest unacknowledged byte went out first; None where all is acknowledged."""
        segments = self._board.segments
        return segments[0].first_at if segments else None

    def _sent_again(self, seq: int, end: int, now: Instant, reason: Reason | None) -> None:
        # RFC 6675 4 NextSeg rule 4: the rescue moves neither HighRxt nor, by that, pipe.
        rescued = self._rescue == (seq, end)
        self._board.resend(seq, end, now, counts=not rescued)
        self._force = False
        self.retransmissions += 1
        if rescued:
            self._sack_loss.rescue_rxt = self._recover
        elif reason is not Reason.TLP:
            self._sack_loss.high_rxt = max(self._sack_loss.high_rxt, end)
        self._rescue = None
        if reason is Reason.TLP:
            self._tlp.sent(self._board.high, is_retrans=True)
        if len(self.history) >= _HISTORY:
            del self.history[0]
        self.history.append(Retransmission(now, seq, end, reason or Reason.RTO))

    def _admitted(self, segment: Segment) -> Resend | None:
        """``segment``, or its first SMSS, where the window has room for it."""
        smss = self.congestion.smss
        end = segment.end
        if self._data_end(segment) - segment.seq > smss:
            end = segment.seq + smss
        # RFC 6675 5 step C: "If cwnd - pipe >= 1 SMSS".
        size = smss if self.phase is Phase.FAST else end - segment.seq
        if self._force or self.congestion.cwnd - self._board.pipe >= min(size, smss):
            return Resend(segment.seq, end, segment.reason or Reason.RTO)
        return None

    def _filler(self) -> Resend | None:
        """RFC 6675 4 NextSeg rules 3 and 4, where nothing is lost and there is no new data."""
        if self.phase is not Phase.FAST or not self.sack_enabled or self._config.rack:
            return None
        if self.congestion.cwnd - self._board.pipe < self.congestion.smss:
            return None
        segment = self._sack_loss.third(self._board)
        if segment is None:
            segment = self._sack_loss.rescue(self._board)
            if segment is None:
                return None
            self._rescue = (segment.seq, segment.end)
        return Resend(segment.seq, segment.end, Reason.FAST)

    def _data_end(self, segment: Segment) -> int:
        return segment.end - (self.fin is not None and segment.end == self.fin + 1)
