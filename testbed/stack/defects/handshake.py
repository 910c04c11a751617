"""Faults of opening a connection: third ACKs, SYNs that are lost, stale, or cross; SYN floods."""

from __future__ import annotations

from dataclasses import replace

from testbed.stack.tcp.cookies import Cookies, Kept
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.listener import Listener
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import Key, Tcb, Timer
from testbed.stack.tcp.transmit import ACK, FIN
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import MSS, Timestamps

__all__ = [
    "BACKLOG_FILLS",
    "DROPS_DATA_OF_THIRD_ACK",
    "ENDS_AT_STALE_SYN_ACK",
    "FORGETS_TO_BACK_OFF",
    "HALF_OPEN_LEAK",
    "HOLDS_EVERY_HALF_OPEN",
    "LOSES_FIN_OF_THIRD_ACK",
    "NEVER_GIVES_UP_HALF_OPEN",
    "NEVER_RELEASES_HALF_OPEN",
    "NEVER_RESENDS_SYN_ACK",
    "RENUMBERS_CROSSING_SYN",
    "RENUMBERS_RESENT_SYN",
    "REPEATS_SYN_ACK",
    "RESETS_CROSSING_SYN",
    "RESETS_DATA_OF_THIRD_ACK",
    "SILENT_ON_STALE_SYN_ACK",
    "SLOT_LEAK",
    "TAKES_ANY_COOKIE",
    "TAKES_ANY_SYN_ACK",
]

_ASTRAY = 0x10000
"""How far a wrong initial sequence number is from the right one."""


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


# TC-05: stale SYN


class _DeafToReset(Input):
    __slots__ = ()

    def _reset(self, c: Tcb, seq: int, now: Instant) -> None:
        if c.state is not State.SYN_RECEIVED:
            super()._reset(c, seq, now)


class _KeepsSlot(Listener):
    __slots__ = ()

    def lost(self, c: Tcb) -> None:
        """Forget to take ``c`` off the queue."""


class _TakesAnySynAck(Handshake):
    __slots__ = ()

    def in_syn_sent(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        if int(segment.flags) & ACK:
            segment = replace(segment, ack=c.snd_nxt & 0xFFFFFFFF)
        super().in_syn_sent(c, segment, now)


class _SilentOnStale(Handshake):
    __slots__ = ()

    def in_syn_sent(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        if not int(segment.flags) & ACK or segment.ack == c.snd_nxt & 0xFFFFFFFF:
            super().in_syn_sent(c, segment, now)


class _EndsAtStale(Handshake):
    __slots__ = ()

    def in_syn_sent(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        super().in_syn_sent(c, segment, now)
        if c.state is State.SYN_SENT:
            self._lifecycle.fail(c, Cause.RESET, "ECONNREFUSED", "a stale SYN+ACK came", now)


HALF_OPEN_LEAK = Defect(
    "half-open leak",
    "TC-05",
    "A server does not believe resets during the handshake: what an old SYN opened stays, and the "
    "client that sent it is locked out until it times out.",
    {Input: _DeafToReset},
)

SLOT_LEAK = Defect(
    "backlog leak",
    "TC-05",
    "A reset takes a half-open connection away but not off the listener's count: after as many "
    "resets as the backlog holds the port is dead.",
    {Listener: _KeepsSlot},
)

TAKES_ANY_SYN_ACK = Defect(
    "takes any SYN+ACK",
    "TC-05",
    "A client does not look at what a SYN+ACK acknowledges: old ones, and forged ones, open a "
    "connection that the server knows nothing of.",
    {Handshake: _TakesAnySynAck},
)

SILENT_ON_STALE_SYN_ACK = Defect(
    "silent on a stale SYN+ACK",
    "TC-05",
    "A client, or the firewall on it, drops a SYN+ACK to an old SYN instead of resetting it: the "
    "server stays half open and refuses the new SYN meanwhile.",
    {Handshake: _SilentOnStale},
)

ENDS_AT_STALE_SYN_ACK = Defect(
    "gives up at a stale SYN+ACK",
    "TC-05",
    "A client resets a stale SYN+ACK and its own attempt with it: connecting again soon after a "
    "crash fails.",
    {Handshake: _EndsAtStale},
)


# TC-06: simultaneous open


class _ResetsCrossing(Handshake):
    __slots__ = ()

    def _simultaneous(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        del segment
        self._transmit.reset(c, now)
        self._lifecycle.fail(c, Cause.RESET, "ECONNREFUSED", "a SYN came for a SYN", now)


class _RenumbersCrossing(Handshake):
    __slots__ = ()

    def _simultaneous(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        self._factory.renumber(c, c.iss + _ASTRAY)
        c.snd_nxt = c.iss + 1
        super()._simultaneous(c, segment, now)


class _RepeatsSynAck(Input):
    __slots__ = ()

    def _syn_in_syn_received(self, c: Tcb, segment: TcpSegment, seq: int, now: Instant) -> bool:
        if not c.passive:
            self._handshake.resend_syn(c, now)
            return True
        return super()._syn_in_syn_received(c, segment, seq, now)


RESETS_CROSSING_SYN = Defect(
    "RST",
    "TC-06",
    "A stack, or the NAT before it, takes a SYN for its SYN as an attack: peers that open to each "
    "other through NATs never meet.",
    {Handshake: _ResetsCrossing},
)

RENUMBERS_CROSSING_SYN = Defect(
    "a new number for its SYN+ACK",
    "TC-06",
    "A stack handles a SYN in SYN-SENT as a listener would and answers from a new initial "
    "sequence number: the peer has heard two.",
    {Handshake: _RenumbersCrossing},
)

REPEATS_SYN_ACK = Defect(
    "SYN+ACK for SYN+ACK",
    "TC-06",
    "Stacks of Berkeley's line answered the peer's SYN+ACK by their own again, and two of them "
    "went on so for ever.",
    {Input: _RepeatsSynAck},
)


# TC-07: SYN flood


class _NoCookies(Listener):
    __slots__ = ()

    def _overflow(self, packet: IPv4Packet, segment: TcpSegment, now: Instant) -> None:
        del packet, segment, now


class _Unbounded(Listener):
    __slots__ = ()

    def has_room(self) -> bool:
        return True


class _Credulous(Cookies):
    __slots__ = ()

    def check(self, key: Key, segment: TcpSegment, now: Instant) -> Kept | None:
        return super().check(key, segment, now) or Kept(536, (MSS(536),))


BACKLOG_FILLS = Defect(
    "backlog fills",
    "TC-07",
    "A server without cookies: a few SYNs a second from nowhere, and no client gets in.",
    {Listener: _NoCookies},
)

HOLDS_EVERY_HALF_OPEN = Defect(
    "memory without bound",
    "TC-07",
    "A server holds a connection for every SYN that comes: a flood ends when its memory does.",
    {Listener: _Unbounded},
)

TAKES_ANY_COOKIE = Defect(
    "takes any cookie",
    "TC-07",
    "A server under flood does not check what an ACK brings back: connections from forged "
    "addresses by one segment each.",
    {Cookies: _Credulous},
)
