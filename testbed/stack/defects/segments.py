"""Faults of what is done with a segment's header: checksum, offset, and the bits URG, PSH, RST."""

from __future__ import annotations

from dataclasses import replace

from testbed.errors import WireError
from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.guard import Guard
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.layer import TcpLayer
from testbed.stack.tcp.states import Cause
from testbed.stack.tcp.tcb import Tcb
from testbed.stack.tcp.transmit import RST, Transmitter
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import TcpOption

__all__ = [
    "ANSWERS_BAD_CHECKSUM",
    "ANY_RST_KILLS",
    "ANY_RST_REFUSES",
    "BELIEVES_AT_THE_END",
    "CHECKS_NOTHING",
    "DROPS_URGENT",
    "NO_CHALLENGE",
    "POINTS_AT_URGENT",
    "RST_ANYWHERE_KILLS",
    "TRUSTS_OFFSET",
    "ZERO_IS_NO_CHECKSUM",
]


def _unchecked(packet: IPv4Packet) -> TcpSegment | None:
    """The segment in ``packet``, its checksum not looked at; None where it cannot be read."""
    try:
        return TcpSegment.parse(packet.payload, packet.src, packet.dst, verify=False)
    except WireError:
        return None


def _is_whole(packet: IPv4Packet) -> bool:
    try:
        TcpSegment.parse(packet.payload, packet.src, packet.dst)
    except WireError:
        return False
    return True


def _summed(packet: IPv4Packet, segment: TcpSegment) -> IPv4Packet:
    return replace(packet, payload=segment.emit(packet.src, packet.dst))


# TC-08: checksum and offset


class _ChecksNothing(TcpLayer):
    __slots__ = ()

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        segment = _unchecked(packet)
        super().receive(packet if segment is None else _summed(packet, segment), now)


class _ZeroIsNone(TcpLayer):
    __slots__ = ()

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        segment = _unchecked(packet)
        if segment is not None and packet.payload[16:18] == b"\0\0":
            packet = _summed(packet, segment)
        super().receive(packet, now)


class _TrustsOffset(TcpLayer):
    __slots__ = ()

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        data = packet.payload
        if len(data) >= 20 and not 20 <= data[12] >> 4 << 2 <= len(data):
            plain = data[:12] + bytes((0x50 | data[12] & 0x0F,)) + data[13:]
            segment = _unchecked(replace(packet, payload=plain))
            if segment is not None:
                packet = _summed(packet, segment)
        super().receive(packet, now)


class _AnswersBad(TcpLayer):
    __slots__ = ()

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        segment = _unchecked(packet)
        if segment is not None and not _is_whole(packet) and not int(segment.flags) & RST:
            self._refuse(packet, segment, now)
        super().receive(packet, now)


CHECKS_NOTHING = Defect(
    "acks it",
    "TC-08",
    "A NIC that says of every segment that its checksum is right, and a driver that believes it: "
    "what a bad cable or memory changed is acknowledged and lands in files.",
    {TcpLayer: _ChecksNothing},
)

ZERO_IS_NO_CHECKSUM = Defect(
    "takes 0 for no checksum",
    "TC-08",
    "A stack that shares its checksum code with UDP lets segments through whose field is 0.",
    {TcpLayer: _ZeroIsNone},
)

TRUSTS_OFFSET = Defect(
    "trusts the offset",
    "TC-08",
    "A stack does not test the data offset against 5 words and the segment's length: at best it "
    "takes garbage for data, at worst it reads beyond the packet.",
    {TcpLayer: _TrustsOffset},
)

ANSWERS_BAD_CHECKSUM = Defect(
    "resets it",
    "TC-08",
    "A stack answers a segment with a wrong checksum by a reset: one changed bit ends a "
    "connection that a retransmission would have saved.",
    {TcpLayer: _AnswersBad},
)


# TC-09: URG, PSH, RST


class _BelievesInWindow(Guard):
    __slots__ = ()

    def reset_exact(self, c: Tcb, seq: int) -> bool:
        del c, seq
        return True


class _BelievesAtEnd(Guard):
    __slots__ = ()

    def reset_exact(self, c: Tcb, seq: int) -> bool:
        return seq == c.rcv_adv - 1 or super().reset_exact(c, seq)


class _BelievesAnywhere(Input):
    __slots__ = ()

    def _reset(self, c: Tcb, seq: int, now: Instant) -> None:
        del seq
        self._obey_reset(c, now)


class _NeverChallenges(Guard):
    __slots__ = ()

    def challenge(self, c: Tcb, why: str, now: Instant) -> None:
        """Say nothing."""


class _RefusedByAny(Handshake):
    __slots__ = ()

    def in_syn_sent(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        if int(segment.flags) & RST:
            self._lifecycle.fail(c, Cause.RESET, "ECONNREFUSED", "refused by the peer", now)
        else:
            super().in_syn_sent(c, segment, now)


class _NoUrgency(Delivery):
    __slots__ = ()

    def urgent(self, c: Tcb, segment: TcpSegment, seq: int) -> None:
        """Take no notice."""


class _PointsAt(Transmitter):
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
            ack,
            flags,
            window=window,
            options=options,
            payload=payload,
            urgent=max(0, urgent - 1),
        )


ANY_RST_KILLS = Defect(
    "any RST kills",
    "TC-09",
    "A stack from before RFC 5961 takes every reset in the window: whoever guesses the ports ends "
    "a connection by some thousand segments, as BGP sessions were in 2004.",
    {Guard: _BelievesInWindow},
)

BELIEVES_AT_THE_END = Defect(
    "believes a RST at the window's end",
    "TC-09",
    "A stack obeys a reset at the last byte of the window, too: a peer announces that number in "
    "each ACK, and whoever sees or guesses one end has the connection.",
    {Guard: _BelievesAtEnd},
)

RST_ANYWHERE_KILLS = Defect(
    "a RST from anywhere kills",
    "TC-09",
    "A stack does not look at a reset's number at all: one segment ends any connection whose ports "
    "are known.",
    {Input: _BelievesAnywhere},
)

NO_CHALLENGE = Defect(
    "no challenge ACK",
    "TC-09",
    "A stack drops resets that are not exact and says nothing: a peer that was started anew and "
    "means its reset cannot learn the right number.",
    {Guard: _NeverChallenges},
)

ANY_RST_REFUSES = Defect(
    "refused by any RST",
    "TC-09",
    "A client gives up on a reset that acknowledges nothing of its SYN: forged ones need no number "
    "to keep it from connecting.",
    {Handshake: _RefusedByAny},
)

DROPS_URGENT = Defect(
    "URG ignored",
    "TC-09",
    "A stack, or a normalising firewall that clears the pointer, lets urgent data be read as any "
    "other: the interrupt of a terminal waits behind its output.",
    {Delivery: _NoUrgency},
)

POINTS_AT_URGENT = Defect(
    "points at the urgent byte",
    "TC-09",
    "A stack follows RFC 1122's correction, not what all others do: its pointer is at the last "
    "urgent byte, the peer takes the one before for it.",
    {Transmitter: _PointsAt},
)
