"""Keepalive: finding out whether an idle peer still lives (RFC 9293 3.8.4)."""

from __future__ import annotations

from testbed.stack.lower import Lower
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.notices import ProbeSent
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.stack.tcp.transmit import ACK, Transmitter
from testbed.stack.tcp.tuned import Tuned
from testbed.timing import Duration, Instant

__all__ = ["Keepalive"]

_WATCHED = frozenset({State.ESTABLISHED, State.CLOSE_WAIT, State.FIN_WAIT_1, State.FIN_WAIT_2})


class Keepalive(Tuned):
    """Probes idle connections, where their users ask for it."""

    __slots__ = ("_events", "_lifecycle", "_transmit")

    def __init__(self, lower: Lower, transmit: Transmitter, lifecycle: Lifecycle) -> None:
        super().__init__(lower.config.tcp)
        self._events = lower.events
        self._transmit = transmit
        self._lifecycle = lifecycle

    def wanted(self, c: Tcb) -> bool:
        """Whether the user wants to know if the peer still lives ('MUST default to off')."""
        on = c.options.keepalive
        return (self._config.keepalive if on is None else on) and c.state in _WATCHED

    def idle(self, c: Tcb) -> Duration:
        """How long nothing may come before the first probe."""
        wanted = c.options.keepalive_idle
        return self._config.keepalive_idle if wanted is None else wanted

    def interval(self, c: Tcb) -> Duration:
        """Between probes."""
        wanted = c.options.keepalive_interval
        return self._config.keepalive_interval if wanted is None else wanted

    def probes(self, c: Tcb) -> int:
        """Probes without an answer before the peer counts as dead."""
        wanted = c.options.keepalive_probes
        return self._config.keepalive_probes if wanted is None else wanted

    def start(self, c: Tcb) -> None:
        """Begin to watch, or stop, as the options have it now."""
        c.due.pop(Timer.KEEPALIVE, None)
        if self.wanted(c):
            c.keepalives = 0
            c.due[Timer.KEEPALIVE] = Instant(c.heard_at + self.idle(c))

    def due(self, c: Tcb, now: Instant) -> None:
        """Probe an idle peer, or give it up after the last probe."""
        if not self.wanted(c):
            return
        quiet_until = Instant(c.heard_at + self.idle(c))
        if now < quiet_until:
            c.keepalives = 0
            c.due[Timer.KEEPALIVE] = quiet_until
        elif c.recovery.flight or Timer.PERSIST in c.due:
            # 'MUST only be sent when no sent data is outstanding': other timers are at work.
            c.keepalives = 0
            c.due[Timer.KEEPALIVE] = Instant(now + self.idle(c))
        elif c.keepalives >= self.probes(c):
            self._transmit.reset(c, now)
            self._lifecycle.fail(c, Cause.GIVE_UP, "ETIMEDOUT", "keepalive unanswered", now)
        else:
            c.keepalives += 1
            self.probe(c, now)
            self._events.add(ProbeSent(now, c.name, Reason.KEEPALIVE, c.keepalives))
            c.due[Timer.KEEPALIVE] = Instant(now + self.interval(c))

    def probe(self, c: Tcb, now: Instant) -> None:
        """'SEG.SEQ = SND.NXT-1', without data (SHLD-6)."""
        self._transmit.send(c, now, c.snd_nxt - 1, ACK)
