"""What a connection sends now: new data, what is to be sent again, FIN, probes.

RFC 9293 3.7.4 (Nagle), 3.8.6.2.1 (silly window at the sender), 3.8.6.1 (zero window).
"""

from __future__ import annotations

from testbed.stack.lower import Lower
from testbed.stack.tcp.notices import ProbeSent, SegmentResent, WindowClosed
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.states import State
from testbed.stack.tcp.tcb import MODULUS, Tcb, Timer
from testbed.stack.tcp.transmit import ACK, FIN, PSH, Transmitter
from testbed.stack.tcp.tuned import Tuned
from testbed.timing import Duration, Instant

__all__ = ["Output"]

_MAY_SEND = frozenset(
    {State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK}
)
"""States in which data, or the FIN, may still be on its way out."""


class Output(Tuned):
    """Decides what to send, and sends it."""

    __slots__ = ("_events", "_transmit")

    def __init__(self, lower: Lower, transmit: Transmitter) -> None:
        super().__init__(lower.config.tcp)
        self._events = lower.events
        self._transmit = transmit

    def flush(self, c: Tcb, now: Instant) -> None:
        """Send all that may be sent, then the ACK that is due if nothing carried it."""
        if c.state in _MAY_SEND:
            if c.fin_queued or c.sending.size:
                self._send_all(c, now)
            elif Timer.PERSIST in c.due:
                self.end_persist(c)
        if c.ack_now:
            self._transmit.ack(c, now)

    def _send_all(self, c: Tcb, now: Instant) -> None:
        recovery = c.recovery
        recovery.before_sending(now)
        while True:
            size = self.sendable(c, now)
            resend = recovery.next_retransmission(fresh=size > 0)
            if resend is not None:
                self.resend(c, resend.seq, resend.end, resend.reason, now)
            elif size > 0 and self.congestion_allows(c, size):
                self.send_new(c, size, now)
            else:
                break
        self.watch_window(c, now)

    # What may go

    def room(self, c: Tcb) -> int:
        """Bytes of data in a full segment, besides its options (RFC 6691)."""
        return max(1, c.mss - self._transmit.options_size(c))

    def sendable(self, c: Tcb, now: Instant) -> int:
        """Sequence numbers of new data that window, Nagle and silly-window avoidance let go."""
        nxt = c.snd_nxt
        waiting = c.sending.end - nxt
        fin = c.fin_queued and c.fin_at < 0
        usable = c.snd_una + c.snd_wnd - nxt
        if usable <= 0:
            return 0
        if waiting <= 0:
            return 1 if fin else 0
        full = self.room(c)
        if waiting > full <= usable:
            return full
        size = min(waiting, usable, full)
        if fin and size == waiting:
            # The FIN goes along where the window takes it too, and no segment is small before it.
            return size + 1 if usable > size else size
        if size == full or self.small_may_go(c, size, waiting):
            return size
        if nxt == c.snd_una or c.options.cork or c.cork_more:
            c.due.setdefault(Timer.OVERRIDE, Instant(now + self._config.override_timeout))
        return 0

    def small_may_go(self, c: Tcb, size: int, waiting: int) -> bool:
        """Whether a segment that is not full may go now (RFC 9293 3.8.6.2.1)."""
        if c.options.cork or c.cork_more:
            return False
        # 'if SND.NXT = SND.UNA' is Nagle's condition: it falls away where he is off.
        if self.nagle(c) and c.snd_una < (c.small_end if self._config.minshall else c.snd_nxt):
            return False
        # (2) '[...] and PUSHed and D <= U'; (3) '[...] min(D,U) >= Fs * Max(SND.WND)', Fs = 1/2.
        return size == waiting or size >= c.max_window >> 1

    def nagle(self, c: Tcb) -> bool:
        """Whether small segments wait for what is outstanding (RFC 9293 3.7.4)."""
        off = c.options.nodelay
        return self._config.nagle if off is None else not off

    def congestion_allows(self, c: Tcb, size: int) -> bool:
        """Whether congestion control lets ``size`` new numbers go; a FIN does not count."""
        data = min(size, c.sending.end - c.snd_nxt)
        return data <= 0 or data <= c.recovery.allowance()

    # Sending

    def send_new(self, c: Tcb, size: int, now: Instant, reason: Reason | None = None) -> None:
        """Send ``size`` numbers of new data, and the FIN if they reach it."""
        start = c.snd_nxt
        self._put(c, start, start + size, now)
        if size < self.room(c):
            c.small_end = start + size
        c.due.pop(Timer.OVERRIDE, None)
        if c.probing:
            c.probing = False
        c.recovery.sent(start, c.snd_nxt, now, reason)

    def resend(self, c: Tcb, seq: int, end: int, reason: Reason, now: Instant) -> None:
        """Send ``seq`` to ``end`` again, or as much of it as now fits into one segment."""
        end = min(end, seq + self.room(c) + (1 if end - 1 == c.fin_at else 0))
        if c.mtu_search is not None:
            c.mtu_search.resent(seq, end, now)
        self._put(c, seq, end, now)
        self._events.add(SegmentResent(now, c.name, seq % MODULUS, end - seq, reason))
        c.recovery.sent(seq, end, now, reason)

    def _put(self, c: Tcb, seq: int, end: int, now: Instant) -> None:
        sending = c.sending
        last = sending.end
        flags = ACK
        if end in c.pushed:  # sent with PSH before
            flags |= PSH
        if end >= last:
            # 3.9.1.2: PSH 'in the last buffered segment', when nothing more is queued (MUST-61).
            if seq < last:
                flags |= PSH
                c.pushed[last] = None
            if end > last:
                c.fin_at = c.recovery.fin = last
                flags |= FIN
            payload = sending.read(seq, last - seq) if seq < last else b""
        else:
            payload = sending.read(seq, end - seq)
        c.snd_nxt = max(c.snd_nxt, end)
        self._transmit.send(c, now, seq, flags, payload)

    # Zero window

    def watch_window(self, c: Tcb, now: Instant) -> None:
        """Start or stop probing, as the window and what waits for it have it."""
        waiting = c.sending.end > c.snd_nxt or (c.fin_queued and c.fin_at < 0)
        stuck = waiting or c.probing
        if stuck and c.snd_wnd == 0 and c.recovery.flight == 0:
            if Timer.PERSIST not in c.due:
                self._events.add(WindowClosed(now, c.name))
                c.persists = 0
                c.persist_from = now
                c.due[Timer.PERSIST] = Instant(now + self.persist_interval(c))
        elif Timer.PERSIST in c.due:
            self.end_persist(c)

    def end_persist(self, c: Tcb) -> None:
        """The window is open, or nothing waits for it any more."""
        c.due.pop(Timer.PERSIST, None)
        c.persists = 0

    def persist_interval(self, c: Tcb) -> Duration:
        """Until the next probe: first the RTO, then doubling (RFC 9293 3.8.6.1)."""
        first = self._config.persist_min
        base = c.rtt.rto if first is None else first
        return Duration(min(base << min(c.persists, 32), self._config.persist_max))

    def probe_window(self, c: Tcb, now: Instant) -> None:
        """'at least one octet of new data (if available)' (RFC 9293 3.8.6.1, MUST-36)."""
        c.persists += 1
        seq = c.snd_una
        if not self._config.persist_data and not c.probing:
            self._transmit.send(c, now, seq - 1, ACK)
            self._events.add(ProbeSent(now, c.name, Reason.PERSIST, c.persists))
            c.due[Timer.PERSIST] = Instant(now + self.persist_interval(c))
            return
        if seq < c.sending.end:
            payload = c.sending.read(seq, 1)
            flags = ACK | PSH if seq + 1 == c.sending.end else ACK
        else:
            payload = b""
            flags = ACK | FIN
            c.fin_at = seq
        c.snd_nxt = max(c.snd_nxt, seq + 1)
        c.probing = True
        self._transmit.send(c, now, seq, flags, payload)
        self._events.add(ProbeSent(now, c.name, Reason.PERSIST, c.persists))
        c.due[Timer.PERSIST] = Instant(now + self.persist_interval(c))

    def take_probe_back(self, c: Tcb) -> None:
        """The window is open and the probe's byte was not taken: it is new data again."""
        c.probing = False
        if c.fin_at >= 0 and c.fin_at >= c.snd_una:
            c.fin_at = -1
        c.snd_nxt = c.snd_una

    # Timers' wishes

    def override(self, c: Tcb, now: Instant) -> None:
        """Send what silly-window avoidance or a cork held back (RFC 9293 3.8.6.2.1 (4))."""
        c.cork_more = False
        usable = c.snd_una + c.snd_wnd - c.snd_nxt
        size = min(c.sending.end - c.snd_nxt, usable, self.room(c))
        if c.state in _MAY_SEND and 0 < size <= c.recovery.allowance():
            self.send_new(c, size, now)

    def probe_tail(self, c: Tcb, now: Instant) -> None:
        """RFC 8985 7.3: a new segment if there is one and the window takes it, or the last one."""
        waiting = c.sending.end - c.snd_nxt
        usable = c.snd_una + c.snd_wnd - c.snd_nxt
        size = min(waiting, usable, self.room(c))
        if size > 0:
            self.send_new(c, size, now, Reason.TLP)
        elif (probe := c.recovery.probe_segment()) is not None:
            self.resend(c, probe.seq, probe.end, probe.reason, now)

    def announce_urgent(self, c: Tcb, now: Instant) -> None:
        """Tell of urgent data that the window keeps from going (RFC 9293 3.8.5)."""
        if c.state in _MAY_SEND and c.snd_nxt < c.snd_up and c.snd_wnd == 0:
            self._transmit.ack(c, now)
