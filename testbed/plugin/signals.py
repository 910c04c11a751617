"""An orderly end for a run that is told to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["terminating_as_interrupting"]


@contextmanager
def terminating_as_interrupting() -> Iterator[None]:
    """Within the block a SIGTERM is as Ctrl-C: everything is put back before the process ends.

    A handler that somebody else has set is left in place, as is everything outside the main thread.
    """
    default = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if not default or threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
