"""Which segments are acceptable (RFC 9293 3.10.7.4, RFC 5961, RFC 7323 5)."""

from __future__ import annotations

from typing import Final

from testbed.stack.lower import Lower
from testbed.stack.tcp.notices import ChallengeAck, SegmentDropped
from testbed.stack.tcp.tcb import MODULUS, Tcb
from testbed.stack.tcp.transmit import Transmitter
from testbed.stack.tcp.tuned import Tuned
from testbed.timing import Instant
from testbed.wire.tcp_options import Timestamps

__all__ = ["Guard"]

_HALF: Final = 1 << 31


class Guard(Tuned):
    """Tests every segment of a connection passes, and the answers to those that do not."""

    __slots__ = ("_challenges", "_events", "_span_from", "_transmit")

    def __init__(self, lower: Lower, transmit: Transmitter) -> None:
        super().__init__(lower.config.tcp)
        self._events = lower.events
        self._transmit = transmit
        self._challenges = 0
        self._span_from: Instant | None = None

    def acceptable(self, c: Tcb, seq: int, length: int) -> bool:
        """RFC 9293 3.4, table 5: whether any of it lies within the window offered."""
        nxt, edge = c.rcv_nxt, c.rcv_adv
        if length == 0:
            # An ACK at the right edge is what a peer sends that has filled the window: it must be
            # heard, or the hole at the left edge could not be filled.
            return nxt <= seq <= edge
        if edge <= nxt:
            return False
        return seq < edge and seq + length > nxt

    def old_timestamp(self, c: Tcb, stamp: Timestamps, now: Instant) -> bool:
        """PAWS (RFC 7323 5.3 R1): 'SEG.TSval < TS.Recent, TS.Recent is valid'."""
        if not self._config.paws or (stamp.value - c.ts_recent) % MODULUS < _HALF:
            return False
        return now - c.ts_recent_at <= self._config.paws_expiry

    def note_timestamp(self, c: Tcb, stamp: Timestamps, seq: int, now: Instant) -> None:
        """RFC 7323 4.3 (2): 'SEG.TSval >= TS.Recent and SEG.SEQ <= Last.ACK.sent'."""
        value = stamp.value
        expired = now - c.ts_recent_at > self._config.paws_expiry
        newer = (value - c.ts_recent) % MODULUS < _HALF or expired
        if newer and seq <= c.last_ack_sent:
            c.ts_recent = value
            c.ts_recent_at = now

    def acceptable_ack(self, c: Tcb, ack: int) -> bool:
        """RFC 5961 5.2: '(SND.UNA - MAX.SND.WND) <= SEG.ACK <= SND.NXT'."""
        return c.snd_una - c.max_window <= ack <= c.snd_nxt

    def reset_exact(self, c: Tcb, seq: int) -> bool:
        """RFC 5961 3.2: a reset counts only if its number is exactly the next one expected."""
        return not self._config.challenge_acks or seq == c.rcv_nxt

    def challenge(self, c: Tcb, why: str, now: Instant) -> None:
        """Ask the peer by an ACK whether it meant that, within the limit of RFC 5961 7."""
        if self.too_soon(c, now):
            return
        if self._span_from is None or now - self._span_from >= self._config.challenge_ack_span:
            self._span_from = now
            self._challenges = 0
        if self._challenges >= self._config.challenge_ack_limit:
            return
        self._challenges += 1
        self._events.add(ChallengeAck(now, c.name, why))
        self._transmit.ack(c, now)

    def too_soon(self, c: Tcb, now: Instant) -> bool:
        """Whether the last ACK for what was not acceptable is too recent for another."""
        interval = self._config.invalid_ack_interval
        if interval:
            if c.invalid_at is not None and now - c.invalid_at < interval:
                return True
            c.invalid_at = now
        return False

    def drop(self, c: Tcb, seq: int, length: int, reason: str, now: Instant) -> None:
        """Note a segment that is not taken."""
        self._events.add(SegmentDropped(now, c.name, seq % MODULUS, length, reason))
