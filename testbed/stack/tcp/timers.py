"""A connection's deadlines: one alarm, set for the soonest, moved only when it must be sooner."""

from __future__ import annotations

from testbed.stack.lower import Lower
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.keepalive import Keepalive
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.pathmtu import PathMtu
from testbed.stack.tcp.recovery import Fired
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.stack.tcp.transmit import Transmitter
from testbed.stack.tcp.tuned import Tuned
from testbed.timing import Instant

__all__ = ["Timers"]

_OPENING = frozenset({State.CLOSED, State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED})


class Timers(Tuned):
    """Sets connections' alarms and does what falls due (RFC 9293 3.10.8)."""

    __slots__ = (
        "_alarms",
        "_handshake",
        "_keepalive",
        "_lifecycle",
        "_lower",
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
        handshake: Handshake,
        keepalive: Keepalive,
        pathmtu: PathMtu,
    ) -> None:
        super().__init__(lower.config.tcp)
        self._lower = lower
        self._alarms = lower.alarms
        self._transmit = transmit
        self._lifecycle = lifecycle
        self._output = output
        self._handshake = handshake
        self._keepalive = keepalive
        self._pathmtu = pathmtu

    def settle(self, c: Tcb) -> None:
        """Let the alarm ring in time for the soonest deadline.

        One that is set too early stays: it rings, finds nothing due and is set anew. So a transfer
        moves no alarm for each segment.
        """
        state = c.state
        if state is State.CLOSED or state is State.LISTEN:
            return
        soonest = min(c.due.values()) if c.due else None
        if state not in _OPENING:
            deadline = c.recovery.next_deadline()
            if deadline is not None:
                if soonest is None or deadline < soonest:
                    soonest = deadline
                if c.options.user_timeout or self._config.user_timeout:
                    soonest = min(soonest, self._user_deadline(c))
        if soonest is None or (c.armed is not None and c.armed <= soonest):
            return
        c.armed = soonest
        self._alarms.set(c, soonest, lambda at: self.fire(c, at))

    def fire(self, c: Tcb, now: Instant) -> None:
        """The alarm rang: do all that is due."""
        c.armed = None
        for timer in sorted(c.due, key=lambda each: c.due[each]):
            if c.due.get(timer, now + 1) <= now:
                del c.due[timer]
                self._due(c, timer, now)
        if c.state not in _OPENING:
            self._recover(c, now)
        if c.state is not State.CLOSED:
            self._output.flush(c, now)
        self.settle(c)
        if c.on_change is not None:
            c.on_change(now)

    def _due(self, c: Tcb, timer: Timer, now: Instant) -> None:
        match timer:
            case Timer.SYN:
                self._handshake.unanswered(c, now)
            case Timer.DELAYED_ACK:
                c.ack_now = True
            case Timer.PERSIST:
                self.persist(c, now)
            case Timer.OVERRIDE:
                self._output.override(c, now)
            case Timer.KEEPALIVE:
                self._keepalive.due(c, now)
            case Timer.USER:
                self._give_up(c, "user time-out", now)
            case Timer.TIME_WAIT | Timer.FIN_WAIT_2:
                cause = Cause.EXPIRED if timer is Timer.TIME_WAIT else Cause.GIVE_UP
                self._lifecycle.move(c, cause, now)
            case Timer.STEERED:
                c.due[timer] = now  # lets this one ACK pass
                self._transmit.ack(c, now)
                c.due.pop(timer, None)
            case Timer.SEARCH:
                self._pathmtu.search_due(c, now)

    def _give_up(self, c: Tcb, text: str, now: Instant) -> None:
        """The user hears what ICMP last told of the path, if anything (RFC 9293 SHLD-25)."""
        self._lifecycle.fail(c, Cause.GIVE_UP, c.soft_error or "ETIMEDOUT", text, now)

    # Retransmission

    def _recover(self, c: Tcb, now: Instant) -> None:
        deadline = c.recovery.next_deadline()
        if self._user_gave_up(c, now):
            return
        if deadline is None or deadline > now:
            return
        oldest = c.recovery.oldest_sent_at
        fired = c.recovery.on_deadline(now)
        if fired is Fired.PROBE:
            self._output.probe_tail(c, now)
        elif fired is Fired.RTO and oldest is not None:
            self._timed_out(c, oldest, now)

    def _timed_out(self, c: Tcb, oldest: Instant, now: Instant) -> None:
        if self.shrunk(c, now):
            c.persist_from = now
            return
        c.timeouts += 1
        if now - max(oldest, c.persist_from) >= self._config.give_up:  # R2
            self._give_up(c, "no answer from the peer", now)
            return
        if c.rtt.backoffs == self._config.retries_r1:
            # RFC 9293 3.8.3 (b): R1 is reached, 'pass negative advice [...] to the IP layer'.
            self._lower.path_failing(c.path, now)
        self._pathmtu.timed_out(c, now)

    def shrunk(self, c: Tcb, now: Instant) -> bool:
        """Whether the peer closed its window over what is in flight, and still answers.

        What is sent again then probes the window: RFC 9293 3.8.6.1 lets the connection 'stay open
        as long as the receiving TCP peer continues to send acknowledgments in response'.
        """
        return c.snd_wnd == 0 and now - c.heard_at <= c.rtt.rto

    def _user_deadline(self, c: Tcb) -> Instant:
        limit = c.options.user_timeout or self._config.user_timeout
        oldest = c.recovery.oldest_sent_at
        if limit is None or oldest is None:
            return Instant(1 << 62)
        return Instant(oldest + limit)

    def _user_gave_up(self, c: Tcb, now: Instant) -> bool:
        if now < self._user_deadline(c):
            return False
        # RFC 9293 3.10.8: 'signal the user "error: connection aborted due to user timeout"'.
        self._give_up(c, "user time-out", now)
        return True

    # Zero window

    def persist(self, c: Tcb, now: Instant) -> None:
        """Probe the closed window, unless nothing has answered for as long as R2."""
        limit = c.options.user_timeout or self._config.user_timeout or self._config.give_up
        if c.persists and now - c.persist_from >= limit:
            self._give_up(c, "no answer from the peer", now)
            return
        self._output.probe_window(c, now)
