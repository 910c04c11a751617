"""Faults of the three segments that open a connection, and of what is done when one is lost."""

from __future__ import annotations

from dataclasses import replace

from testbed.stack.tcp.factory import Factory
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.states import State
from testbed.stack.tcp.tcb import Tcb, Timer
from testbed.stack.tcp.transmit import ACK, FIN, SYN, Transmitter
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import TcpOption, Timestamps

__all__ = [
    "ACKS_X",
    "ACKS_Y",
    "DROPS_DATA_OF_THIRD_ACK",
    "FORGETS_TO_BACK_OFF",
    "LOSES_FIN_OF_THIRD_ACK",
    "NEVER_GIVES_UP_HALF_OPEN",
    "NEVER_RELEASES_HALF_OPEN",
    "NEVER_RESENDS_SYN_ACK",
    "RENUMBERS_RESENT_SYN",
    "RESETS_DATA_OF_THIRD_ACK",
]

_ASTRAY = 0x10000
"""How far a wrong initial sequence number is from the right one."""


# TC-01: handshake


class _AcksX(Transmitter):
    __slots__ = ()

    def put(
        self,
        c: Tcb,
        now: Instant,
        seq: int,
        ack: int,
        flags: int,
        *,
        window: int,
        options: tuple[TcpOption, ...] = (),
        payload: bytes = b"",
        urgent: int = 0,
    ) -> None:
        super().put(
            c,
            now,
            seq,
            ack - 1 if flags == SYN | ACK else ack,
            flags,
            window=window,
            options=options,
            payload=payload,
            urgent=urgent,
        )


class _AcksY(Factory):
    __slots__ = ()

    def hear_syn(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        super().hear_syn(c, segment, now)
        if not c.passive:
            c.rcv_nxt -= 1


ACKS_X = Defect(
    "acks x",
    "TC-01",
    "A server counts no number for the SYN: no client takes its SYN+ACK.",
    {Transmitter: _AcksX},
)

ACKS_Y = Defect(
    "acks y",
    "TC-01",
    "A client counts no number for the server's SYN: its ACK completes nothing.",
    {Factory: _AcksY},
)


# TC-03: data on the third ACK


class _WantsBareAck(Input):
    __slots__ = ()

    def _acknowledged(
        self, c: Tcb, segment: TcpSegment, seq: int, stamp: Timestamps | None, now: Instant
    ) -> None:
        if c.state is State.SYN_RECEIVED:
            segment = replace(
                segment, payload=b"", flags=TcpFlags(int(segment.flags) & ~FIN), options=()
            )
        super()._acknowledged(c, segment, seq, stamp, now)


class _LosesFin(Input):
    __slots__ = ()

    def _acknowledged(
        self, c: Tcb, segment: TcpSegment, seq: int, stamp: Timestamps | None, now: Instant
    ) -> None:
        if c.state is State.SYN_RECEIVED:
            segment = replace(segment, flags=TcpFlags(int(segment.flags) & ~FIN))
        super()._acknowledged(c, segment, seq, stamp, now)


class _ResetsEarlyData(Input):
    __slots__ = ()

    def _acknowledged(
        self, c: Tcb, segment: TcpSegment, seq: int, stamp: Timestamps | None, now: Instant
    ) -> None:
        if c.state is State.SYN_RECEIVED and segment.payload:
            self._lifecycle.abort(c, now)
        else:
            super()._acknowledged(c, segment, seq, stamp, now)


DROPS_DATA_OF_THIRD_ACK = Defect(
    "dropped",
    "TC-03",
    "A stack takes nothing of the third ACK but its number: every request whose bare ACK was lost, "
    "or never sent, waits for a retransmission timeout.",
    {Input: _WantsBareAck},
)

LOSES_FIN_OF_THIRD_ACK = Defect(
    "loses the FIN",
    "TC-03",
    "A server that takes the text of the third ACK but not its FIN waits for more of a request "
    "that is complete.",
    {Input: _LosesFin},
)

RESETS_DATA_OF_THIRD_ACK = Defect(
    "resets",
    "TC-03",
    "A SYN proxy that knows nothing but bare ACKs in a handshake resets clients that save one.",
    {Input: _ResetsEarlyData},
)


# TC-04: lost SYN, SYN+ACK, third ACK


class _NeverReleases(Handshake):
    __slots__ = ()

    def unanswered(self, c: Tcb, now: Instant) -> None:
        if c.passive and self.exhausted(c, now):
            c.due.pop(Timer.SYN, None)
        else:
            super().unanswered(c, now)


class _NeverGivesUp(Handshake):
    __slots__ = ()

    def exhausted(self, c: Tcb, now: Instant) -> bool:
        return not c.passive and super().exhausted(c, now)


class _SendsSynAckOnce(Handshake):
    __slots__ = ()

    def resend_syn(self, c: Tcb, now: Instant) -> None:
        if not c.passive:
            super().resend_syn(c, now)


class _Impatient(Handshake):
    __slots__ = ()

    def syn_timeout(self, c: Tcb) -> Duration:
        del c
        return self._config.initial_rto


class _RenumbersResent(Handshake):
    __slots__ = ()

    def resend_syn(self, c: Tcb, now: Instant) -> None:
        if not c.passive:
            self._factory.renumber(c, c.iss + _ASTRAY)
            c.snd_nxt = c.iss + 1
        super().resend_syn(c, now)


NEVER_RELEASES_HALF_OPEN = Defect(
    "never released",
    "TC-04",
    "A server keeps half-open connections whose client is gone until it is started anew: scans "
    "and lost clients use its memory up.",
    {Handshake: _NeverReleases},
)

NEVER_GIVES_UP_HALF_OPEN = Defect(
    "never gives up",
    "TC-04",
    "A server resends its SYN+ACK for ever: SYNs from forged addresses make it bombard whoever has "
    "them.",
    {Handshake: _NeverGivesUp},
)

NEVER_RESENDS_SYN_ACK = Defect(
    "never resends its SYN+ACK",
    "TC-04",
    "A server leaves it to the client to repair a lost SYN+ACK; one whose third ACK was lost "
    "waits for ever for a server that speaks first.",
    {Handshake: _SendsSynAckOnce},
)

FORGETS_TO_BACK_OFF = Defect(
    "no back-off",
    "TC-04",
    "A device that calls home sends its SYN every second: when the server is back, all of them "
    "keep it down.",
    {Handshake: _Impatient},
)

RENUMBERS_RESENT_SYN = Defect(
    "a new number for each SYN",
    "TC-04",
    "A stack draws a new initial sequence number for a SYN that it resends: the SYN+ACK to the "
    "first one, late, is taken for a stale one and resets the connection.",
    {Handshake: _RenumbersResent},
)
