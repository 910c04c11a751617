"""Runs the second program of a script, which takes frames out of their slots, again and again."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import threading
from functools import cache
from typing import Final

from testbed.errors import LinkError
from testbed.link.ebpf import Program

__all__ = ["Worker"]

_REPEAT: Final = 0xFFFF_FFFF
_BATCH: Final = 8
"""Runs between two times that the kernel hands on what they sent: what is sent waits for the rest
of its batch, some 100 ns a run where nothing is due."""
_FRAME: Final = bytes(60)
_AGAIN: Final = 0.005
_SIGNAL: Final = signal.SIGRTMIN + 7
"""Nobody's by convention: what a thread in a long system call is woken with, as for streams."""
_NICE: Final = -10
_PREFERRED = threading.Semaphore(max(0, len(os.sched_getaffinity(0)) - 1))
"""Who goes before others on its CPU: what is taken off it is late. One CPU is left to all."""


class Worker:
    """A thread that runs the program until close(); a CPU is busy with it."""

    def __init__(self, program: Program) -> None:
        self.error: LinkError | None = None
        self._program = program
        self._stopped = False
        _make_interruptible()
        self._thread = threading.Thread(target=self._run, name="box", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End it; returns when the thread is gone. Twice is no error."""
        self._stopped = True
        while self._thread.is_alive():
            # A signal that comes before the call has begun is lost: another one follows.
            if self._thread.ident is not None:
                try:
                    signal.pthread_kill(self._thread.ident, _SIGNAL)
                except ProcessLookupError:
                    break  # it has just ended
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


@cache
def _make_interruptible() -> None:
    """Let the signal end a system call and do nothing else.

    The handler is a C function that can be called at any time: Python's own handlers can be set by
    the main thread only. A signal that is ignored would not end the call.
    """
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal(_SIGNAL, ctypes.cast(libc.getpid, ctypes.c_void_p))
