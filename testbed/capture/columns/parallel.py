"""Work on parts of a capture at the same time: numpy lets other threads on while it computes."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

__all__ = ["in_parts"]

_MOST = 2
"""More threads than this wait for memory, and for Python between numpy's calls.

Where there is but one processor, two cost no more than one.
"""


def in_parts(work: Callable[[int, int], None], count: int, least: int) -> None:
    """Have ``work(begin, stop)`` done for all of ``count`` elements, in parts of ``least`` or more.

    No thread is left when this returns;
    what goes wrong in one of them is raised here.
    """
    parts = max(1, min(_MOST, count // least))
    borders = [count * part // parts for part in range(parts + 1)]
    if parts == 1:
        work(0, count)
        return
    with ThreadPoolExecutor(parts - 1) as pool:
        others = [pool.submit(work, borders[n], borders[n + 1]) for n in range(1, parts)]
        work(0, borders[1])
        for other in others:
            other.result()
