"""The phases of loss recovery and how the sender comes from one to the next."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from testbed.stack.events import EventLog
from testbed.stack.tcp.congestion import CongestionControl
from testbed.stack.tcp.reasons import Reason, Retransmission
from testbed.stack.tcp.recovery.events import (
    RecoveryEntered,
    RecoveryLeft,
    RetransmissionTimeout,
    SpuriousRetransmission,
    TailLossRepaired,
)
from testbed.stack.tcp.recovery.frto import Frto, Verdict
from testbed.stack.tcp.recovery.rack import Rack
from testbed.stack.tcp.recovery.sackloss import SackLoss
from testbed.stack.tcp.recovery.scoreboard import Scoreboard, Segment
from testbed.stack.tcp.recovery.tlp import TailLossProbe
from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp_config import TcpConfig
from testbed.stack.variants import Variants
from testbed.timing import Instant

__all__ = ["Phase", "Phases"]


class Phase(Enum):
    """What the sender is busy with."""

    OPEN = "open"
    FAST = "fast recovery"
    TIMEOUT = "recovery from a timeout"


class Phases:
    """The state of loss recovery, and its transitions."""

    __slots__ = (
        "_alone",
        "_board",
        "_config",
        "_dupacks",
        "_events",
        "_force",
        "_frto",
        "_full_until",
        "_last_sent",
        "_limited",
        "_name",
        "_partial_acks",
        "_previous_una",
        "_rack",
        "_recover",
        "_reduced_at",
        "_reorder_at",
        "_rescue",
        "_rto_at",
        "_sack_loss",
        "_tlp",
        "congestion",
        "fin",
        "history",
        "phase",
        "retransmissions",
        "rtt",
        "sack_enabled",
    )

    congestion: CongestionControl
    rtt: RttEstimator
    phase: Phase
    sack_enabled: bool
    """Set by the connection once SACK was agreed; False at first."""
    fin: int | None
    """The FIN's number once there is one: it goes along with a full segment's data."""
    history: list[Retransmission]
    """The latest retransmissions, oldest first."""
    retransmissions: int
    """Segments sent again, ever."""

    def __init__(  # noqa: PLR0917 - a connection makes it in one place
        self,
        config: TcpConfig,
        congestion: CongestionControl,
        rtt: RttEstimator,
        start: int,
        events: EventLog,
        name: str,
        variants: Variants | None = None,
    ) -> None:
        """Nothing sent yet; ``start`` is the first number that will be."""
        variants = variants or Variants()
        threshold = config.duplicate_ack_threshold
        self.congestion = congestion
        self.rtt = rtt
        self.sack_enabled = False
        self.fin = None
        self.history = []
        self.retransmissions = 0
        self.phase = Phase.OPEN
        self._config = config
        self._events = events
        self._name = name
        self._board = variants.of(Scoreboard)(start)
        self._rack = variants.of(Rack)(rtt, start, threshold)
        self._tlp = variants.of(TailLossProbe)(config, rtt)
        self._frto = variants.of(Frto)()
        self._sack_loss = variants.of(SackLoss)(start, threshold)
        # RFC 6582 3.2 step 1: "recover is set to the initial send sequence number"; numbers here
        # are one past RFC 6582's.
        self._recover = start - 1
        self._previous_una = start
        self._dupacks = 0
        self._partial_acks = 0
        self._limited = 0  # bytes of new data sent by limited transmit
        self._force = False  # the next retransmission goes out whatever the window says
        self._alone = False  # only the earliest segment is sent again, until an ACK comes
        self._full_until = start  # cwnd was in full use when what lies below was sent
        self._rescue: tuple[int, int] | None = None
        self._reduced_at: Instant = Instant(0)
        self._last_sent: Instant | None = None
        self._rto_at: Instant | None = None
        self._reorder_at: Instant | None = None

    @property
    def una(self) -> int:
        """SND.UNA."""
        return self._board.una

    @property
    def highest_sent(self) -> int:
        """One past the highest number ever sent: SND.NXT, and RFC 6675's HighData + 1."""
        return self._board.high

    @property
    def flight(self) -> int:
        """FlightSize: bytes sent and not cumulatively acknowledged."""
        return self._board.high - self._board.una

    @property
    def pipe(self) -> int:
        """Bytes believed to be in the network (RFC 6675 4, as refined by RFC 8985's losses)."""
        return self._board.pipe

    @property
    def in_recovery(self) -> bool:
        """Whether a fast recovery, or the recovery from a timeout, is going on."""
        return self.phase is not Phase.OPEN

    def _uses_rack(self) -> bool:
        return self.sack_enabled and self._config.rack

    def _enter_fast(self, reason: Reason, now: Instant) -> None:
        """RFC 5681 3.2 steps 2 and 3, RFC 6675 5 step 4."""
        board, congestion = self._board, self.congestion
        self.phase = Phase.FAST
        self._recover = board.high
        self._reduced_at = now
        self._partial_acks = 0
        self._force = True
        # What limited transmit sent does not count in FlightSize (RFC 5681 3.2 step 2).
        congestion.on_congestion(self.flight - self._limited, now)
        self._limited = 0
        self._tlp.reset()
        if not self.sack_enabled:
            # RFC 5681 3.2 step 3: inflated "by the three segments that have left the network".
            congestion.cwnd = congestion.ssthresh + 3 * congestion.smss
        if not self._uses_rack():
            # RFC 6675 5 step 4.3: "Retransmit the first data segment presumed dropped", unless the
            # recovery that just ended sent it again, and it is still on its way.
            board.mark_lost(board.segments[:1], reason, copies=not self.sack_enabled)
            self._sack_loss.enter(board.segments[0].end)
        self._events.add(
            RecoveryEntered(
                now, self._name, reason, self._recover, congestion.cwnd, congestion.ssthresh
            )
        )

    def _leave(self, now: Instant) -> None:
        """All that was outstanding when the loss was noticed is acknowledged."""
        congestion = self.congestion
        if self.phase is Phase.FAST and not self.sack_enabled:
            self._deflate()
        elif self.phase is Phase.TIMEOUT:
            congestion.leave_timeout()
            self._frto.stop()
        self.phase = Phase.OPEN
        self._force = False
        self._rack.left_recovery()
        self._events.add(RecoveryLeft(now, self._name, congestion.cwnd, congestion.ssthresh))

    def _deflate(self) -> None:
        congestion = self.congestion
        if congestion.partial_acks:
            # RFC 6582 3.2 step 3, full acknowledgments: the first of its two ways, which sends no
            # burst: "min (ssthresh, max(FlightSize, SMSS) + SMSS)".
            smss = congestion.smss
            congestion.cwnd = min(congestion.ssthresh, max(self.flight, smss) + smss)
        else:
            congestion.cwnd = congestion.ssthresh  # RFC 5681 3.2 step 6

    def _time_out(self, now: Instant) -> None:
        """RFC 6298 5.4 to 5.6, RFC 5681 3.1, RFC 5682 2.1 step 1."""
        board, congestion = self._board, self.congestion
        first = board.segments[0]
        in_question = self._config.frto and self.phase is Phase.OPEN and not first.timed_out
        self.rtt.back_off()
        congestion.on_timeout(self.flight - self._limited, now, first=not first.timed_out)
        self.phase = Phase.TIMEOUT
        self._recover = board.high
        self._dupacks = self._limited = 0
        # RFC 6298 5.4: "Retransmit the earliest segment that has not been acknowledged": that one,
        # though several small ones might fit into the loss window.
        self._force = self._alone = True
        self._reorder_at = None
        self._tlp.reset()
        self._expunge()
        if in_question:
            board.mark_lost((first,), Reason.RTO)
            self._frto.start(first.end, self._recover)
        else:
            self._frto.stop()
            self._mark_timed_out(now)
        first.timed_out = True
        self._rto_at = Instant(now + self.rtt.rto)
        self._events.add(
            RetransmissionTimeout(
                now,
                self._name,
                first.seq,
                self.rtt.rto,
                self.rtt.backoffs,
                congestion.cwnd,
                congestion.ssthresh,
            )
        )

    def _expunge(self) -> None:
        # RFC 2018 8: after a timeout "the data sender SHOULD turn off all of the SACKed bits".
        # RFC 8985 6.3 keeps them, so with RACK they go only when the receiver is found out:
        # what it reported first would have been acknowledged, had it been kept.
        if not self._uses_rack() or self._board.segments[0].sacked:
            self._board.forget_sacked()
            self._sack_loss.forget()

    def _mark_timed_out(self, now: Instant, *, again: bool = True) -> None:
        """All that the timeout makes doubtful is lost; ``again``: what it sent again as well."""
        board = self._board
        if board.una >= self._recover:
            return
        if self._uses_rack():
            lost: Iterable[Segment] = self._rack.lost_on_timeout(board, now)
        else:
            lost = [segment for segment in board.segments if segment.end <= self._recover]
        if not again:
            lost = [segment for segment in lost if not segment.timed_out]
        board.mark_lost(lost, Reason.RTO)

    def _ask_frto(self, ack: int, delivered: list[Segment], now: Instant, *, moved: bool) -> bool:
        """F-RTO looks at an ACK; whether the timeout is known to be spurious now."""
        tried = self._frto.step == 3
        verdict = self._frto.on_ack(ack, advanced=moved, delivered=delivered)
        if verdict is Verdict.REAL:
            if tried:
                # RFC 5682 2.1 step 3a: "set the congestion window to no more than 3 * MSS": as two
                # new segments are on their way, less would send nothing.
                self.congestion.cwnd = 3 * self.congestion.smss
            # The segment that went out at the timeout is on its way still.
            self._mark_timed_out(now, again=False)
        elif verdict is Verdict.SPURIOUS:
            self._undo(Reason.RTO, now)
            return True
        return False

    def _undo(self, reason: Reason, now: Instant) -> None:
        congestion = self.congestion
        self._board.unmark_lost()
        congestion.undo(now)
        self.rtt.reset_back_off()
        self.phase = Phase.OPEN
        self._force = False
        self._events.add(
            SpuriousRetransmission(now, self._name, reason, congestion.cwnd, congestion.ssthresh)
        )

    def _find_losses(self, now: Instant) -> None:
        """RFC 8985 6.2 step 5, or RFC 6675 5; with a loss, fast recovery begins."""
        board = self._board
        if self._frto.step:
            return
        if not self._uses_rack():
            self._find_losses_by_count(now)
            return
        lost, wait = self._rack.detect_loss(board, now, in_recovery=self.in_recovery)
        self._reorder_at = None if wait is None else Instant(now + wait)
        if not lost:
            return
        again = any(s.sends > 1 and s.at >= self._reduced_at for s in lost)
        board.mark_lost(lost, Reason.RACK)
        if self.phase is Phase.OPEN:
            self._enter_fast(Reason.RACK, now)
        elif again and self.phase is Phase.FAST:
            # RFC 5681 4.3: the loss of a retransmission is another "indication of congestion".
            # FlightSize counts what was SACKed meanwhile, so the window bounds it.
            self.congestion.on_congestion(min(self.flight, self.congestion.cwnd), now)
            self._recover = board.high
            self._reduced_at = now

    def _find_losses_by_count(self, now: Instant) -> None:
        board = self._board
        if self.phase is Phase.OPEN:
            lost = self._sack_loss.lost(board, self.congestion.smss)
            if not lost and self._dupacks < self._config.duplicate_ack_threshold:
                return
            self._enter_fast(Reason.FAST, now)
            board.mark_lost(lost, Reason.FAST, copies=False)
        else:
            reason = Reason.FAST if self.phase is Phase.FAST else Reason.RTO
            lost = self._sack_loss.lost(board, self.congestion.smss)
            board.mark_lost(lost, reason, copies=False)

    def _repaired_by_probe(self, flight: int, now: Instant) -> None:
        congestion = self.congestion
        congestion.on_congestion(flight, now)
        self._events.add(TailLossRepaired(now, self._name, congestion.cwnd, congestion.ssthresh))
