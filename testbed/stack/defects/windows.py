"""Faults of windows that are full, and of closed ones."""

from __future__ import annotations

from dataclasses import replace

from testbed.stack.tcp.acks import Acks
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.states import Cause
from testbed.stack.tcp.tcb import Tcb
from testbed.stack.tcp.timers import Timers
from testbed.stack.tcp.transmit import ACK
from testbed.stack.tcp.window import Window
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant
from testbed.wire.tcp import TcpSegment

__all__ = [
    "DEAF_TO_UPDATES",
    "DEAF_WHILE_CLOSED",
    "GIVES_UP_CLOSED_WINDOWS",
    "LOSES_PROBED_BYTE",
    "NEVER_PROBES",
    "NEVER_TELLS",
    "ONE_BYTE_OVER",
    "PROBES_STEADILY",
    "PROBES_WITH_GARBAGE",
    "PROBES_WITH_SEGMENTS",
    "SILENT_ON_PROBES",
    "SKIPS_PROBED_BYTE",
]

# Full windows


class _OneByteOver(Output):
    __slots__ = ()

    def sendable(self, c: Tcb, now: Instant) -> int:
        window = c.snd_wnd
        c.snd_wnd += window > 0
        size = super().sendable(c, now)
        c.snd_wnd = window
        return size


ONE_BYTE_OVER = Defect(
    "a byte beyond the window",
    "TC-13",
    "A stack takes the number after the window for its last one: the byte that there was no room "
    "for is dropped, and resent, at each window that was filled.",
    {Output: _OneByteOver},
)

# Closed windows


class _NoProbes(Output):
    __slots__ = ()

    def watch_window(self, c: Tcb, now: Instant) -> None:
        pass


class _SteadyProbes(Output):
    __slots__ = ()

    def persist_interval(self, c: Tcb) -> Duration:
        return c.rtt.rto


class _ImpatientProbes(Timers):
    __slots__ = ()

    def persist(self, c: Tcb, now: Instant) -> None:
        if c.persists == 3:
            self._lifecycle.fail(c, Cause.GIVE_UP, "ETIMEDOUT", "the window stayed closed", now)
        else:
            super().persist(c, now)


class _WholeSegmentProbes(Output):
    __slots__ = ()

    def probe_window(self, c: Tcb, now: Instant) -> None:
        super().probe_window(c, now)
        payload = c.sending.read(c.snd_una, min(self.room(c), c.sending.end - c.snd_una))
        self._transmit.send(c, now, c.snd_una, ACK, payload)


class _NoBareUpdates(Acks):
    __slots__ = ()

    def update_window(self, c: Tcb, segment: TcpSegment, seq: int, ack: int, now: Instant) -> bool:
        if ack == c.snd_una:
            return False
        return super().update_window(c, segment, seq, ack, now)


class _ProbesWithData(Output):
    __slots__ = ()

    def probe_window(self, c: Tcb, now: Instant) -> None:
        held, self._config = self._config, replace(self._config, persist_data=True)
        super().probe_window(c, now)
        self._config = held


class _Garbage(_ProbesWithData):
    __slots__ = ()

    def probe_window(self, c: Tcb, now: Instant) -> None:
        held = c.sending
        c.sending = type(held)(held.start)
        c.sending.append(bytes(held.size))
        super().probe_window(c, now)
        c.sending = held


class _SkipsProbed(_ProbesWithData):
    __slots__ = ()

    def take_probe_back(self, c: Tcb) -> None:
        c.probing = False
        c.recovery.sent(c.snd_una, c.snd_una + 1, c.sent_at)


def _probed(c: Tcb, seq: int, length: int) -> bool:
    """Whether a segment of data has come into a closed window."""
    return length > 0 and seq == c.rcv_nxt >= c.rcv_adv


class _SilentOnProbes(Input):
    __slots__ = ()

    def _in_window(self, c: Tcb, segment: TcpSegment, seq: int, length: int, now: Instant) -> bool:
        return not _probed(c, seq, length) and super()._in_window(c, segment, seq, length, now)


class _LosesProbed(Input):
    __slots__ = ()

    def _in_window(self, c: Tcb, segment: TcpSegment, seq: int, length: int, now: Instant) -> bool:
        if length == 1 and _probed(c, seq, length):
            c.rcv_nxt = c.rcv_adv = c.receiving.next = seq + 1
            c.ack_now = True
            return False
        return super()._in_window(c, segment, seq, length, now)


class _DeafWhileClosed(Input):
    __slots__ = ()

    def _in_window(self, c: Tcb, segment: TcpSegment, seq: int, length: int, now: Instant) -> bool:
        inside = super()._in_window(c, segment, seq, length, now)
        return inside and c.rcv_nxt < c.rcv_adv


class _NeverTells(Window):
    __slots__ = ()

    def worth_telling(self, c: Tcb) -> bool:
        return c.rcv_nxt < c.rcv_adv and super().worth_telling(c)


NEVER_PROBES = Defect(
    "deadlock",
    "TC-23",
    "A stack waits for the peer to say that its window is open again: if that one ACK is lost, "
    "both wait for ever.",
    {Output: _NoProbes},
)

PROBES_STEADILY = Defect(
    "probes at a constant pace",
    "TC-23",
    "A stack probes every closed window five times a second: a stopped printer has a storm for a "
    "queue.",
    {Output: _SteadyProbes},
)

GIVES_UP_CLOSED_WINDOWS = Defect(
    "gives up a peer that answers",
    "TC-23",
    "A stack counts probes like retransmissions, answered or not: a printer that is out of paper "
    "over lunch loses its jobs.",
    {Timers: _ImpatientProbes},
)

PROBES_WITH_SEGMENTS = Defect(
    "sends on into the closed window",
    "TC-23",
    "A stack probes with whole segments, which the peer has no room for and drops.",
    {Output: _WholeSegmentProbes},
)

DEAF_TO_UPDATES = Defect(
    "takes no window from an ACK of nothing new",
    "TC-23",
    "A stack looks at windows in ACKs of new data only: one that has closed stays closed.",
    {Acks: _NoBareUpdates},
)

PROBES_WITH_GARBAGE = Defect(
    "probes with a byte of its own",
    "TC-23",
    "A stack probes with a zero, and hopes that nobody takes it: a peer whose window has just "
    "opened does, and a file has one wrong byte.",
    {Output: _Garbage},
)

SKIPS_PROBED_BYTE = Defect(
    "takes the probe's byte for sent",
    "TC-23",
    "A stack counts the byte that it has probed with for sent, though the peer had no room for it: "
    "after each stop the stream waits for a timeout.",
    {Output: _SkipsProbed},
)

SILENT_ON_PROBES = Defect(
    "silent on probes",
    "TC-23",
    "A stack with no room drops what comes and says nothing: to the peer it looks dead, and loses "
    "its connection.",
    {Input: _SilentOnProbes},
)

LOSES_PROBED_BYTE = Defect(
    "loses a probe's byte",
    "TC-23",
    "A stack acknowledges the byte of a probe, and has no place to put it.",
    {Input: _LosesProbed},
)

DEAF_WHILE_CLOSED = Defect(
    "deaf while its window is closed",
    "TC-23",
    "A stack takes no segment at all while it has no room, ACKs neither: where both sides are full "
    "they wait for each other for ever.",
    {Input: _DeafWhileClosed},
)

NEVER_TELLS = Defect(
    "does not tell of its window",
    "TC-23",
    "A stack opens its window and leaves it to the peer to find out: transfers go in steps of a "
    "probe's interval, in the end a minute.",
    {Window: _NeverTells},
)
