"""Faults of tiny segments and tiny windows: Nagle, and the silly window syndrome."""

from __future__ import annotations

from testbed.stack.tcp.output import Output
from testbed.stack.tcp.tcb import Tcb
from testbed.stack.tcp.window import Window
from testbed.stack.variants import Defect
from testbed.timing import Instant

__all__ = [
    "HALF_IS_FULL",
    "HOLDS_FULL_SEGMENTS",
    "NAGLE_ALWAYS",
    "NEVER_OVERRIDES",
    "NO_NAGLE",
    "QUARTER_IS_ENOUGH",
    "SILLY_RECEIVER",
    "SILLY_SENDER",
    "TALKATIVE_RECEIVER",
]


class _NeverWaits(Output):
    __slots__ = ()

    def nagle(self, c: Tcb) -> bool:
        del c
        return False


class _AlwaysWaits(Output):
    __slots__ = ()

    def nagle(self, c: Tcb) -> bool:
        del c
        return True


class _TakesAnyWindow(Output):
    __slots__ = ()

    def small_may_go(self, c: Tcb, size: int, waiting: int) -> bool:
        del size, waiting
        return c.snd_nxt == c.snd_una or not self.nagle(c)


class _HalfIsFull(Output):
    __slots__ = ()

    def small_may_go(self, c: Tcb, size: int, waiting: int) -> bool:
        return size >= c.mss >> 1 or super().small_may_go(c, size, waiting)


class _HoldsFull(Output):
    __slots__ = ()

    def sendable(self, c: Tcb, now: Instant) -> int:
        size = super().sendable(c, now)
        return 0 if self.nagle(c) and c.snd_una < c.small_end else size


class _QuarterIsEnough(Output):
    __slots__ = ()

    def small_may_go(self, c: Tcb, size: int, waiting: int) -> bool:
        held, c.max_window = c.max_window, c.max_window >> 1
        may = super().small_may_go(c, size, waiting)
        c.max_window = held
        return may


class _NoOverride(Output):
    __slots__ = ()

    def override(self, c: Tcb, now: Instant) -> None:
        pass


class _OffersEveryByte(Window):
    __slots__ = ()

    def grows(self, c: Tcb, offered: int, free: int) -> bool:
        del c
        return free > offered

    def worth_telling(self, c: Tcb) -> bool:
        return self.free(c) > c.rcv_adv - c.rcv_nxt


class _TellsEveryRead(Window):
    __slots__ = ()

    def grows(self, c: Tcb, offered: int, free: int) -> bool:
        return free > offered and free >= min(c.mss, c.receiving.limit >> 1)

    def worth_telling(self, c: Tcb) -> bool:
        return self.grows(c, c.rcv_adv - c.rcv_nxt, self.free(c))


NO_NAGLE = Defect(
    "tinygrams",
    "TC-24",
    "A stack sends every keystroke in a segment of its own: forty bytes of headers for one, and a "
    "slow line is full of them.",
    {Output: _NeverWaits},
)

HALF_IS_FULL = Defect(
    "takes half a segment for a full one",
    "TC-24",
    "A stack lets go what is worth a segment, and half of one is worth it: a program that writes "
    "records of a kilobyte fills the line with segments of a kilobyte.",
    {Output: _HalfIsFull},
)

HOLDS_FULL_SEGMENTS = Defect(
    "holds full segments, too",
    "TC-24",
    "A stack lets nothing go while a small segment is unacknowledged, however much has come "
    "together: each request costs a round trip, or the peer's delayed ACK.",
    {Output: _HoldsFull},
)

QUARTER_IS_ENOUGH = Defect(
    "takes a quarter of the window for enough",
    "TC-24",
    "A stack has another fraction than its receivers: where these open their window by less than "
    "a segment, it is cut up all the same.",
    {Output: _QuarterIsEnough},
)

NAGLE_ALWAYS = Defect(
    "ignores TCP_NODELAY",
    "TC-24",
    "A stack takes the option and does nothing: interactive protocols wait a round trip, or the "
    "peer's delayed ACK, for each step.",
    {Output: _AlwaysWaits},
)

SILLY_SENDER = Defect(
    "uses a tiny window at once",
    "TC-24",
    "The silly window syndrome of RFC 813: a stack sends whatever the window takes, and a window "
    "that was cut up once stays so for the rest of the transfer.",
    {Output: _TakesAnyWindow},
)

NEVER_OVERRIDES = Defect(
    "waits in a tiny window for ever",
    "TC-24",
    "A stack avoids silly windows and has no override timeout: a peer with a small buffer never "
    "offers enough, and the transfer hangs.",
    {Output: _NoOverride},
)

SILLY_RECEIVER = Defect(
    "offers every byte that is read",
    "TC-24",
    "A stack tells of each byte that its application reads: the peer sends as many segments.",
    {Window: _OffersEveryByte},
)

TALKATIVE_RECEIVER = Defect(
    "tells of every read",
    "TC-24",
    "A stack offers no tiny window, but sends an ACK for each read: as many ACKs as a slow "
    "application makes calls.",
    {Window: _TellsEveryRead},
)
