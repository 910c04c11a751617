"""What the acknowledgement in a segment tells (RFC 9293 3.10.7.4, fifth check)."""

from __future__ import annotations

from testbed.stack.lower import Lower
from testbed.stack.tcp.guard import Guard
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.notices import WindowOpened
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.pathmtu import PathMtu
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import MODULUS, Tcb, Timer, unwrap
from testbed.stack.tcp.transmit import Transmitter
from testbed.stack.tcp.tuned import Tuned
from testbed.timing import Duration, Instant
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import Sack, Timestamps

__all__ = ["Acks"]

_FIN_OUT = frozenset({State.FIN_WAIT_1, State.CLOSING, State.LAST_ACK})


class Acks(Tuned):
    """Moves the send window."""

    __slots__ = ("_events", "_guard", "_lifecycle", "_output", "_pathmtu", "_transmit")

    def __init__(
        self,
        lower: Lower,
        transmit: Transmitter,
        *,
        guard: Guard,
        lifecycle: Lifecycle,
        output: Output,
        pathmtu: PathMtu,
    ) -> None:
        super().__init__(lower.config.tcp)
        self._events = lower.events
        self._transmit = transmit
        self._guard = guard
        self._lifecycle = lifecycle
        self._output = output
        self._pathmtu = pathmtu

    def take(
        self, c: Tcb, segment: TcpSegment, seq: int, stamp: Timestamps | None, now: Instant
    ) -> bool:
        """Process SEG.ACK; False where the segment is to be dropped for it."""
        ack = unwrap(segment.ack, c.snd_una)
        una = c.snd_una
        if not una <= ack <= c.snd_nxt and not self._guard.acceptable_ack(c, ack):
            self._guard.challenge(c, f"ACK {segment.ack} is out of range", now)
            return False
        if c.state is State.FIN_WAIT_1:  # closed in SYN-RECEIVED: the SYN is acknowledged now
            c.due.pop(Timer.SYN, None)
        moved = ack >= una and self.update_window(c, segment, seq, ack, now)
        if c.probing:
            self._settle_probe(c, ack, now)
        elif c.due and Timer.PERSIST in c.due:
            c.persist_from = now  # a probe without data was answered
        if c.mtu_search is not None:
            self._pathmtu.heard(c, ack, now)
        blocks = self._blocks(c, segment)
        if ack > una or blocks or c.recovery.flight:
            sample = self._sample(c, stamp, now) if ack > una and stamp is not None else None
            c.recovery.on_ack(
                ack,
                blocks,
                now,
                rtt_sample=sample,
                pure=not segment.payload and segment.span == 0,
                window_moved=moved,
            )
        if ack > una:
            self._advance(c, ack, now)
        return c.state is not State.CLOSED

    def _advance(self, c: Tcb, ack: int, now: Instant) -> None:
        c.snd_una = ack
        c.sending.release(ack)
        pushed = c.pushed
        while pushed and (first := next(iter(pushed))) <= ack:
            del pushed[first]
        c.persist_from = now
        c.timeouts = 0
        c.soft_error = None
        if 0 <= c.fin_at < ack and c.state in _FIN_OUT:
            self._output.end_persist(c)
            self._lifecycle.move(c, Cause.FIN_ACKED, now)

    def _blocks(self, c: Tcb, segment: TcpSegment) -> tuple[tuple[int, int], ...]:
        if not c.sack_on or not segment.options:
            return ()
        for option in segment.options:
            if type(option) is Sack:
                near = c.snd_una
                return tuple([(unwrap(a, near), unwrap(b, near)) for a, b in option.blocks])
        return ()

    def _sample(self, c: Tcb, stamp: Timestamps, now: Instant) -> Duration | None:
        """The round-trip time by the echo (RFC 7323 4.1), where there can be one."""
        if not stamp.echo:
            return None
        ticks = (self._transmit.clock(c, now) - stamp.echo) % MODULUS
        if ticks > MODULUS >> 1:
            return None
        return Duration(ticks * self._config.timestamp_tick)

    def update_window(self, c: Tcb, segment: TcpSegment, seq: int, ack: int, now: Instant) -> bool:
        """Take SEG.WND if the segment is not older than the last that told one."""
        # 3.10.7.4: 'If (SND.WL1 < SEG.SEQ or (SND.WL1 = SEG.SEQ and SND.WL2 =< SEG.ACK))'.
        if seq < c.snd_wl1 or (seq == c.snd_wl1 and ack < c.snd_wl2):
            return False
        window = segment.window << c.snd_scale
        c.snd_wl1 = seq
        c.snd_wl2 = ack
        before = c.snd_wnd
        if window == before:
            return False
        c.snd_wnd = window
        c.max_window = max(c.max_window, window)
        if before == 0 and window:
            self._opened(c, window, now)
        return True

    def _opened(self, c: Tcb, window: int, now: Instant) -> None:
        if Timer.PERSIST in c.due:
            self._events.add(WindowOpened(now, c.name, window))
        elif c.recovery.flight:
            c.recovery.on_window_open(now)

    def _settle_probe(self, c: Tcb, ack: int, now: Instant) -> None:
        """A zero-window probe was answered: its byte was taken, the window opened, or neither."""
        c.persist_from = now
        if ack > c.snd_una:
            # Told to loss recovery only now: a probe in a closed window is no lost segment. It went
            # out more than once, maybe, so it is no sample of the round-trip time.
            c.probing = False
            c.recovery.sent(c.snd_una, c.snd_una + 1, c.sent_at)
            c.recovery.sent(c.snd_una, c.snd_una + 1, c.sent_at, Reason.PERSIST)
        elif c.snd_wnd > 0:
            self._output.take_probe_back(c)
