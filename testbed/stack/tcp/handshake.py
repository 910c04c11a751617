"""Opening: SYN-SENT, and the side of SYN-RECEIVED that opening shares (RFC 9293 3.10.7.3)."""

from __future__ import annotations

from testbed.stack.lower import Lower
from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.factory import Factory
from testbed.stack.tcp.keepalive import Keepalive
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.notices import ResetReceived, SegmentResent
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.owner import Owner
from testbed.stack.tcp.pathmtu import PathMtu
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.states import Cause
from testbed.stack.tcp.tcb import Tcb, Timer, unwrap
from testbed.stack.tcp.transmit import ACK, FIN, RST, SYN, URG, Transmitter
from testbed.stack.tcp.tuned import Tuned
from testbed.timing import Duration, Instant
from testbed.wire.tcp import TcpSegment

__all__ = ["Handshake"]


class Handshake(Tuned):
    """Brings connections to ESTABLISHED."""

    __slots__ = (
        "_delivery",
        "_events",
        "_factory",
        "_keepalive",
        "_lifecycle",
        "_output",
        "_pathmtu",
        "_transmit",
    )

    def __init__(
        self,
        lower: Lower,
        transmit: Transmitter,
        *,
        lifecycle: Lifecycle,
        output: Output,
        delivery: Delivery,
        factory: Factory,
        keepalive: Keepalive,
        pathmtu: PathMtu,
    ) -> None:
        super().__init__(lower.config.tcp)
        self._events = lower.events
        self._transmit = transmit
        self._lifecycle = lifecycle
        self._output = output
        self._delivery = delivery
        self._factory = factory
        self._keepalive = keepalive
        self._pathmtu = pathmtu

    # Sending SYNs

    def start(self, c: Tcb, cause: Cause, now: Instant) -> None:
        """Send the first SYN, or the first SYN+ACK, and wait for its answer."""
        c.snd_nxt = c.iss + 1
        c.syns = 1
        c.syn_sent_at = now
        self._lifecycle.move(c, cause, now)
        self._transmit.syn(c, now)
        c.due[Timer.SYN] = Instant(now + self.syn_timeout(c))
        limit = c.options.user_timeout or self._config.user_timeout
        if limit is not None and not c.passive:
            c.due[Timer.USER] = Instant(now + limit)

    def syn_timeout(self, c: Tcb) -> Duration:
        """Until the SYN is sent again: the initial RTO, doubling (RFC 6298 5.5)."""
        doublings = max(0, c.syns - 1 - self._config.syn_linear_timeouts)
        span = self._config.initial_rto << min(doublings, 32)
        return Duration(min(span, self._config.max_rto))

    def unanswered(self, c: Tcb, now: Instant) -> None:
        """SYN or SYN+ACK were not answered in time: send it again, or give up."""
        if self.exhausted(c, now):
            name = c.soft_error or "ETIMEDOUT"
            self._lifecycle.fail(c, Cause.GIVE_UP, name, "no answer to the SYN", now)
            return
        c.syns += 1
        self.resend_syn(c, now)
        c.due[Timer.SYN] = Instant(now + self.syn_timeout(c))

    def resend_syn(self, c: Tcb, now: Instant) -> None:
        """Send the SYN or SYN+ACK again."""
        c.syn_resent = True
        c.syns_resent = (*c.syns_resent, now)
        self._events.add(SegmentResent(now, c.name, c.iss, 1, Reason.SYN))
        self._transmit.syn(c, now)

    def exhausted(self, c: Tcb, now: Instant) -> bool:
        """Whether R2 of a SYN is reached (RFC 9293 3.8.3 MUST-23)."""
        retries = self._config.synack_retries if c.passive else self._config.syn_retries
        if retries is not None:
            return c.syns > retries
        return now - c.syn_sent_at >= self._config.syn_retries_span

    # SYN-SENT

    def in_syn_sent(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        """RFC 9293 3.10.7.3."""
        flags = int(segment.flags)
        ack = unwrap(segment.ack, c.snd_una)
        # First: 'If SEG.ACK =< ISS or SEG.ACK > SND.NXT, send a reset', but not for a reset.
        if flags & ACK and not c.iss < ack <= c.snd_nxt:
            if not flags & RST:
                self._transmit.refuse_ack(c, segment, now)
            return
        # Second: a reset counts with an acceptable ACK only, and ends the connection.
        if flags & RST:
            if flags & ACK:
                self._events.add(ResetReceived(now, c.name))
                self._lifecycle.fail(c, Cause.RESET, "ECONNREFUSED", "refused by the peer", now)
            return
        if not flags & SYN:  # fifth
            return
        if flags & ACK:
            self._syn_acked(c, segment, ack, now)
        else:
            self._simultaneous(c, segment, now)

    def _syn_acked(self, c: Tcb, segment: TcpSegment, ack: int, now: Instant) -> None:
        self._factory.hear_syn(c, segment, now)
        c.snd_una = ack
        c.snd_wl2 = ack
        c.ack_now = True
        self.established(c, Cause.SYN_ACK, now)
        self._rest(c, segment, now)

    def _simultaneous(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        """Both sides sent a SYN (RFC 9293 3.5, figure 7): answer with SYN+ACK."""
        self._factory.hear_syn(c, segment, now)
        self.keep_early(c, segment)
        self._lifecycle.move(c, Cause.SYN, now)
        self._transmit.syn(c, now)

    def keep_early(self, c: Tcb, segment: TcpSegment) -> None:
        """Keep text and FIN of the peer's SYN for later: not acknowledged yet, nor lost."""
        fin = bool(int(segment.flags) & FIN)
        if segment.payload or fin:
            c.early = segment.payload, fin

    def close_early(self, c: Tcb, now: Instant) -> None:
        """3.10.4, SYN-RECEIVED: 'form a FIN segment and send it, and enter FIN-WAIT-1 state'."""
        c.snd_una = c.iss + 1  # the SYN is sent again by its own timer, until any ACK comes
        self._factory.start_sending(c, now)
        self._pathmtu.start(c, now)
        c.fin_queued = True
        self._lifecycle.move(c, Cause.CLOSE, now)

    def established(self, c: Tcb, cause: Cause, now: Instant) -> None:
        """The SYN is acknowledged: data may flow."""
        c.due.pop(Timer.SYN, None)
        c.due.pop(Timer.USER, None)
        if not c.syn_resent:
            # RFC 6298 3 (Karn): 'RTT samples MUST NOT be made using segments that were
            # retransmitted'.
            c.rtt.sample(Duration(now - c.syn_sent_at), now)
        self._factory.start_sending(c, now)
        self._pathmtu.start(c, now)
        self._lifecycle.move(c, cause, now)
        c.heard_at = now
        self._keepalive.start(c)
        if isinstance(c.owner, Owner):
            c.owner.established(c)
        if c.fin_queued:  # the user has closed meanwhile
            self._lifecycle.move(c, Cause.CLOSE, now)
        if c.early is not None:
            # What the peer's SYN brought along: 'queued for processing later' (3.10.7.2).
            (payload, fin), c.early = c.early, None
            self._delivery.text(c, c.rcv_nxt, payload, fin=fin, now=now)

    def _rest(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        """'If there are other controls or text in the segment, then continue processing'."""
        fin = bool(int(segment.flags) & FIN)
        if int(segment.flags) & URG:
            self._delivery.urgent(c, segment, c.irs)
        if segment.payload or fin:
            self._delivery.text(c, c.rcv_nxt, segment.payload, fin=fin, now=now)

    # SYN-RECEIVED

    def accept_ack(self, c: Tcb, segment: TcpSegment, seq: int, now: Instant) -> bool:
        """SYN-RECEIVED, fifth check: enter ESTABLISHED, or refuse an ACK that is none of ours."""
        ack = unwrap(segment.ack, c.snd_una)
        if not c.snd_una < ack <= c.snd_nxt:
            self._transmit.refuse_ack(c, segment, now)
            return False
        c.snd_una = c.iss + 1
        c.snd_wnd = segment.window << (0 if int(segment.flags) & SYN else c.snd_scale)
        c.max_window = max(c.max_window, c.snd_wnd)
        c.snd_wl1 = seq
        c.snd_wl2 = ack
        self.established(c, Cause.SYN_ACKED, now)
        return True
