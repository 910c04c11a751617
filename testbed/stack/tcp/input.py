"""Arrival of a segment for a connection (RFC 9293 3.10.7.4, with RFC 5961 and RFC 7323)."""

from __future__ import annotations

from typing import Final

from testbed.stack.lower import Lower
from testbed.stack.tcp.acks import Acks
from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.guard import Guard
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.notices import ResetReceived
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.pathmtu import PathMtu
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import Tcb, unwrap
from testbed.stack.tcp.transmit import ACK, FIN, RST, SYN, URG, Transmitter
from testbed.stack.tcp.tuned import Tuned
from testbed.timing import Instant
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import Timestamps

__all__ = ["Input"]

_SPECIAL: Final = SYN | RST


class Input(Tuned):
    """Takes segments in, in the order of the RFC's checks."""

    __slots__ = (
        "_acks",
        "_delivery",
        "_guard",
        "_handshake",
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
        guard: Guard,
        lifecycle: Lifecycle,
        output: Output,
        acks: Acks,
        delivery: Delivery,
        handshake: Handshake,
        pathmtu: PathMtu,
    ) -> None:
        super().__init__(lower.config.tcp)
        self._transmit = transmit
        self._guard = guard
        self._lifecycle = lifecycle
        self._output = output
        self._acks = acks
        self._delivery = delivery
        self._handshake = handshake
        self._pathmtu = pathmtu

    def segment(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        """Take one segment in, and send what it calls for."""
        c.segments_in += 1
        if c.state is State.SYN_SENT:
            self._handshake.in_syn_sent(c, segment, now)
        else:
            self._synchronized(c, segment, now)
        if c.state is not State.CLOSED:
            if c.mtu_search is not None:
                self._pathmtu.probe(c, now)
            self._output.flush(c, now)

    def _synchronized(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        flags = int(segment.flags)
        payload = segment.payload
        length = len(payload)
        if flags & (SYN | FIN):
            length = segment.span
        seq = unwrap(segment.seq, c.rcv_nxt)
        stamp: Timestamps | None = None
        if c.ts_on:
            stamp = self._stamp(segment)
            if stamp is None:
                if not flags & _SPECIAL and self._config.timestamps_required:
                    # RFC 7323 3.2: 'If a non-<RST> segment is received without an expected TSopt,
                    # a TCP SHOULD silently drop the segment.' A SYN may be of a peer that has
                    # started afresh: RFC 5961 4.2 'MUST send an ACK'.
                    self._guard.drop(c, seq, length, "no timestamp", now)
                    return
            elif not flags & RST and self._guard.old_timestamp(c, stamp, now):
                self._stale(c, seq, length, now)
                return
        if flags & _SPECIAL and self._controls(c, segment, seq, length, now):
            return
        c.heard_at = now
        if not self._in_window(c, segment, seq, length, now):
            return
        if not flags & ACK:  # fifth: 'if the ACK bit is off, drop the segment'
            self._guard.drop(c, seq, length, "no ACK", now)
            return
        if stamp is not None:
            self._guard.note_timestamp(c, stamp, seq, now)
        self._acknowledged(c, segment, seq, stamp, now)

    def _acknowledged(
        self,
        c: Tcb,
        segment: TcpSegment,
        seq: int,
        stamp: Timestamps | None,
        now: Instant,
    ) -> None:
        """The fifth check and what follows it: ACK, URG, text, FIN."""
        flags = int(segment.flags)
        if c.state is State.SYN_RECEIVED and not self._handshake.accept_ack(c, segment, seq, now):
            return
        if not self._acks.take(c, segment, seq, stamp, now) or c.state is State.TIME_WAIT:
            return
        if flags & URG:
            self._delivery.urgent(c, segment, seq)
        if segment.payload or flags & FIN:
            if c.orphaned and segment.payload and self._too_late(c, seq, segment.payload):
                # RFC 9293 3.6.1: data that nobody will read 'SHOULD send a RST to show that data
                # was lost'. Numbered as the peer expects, which may not have got all yet.
                self._transmit.refuse_ack(c, segment, now)
                self._lifecycle.move(c, Cause.ABORT, now)
                return
            self._delivery.text(c, seq, segment.payload, fin=bool(flags & FIN), now=now)

    def _stamp(self, segment: TcpSegment) -> Timestamps | None:
        options = segment.options
        if options and type(options[0]) is Timestamps:
            return options[0]
        return segment.option(Timestamps)

    # First check: sequence number

    def _in_window(self, c: Tcb, segment: TcpSegment, seq: int, length: int, now: Instant) -> bool:
        flags = int(segment.flags)
        if self._guard.acceptable(c, seq, length):
            return True
        if c.state is State.TIME_WAIT and flags & FIN and seq + length == c.rcv_nxt:
            # 'a retransmission of the remote FIN. Acknowledge it, and restart the 2 MSL timeout'.
            self._lifecycle.move(c, Cause.FIN, now)
        elif c.probing and not length and seq == c.rcv_nxt - 1:
            # Window probes crossed: the peer numbers this within our window as it was, and its own
            # probe's byte was taken meanwhile. Were its ACK not heard, both would wait for ever.
            c.ack_now = True
            return True
        elif length and seq == c.rcv_nxt:
            # 'If the RCV.WND is zero, no segments will be acceptable, but special allowance should
            # be made to accept valid ACKs, URGs, and RSTs.'
            c.ack_now = True
            if flags & ACK:
                return True
        self._unacceptable(c, seq, segment.payload, length, now)
        return False

    def _unacceptable(self, c: Tcb, seq: int, payload: bytes, length: int, now: Instant) -> None:
        """'<SEQ=SND.NXT><ACK=RCV.NXT><CTL=ACK>. After sending the acknowledgment, drop'."""
        if payload and seq < c.rcv_nxt:
            self._delivery.note_duplicate(c, seq, min(seq + len(payload), c.rcv_nxt))
        self._guard.drop(c, seq, length, "outside the window", now)
        if payload or not self._guard.too_soon(c, now):
            c.ack_now = True

    def _stale(self, c: Tcb, seq: int, length: int, now: Instant) -> None:
        """RFC 7323 5.3 R1: 'treat the arriving segment as not acceptable'."""
        self._guard.drop(c, seq, length, "PAWS: old timestamp", now)
        if not self._guard.too_soon(c, now):
            c.ack_now = True

    # Second and fourth check: RST and SYN

    def _controls(
        self,
        c: Tcb,
        segment: TcpSegment,
        seq: int,
        length: int,
        now: Instant,
    ) -> bool:
        """Act on RST or SYN; True where nothing of the segment is left to look at."""
        flags = int(segment.flags)
        if flags & RST:
            self._reset(c, seq, now)
            return True
        if c.state is State.SYN_RECEIVED:
            return self._syn_in_syn_received(c, segment, seq, now)
        if self._config.challenge_acks or self._guard.acceptable(c, seq, length):
            # RFC 5961 4.2: 'irrespective of the sequence number, TCP MUST send an ACK'.
            self._guard.challenge(c, "SYN", now)
        else:
            self._unacceptable(c, seq, segment.payload, length, now)
        return True

    def _reset(self, c: Tcb, seq: int, now: Instant) -> None:
        """RFC 9293 3.10.7.4 second check, RFC 5961 3.2."""
        inside = c.rcv_nxt <= seq < max(c.rcv_adv, c.rcv_nxt + 1)
        if not inside:
            self._guard.drop(c, seq, 0, "RST outside the window", now)
        elif not self._guard.reset_exact(c, seq):
            self._guard.challenge(c, "RST inside the window", now)
        elif c.state is State.TIME_WAIT and self._config.time_wait_ignores_rst:
            # RFC 1337 3 (F1): 'Ignore RST segments in TIME-WAIT state.'
            self._guard.drop(c, seq, 0, "RST in TIME-WAIT", now)
        else:
            self._obey_reset(c, now)

    def _obey_reset(self, c: Tcb, now: Instant) -> None:
        self._lifecycle.note(ResetReceived(now, c.name))
        if c.state is State.SYN_RECEIVED:
            if c.passive:
                self._lifecycle.move(c, Cause.RETURN, now)
            else:
                self._lifecycle.fail(c, Cause.RESET, "ECONNREFUSED", "refused by the peer", now)
        elif c.state in {State.CLOSING, State.LAST_ACK, State.TIME_WAIT}:
            self._lifecycle.move(c, Cause.RESET, now)  # 3.10.7.4: no error, simply CLOSED
        else:
            name = "EPIPE" if c.state is State.CLOSE_WAIT else "ECONNRESET"
            self._lifecycle.fail(c, Cause.RESET, name, "reset by the peer", now)

    def _syn_in_syn_received(self, c: Tcb, segment: TcpSegment, seq: int, now: Instant) -> bool:
        if seq == c.irs:
            if int(segment.flags) & ACK and not c.passive:
                # Simultaneous open: the peer's SYN+ACK repeats its SYN (RFC 9293 3.5, figure 7).
                if self._handshake.accept_ack(c, segment, seq, now):
                    c.ack_now = False
                return True
            # The peer has not heard our SYN+ACK.
            self._handshake.resend_syn(c, now)
            return True
        if not self._guard.acceptable(c, seq, 1):
            self._unacceptable(c, seq, segment.payload, segment.span, now)
        elif c.passive:
            # 'If the connection was initiated with a passive OPEN, then return this connection to
            # the LISTEN state and return.'
            self._lifecycle.move(c, Cause.RETURN, now)
        else:
            self._guard.challenge(c, "SYN", now)
        return True

    def _too_late(self, c: Tcb, seq: int, payload: bytes) -> bool:
        """Whether ``payload`` holds bytes that are new, after the user has closed."""
        return seq + len(payload) > c.rcv_nxt and c.state in {
            State.FIN_WAIT_1,
            State.FIN_WAIT_2,
        }
