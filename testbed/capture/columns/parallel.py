"""Work on parts of a capture at the same time: numpy lets other threads on while it computes."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["in_parts"]

_MOST = 4
"""More threads than this wait for memory, and for Python between numpy's calls."""


def in_parts(work: Callable[[int, int], None], count: int, least: int) -> None:
    """Have ``work(begin, stop)`` done for all of ``count`` elements, in parts of ``least`` or more.

    One part for each processor that this process may use. No thread is left when this returns;
    what goes wrong in one of them is raised here.
    """
    parts = max(1, min(_MOST, _processors(), count // least))
    borders = [count * part // parts for part in range(parts + 1)]
    if parts == 1:
        work(0, count)
        return
    with ThreadPoolExecutor(parts - 1) as pool:
        others = [pool.submit(work, borders[n], borders[n + 1]) for n in range(1, parts)]
        work(0, borders[1])
        for other in others:
            other.result()


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
