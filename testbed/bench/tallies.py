"""Receive statistics in a plan: what arrived at a NIC of streams that were signed."""

from __future__ import annotations

from dataclasses import asdict
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from testbed.errors import LinkError, PlanError
from testbed.hosts import Loop, Subscription, Tap
from testbed.link.port import KernelPort, clock_of
from testbed.link.streams.tally import StreamTally, Tally
from testbed.timing import format_duration
from testbed.wire.frame import Direction, Frame

if TYPE_CHECKING:
    from testbed.link.streams.counter import Balance, KernelTally

__all__ = ["ReceiveTally"]

_HEADINGS = (
    "stream", "received", "lost", "again", "late", "least", "mean", "p99", "most", "jitter",
)  # fmt: skip


def _row(number: int, tally: StreamTally) -> tuple[str, ...]:
    counts = (number, tally.received, tally.lost, tally.duplicates, tally.late + tally.stale)
    times = (
        tally.least_latency,
        tally.mean_latency,
        tally.latency_within(0.99),
        tally.most_latency,
        tally.jitter,
    )
    return (*map(str, counts), *map(format_duration, times))


class ReceiveTally:
    """Counts signed frames that arrive at a NIC, by stream, within a ``with`` block.

    ::

        with b.tally() as tally, a.stream(signed(frame), pps=100_000, count=50_000) as stream:
            stream.wait()
            bench.watch_for(milliseconds(10))
        assert tally.of(0).lost == 0

    Counted by a program in the kernel, which keeps these frames from captures, or frame by frame
    where that cannot be; ``engine`` and ``why`` say which. A frame that the slow way missed is a
    LinkError at the end, as is one that the NIC had no room for: it would look like a loss of the
    device. While the kernel counts on a veth, it may merge TCP segments of others before a capture
    of this NIC sees them.

    All of it can be read while frames come: ``print(tally.table())``.
    """

    def __init__(self, role: str, tap: Tap, loop: Loop, *, captured: bool) -> None:
        self.role = role
        self.engine = ""
        self.why = ""
        self._tap = tap
        self._loop = loop
        self._captured = captured
        self._kernel: KernelTally | None = None
        self._slow = Tally()
        self._subscription: Subscription | None = None
        self._dropped = 0

    @property
    def streams(self) -> dict[int, StreamTally]:
        """What came so far of each stream of which anything came."""
        return self._slow.streams if self._kernel is None else self._kernel.streams

    @property
    def received(self) -> int:
        """Frames of all streams so far."""
        if self._kernel is not None:
            return self._kernel.received
        return sum(each.received for each in self._slow.streams.values())

    @property
    def others(self) -> int:
        """Frames so far that were not signed, and count nowhere else."""
        return self._slow.others if self._kernel is None else self._kernel.others

    @property
    def clock(self) -> str:
        """What the time of arrival is taken from."""
        return clock_of(self._tap.port) if self._kernel is None else self._kernel.clock

    @property
    def balance(self) -> Balance | None:
        """How the kernel's own counter of the NIC compares; known at the end, where it counted."""
        return None if self._kernel is None else self._kernel.balance

    def as_dict(self) -> dict[str, Any]:
        """All of it for a report, fit for JSON."""
        return {
            "balance": None if self.balance is None else asdict(self.balance),
            "nic": self.role,
            "engine": self.engine,
            "why": self.why,
            "clock": self.clock,
            "others": self.others,
            "streams": {number: each.as_dict() for number, each in sorted(self.streams.items())},
        }

    def table(self, most: int = 20) -> str:
        """What came so far as lines of text: a stream in each, those with losses first."""
        streams = sorted(self.streams.items(), key=lambda pair: (-pair[1].lost, pair[0]))
        rows = [_HEADINGS, *(_row(number, each) for number, each in streams[:most])]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(map(str.rjust, row, widths)) for row in rows]
        if len(streams) > most:
            lines.append(f"and {len(streams) - most} streams more")
        return "\n".join(lines)

    def of(self, stream: int) -> StreamTally:
        """What came so far of one stream, which may be nothing."""
        return self.streams.get(stream, StreamTally())

    def __enter__(self) -> Self:
        if self.engine:
            raise PlanError(f"{self.role}: a tally counts once: make another one")
        self._kernel = self._in_kernel()
        if self._kernel is None:
            self.engine = "frame by frame"
            self._tap.pump()
            self._dropped = self._tap.port.dropped()
            self._subscription = self._tap.subscribe(self._hear)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if self._kernel is not None:
            self._kernel.close()
            if self._kernel.missed and error is None:
                raise LinkError(
                    f"{self.role}: {self._kernel.missed} frames were missed by the NIC, which had "
                    "no room for them: send at a lower rate"
                )
        if self._subscription is not None:
            self._tap.pump()
            self._subscription.close()
            missed = self._tap.port.dropped() - self._dropped
            if missed and error is None:
                raise LinkError(
                    f"{self.role}: {missed} frames were missed while they were counted frame by "
                    "frame: send at a lower rate"
                )

    def _in_kernel(self) -> KernelTally | None:
        if not isinstance(self._tap.port, KernelPort):
            self.why = "it keeps the lab's own time"
            return None
        if self._captured:
            self.why = "captures are to see the frames"
            return None
        # numpy, and what only Linux has, are loaded where they are needed.
        from testbed.link.streams.counter import open_tally  # noqa: PLC0415

        self.engine, self.why, tally = open_tally(self._tap.port.interface)
        return tally

    def _hear(self, frame: Frame) -> None:
        if frame.direction is Direction.IN:
            ahead = self._loop.wall_now() - self._loop.now()
            self._slow.hear(frame.data, frame.at - ahead)
