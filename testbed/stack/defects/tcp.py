"""Faults of TCP's options: agreed to without being asked, or used without being agreed."""

from __future__ import annotations

from testbed.stack.tcp.factory import Factory
from testbed.stack.tcp.layer import TcpLayer
from testbed.stack.tcp.tcb import Tcb
from testbed.stack.tcp.window import Window
from testbed.stack.variants import Defect
from testbed.timing import Instant
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import MSS, UnknownOption

__all__ = [
    "ASSUMES_1460",
    "CHOKES_ON_UNKNOWN_OPTIONS",
    "SACK_UNASKED",
    "SCALES_UNAGREED",
    "TIMESTAMPS_UNASKED",
]


class _ReadsScaled(Factory):
    __slots__ = ()

    def _agree(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        super()._agree(c, segment, now)
        if c.rcv_scale < 0:
            c.snd_scale = max(1, self._window.scale_for(c.receiving.limit))


class _TellsScaled(Window):
    __slots__ = ()

    def _told(self, c: Tcb, window: int, *, up: bool) -> int:
        if c.rcv_scale < 0 < c.snd_scale:
            window >>= c.snd_scale
        return super()._told(c, window, up=up)


class _BelievesIn1460(Factory):
    __slots__ = ()

    def hear_syn(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        super().hear_syn(c, segment, now)
        if segment.option(MSS) is None:
            c.peer_mss = 1460


class _StampsUnasked(Factory):
    __slots__ = ()

    def _agree(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        super()._agree(c, segment, now)
        c.ts_on = True


class _SacksUnasked(Factory):
    __slots__ = ()

    def _agree(self, c: Tcb, segment: TcpSegment, now: Instant) -> None:
        super()._agree(c, segment, now)
        c.sack_on = True


class _KnowsAllOptions(TcpLayer):
    __slots__ = ()

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        if not self._has_unknown(packet):
            super().receive(packet, now)

    def _has_unknown(self, packet: IPv4Packet) -> bool:
        segment = TcpSegment.parse(packet.payload, packet.src, packet.dst)
        return any(isinstance(option, UnknownOption) for option in segment.options)


SCALES_UNAGREED = Defect(
    "scales though not agreed",
    "TC-02",
    "A stack that looks at its own setting alone scales windows of peers and middleboxes that took "
    "the option out of the SYN: transfers crawl, or overrun the receiver.",
    {Factory: _ReadsScaled, Window: _TellsScaled},
)

ASSUMES_1460 = Defect(
    "takes 1460 for granted",
    "TC-02",
    "A stack that only ever met Ethernet sends 1460 bytes to a peer that announced no MSS and has "
    "room for 536.",
    {Factory: _BelievesIn1460},
)

TIMESTAMPS_UNASKED = Defect(
    "timestamps unasked",
    "TC-02",
    "A stack puts timestamps into segments to a peer that never offered them.",
    {Factory: _StampsUnasked},
)

SACK_UNASKED = Defect(
    "permits SACK unasked",
    "TC-02",
    "A stack sends SACK blocks to a peer that never said it understands them.",
    {Factory: _SacksUnasked},
)

CHOKES_ON_UNKNOWN_OPTIONS = Defect(
    "chokes on unknown options",
    "TC-02",
    "A stack, or the firewall in front of it, drops segments with an option that it does not know, "
    "and new options cannot be deployed.",
    {TcpLayer: _KnowsAllOptions},
)
