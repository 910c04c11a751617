"""A thread that is inside a long system call, called back from it."""

from __future__ import annotations

import ctypes
import signal
import threading
from functools import cache

__all__ = ["interrupt", "make_interruptible"]

_SIGNAL = signal.SIGRTMIN + 7
"""Nobody's by convention: what a thread in a long system call is woken with."""


@cache
def make_interruptible() -> None:
    """Let the signal end a system call and do nothing else.

    The handler is a C function that can be called at any time: Python's own handlers can be set by
    the main thread only. A signal that is ignored would not end the call.
    """
    libc = ctypes.CDLL(None)
    libc.signal.restype = ctypes.c_void_p
    libc.signal.argtypes = (ctypes.c_int, ctypes.c_void_p)
    libc.signal(_SIGNAL, ctypes.cast(libc.getpid, ctypes.c_void_p))


def interrupt(thread: threading.Thread) -> None:
    """End the system call that the thread is in, if it is in one.

    A signal that comes before the call has begun is lost: whoever wants the thread to end sends
    another one until it has.
    """
    if thread.is_alive() and thread.ident is not None:
        try:
            signal.pthread_kill(thread.ident, _SIGNAL)
        except ProcessLookupError:
            return  # it has just ended
