"""Recordings as plans see them: made at full rate, looked at when they are over."""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from testbed.capture import Point, PointView, Proof, Trace
from testbed.errors import CaptureError, ExpectationFailed, LinkError, PlanError
from testbed.hosts import Loop, Tap
from testbed.hosts.loop_recorder import LoopRecorder
from testbed.link.port import KernelPort
from testbed.link.recorder import Clock, Overrun, Wish
from testbed.timing import Duration, Instant, format_duration, milliseconds
from testbed.wire.frame import Frame

if TYPE_CHECKING:  # numpy comes with these, which few plans need
    from testbed.capture.columns import Columns
    from testbed.capture.tcp import TracedTcp
    from testbed.link.recorder.recorder import Recorder

__all__ = ["NicRecording"]

LOOK_EVERY = milliseconds(5)
TOLD = 5
"""Losses that an error names."""


class NicRecording:
    """Frames that come to a NIC, within a ``with`` block; made by ``nic.record(...)``.

    ::

        with b.record() as recording, a.stream(frame, count=1_000_000) as stream:
            stream.wait()
            bench.watch_for(milliseconds(10))
        recording.expect_count(stream.sent)
        recording.columns.time  # numpy arrays of all frames

    Recorded by a program in the kernel (``engine``, ``why``), or in the fastest other way that
    there is. A frame that could not be recorded is never missing in silence: it is in ``overruns``
    with its time, in the file, in the report, and leaving the block is a CaptureError, unless the
    plan said that it can do with a ``lossy`` one. Expectations on it are errors then.
    """

    def __init__(self, role: str, wish: Wish, tap: Tap, loop: Loop, *, lossy: bool) -> None:
        self.role = role
        self.wish = wish
        self._tap = tap
        self._loop = loop
        self._lossy = lossy
        self._recorder: Recorder | LoopRecorder | None = None
        self._over = False
        self._data: bytes | mmap.mmap = b""

    def start(self) -> Self:
        """Begin to record; PlanError when it was begun before."""
        if self._recorder is not None:
            raise PlanError(f"{self.role}: a recording is made once: make another one")
        port = self._tap.port
        if isinstance(port, KernelPort):
            # numpy, and what only Linux has, are loaded where they are needed.
            from testbed.link.recorder.choosing import open_recorder  # noqa: PLC0415

            self._recorder = open_recorder(self.wish, port.interface, self.role)
        else:
            self._recorder = LoopRecorder(self.wish, self._tap, self._loop, self.role)
        return self

    def stop(self) -> int:
        """Record no more; how many frames were recorded. LinkError where it was broken off."""
        if not self._over:
            recorder = self._at_work
            self._over = True
            try:
                if isinstance(recorder, LoopRecorder):
                    recorder.stop()
                else:
                    self._loop.call(recorder.stop)
            finally:
                self._data = recorder.store.read()
                recorder.store.close()
        return self.frames

    def wait(self, within: Duration) -> int:
        """Turn the loop until a limit has ended it; how many frames were recorded.

        CaptureError when none has in time; the recording goes on then.
        """
        deadline = self._loop.now() + within
        while self._at_work.running:
            left = deadline - self._loop.now()
            if left <= 0:
                raise CaptureError(
                    f"{self.role}: the recording did not end within {format_duration(within)}: "
                    f"it has {self.frames} frames"
                )
            look = Duration(min(LOOK_EVERY, left))
            self._loop.run_until(lambda: not self._at_work.running, look)
        return self.stop()

    def abandon(self) -> None:
        """Stop at the end of a plan that does not care any more."""
        if self.begun:
            with contextlib.suppress(LinkError):
                self.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        if error is not None:
            self.abandon()
            return
        self.stop()
        if self.lost and not self._lossy:
            raise CaptureError(f"{self.role}: the recording is not whole: {self.losses}")

    @property
    def begun(self) -> bool:
        """Whether it was started."""
        return self._recorder is not None

    @property
    def engine(self) -> str:
        """What records."""
        return self._at_work.engine

    @property
    def why(self) -> str:
        """Why it is that and nothing faster."""
        return self._at_work.why

    @property
    def clock(self) -> Clock:
        """What frames are stamped with."""
        return self._at_work.clock

    @property
    def frames(self) -> int:
        """Frames recorded so far."""
        return self._at_work.frames

    @property
    def ended_by(self) -> str:
        """The limit that ended it: ``count``, ``size``, ``duration`` or ``match``; or empty."""
        return self._at_work.ended_by

    @property
    def overruns(self) -> Sequence[Overrun]:
        """What came and could not be recorded."""
        return tuple(self._at_work.overruns)

    @property
    def lost(self) -> int:
        """Frames that came and could not be recorded."""
        return self._at_work.lost

    @property
    def losses(self) -> str:
        """The same in words; empty where nothing was lost."""
        told = [str(each) for each in self.overruns]
        more = [f"and {len(told) - TOLD} more times"] if len(told) > TOLD else []
        return "; ".join((*told[:TOLD], *more))

    @property
    def path(self) -> Path | None:
        """The pcapng file; None for a recording in memory."""
        return self.wish.path

    @property
    def pcapng(self) -> bytes | mmap.mmap:
        """The recording as a file, so far."""
        return self._data if self._over else self._at_work.store.read()

    @property
    def columns(self) -> Columns:
        """The recorded frames as numpy arrays."""
        from testbed.capture.columns import read_columns  # noqa: PLC0415 - as above

        return read_columns(self.pcapng)

    @property
    def trace(self) -> Trace:
        """The recorded frames one by one, with the proof of what is not among them.

        For thousands of frames; millions are better looked at as ``columns``.
        """
        point = Point(self.role, f"recorded by {self.engine}")
        trace = Trace([point], path=None if self.path is None else str(self.path))
        columns = self.columns
        rows = zip(columns.time.tolist(), columns.length.tolist(), strict=True)
        trace.add(
            self.role,
            (
                Frame(columns.packet(row), Instant(at), wire_length=length)
                for row, (at, length) in enumerate(rows)
            ),
        )
        trace.set_proof(self.role, self._proof(of_each=True))
        return trace

    @property
    def seen(self) -> PointView:
        """What came, for expectations as on a capture: ``recording.seen.expect_none(...)``.

        What was under way when the block was left is not in it: settle a capture within the block,
        or wait. That something did not come cannot be proven by a recording that has a filter, or
        that a limit has ended.
        """
        return self.trace.at(self.role)

    def tcp(self) -> TracedTcp:
        """The TCP analysis of what came."""
        return self.trace.tcp(self.role)

    def expect_count(self, wanted: int | range) -> int:
        """So many frames were recorded, or a number in that range; how many they were.

        They are those of the filter, where there is one. CaptureError where that cannot be said:
        frames were lost, the link was down, or the recording is not over.
        """
        counts = range(wanted, wanted + 1) if isinstance(wanted, int) else wanted
        proof = self._proof(of_each=False)
        proven = proof.holds or (self.frames > counts[-1])
        if not proven:
            raise CaptureError(f"{self.role}: nothing is proven, the capture is {proof.why_not()}")
        if self.frames not in counts:
            bounds = str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"
            of = "" if self.wish.wanted is None else f" of {self.wish.wanted}"
            raise ExpectationFailed(f"{self.role}: expect {bounds} frames{of}: {self.frames} came")
        return self.frames

    def _proof(self, *, of_each: bool) -> Proof:
        """What is known; ``of_each``: of frames of any kind, and not of how many they were."""
        recorder = self._at_work
        reasons = []
        if recorder.fault:
            reasons.append(recorder.fault)
        if recorder.lost:
            reasons.append(self.losses)
        filtered = of_each and self.wish.wanted is not None
        if filtered:
            reasons.append(f"only frames of its filter were recorded: {self.wish.wanted}")
        cut = recorder.ended_by not in ("", "duration")
        if cut:
            reasons.append(f"the recording was over when its {recorder.ended_by} was reached")
        if not self._over:
            reasons.append("the recording is not over: what came last may not be in it")
        forgotten = of_each and self.wish.keep is not None
        if forgotten:
            reasons.append("only the latest part is kept")
        return Proof(
            alive=not recorder.fault,
            lossless=not (recorder.lost or filtered or forgotten),
            settled=self._over and not cut,
            reasons=tuple(reasons),
        )

    @property
    def _at_work(self) -> Recorder | LoopRecorder:
        if self._recorder is None:
            raise PlanError(f"{self.role}: the recording was not begun: use it in a with block")
        return self._recorder
