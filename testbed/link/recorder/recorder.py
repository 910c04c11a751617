"""A recorder at work: takes what an engine has, stops when it should, tells of what was lost."""

from __future__ import annotations

import contextlib
import os
import struct
import threading
import time

import numpy as np

from testbed.errors import LinkError
from testbed.link.nic import LinkWatch
from testbed.link.recorder.batch import Batch, Engine
from testbed.link.recorder.envelope import ending
from testbed.link.recorder.outcome import Clock, Overrun
from testbed.link.recorder.store import Store
from testbed.link.recorder.wish import Limits
from testbed.timing import Instant
from testbed.wire.pcapng import PACKET_HEAD, Option, number_option, packet_block, text_option

__all__ = ["Recorder"]

LOOK_EVERY = 0.002
"""Seconds between two looks at a ring that was empty."""
FLUSH_WITHIN = 2.0
"""Seconds that the kernel may take to hand over what it has at the end."""
FULL = "the recorder's ring was full"
_HEAD = struct.Struct("<IIIIIII")


class Recorder:
    """Writes what comes into a store, in a thread, from its making until stop() or a limit.

    ``store`` has the head of the file already. Frames that were lost are told of in the file where
    they are missing, and in ``overruns``. ``watch`` knows what the NIC itself lost.
    """

    def __init__(
        self, engine: Engine, store: Store, limits: Limits, watch: LinkWatch, why: str
    ) -> None:
        self.engine = engine.name
        """What records."""
        self.why = why
        """Why it is that and nothing faster."""
        self.store = store
        self.limits = limits
        self.frames = 0
        """Frames recorded so far."""
        self.overruns: list[Overrun] = []
        self.ended_by = ""
        """The limit that ended it; empty while it runs, and where it was stopped."""
        self.error: LinkError | None = None
        self.idle = True
        """Whether nothing waited when it last looked."""
        self.began = Instant(time.time_ns())
        self.passed = 0
        """Frames that came to the interface, wanted or not; known at the end."""
        self.fault = ""
        """Why the NIC cannot have heard all of the cable: its link went down, it was changed."""
        self._engine = engine
        self._watch = watch
        self._last = self.began
        self._untold: list[tuple[int, Overrun]] = []  # and at which row they are to be told of
        self._deadline = time.monotonic_ns() + (limits.duration or 0)
        self._ending = threading.Event()
        self._done = threading.Event()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="recorder", daemon=True)
        self._thread.start()

    @property
    def clock(self) -> Clock:
        """What frames are stamped with."""
        return self._engine.clock

    @property
    def lost(self) -> int:
        """Frames that came and are not in the recording, as far as is known."""
        return sum(overrun.lost for overrun in self.overruns)

    @property
    def running(self) -> bool:
        """Whether it records: no limit was reached, nothing went wrong."""
        return not self._done.is_set()

    def wait(self, seconds: float) -> bool:
        """Wait for it to end by itself; whether it has."""
        return self._done.wait(seconds)

    def stop(self) -> None:
        """Take what waits, write the end of the file, let go of all but the store.

        Twice is no error. Raises LinkError where it could not record to the end.
        """
        if not self._closed:
            self._ending.set()
            # Python takes a thread for ended when Ctrl-C comes while it is joined (bpo-45274).
            self._done.wait()
            self._thread.join()
            self._closed = True
            try:
                self._finish()
            finally:
                self._engine.close()
                self._watch.close()
        if self.error is not None:
            raise self.error

    def _run(self) -> None:
        _go_first()
        try:
            while not self._ending.is_set() and not self.ended_by:
                if not self._round():
                    self._ending.wait(LOOK_EVERY)
                if not self._is_over() and self._is_late():
                    self.ended_by = "duration"
            self._engine.stop()
            if self.ended_by in ("", "duration"):
                self._drain()
            self._look_at_nic()
        except LinkError as error:
            self.error = error
        except Exception as error:  # noqa: BLE001 - whatever it is, stop() raises it
            self.error = LinkError(f"the recorder broke off: {error!r}")
        finally:
            self._engine.stop()
            self._done.set()

    def _round(self) -> bool:
        """Take what waits; whether anything did."""
        batches = self._engine.take()
        if batches:
            self.idle = False
        for batch in batches:
            if not self._is_over():
                self._accept(batch)
        self._engine.release()
        self.idle = not batches
        return bool(batches)

    def _is_late(self) -> bool:
        return self.limits.duration is not None and time.monotonic_ns() >= self._deadline

    def _is_over(self) -> bool:
        return self.ended_by not in ("", "duration")

    def _drain(self) -> None:
        """Take what the kernel still has, and hear what it lost at the end."""
        deadline = time.monotonic() + FLUSH_WITHIN
        while not self._is_over():
            if self._round():
                deadline = time.monotonic() + FLUSH_WITHIN
            elif self._engine.drained:
                self._note(self._engine.lost_at_end(), self._last, Instant(time.time_ns()))
                return
            elif time.monotonic() > deadline:
                raise LinkError("the kernel did not hand over the last recorded frames")
            else:
                time.sleep(LOOK_EVERY)  # a timer of the kernel ends its block

    def _look_at_nic(self) -> None:
        """What the NIC itself lost, and whether it was there all the time."""
        try:
            now = Instant(time.time_ns())
            self._note(self._watch.missed(), self.began, now, "the NIC itself had no room")
            self._watch.check()
        except LinkError as error:
            self.fault = str(error)

    def _accept(self, batch: Batch) -> None:
        rows = self._cut(batch)
        for row, lost in batch.losses:
            if row < rows or row == rows == len(batch):
                after = Instant(batch.time(row - 1)) if row else self._last
                before = Instant(batch.time(row) if row < rows else time.time_ns())
                self._untold.append((row, self._note(lost, after, before)))
        at = 0
        while self._untold and self._untold[0][0] < rows:
            row = self._untold[0][0]
            told = [overrun for at_row, overrun in self._untold if at_row == row]
            del self._untold[: len(told)]
            begin, end = batch.begin(row), batch.begin(row + 1)
            self.store.write(batch.data[at:begin].data)
            self.store.write(_told(batch.data[begin:end].tobytes(), told))
            at = end
        self.store.write(batch.data[at : batch.begin(rows)].data)
        self._untold = [(0, overrun) for _, overrun in self._untold]
        if rows:
            self._last = Instant(batch.time(rows - 1))
            self.frames += rows

    def _cut(self, batch: Batch) -> int:
        """How many rows of the batch are recorded; sets what ends the recording there."""
        rows = len(batch)
        limits = self.limits
        if limits.count is not None and self.frames + rows >= limits.count:
            rows, self.ended_by = limits.count - self.frames, "count"
        if limits.size is not None:
            ends = np.append(batch.starts[1:], len(batch.data))
            fit = int(np.searchsorted(ends, limits.size - self.store.size, side="right"))
            if fit < rows:
                rows, self.ended_by = fit, "size"
        if batch.matched is not None:
            found = np.flatnonzero(batch.matched[:rows])
            if len(found):
                rows, self.ended_by = int(found[0]) + 1, "match"
        return rows

    def _note(self, lost: int, after: Instant, before: Instant, where: str = FULL) -> Overrun:
        overrun = Overrun(lost, after, before, where)
        if lost:
            self.overruns.append(overrun)
        return overrun

    def _finish(self) -> None:
        """Write what is known at the end; a loss behind the last frame can be told only there."""
        self.passed = self._engine.passed
        try:
            self.store.write(ending(self.began, time.time_ns(), self.frames, self.overruns))
        except LinkError as error:
            self.error = self.error or error


def _go_first() -> None:
    """Let nobody take this thread's CPU: frames do not wait for a busy machine.

    It works little, and sleeps when nothing waits. With one CPU others must have their turn.
    """
    if len(os.sched_getaffinity(0)) > 1:
        with contextlib.suppress(PermissionError):
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))


def _told(block: bytes, overruns: list[Overrun]) -> bytes:
    """A packet block, with what was lost before it."""
    _, _, interface, high, low, kept, length = _HEAD.unpack_from(block)
    options = (
        *(text_option(Option.COMMENT, str(each)) for each in overruns),
        number_option(Option.PACKET_DROPPED, sum(each.lost for each in overruns)),
    )
    data = block[PACKET_HEAD : PACKET_HEAD + kept]
    return packet_block(interface, high << 32 | low, data, length, options)
