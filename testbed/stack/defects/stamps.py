"""Faults of the timestamps that a stack sends itself: its clock, and its echoes."""

from __future__ import annotations

from testbed.stack.tcp.tcb import MODULUS, Tcb
from testbed.stack.tcp.transmit import Transmitter
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.tcp_options import TcpOption, Timestamps

__all__ = ["CLOCK_GOES_BACK", "CLOCK_RACES", "CLOCK_STANDS", "ECHOES_NOTHING"]


class _Slowly(Transmitter):
    """Has every segment made with its options, so that there is one place for a fault."""

    __slots__ = ()

    def _put_fast(
        self, c: Tcb, now: Instant, seq: int, flags: int, payload: bytes, *, window: int
    ) -> None:
        options = self._options(c, now, data=bool(payload))
        self.put(c, now, seq, c.rcv_nxt, flags, window=window, options=options, payload=payload)


class _Stands(_Slowly):
    __slots__ = ()

    def clock(self, c: Tcb, now: Instant) -> int:  # noqa: ARG002 - that is the fault
        return c.ts_offset % MODULUS


class _GoesBack(_Slowly):
    __slots__ = ()

    def clock(self, c: Tcb, now: Instant) -> int:
        return (c.ts_offset - now // self._config.timestamp_tick) % MODULUS


class _Races(_Slowly):
    __slots__ = ()

    def clock(self, c: Tcb, now: Instant) -> int:
        return (c.ts_offset + now // 100) % MODULUS


class _EchoesNothing(_Slowly):
    __slots__ = ()

    def _options(self, c: Tcb, now: Instant, *, data: bool) -> tuple[TcpOption, ...]:
        options = super()._options(c, now, data=data)
        return tuple(
            [
                Timestamps(each.value, 0) if isinstance(each, Timestamps) else each
                for each in options
            ]
        )


CLOCK_STANDS = Defect(
    "its clock stands still",
    "TC-30",
    "A stack fills in the same timestamp all day: the option is there, and neither round-trip "
    "times nor old duplicates can be told by it.",
    {Transmitter: _Stands},
)

CLOCK_GOES_BACK = Defect(
    "its clock goes back",
    "TC-30",
    "A stack takes its timestamps from a counter that counts down: to a peer that looks at them "
    "every segment after the first is an old duplicate.",
    {Transmitter: _GoesBack},
)

CLOCK_RACES = Defect(
    "its clock goes too fast",
    "TC-30",
    "A stack takes a counter of 100 ns for its clock: after three idle minutes its segments look "
    "older than those before, and are dropped.",
    {Transmitter: _Races},
)

ECHOES_NOTHING = Defect(
    "echoes nothing",
    "TC-30",
    "A stack sends timestamps and echoes none: its peers measure no round-trip time, and resend "
    "too early or too late.",
    {Transmitter: _EchoesNothing},
)
