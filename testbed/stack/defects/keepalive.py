"""Faults of keepalive: who is probed, when, how often, and who answers."""

from __future__ import annotations

from testbed.stack.tcp.input import Input
from testbed.stack.tcp.keepalive import Keepalive
from testbed.stack.tcp.states import State
from testbed.stack.tcp.tcb import Tcb
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant

__all__ = [
    "ANSWERS_NO_PROBES",
    "DOUBTS_LIVE_PEERS",
    "KEEPALIVE_UNASKED",
    "KEEPS_OWN_PACE",
    "NEVER_GIVES_UP_THE_DEAD",
]


class _CountsAllProbes(Keepalive):
    __slots__ = ()

    def due(self, c: Tcb, now: Instant) -> None:
        sent, count = c.segments_out, c.keepalives
        super().due(c, now)
        if c.state is not State.CLOSED and c.segments_out == sent:
            c.keepalives = count  # good stacks begin anew where the peer was heard


class _AlwaysWanted(Keepalive):
    __slots__ = ()

    def wanted(self, c: Tcb) -> bool:
        return c.options.keepalive is not False


class _SystemsPace(Keepalive):
    __slots__ = ()

    def idle(self, c: Tcb) -> Duration:
        del c
        return self._config.keepalive_idle


class _Patient(Keepalive):
    __slots__ = ()

    def probes(self, c: Tcb) -> int:
        del c
        return 1 << 30


class _AnswersNone(Input):
    __slots__ = ()

    def _unacceptable(self, c: Tcb, seq: int, payload: bytes, length: int, now: Instant) -> None:
        if length or seq != c.rcv_nxt - 1:
            super()._unacceptable(c, seq, payload, length, now)


ANSWERS_NO_PROBES = Defect(
    "answers no probes",
    "TC-28",
    "A stack, or a firewall that looks at numbers, drops a segment of no data below the window: "
    "peers that ask for keepalive end the connection as soon as it rests.",
    {Input: _AnswersNone},
)

DOUBTS_LIVE_PEERS = Defect(
    "kills a live peer",
    "TC-28",
    "A stack counts the probes that it sent, answered or not, and resets idle connections to peers "
    "that live.",
    {Keepalive: _CountsAllProbes},
)

KEEPALIVE_UNASKED = Defect(
    "on by default",
    "TC-28",
    "A stack probes connections that never asked for it: dial-up lines stay up, and sleeping peers "
    "lose their sessions.",
    {Keepalive: _AlwaysWanted},
)

KEEPS_OWN_PACE = Defect(
    "ignores the application's idle time",
    "TC-28",
    "A stack takes the system's two hours whatever the application asks for, and dead clients hold "
    "their locks as long.",
    {Keepalive: _SystemsPace},
)

NEVER_GIVES_UP_THE_DEAD = Defect(
    "probes a dead peer for ever",
    "TC-28",
    "A stack probes, and never draws the conclusion: half-open connections pile up.",
    {Keepalive: _Patient},
)
