"""Faults of the sliding window: ACKs, windows, duplicates, and giving up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from testbed.stack.tcp.acks import Acks
from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.input import Input
from testbed.stack.tcp.lifecycle import Lifecycle
from testbed.stack.tcp.output import Output
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.recovery import LossRecovery
from testbed.stack.tcp.recovery.outcome import AckOutcome
from testbed.stack.tcp.recovery.phases import Phase
from testbed.stack.tcp.states import Cause
from testbed.stack.tcp.tcb import MODULUS, Tcb, unwrap
from testbed.stack.tcp.timers import Timers
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, seconds
from testbed.wire.tcp import TcpSegment
from testbed.wire.tcp_options import Timestamps

__all__ = [
    "ANSWERS_LATE_ACKS",
    "COUNTS_LATE_ACKS",
    "DELIVERS_OVERLAP",
    "DELIVERS_TWICE",
    "DROPS_OVERLAP",
    "FORGETS_THE_REST",
    "GIVES_UP_AT_ONCE",
    "GIVES_UP_IN_A_MINUTE",
    "IGNORES_USER_TIMEOUT",
    "IGNORES_WINDOW",
    "IGNORES_WINDOW_UPDATES",
    "NEVER_GIVES_UP",
    "RESENDS_ACKNOWLEDGED",
    "SILENT_ON_DUPLICATES",
    "STOPS_AND_WAITS",
    "TAKES_LATE_WINDOWS",
    "TELLS_NOBODY",
]

_NO_BOUND = 1 << 30
_A_MINUTE = seconds(50)


# TC-11: giving up


class _NeverR2(Timers):
    __slots__ = ()

    def _timed_out(self, c: Tcb, oldest: Instant, now: Instant) -> None:  # noqa: ARG002
        c.persist_from = now
        super()._timed_out(c, now, now)


class _NeverForSyn(Handshake):
    __slots__ = ()

    def exhausted(self, c: Tcb, now: Instant) -> bool:  # noqa: ARG002
        return False


class _Sooner(Timers):
    __slots__ = ()

    def _timed_out_sooner(self, c: Tcb, oldest: Instant, now: Instant, early: Duration) -> None:
        """As if the wait had begun ``early``."""
        since = c.persist_from
        c.persist_from = Instant(since - early)
        super()._timed_out(c, Instant(oldest - early), now)
        c.persist_from = since


class _AtOnce(_Sooner):
    __slots__ = ()

    def _timed_out(self, c: Tcb, oldest: Instant, now: Instant) -> None:
        self._timed_out_sooner(c, oldest, now, self._config.give_up)


class _InAMinute(_Sooner):
    __slots__ = ()

    def _timed_out(self, c: Tcb, oldest: Instant, now: Instant) -> None:
        self._timed_out_sooner(c, oldest, now, Duration(self._config.give_up - _A_MINUTE))


class _OneSyn(Handshake):
    __slots__ = ()

    def exhausted(self, c: Tcb, now: Instant) -> bool:  # noqa: ARG002
        return True


class _TellsNobody(Lifecycle):
    __slots__ = ()

    def fail(self, c: Tcb, cause: Cause, errno_name: str, text: str, now: Instant) -> None:
        if cause is not Cause.GIVE_UP:
            super().fail(c, cause, errno_name, text, now)
        c.options.user_timeout = None  # or it would be over again at once


class _NoUserTimeout(Timers):
    __slots__ = ()

    def _user_deadline(self, c: Tcb) -> Instant:  # noqa: ARG002
        return Instant(1 << 62)


NEVER_GIVES_UP = Defect(
    "forever",
    "TC-11",
    "A stack resends for ever: a server keeps a socket, a process and a buffer for each client "
    "that was switched off, until it has none left.",
    {Timers: _NeverR2, Handshake: _NeverForSyn},
)

GIVES_UP_AT_ONCE = Defect(
    "after one",
    "TC-11",
    "A stack ends a connection at its first timeout: a cable that is out for a second ends every "
    "session that crosses it.",
    {Timers: _AtOnce, Handshake: _OneSyn},
)

GIVES_UP_IN_A_MINUTE = Defect(
    "gives up within a minute",
    "TC-11",
    "A stack was tuned to give up within a minute: a router that takes 70 s to start again ends "
    "every session.",
    {Timers: _InAMinute},
)

TELLS_NOBODY = Defect(
    "tells nobody",
    "TC-11",
    "A stack stops resending and does not tell the program, which waits in read() for an answer "
    "until somebody restarts it.",
    {Lifecycle: _TellsNobody},
)

IGNORES_USER_TIMEOUT = Defect(
    "ignores the user timeout",
    "TC-11",
    "A stack takes TCP_USER_TIMEOUT and does not act on it: a cluster's node is missed a quarter "
    "of an hour later.",
    {Timers: _NoUserTimeout},
)


# TC-12: lost, late and duplicate ACKs


class _DeliversTwice(Input):
    __slots__ = ()

    def _unacceptable(self, c: Tcb, seq: int, payload: bytes, length: int, now: Instant) -> None:
        if payload and seq + len(payload) <= c.rcv_nxt:
            c.receiving._pieces.append(payload)  # noqa: SLF001
            c.receiving.unread += len(payload)
        super()._unacceptable(c, seq, payload, length, now)


class _Silent(Input):
    __slots__ = ()

    def _unacceptable(self, c: Tcb, seq: int, payload: bytes, length: int, now: Instant) -> None:
        pass


class _DropsOverlap(Delivery):
    __slots__ = ()

    def _odd_data(self, c: Tcb, seq: int, payload: bytes, now: Instant) -> None:
        if seq < c.rcv_nxt:
            c.ack_now = True
        else:
            super()._odd_data(c, seq, payload, now)


class _DeliversOverlap(Delivery):
    __slots__ = ()

    def _odd_data(self, c: Tcb, seq: int, payload: bytes, now: Instant) -> None:
        super()._odd_data(c, max(seq, c.rcv_nxt), payload, now)


class _AnswersLate(Acks):
    __slots__ = ()

    def take(
        self, c: Tcb, segment: TcpSegment, seq: int, stamp: Timestamps | None, now: Instant
    ) -> bool:
        late = unwrap(segment.ack, c.snd_una) < c.snd_una
        going_on = super().take(c, segment, seq, stamp, now)
        if late and going_on:
            c.ack_now = True
        return going_on


class _CountsLate(LossRecovery):
    __slots__ = ()

    def on_ack(
        self,
        ack: int,
        sack_blocks: Sequence[tuple[int, int]],
        now: Instant,
        *,
        rtt_sample: Duration | None = None,
        pure: bool = True,
        window_moved: bool = False,
    ) -> AckOutcome:
        return super().on_ack(
            max(ack, self.una),
            sack_blocks,
            now,
            rtt_sample=rtt_sample,
            pure=pure,
            window_moved=window_moved,
        )


class _TakesLateWindows(Acks):
    __slots__ = ()

    def take(
        self, c: Tcb, segment: TcpSegment, seq: int, stamp: Timestamps | None, now: Instant
    ) -> bool:
        if unwrap(segment.ack, c.snd_una) < c.snd_una:
            c.snd_wnd = segment.window << c.snd_scale
        return super().take(c, segment, seq, stamp, now)


DELIVERS_TWICE = Defect(
    "delivers twice",
    "TC-12",
    "A stack hands a segment up again that came twice: an ACK is lost, and the file has a thousand "
    "bytes too many.",
    {Input: _DeliversTwice},
)

SILENT_ON_DUPLICATES = Defect(
    "silent on duplicates",
    "TC-12",
    "A stack throws away what it has already, and says nothing: where its ACK was lost, the sender "
    "resends until it gives up.",
    {Input: _Silent},
)

DROPS_OVERLAP = Defect(
    "drops what overlaps",
    "TC-12",
    "A stack takes segments whole or not at all: a sender that puts old and new bytes into one, as "
    "it may when it resends, never gets the new ones through.",
    {Delivery: _DropsOverlap},
)

DELIVERS_OVERLAP = Defect(
    "delivers what overlaps",
    "TC-12",
    "A stack forgets to cut off what it has already: bytes come twice, and it acknowledges what "
    "was never sent.",
    {Delivery: _DeliversOverlap},
)

ANSWERS_LATE_ACKS = Defect(
    "answers late ACKs",
    "TC-12",
    "A stack answers an ACK that was overtaken, as it does a segment: two of the kind, and they "
    "answer each other until a packet is lost.",
    {Acks: _AnswersLate},
)

COUNTS_LATE_ACKS = Defect(
    "counts late ACKs",
    "TC-12",
    "A stack counts every ACK that does not move for a duplicate, also one that was overtaken: a "
    "path that reorders has it resend and halve its window again and again.",
    {LossRecovery: _CountsLate},
)

TAKES_LATE_WINDOWS = Defect(
    "takes windows of late ACKs",
    "TC-12",
    "A stack takes the window of every ACK, without SND.WL1 and SND.WL2: one that was overtaken "
    "tells of room that is no longer there.",
    {Acks: _TakesLateWindows},
)


# TC-13: the window


class _IgnoresWindow(Output):
    __slots__ = ()

    def sendable(self, c: Tcb, now: Instant) -> int:
        window, c.snd_wnd = c.snd_wnd, _NO_BOUND
        size = super().sendable(c, now)
        c.snd_wnd = window
        return size


class _StopsAndWaits(Output):
    __slots__ = ()

    def congestion_allows(self, c: Tcb, size: int) -> bool:  # noqa: ARG002
        return c.snd_nxt == c.snd_una


class _IgnoresUpdates(Acks):
    __slots__ = ()

    def update_window(self, c: Tcb, segment: TcpSegment, seq: int, ack: int, now: Instant) -> bool:
        if ack == c.snd_una and c.recovery.flight:
            return False
        return super().update_window(c, segment, seq, ack, now)


class _OneSegmentPerAck(Acks):
    __slots__ = ()

    def take(
        self, c: Tcb, segment: TcpSegment, seq: int, stamp: Timestamps | None, now: Instant
    ) -> bool:
        if c.recovery.phase is Phase.TIMEOUT:
            ack = min(unwrap(segment.ack, c.snd_una), c.snd_una + c.recovery.congestion.smss)
            segment = replace(segment, ack=ack % MODULUS)
        return super().take(c, segment, seq, stamp, now)


class _ForgetsRest(LossRecovery):
    __slots__ = ()

    def _mark_timed_out(self, now: Instant, *, again: bool = True) -> None:  # noqa: ARG002
        self._board.mark_lost(self._board.segments[:1], Reason.RTO)


IGNORES_WINDOW = Defect(
    "ignores the window",
    "TC-13",
    "A stack sends what congestion control allows and does not look at the receiver's window: a "
    "printer with two kilobytes of memory loses most of each page.",
    {Output: _IgnoresWindow},
)

STOPS_AND_WAITS = Defect(
    "stops and waits",
    "TC-13",
    "The stack of a small device has one segment under way at a time: a megabyte over 100 ms takes "
    "more than a minute.",
    {Output: _StopsAndWaits},
)

IGNORES_WINDOW_UPDATES = Defect(
    "ignores window updates",
    "TC-13",
    "A stack takes a new window from ACKs of new data alone: a receiver that opens its window "
    "later than it acknowledges is never sent more than before.",
    {Acks: _IgnoresUpdates},
)

RESENDS_ACKNOWLEDGED = Defect(
    "resends what was acknowledged",
    "TC-13",
    "A stack takes an ACK for one segment, whatever its number, while it recovers from a timeout: "
    "one loss, and all of the window goes twice.",
    {Acks: _OneSegmentPerAck},
)

FORGETS_THE_REST = Defect(
    "resends the first alone",
    "TC-13",
    "A stack resends one segment at a timeout and takes the others for under way: after an outage "
    "each of them costs a timeout of its own.",
    {LossRecovery: _ForgetsRest},
)
