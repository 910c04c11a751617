"""Faults of closing and TIME-WAIT."""

from __future__ import annotations

from testbed.stack.tcp.acks import Acks
from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.notices import StateChanged
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.stack.tcp.transmit import ACK, FIN
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, milliseconds, seconds
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import Timestamps

__all__ = [
    "ACKS_FIN_LATE",
    "CLOSES_WITH_THE_PEER",
    "DEAF_AFTER_OWN_FIN",
    "DEAF_IN_CLOSING",
    "DEAF_IN_FIN_WAIT_1",
    "ENDS_AT_A_HOLE",
    "LINGERS_AFTER_LAST_ACK",
    "LOSES_DATA_AFTER_OWN_FIN",
    "LOSES_DATA_WITH_FIN",
    "NO_TIME_WAIT",
    "RESETS_CROSSING_FIN",
    "RESET_ENDS_TIME_WAIT",
    "SENDS_SECOND_FIN",
    "SHORT_TIME_WAIT",
    "SILENT_IN_CLOSING",
    "SILENT_TIME_WAIT",
    "SKIPS_CLOSING",
]

_OWN_FIN_OUT = (State.FIN_WAIT_1, State.FIN_WAIT_2)


# Closing


class _ForgetsToDeliver(Delivery):
    __slots__ = ()

    def _data(self, c: Tcb, seq: int, payload: bytes, now: Instant) -> None:
        if c.state in _OWN_FIN_OUT and seq == c.rcv_nxt:
            c.rcv_nxt = c.receiving.next = seq + len(payload)
            c.ack_now = True
            return
        super()._data(c, seq, payload, now)


class _HalfIsWhole(Input):
    __slots__ = ()

    def _acknowledged(
        self, c: Tcb, segment: TcpSegment, seq: int, stamp: Timestamps | None, now: Instant
    ) -> None:
        if segment.payload and c.state in _OWN_FIN_OUT:
            self._lifecycle.abort(c, now)
            return
        super()._acknowledged(c, segment, seq, stamp, now)


class _DeafInFinWait1(Delivery):
    __slots__ = ()

    def text(self, c: Tcb, seq: int, payload: bytes, *, fin: bool, now: Instant) -> None:
        if not payload or c.state is not State.FIN_WAIT_1:
            super().text(c, seq, payload, fin=fin, now=now)


class _FinAlone(Delivery):
    __slots__ = ()

    def text(self, c: Tcb, seq: int, payload: bytes, *, fin: bool, now: Instant) -> None:
        if fin and payload and seq == c.rcv_nxt:
            seq = c.rcv_nxt = c.receiving.next = seq + len(payload)
            payload = b""
        super().text(c, seq, payload, fin=fin, now=now)


class _JumpsToFin(Delivery):
    __slots__ = ()

    def text(self, c: Tcb, seq: int, payload: bytes, *, fin: bool, now: Instant) -> None:
        if fin and seq > c.rcv_nxt:
            c.rcv_nxt = c.receiving.next = seq
        super().text(c, seq, payload, fin=fin, now=now)


class _AcksFinLate(Delivery):
    __slots__ = ()

    def _fin(self, c: Tcb, now: Instant) -> None:
        super()._fin(c, now)
        if c.state is State.CLOSE_WAIT:
            c.ack_now = False
            c.due[Timer.DELAYED_ACK] = Instant(now + milliseconds(800))


class _ClosesToo(Delivery):
    __slots__ = ()

    def _fin(self, c: Tcb, now: Instant) -> None:
        super()._fin(c, now)
        if c.state is State.CLOSE_WAIT and not c.fin_queued:
            c.fin_queued = True
            self._lifecycle.move(c, Cause.CLOSE, now)


LOSES_DATA_AFTER_OWN_FIN = Defect(
    "data after FIN lost",
    "TC-25",
    "A stack acknowledges what comes after its own FIN and gives it to nobody: the answer to a "
    "request that ended with a half-close is empty.",
    {Delivery: _ForgetsToDeliver},
)

DEAF_AFTER_OWN_FIN = Defect(
    "takes a half-close for a whole one",
    "TC-25",
    "A stack, or the firewall in front of it, resets a peer that still sends after the FIN.",
    {Input: _HalfIsWhole},
)

DEAF_IN_FIN_WAIT_1 = Defect(
    "deaf until its FIN is acknowledged",
    "TC-25",
    "A stack that has sent its FIN takes nothing but the ACK of it: what crossed it has to be sent "
    "again, after a timeout.",
    {Delivery: _DeafInFinWait1},
)

LOSES_DATA_WITH_FIN = Defect(
    "loses data that comes with the FIN",
    "TC-25",
    "A stack looks at the FIN and forgets the last bytes of the stream, which came along.",
    {Delivery: _FinAlone},
)

ENDS_AT_A_HOLE = Defect(
    "takes a FIN behind a hole for the end",
    "TC-25",
    "A stack ends the stream when a FIN comes, whatever lacks before it: files are cut short, and "
    "nobody is told.",
    {Delivery: _JumpsToFin},
)

ACKS_FIN_LATE = Defect(
    "does not acknowledge a FIN until it closes itself",
    "TC-25",
    "A stack waits for the application to close before it acknowledges the peer's FIN, which is "
    "sent again and again meanwhile.",
    {Delivery: _AcksFinLate},
)

CLOSES_WITH_THE_PEER = Defect(
    "forgets what it had to send",
    "TC-25",
    "A stack closes its own side as soon as the peer has closed: half-closed connections give no "
    "answer.",
    {Delivery: _ClosesToo},
)

# Closing at the same time


class _DeafInClosing(Acks):
    __slots__ = ()

    def take(
        self, c: Tcb, segment: TcpSegment, seq: int, stamp: Timestamps | None, now: Instant
    ) -> bool:
        if c.state is State.CLOSING:
            return True
        return super().take(c, segment, seq, stamp, now)


class _SkipsClosing(Lifecycle):
    __slots__ = ()

    def move(self, c: Tcb, cause: Cause, now: Instant) -> None:
        super().move(c, cause, now)
        if c.state is State.CLOSING:
            c.state = State.TIME_WAIT
            self._wait(c, now)


class _ResetsCrossingFin(Input):
    __slots__ = ()

    def _acknowledged(
        self, c: Tcb, segment: TcpSegment, seq: int, stamp: Timestamps | None, now: Instant
    ) -> None:
        if c.state is State.FIN_WAIT_1 and segment.flags & FIN and segment.ack != c.snd_nxt:
            self._lifecycle.abort(c, now)
            return
        super()._acknowledged(c, segment, seq, stamp, now)


class _SilentInClosing(Delivery):
    __slots__ = ()

    def _fin(self, c: Tcb, now: Instant) -> None:
        super()._fin(c, now)
        if c.state is State.CLOSING:
            c.ack_now = False


class _SecondFin(Lifecycle):
    __slots__ = ()

    def move(self, c: Tcb, cause: Cause, now: Instant) -> None:
        super().move(c, cause, now)
        if c.state is State.CLOSING:
            self._transmit.send(c, now, c.fin_at + 1, FIN | ACK)


DEAF_IN_CLOSING = Defect(
    "stuck",
    "TC-26",
    "A stack has no arrow out of CLOSING: sockets of crossing closes stay there until a reboot.",
    {Acks: _DeafInClosing},
)

SKIPS_CLOSING = Defect(
    "takes the peer's FIN for the ACK of its own",
    "TC-26",
    "A stack goes from FIN-WAIT-1 to TIME-WAIT on any FIN: its own, if lost, is never resent, and "
    "the peer waits for it.",
    {Lifecycle: _SkipsClosing},
)

RESETS_CROSSING_FIN = Defect(
    "resets a FIN that crosses its own",
    "TC-26",
    "A stack takes a FIN that does not acknowledge its own for nonsense and resets: the peer's "
    "application gets an error for a transfer that was complete.",
    {Input: _ResetsCrossingFin},
)

SENDS_SECOND_FIN = Defect(
    "sends a second FIN",
    "TC-26",
    "A stack answers the FIN that crosses its own by one more, of the next number: a peer that "
    "looks at numbers finds its own ACK too low, and says so without an end.",
    {Lifecycle: _SecondFin},
)

SILENT_IN_CLOSING = Defect(
    "does not acknowledge a FIN that crosses its own",
    "TC-26",
    "A stack that has closed takes the peer's FIN and says nothing: the peer resends it until it "
    "gives up.",
    {Delivery: _SilentInClosing},
)

# TIME-WAIT


class _NoTimeWait(Lifecycle):
    __slots__ = ()

    def time_wait(self) -> Duration:
        return Duration(0)


class _ShortTimeWait(Lifecycle):
    __slots__ = ()

    def time_wait(self) -> Duration:
        return seconds(5)


class _SilentTimeWait(Input):
    __slots__ = ()

    def _in_window(self, c: Tcb, segment: TcpSegment, seq: int, length: int, now: Instant) -> bool:
        if c.state is State.TIME_WAIT:
            return False
        return super()._in_window(c, segment, seq, length, now)


class _ObeysAnyReset(Input):
    __slots__ = ()

    def _reset(self, c: Tcb, seq: int, now: Instant) -> None:
        if c.state is State.TIME_WAIT:
            self._obey_reset(c, now)
        else:
            super()._reset(c, seq, now)


class _WaitsOnBothSides(Lifecycle):
    __slots__ = ()

    def move(self, c: Tcb, cause: Cause, now: Instant) -> None:
        if c.state is State.LAST_ACK and cause is Cause.FIN_ACKED:
            self._events.add(StateChanged(now, c.name, c.state, State.TIME_WAIT, cause))
            c.state = State.TIME_WAIT
            self._wait(c, now)
        else:
            super().move(c, cause, now)


NO_TIME_WAIT = Defect(
    "RST to the resent FIN",
    "TC-27",
    "A stack forgets the connection as soon as both sides have closed: where its last ACK is lost, "
    "the peer's FIN is answered by a reset, an error for a transfer that was complete.",
    {Lifecycle: _NoTimeWait},
)

SHORT_TIME_WAIT = Defect(
    "TIME-WAIT of 5 s",
    "TC-27",
    "A server tuned for many short connections shortens TIME-WAIT: old duplicates get into new "
    "connections, and late FINs are reset.",
    {Lifecycle: _ShortTimeWait},
)

SILENT_TIME_WAIT = Defect(
    "silent in TIME-WAIT",
    "TC-27",
    "A stack, or a firewall that has dropped its entry, answers nothing after the last ACK: if "
    "that is lost, the peer resends its FIN until it gives up.",
    {Input: _SilentTimeWait},
)

RESET_ENDS_TIME_WAIT = Defect(
    "a reset ends TIME-WAIT",
    "TC-27",
    "TIME-WAIT assassination (RFC 1337): an old duplicate provokes a reset from the peer, and the "
    "quiet time that was to keep old duplicates out is over.",
    {Input: _ObeysAnyReset},
)

LINGERS_AFTER_LAST_ACK = Defect(
    "TIME-WAIT on both sides",
    "TC-27",
    "A server goes through TIME-WAIT though its clients close first: a busy one runs out of memory "
    "for connections that are over.",
    {Lifecycle: _WaitsOnBothSides},
)
