"""What senders in the kernel share: a program run on live frames in a thread, until it is over."""

from __future__ import annotations

import contextlib
import os
import threading
import time

from testbed.errors import LinkError, Unsupported
from testbed.link.ebpf import BpfError, Program, SharedArray, can_redirect_to, can_run_live
from testbed.link.ebpf.waking import interrupt, make_interruptible
from testbed.link.streams.job import UNLIMITED, Counted, Outlet
from testbed.link.streams.pace import Pace
from testbed.link.streams.transmitter import BEHIND, END, INTERVAL, LAST, LIMIT, SENT
from testbed.timing import Duration

__all__ = ["LiveSender", "batch_for"]

REPEAT = 0xFFFF_FFFF
"""Runs of one call, the most there can be: minutes, and the thread then calls again."""

WATCH_EVERY = 0.005
"""Seconds between two looks at whether the job is over."""

ALONE, SHARING = 0.9, 0.06
"""Seconds in which nobody may take the sender's CPU, and then seconds in which others may.

Of every second the kernel keeps 50 ms for those who wait (/sys/kernel/debug/sched/fair_server), and
takes them in one piece from who never lets go: a hole in the stream. Who has shared keeps them."""

_EXACT = threading.Semaphore(max(0, len(os.sched_getaffinity(0)) - 1))
"""Who may have a CPU to itself: one CPU is left to all others."""

AT_TOP_SPEED = 64
BATCHES = ((3_000_000, AT_TOP_SPEED), (1_000_000, 16), (500_000, 4), (0, 1))
"""Frames that the kernel takes at a time, by rate: a batch leaves together, so slow ones are
small. Measured on a veth, 99th percentile of how late a frame is: 0.3 us at 300,000 a second one by
one, 0.5 us at 700,000 in fours, 1 us at a million in sixteens; in batches of 64 it is 3 us."""


class LiveSender(Counted):
    """A sender in the kernel. One CPU is busy with it as long as it runs, at any rate.

    Raises Unsupported, with the reason, where it cannot be. Its program reads and writes words of
    ``state``, which begins as that of ``transmitter`` does.
    """

    name = "XDP live frames"

    def __init__(
        self, outlet: Outlet, state_size: int, *, limit: int, duration: Duration | None, batch: int
    ) -> None:
        super().__init__(outlet, duration)
        self._require()
        self._limit = limit
        self._threads: list[threading.Thread] = []
        self._changed = threading.Event()
        self._stopped = False
        self._batch = batch
        self._exact = False
        self._frame = b""
        self._program: Program | None = None
        self._state = SharedArray(state_size, "state")
        self._words = self._state.view("u8")
        self._words[LIMIT // 8] = 0
        self._words[END // 8] = UNLIMITED

    def _load(self, code: bytes, longest: int) -> None:
        """Take the program, for frames of up to ``longest`` bytes; Unsupported where it cannot."""
        self._frame = bytes(longest)
        try:
            self._program = Program(code, "transmitter")
            # It sends nothing yet; a kernel that cannot do it says so now.
            self._program.run_live(self._frame, 1, batch=1)
        except BpfError as error:
            raise Unsupported(f"the kernel takes no such stream: {error}") from error

    def _require(self) -> None:
        for probe in (
            can_run_live(),
            can_redirect_to(self.outlet.interface, self.outlet.index),
        ):
            if not probe.works:
                raise Unsupported(probe.why)
        if any(isinstance(other, LiveSender) for other in self.others()):
            raise Unsupported(f"another stream is sent at {self.outlet.interface} by it")
        if (os.cpu_count() or 1) < 2:
            raise Unsupported("this machine has one CPU, and it would be busy with nothing else")

    @property
    def sent(self) -> int:
        """Frames sent so far."""
        return int(self._words[SENT // 8]) - self.lost

    @property
    def behind(self) -> int:
        """How often the schedule was given up because the machine was 5 ms late."""
        return int(self._words[BEHIND // 8])

    @property
    def done(self) -> bool:
        """Whether all is sent, the time is over, or it was stopped."""
        return self._stopped or self._is_over()

    def start(self) -> None:
        """Begin."""
        self._open()
        self._words[END // 8] = self._end
        self._begin()
        self._words[LIMIT // 8] = self._limit
        make_interruptible()
        self._exact = _EXACT.acquire(blocking=False)
        runner = threading.Thread(target=self._run, name="stream", daemon=True)
        warden = threading.Thread(target=self._watch, args=(runner,), name="warden", daemon=True)
        self._threads += [runner, warden]
        for thread in self._threads:
            thread.start()

    def wait(self, within: float) -> bool:
        """Wait until it is done, for so many seconds at most; whether it is."""
        if self._threads:
            self._threads[-1].join(within)
        return self.done

    def _begin(self) -> None:
        """Set the words that say when frames are due; more threads may be added here."""

    def set_pace(self, pace: Pace) -> None:
        """Go on at another pace, from now on. How many frames a burst has cannot change."""
        if not self._words[INTERVAL // 8]:  # without a gap the program does not look at the time
            self._words[LAST // 8] = 0
        self._words[INTERVAL // 8] = pace.interval
        if batch_for(pace.pps) != self._batch:
            self._batch = batch_for(pace.pps)
            self._changed.set()

    def stop(self) -> None:
        """Send no more; returns when nothing is under way."""
        if self._stopped:
            return
        self._words[LIMIT // 8] = 0
        self._stopped = True
        self._changed.set()
        for thread in self._threads:
            thread.join()
        try:
            self._settle(int(self._words[SENT // 8]))
        finally:
            self._release()

    def _is_over(self) -> bool:
        words = self._words
        return bool(
            self.error is not None
            or words[SENT // 8] >= words[LIMIT // 8]
            or time.monotonic_ns() >= self._end
        )

    def _run(self) -> None:
        program = self._program
        assert program is not None  # noqa: S101 - whoever starts it has loaded it
        try:
            while not self.done:
                batch = self._batch
                if self._exact:
                    _set_priority(0, fixed=int(batch < AT_TOP_SPEED))
                program.run_live(self._frame, REPEAT, batch=batch)
        except LinkError as error:
            self.error = error
        finally:
            if self._exact:
                _EXACT.release()

    def _watch(self, runner: threading.Thread) -> None:
        """End the call that the runner is in when the job is over, or its batch is to change."""
        self._come_first()
        began, alone = time.monotonic(), True
        while runner.is_alive():
            wanted = (time.monotonic() - began) % (ALONE + SHARING) < ALONE
            paced = self._exact and self._batch < AT_TOP_SPEED
            if wanted is not alone and paced and runner.native_id:
                alone = wanted
                _set_priority(runner.native_id, fixed=int(alone), nice=-20)
            if self._changed.wait(WATCH_EVERY) or self.done:
                self._changed.clear()
                # One that comes too soon is lost: the next look sends another.
                while runner.is_alive() and self.done:
                    interrupt(runner)
                    runner.join(WATCH_EVERY)
                interrupt(runner)

    def _come_first(self) -> None:
        """Let this thread have a CPU before the one that sends: it would wait for its very end."""
        if self._exact and self._batch < AT_TOP_SPEED:
            _set_priority(0, fixed=2)

    def _release(self) -> None:
        if self._program is not None:
            self._program.close()
        self._words = self._words.copy()  # the last look; the memory can go
        self._state.close()


def batch_for(pps: float | None) -> int:
    """How many frames the kernel is to take at a time at this rate; None is as fast as it can."""
    rate = float("inf") if pps is None else pps
    return next(size for least, size in BATCHES if rate >= least)


def _set_priority(thread: int, *, fixed: int, nice: int = 0) -> None:
    """Let nobody of a lower fixed priority take a thread's CPU; 0 is to share it, by ``nice``."""
    policy = os.SCHED_FIFO if fixed else os.SCHED_OTHER
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.sched_setscheduler(thread, policy, os.sched_param(fixed))
        os.setpriority(os.PRIO_PROCESS, thread, nice)
