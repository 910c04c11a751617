"""Faults of what is done with SYNs that nobody expects: stale, crossing, or floods of them."""

from __future__ import annotations

from dataclasses import replace

from testbed.stack.tcp.cookies import Cookies, Kept
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.listener import Listener
from testbed.stack.tcp.states import Cause, State
from testbed.stack.tcp.tcb import Key, Tcb
from testbed.stack.tcp.transmit import ACK
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import MSS

__all__ = [
    "BACKLOG_FILLS",
    "ENDS_AT_STALE_SYN_ACK",
    "HALF_OPEN_LEAK",
    "HOLDS_EVERY_HALF_OPEN",
    "RENUMBERS_CROSSING_SYN",
    "REPEATS_SYN_ACK",
    "RESETS_CROSSING_SYN",
    "SILENT_ON_STALE_SYN_ACK",
    "SLOT_LEAK",
    "TAKES_ANY_COOKIE",
    "TAKES_ANY_SYN_ACK",
]

_ASTRAY = 0x10000
"""How far a wrong initial sequence number is from the right one."""


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
