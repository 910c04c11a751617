"""Runs the second program of a script, which takes frames out of their slots, again and again."""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Final

from testbed.errors import LinkError
from testbed.link.ebpf import Program
from testbed.link.ebpf.waking import interrupt, make_interruptible

__all__ = ["Worker"]

_REPEAT: Final = 0xFFFF_FFFF
_BATCH: Final = 8
"""Runs between two times that the kernel hands on what they sent: what is sent waits for the rest
of its batch, some 100 ns a run where nothing is due."""
_FRAME: Final = bytes(60)
_AGAIN: Final = 0.005
_NICE: Final = -10
_PREFERRED = threading.Semaphore(max(0, len(os.sched_getaffinity(0)) - 1))
"""Who goes before others on its CPU: what is taken off it is late. One CPU is left to all."""


class Worker:
    """A thread that runs the program until close(); a CPU is busy with it."""

    def __init__(self, program: Program) -> None:
        self.error: LinkError | None = None
        self._program = program
        self._stopped = False
        make_interruptible()
        self._thread = threading.Thread(target=self._run, name="box", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; returns when the thread is gone. Twice is no error."""
        self._stopped = True
        while self._thread.is_alive():
            interrupt(self._thread)
            self._thread.join(_AGAIN)

    def _run(self) -> None:
        preferred = _PREFERRED.acquire(blocking=False)
        try:
            if preferred:
                with contextlib.suppress(PermissionError):
                    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICE)
            while not self._stopped:
                self._program.run_live(_FRAME, _REPEAT, batch=_BATCH)
        except LinkError as error:
            self.error = error
        finally:
            if preferred:
                _PREFERRED.release()
