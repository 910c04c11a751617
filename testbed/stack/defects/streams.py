"""Faults of putting the stream together, and of what was agreed on for it."""

from __future__ import annotations

from typing import Final

from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.guard import Guard
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.receivebuffer import Inserted, ReceiveBuffer
from testbed.stack.tcp.states import State
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.stack.tcp.transmit import RST, SYN, Transmitter
from testbed.stack.variants import Defect
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import MSS, TcpOption, Timestamps

__all__ = [
    "DEAF_TO_SYN_ACKS",
    "EACH_SEGMENT_DELAYS",
    "ECHOES_THE_FIRST_STAMP",
    "ENDS_AT_THE_WRAP",
    "IMPATIENT_HALF_CLOSED",
    "MUDDLES_OVERLAPS",
    "RESETS_SYN_ACKS",
    "TELLS_NO_MSS",
]

_DELAY: Final = milliseconds(400)
_HALF_CLOSED: Final = seconds(1)


class _EndsAtWrap(Delivery):
    __slots__ = ()

    def _data(self, c: Tcb, seq: int, payload: bytes, now: Instant) -> None:
        if seq >> 32 == c.irs >> 32:
            super()._data(c, seq, payload, now)


class _Muddles(ReceiveBuffer):
    __slots__ = ()

    def _insert_in_order(self, data: bytes, duplicate: tuple[int, int] | None) -> Inserted:
        if duplicate is not None:
            data = data[1:] + data[:1]
        return super()._insert_in_order(data, duplicate)


class _EachDelays(Delivery):
    __slots__ = ()

    def schedule_ack(self, c: Tcb, size: int, now: Instant) -> None:
        super().schedule_ack(c, size, now)
        if Timer.DELAYED_ACK in c.due:
            c.due[Timer.DELAYED_ACK] = Instant(now + _DELAY)


class _FirstStamp(Guard):
    __slots__ = ()

    def note_timestamp(self, c: Tcb, stamp: Timestamps, seq: int, now: Instant) -> None:
        pass


class _NoMss(Transmitter):
    __slots__ = ()

    def syn_options(self, c: Tcb, now: Instant, *, answer: bool) -> tuple[TcpOption, ...]:
        options = super().syn_options(c, now, answer=answer)
        return tuple(each for each in options if not isinstance(each, MSS))


def _is_second_syn(c: Tcb, segment: TcpSegment) -> bool:
    return int(segment.flags) & (SYN | RST) == SYN and c.state is not State.SYN_RECEIVED


class _DeafToSyns(Input):
    __slots__ = ()

    def _controls(self, c: Tcb, segment: TcpSegment, seq: int, length: int, now: Instant) -> bool:
        return _is_second_syn(c, segment) or super()._controls(c, segment, seq, length, now)


class _ResetsSyns(Input):
    __slots__ = ()

    def _controls(self, c: Tcb, segment: TcpSegment, seq: int, length: int, now: Instant) -> bool:
        if _is_second_syn(c, segment):
            self._lifecycle.abort(c, now)
            return True
        return super()._controls(c, segment, seq, length, now)


class _Impatient(Lifecycle):
    __slots__ = ()

    def limit_fin_wait(self, c: Tcb, now: Instant) -> None:
        if c.state is State.FIN_WAIT_2:
            c.due[Timer.FIN_WAIT_2] = Instant(now + _HALF_CLOSED)


ENDS_AT_THE_WRAP: Final = Defect(
    "ends where numbers begin again",
    "TC-16",
    "A stack compares sequence numbers as plain numbers: a connection hangs for good once it gets "
    "to 2**32, some after a minute, some after hours.",
    {Delivery: _EndsAtWrap},
)
MUDDLES_OVERLAPS: Final = Defect(
    "muddles what overlaps",
    "TC-16",
    "A stack is a byte off when a segment holds some that it had: rare, for what is sent again is "
    "cut as before mostly, and every time a broken file.",
    {ReceiveBuffer: _Muddles},
)
EACH_SEGMENT_DELAYS: Final = Defect(
    "each segment delays the ACK anew",
    "TC-15",
    "A stack sets its timer for the ACK at each small segment: a stream of keystrokes is not "
    "acknowledged until somebody stops to think.",
    {Delivery: _EachDelays},
)
ECHOES_THE_FIRST_STAMP: Final = Defect(
    "echoes the first timestamp for ever",
    "TC-02",
    "A stack echoes what the SYN told, and nothing newer: the peer's round trips grow with the age "
    "of the connection, and with them its timeouts.",
    {Guard: _FirstStamp},
)
TELLS_NO_MSS: Final = Defect(
    "tells no MSS",
    "TC-02",
    "A stack leaves the MSS out of its SYNs, and everybody sends it 536 bytes at a time.",
    {Transmitter: _NoMss},
)
DEAF_TO_SYN_ACKS: Final = Defect(
    "deaf to a second SYN+ACK",
    "TC-04",
    "A client that has sent its ACK takes a second SYN+ACK for noise: where the ACK was lost, and "
    "the server speaks first, both wait for ever.",
    {Input: _DeafToSyns},
)
RESETS_SYN_ACKS: Final = Defect(
    "resets at a second SYN+ACK",
    "TC-04",
    "A client takes a second SYN+ACK for an attack: on a line that loses its ACK it gets no "
    "connection at all.",
    {Input: _ResetsSyns},
)
IMPATIENT_HALF_CLOSED: Final = Defect(
    "waits a second for the other half",
    "TC-25",
    "A stack, or the firewall in front of it, gives a half-closed connection a second to end: an "
    "answer that takes longer to compute finds nobody.",
    {Lifecycle: _Impatient},
)
