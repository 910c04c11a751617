"""A connection's deadlines: one alarm, set for the soonest, moved only when it must be sooner."""

from __future__ import annotations

from testbed.stack.lower import Lower
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.notices import ProbeSent
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.pathmtu import PathMtu
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery import Fired
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.stack.tcp.transmit import ACK, Transmitter
from testbed.timing import Duration, Instant

__all__ = ["Timers"]

_OPENING = frozenset({State.CLOSED, State.LISTEN, State.SYN_SENT, State.SYN_RECEIVED})
_KEPT_ALIVE = frozenset({State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.FIN_WAIT_2})


class Timers:
    """Sets connections' alarms and does what falls due (RFC 9293 3.10.8)."""

    __slots__ = (
        "_alarms",
        "_config",
        "_events",
        "_handshake",
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
        pathmtu: PathMtu,
    ) -> None:
        self._lower = lower
        self._alarms = lower.alarms
        self._config = lower.config.tcp
        self._events = lower.events
        self._transmit = transmit
        self._lifecycle = lifecycle
        self._output = output
        self._handshake = handshake
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
                self.keepalive(c, now)
            case Timer.USER:
                self._lifecycle.fail(c, Cause.GIVE_UP, "ETIMEDOUT", "user time-out", now)
            case Timer.TIME_WAIT | Timer.FIN_WAIT_2:
                cause = Cause.EXPIRED if timer is Timer.TIME_WAIT else Cause.GIVE_UP
                self._lifecycle.move(c, cause, now)
            case Timer.STEERED:
                c.due[timer] = now  # lets this one ACK pass
                self._transmit.ack(c, now)
                c.due.pop(timer, None)
            case Timer.SEARCH:
                self._pathmtu.search_due(c, now)

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
        if now - oldest >= self._config.give_up:  # R2
            self._lifecycle.fail(c, Cause.GIVE_UP, "ETIMEDOUT", "no answer from the peer", now)
            return
        if c.rtt.backoffs == self._config.retries_r1:
            # RFC 9293 3.8.3 (b): R1 is reached, 'pass negative advice to the IP layer'.
            self._lower.path_failing(c.path, now)
        self._pathmtu.timed_out(c, now)

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
        self._lifecycle.fail(c, Cause.GIVE_UP, "ETIMEDOUT", "user time-out", now)
        return True

    # Zero window

    def persist(self, c: Tcb, now: Instant) -> None:
        """Probe the closed window, unless nothing has answered for as long as R2."""
        limit = c.options.user_timeout or self._config.user_timeout or self._config.give_up
        if c.persists and now - c.persist_from >= limit:
            self._lifecycle.fail(c, Cause.GIVE_UP, "ETIMEDOUT", "no answer from the peer", now)
            return
        self._output.probe_window(c, now)

    # Keepalive (RFC 9293 3.8.4)

    def keepalive_on(self, c: Tcb) -> bool:
        """Whether the user wants to know if the peer still lives."""
        wanted = c.options.keepalive
        return self._config.keepalive if wanted is None else wanted

    def start_keepalive(self, c: Tcb) -> None:
        """Begin to watch, or stop, as the options have it now."""
        if not self.keepalive_on(c) or c.state not in _KEPT_ALIVE:
            c.due.pop(Timer.KEEPALIVE, None)
        elif Timer.KEEPALIVE not in c.due:
            c.due[Timer.KEEPALIVE] = Instant(c.heard_at + self._idle(c))

    def _idle(self, c: Tcb) -> Duration:
        wanted = c.options.keepalive_idle
        return self._config.keepalive_idle if wanted is None else wanted

    def _interval(self, c: Tcb) -> Duration:
        wanted = c.options.keepalive_interval
        return self._config.keepalive_interval if wanted is None else wanted

    def keepalive(self, c: Tcb, now: Instant) -> None:
        """Probe an idle peer, or give it up after the last probe."""
        if not self.keepalive_on(c) or c.state not in _KEPT_ALIVE:
            return
        quiet_until = Instant(c.heard_at + self._idle(c))
        if now < quiet_until or c.recovery.flight or Timer.PERSIST in c.due:
            # Heard of since, or other timers are at work: 'MUST only be sent when no sent data is
            # outstanding, and no data or acknowledgment packets have been received'.
            c.keepalives = 0
            busy = Instant(now + self._idle(c))
            c.due[Timer.KEEPALIVE] = quiet_until if now < quiet_until else busy
            return
        limit = c.options.keepalive_probes or self._config.keepalive_probes
        if c.keepalives >= limit:
            self._transmit.reset(c, now)
            self._lifecycle.fail(c, Cause.GIVE_UP, "ETIMEDOUT", "keepalive unanswered", now)
            return
        c.keepalives += 1
        self.probe_peer(c, now)
        self._events.add(ProbeSent(now, c.name, Reason.KEEPALIVE, c.keepalives))
        c.due[Timer.KEEPALIVE] = Instant(now + self._interval(c))

    def probe_peer(self, c: Tcb, now: Instant) -> None:
        """'SEG.SEQ = SND.NXT-1', without data (RFC 9293 3.8.4, SHLD-6)."""
        self._transmit.send(c, now, c.snd_nxt - 1, ACK)
