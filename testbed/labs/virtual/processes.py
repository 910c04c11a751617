"""Processes of this machine, told apart for certain: a pid alone may be somebody else's by now."""

from __future__ import annotations

import os
import select
from pathlib import Path

__all__ = ["ended", "start_time"]


def start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None when there is none.

    Together with the pid it names one process for good; see proc_pid_stat(5), field 22.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name in parentheses may hold anything, even parentheses; fields count from behind it.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def ended(pid: int, within: float) -> bool:
    """Wait until a process has ended, at most ``within`` seconds."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        return bool(poll.poll(within * 1000))
    finally:
        os.close(descriptor)
