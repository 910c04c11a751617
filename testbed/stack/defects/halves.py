"""Faults of half-closed connections, and of the last FIN."""

from __future__ import annotations

from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import Tcb
from testbed.stack.tcp.transmit import ACK, FIN, Transmitter
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.tcp import TcpSegment

__all__ = [
    "ANY_ACK_IS_THE_LAST",
    "HOLDS_IN_CLOSE_WAIT",
    "LOSES_LAST_BYTE",
    "SILENT_IN_CLOSE_WAIT",
    "SILENT_ON_LAST_FIN",
]


class _HoldsInCloseWait(Output):
    __slots__ = ()

    def _send_all(self, c: Tcb, now: Instant) -> None:
        if c.state is not State.CLOSE_WAIT or c.fin_queued:
            super()._send_all(c, now)


class _SilentInCloseWait(Input):
    __slots__ = ()

    def _unacceptable(self, c: Tcb, seq: int, payload: bytes, length: int, now: Instant) -> None:
        if c.state is not State.CLOSE_WAIT:
            super()._unacceptable(c, seq, payload, length, now)


class _AnyAckIsTheLast(Input):
    __slots__ = ()

    def segment(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        last = c.state is State.LAST_ACK and bool(segment.flags & ACK)
        super().segment(c, segment, now)
        if last and c.state is State.LAST_ACK:
            self._lifecycle.move(c, Cause.FIN_ACKED, now)


class _LosesLastByte(Transmitter):
    __slots__ = ()

    def send(self, c: Tcb, now: Instant, seq: int, flags: int, payload: bytes = b"") -> None:
        super().send(c, now, seq, flags, payload[:-1] if flags & FIN else payload)


class _SilentOnLastFin(Delivery):
    __slots__ = ()

    def _fin(self, c: Tcb, now: Instant) -> None:
        super()._fin(c, now)
        if c.state is State.TIME_WAIT:
            c.ack_now = False


HOLDS_IN_CLOSE_WAIT = Defect(
    "holds what it has to say until it closes",
    "TC-25",
    "A stack takes the peer's FIN for the end of all haste: what a server has to say to a client "
    "that has asked everything comes when it has said all of it.",
    {Output: _HoldsInCloseWait},
)

SILENT_IN_CLOSE_WAIT = Defect(
    "does not acknowledge a FIN again",
    "TC-25",
    "A stack acknowledges the peer's FIN once: if that ACK is lost, the peer resends its FIN until "
    "it gives up, while data flows to it.",
    {Input: _SilentInCloseWait},
)

ANY_ACK_IS_THE_LAST = Defect(
    "takes any ACK for that of its last FIN",
    "TC-25",
    "A stack in LAST-ACK looks at the ACK bit alone: its FIN, if lost, is never resent, and the "
    "peer waits in FIN-WAIT-2.",
    {Input: _AnyAckIsTheLast},
)

LOSES_LAST_BYTE = Defect(
    "loses the last byte before its FIN",
    "TC-25",
    "A stack counts the FIN for a byte of the segment that it goes with: files come short by one, "
    "where their end and the FIN share a segment.",
    {Transmitter: _LosesLastByte},
)

SILENT_ON_LAST_FIN = Defect(
    "does not acknowledge the peer's FIN",
    "TC-25",
    "A stack that closed first goes to TIME-WAIT and says nothing: each of its peers resends its "
    "FIN once, and holds a socket for so long.",
    {Delivery: _SilentOnLastFin},
)
