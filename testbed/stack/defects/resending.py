"""Faults of the retransmission timer, of SACK, of reordering and of fast retransmission."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from testbed.stack.tcp.delivery import Delivery
from testbed.stack.tcp.handshake import Handshake
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.receivebuffer import Inserted, ReceiveBuffer
from testbed.stack.tcp.recovery import LossRecovery
from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp.tcb import Tcb
from testbed.stack.tcp_config import TcpConfig
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, milliseconds

__all__ = [
    "ACKS_OVER_HOLES",
    "CONSTANT_RTO",
    "COUNTS_DATA",
    "COUNTS_WINDOW_UPDATES",
    "DEAF_TO_PATH",
    "FIRES_AT_FIVE",
    "FIRES_AT_ONE",
    "FIRES_AT_TWO",
    "GROWS_BY_HALF",
    "NEVER_COUNTS_ANEW",
    "NO_DSACK",
    "NO_DUPLICATES_ABOVE_HOLES",
    "OLDEST_BLOCK_FIRST",
    "ONE_BLOCK",
    "OUT_OF_ORDER",
    "REPORTS_NOTHING",
    "RESENDS_ALL",
    "STARTS_AT_THREE",
    "WAITS_FOR_RTO",
]


# TC-10: the timeout


class _NoBackOff(RttEstimator):
    __slots__ = ()

    def back_off(self) -> None:
        self.backoffs = 0


class _HalfMore(RttEstimator):
    __slots__ = ()

    @property
    def rto(self) -> Duration:
        held, self.backoffs = self.backoffs, 0
        first, self.backoffs = super().rto, held
        return Duration(round(first * 1.5**held))


class _ThreeFirst(Handshake):
    __slots__ = ()

    def syn_timeout(self, c: Tcb) -> Duration:
        return Duration(3 * super().syn_timeout(c))


class _LeastAlways(RttEstimator):
    __slots__ = ()

    @property
    def rto(self) -> Duration:
        measured = self.srtt is not None
        return Duration(milliseconds(200) << self.backoffs) if measured else super().rto


CONSTANT_RTO = Defect(
    "constant RTO",
    "TC-10",
    "A stack for small devices sends again every second, whatever comes of it: when a path is "
    "congested, a thousand of them keep it so.",
    {RttEstimator: _NoBackOff},
)

GROWS_BY_HALF = Defect(
    "grows by half",
    "TC-10",
    "A stack waits half as long again after each timeout where it is to wait twice as long: "
    "it backs off too slowly for a path that is overloaded.",
    {RttEstimator: _HalfMore},
)

STARTS_AT_THREE = Defect(
    "starts at 3 s",
    "TC-10",
    "A stack still has the initial timeout of RFC 1122: a SYN that was lost costs its user three "
    "seconds.",
    {Handshake: _ThreeFirst},
)

DEAF_TO_PATH = Defect(
    "takes no account of the path",
    "TC-10",
    "A stack tuned for one building has a timeout of 200 ms whatever it measures: by satellite it "
    "sends everything twice.",
    {RttEstimator: _LeastAlways},
)


# TC-14: SACK


class _All(LossRecovery):
    __slots__ = ()

    def _enter_fast(self, reason: Reason, now: Instant) -> None:
        super()._enter_fast(reason, now)
        self._board.forget_sacked()
        self._board.mark_lost(self._board.segments, reason)


class _OneBlock(ReceiveBuffer):
    __slots__ = ()

    def sack_blocks(
        self, limit: int, duplicate: tuple[int, int] | None = None
    ) -> tuple[tuple[int, int], ...]:
        return super().sack_blocks(min(limit, 1), duplicate)


class _OldestFirst(ReceiveBuffer):
    __slots__ = ()

    def sack_blocks(
        self, limit: int, duplicate: tuple[int, int] | None = None
    ) -> tuple[tuple[int, int], ...]:
        return super().sack_blocks(limit, duplicate)[::-1]


class _NoDuplicatesAbove(Delivery):
    __slots__ = ()

    def note_duplicate(self, c: Tcb, start: int, end: int) -> None:
        if not c.receiving.out_of_order_bytes:
            super().note_duplicate(c, start, end)


class _NoDsack(ReceiveBuffer):
    __slots__ = ()

    def sack_blocks(
        self,
        limit: int,
        duplicate: tuple[int, int] | None = None,  # noqa: ARG002 - that is the fault
    ) -> tuple[tuple[int, int], ...]:
        return super().sack_blocks(limit)


class _NoBlocks(ReceiveBuffer):
    __slots__ = ()

    def sack_blocks(
        self,
        limit: int,  # noqa: ARG002 - that is the fault
        duplicate: tuple[int, int] | None = None,  # noqa: ARG002 - likewise
    ) -> tuple[tuple[int, int], ...]:
        return ()


RESENDS_ALL = Defect(
    "resends all",
    "TC-14",
    "A stack agrees to SACK and goes back to the first hole all the same: each loss on a long path "
    "costs the whole window once more.",
    {LossRecovery: _All},
)

ONE_BLOCK = Defect(
    "reports one block",
    "TC-14",
    "A receiver tells of the latest island only: one ACK lost, and the sender resends what had "
    "come.",
    {ReceiveBuffer: _OneBlock},
)

OLDEST_BLOCK_FIRST = Defect(
    "reports the oldest block first",
    "TC-14",
    "A receiver tells its islands in the order of their numbers: where there are more than fit, "
    "the news is what is left out.",
    {ReceiveBuffer: _OldestFirst},
)

NO_DUPLICATES_ABOVE_HOLES = Defect(
    "reports no duplicates above a hole",
    "TC-14",
    "A receiver reports what came twice below the ACK only: a sender that resends too much above a "
    "hole never learns it.",
    {Delivery: _NoDuplicatesAbove},
)

NO_DSACK = Defect(
    "keeps duplicates to itself",
    "TC-14",
    "A receiver does not tell what came twice: the sender never learns that its timeouts are too "
    "short.",
    {ReceiveBuffer: _NoDsack},
)

REPORTS_NOTHING = Defect(
    "agrees to SACK and reports nothing",
    "TC-14",
    "A middlebox, or a stack, lets the option of the SYN pass and sends no blocks: the sender "
    "recovers one hole per round trip.",
    {ReceiveBuffer: _NoBlocks},
)


# TC-16: reordering


class _FillerLast(ReceiveBuffer):
    __slots__ = ()

    def _insert_in_order(self, data: bytes, duplicate: tuple[int, int] | None) -> Inserted:
        before = len(self._pieces)
        result = super()._insert_in_order(data, duplicate)
        if result.advance > len(data):
            self._pieces.append(self._pieces.pop(before))
        return result


class _OverHoles(ReceiveBuffer):
    __slots__ = ()

    def _insert_ahead(self, seq: int, data: bytes) -> Inserted:
        gap = seq - self.next
        return self._insert_in_order(bytes(gap) + data, None)


OUT_OF_ORDER = Defect(
    "out of order",
    "TC-16",
    "A driver with several queues hands what was held back to the application before what filled "
    "the hole: files arrive with their blocks exchanged.",
    {ReceiveBuffer: _FillerLast},
)

ACKS_OVER_HOLES = Defect(
    "acks over holes",
    "TC-16",
    "A receiver without a reassembly queue takes a segment that came early for the next one: the "
    "bytes between are never sent again, and zeros stand in their place.",
    {ReceiveBuffer: _OverHoles},
)


# TC-20: fast retransmission


class _NeverFast(LossRecovery):
    __slots__ = ()

    def _may_be_loss(self) -> bool:
        return False

    def _find_losses(self, now: Instant) -> None:
        if self.in_recovery:
            super()._find_losses(now)


class _CountsAll(LossRecovery):
    __slots__ = ()

    def _asks_again(self, pure: bool, window_moved: bool) -> bool:  # noqa: ARG002 - that is the fault
        return not window_moved


class _CountsUpdates(LossRecovery):
    __slots__ = ()

    def _asks_again(self, pure: bool, window_moved: bool) -> bool:  # noqa: ARG002 - that is the fault
        return pure


class _CountsOn(LossRecovery):
    __slots__ = ()

    def _on_progress(self, acked: int, before: int, flight: int, now: Instant) -> None:
        counted = self._dupacks
        super()._on_progress(acked, before, flight, now)
        self._dupacks = counted


def _with_threshold(count: int) -> type[LossRecovery]:
    """Loss recovery that fires at so many duplicates."""

    class Counting(LossRecovery):
        __slots__ = ()

        def __init__(self, config: TcpConfig, *rest: Any) -> None:
            held = replace(config, duplicate_ack_threshold=count, rack=False)
            super().__init__(held, *rest)

    return Counting


WAITS_FOR_RTO = Defect(
    "waits for RTO",
    "TC-20",
    "A stack as of before 1988 counts no duplicates: every lost segment stops the transfer for as "
    "long as the timer runs.",
    {LossRecovery: _NeverFast},
)

FIRES_AT_ONE = Defect(
    "fires at one",
    "TC-20",
    "A stack takes the first duplicate for a loss: two packets that change places cost a "
    "retransmission and half of the window.",
    {LossRecovery: _with_threshold(1)},
)

FIRES_AT_TWO = Defect(
    "fires at two",
    "TC-20",
    "A stack counts the ACK itself among its duplicates: it fires one too early, on paths that "
    "reorder a little.",
    {LossRecovery: _with_threshold(2)},
)

FIRES_AT_FIVE = Defect(
    "fires at five",
    "TC-20",
    "A stack was made patient for a network that reorders: with a small window the duplicates do "
    "not suffice, and the timer has to do it.",
    {LossRecovery: _with_threshold(5)},
)

COUNTS_DATA = Defect(
    "counts data as duplicate ACKs",
    "TC-20",
    "A stack counts every segment that acknowledges nothing new, also those with data: where both "
    "sides speak at once, each resends and slows down though nothing was lost.",
    {LossRecovery: _CountsAll},
)

COUNTS_WINDOW_UPDATES = Defect(
    "counts window updates as duplicate ACKs",
    "TC-20",
    "A stack does not look whether the window of an ACK has changed: a receiver that reads in "
    "small steps has its sender resend and slow down.",
    {LossRecovery: _CountsUpdates},
)

NEVER_COUNTS_ANEW = Defect(
    "goes on counting after progress",
    "TC-20",
    "A stack forgets to set its count back when an ACK moves on: on a path that reorders a little "
    "every third duplicate of a whole transfer counts for a loss.",
    {LossRecovery: _CountsOn},
)
