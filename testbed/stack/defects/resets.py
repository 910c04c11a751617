"""Faults of what is done with a reset, or a SYN, that is not exactly in its place."""

from __future__ import annotations

from testbed.stack.tcp.guard import Guard
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import Tcb
from testbed.stack.tcp.transmit import ACK, RST, SYN
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.tcp import TcpSegment

__all__ = [
    "RST_AT_A_HOLE_KILLS",
    "RST_KILLS_CLOSING",
    "RST_NEARBY_KILLS",
    "RST_WITH_ACK_KILLS",
    "SYN_KILLS",
]

_NEAR = 1460


class _BelievesWithAck(Input):
    __slots__ = ()

    def _controls(self, c: Tcb, segment: TcpSegment, seq: int, length: int, now: Instant) -> bool:
        flags = int(segment.flags)
        if flags & RST and flags & ACK and c.rcv_nxt <= seq < c.rcv_adv:
            self._obey_reset(c, now)
            return True
        return super()._controls(c, segment, seq, length, now)


class _BelievesNearby(Guard):
    __slots__ = ()

    def reset_exact(self, c: Tcb, seq: int) -> bool:
        return 1 < seq - c.rcv_nxt < _NEAR or super().reset_exact(c, seq)


class _BelievesAtAHole(Guard):
    __slots__ = ()

    def reset_exact(self, c: Tcb, seq: int) -> bool:
        return c.receiving.out_of_order_bytes > 0 or super().reset_exact(c, seq)


class _BelievesInClosing(Guard):
    __slots__ = ()

    def reset_exact(self, c: Tcb, seq: int) -> bool:
        return c.state is not State.ESTABLISHED or super().reset_exact(c, seq)


class _EndedBySyn(Input):
    __slots__ = ()

    def _controls(self, c: Tcb, segment: TcpSegment, seq: int, length: int, now: Instant) -> bool:
        inside = c.rcv_nxt <= seq < c.rcv_adv and c.state is not State.SYN_RECEIVED
        if segment.flags & SYN and inside:
            self._lifecycle.fail(c, Cause.RESET, "ECONNRESET", "a SYN in the window", now)
            return True
        return super()._controls(c, segment, seq, length, now)


RST_WITH_ACK_KILLS = Defect(
    "believes a RST with ACK",
    "TC-09",
    "A stack looks at the number of a bare reset, and takes one with an ACK for proven: whoever "
    "forges one sets one more bit.",
    {Input: _BelievesWithAck},
)

RST_NEARBY_KILLS = Defect(
    "believes any RST near its place",
    "TC-09",
    "A stack forgives resets that are off by up to a segment, for peers that count wrongly: a "
    "forger needs a thousandth of the guesses.",
    {Guard: _BelievesNearby},
)

RST_AT_A_HOLE_KILLS = Defect(
    "believes any RST while a hole is open",
    "TC-09",
    "A stack lets resets in out of turn while its reassembly queue is in use: on a path that loses "
    "a little the check of RFC 5961 is hardly ever there.",
    {Guard: _BelievesAtAHole},
)

RST_KILLS_CLOSING = Defect(
    "believes any RST of a connection that closes",
    "TC-09",
    "The check of RFC 5961 went into the fast path of ESTABLISHED: connections of which one side "
    "has ended are killed by any reset in the window.",
    {Guard: _BelievesInClosing},
)

SYN_KILLS = Defect(
    "ended by a SYN",
    "TC-09",
    "A stack does as RFC 793 had it: a SYN in the window is an error and resets the connection, "
    "for whoever guesses a number in the window.",
    {Input: _EndedBySyn},
)
