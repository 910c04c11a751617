"""When the frames of a recording are due: its own spacing, scaled, kept within bounds."""

from __future__ import annotations

import numpy as np

from testbed.errors import PlanError
from testbed.link.replay.reel import Ints

__all__ = ["LATEST", "due_times", "period_of"]

LATEST = 1 << 60
"""Nanoseconds: nothing is played for 36 years."""


def due_times(
    times: Ints, *, speed: float = 1.0, longest_gap: int | None = None, least_gap: int = 0
) -> Ints:
    """When each frame is due, in nanoseconds after the first, from when it was captured.

    Twice the ``speed`` is half the gap. Frames leave in the order of the file: where its time goes
    back, the next frame is due at once. Gaps are cut to ``longest_gap``, after scaling; none is
    less than ``least_gap``: a frame that would be too early waits, and those behind it are as late
    only as they must.
    """
    if not 0 < speed < 1e9:
        raise PlanError(f"a speed of {speed:g}: expected more than 0, 1 being that of the capture")
    with np.errstate(over="ignore"):
        gaps = np.maximum(np.diff(times), 0)
    scaled = gaps / speed
    if longest_gap is not None:
        scaled = np.minimum(scaled, longest_gap)
    # Added up before they are rounded, or a long capture at an odd speed would drift.
    due = np.concatenate([np.zeros(1), np.cumsum(scaled)]) if len(times) else np.zeros(0)
    if len(due) and due[-1] > LATEST:
        raise PlanError(
            f"the frames would take {due[-1] / 1e9:.0f} s: their times in the file are wrong, or "
            "a longest gap is wanted"
        )
    whole = np.rint(due).astype(np.int64)
    if least_gap:
        steps = np.arange(len(whole), dtype=np.int64) * least_gap
        whole = np.maximum.accumulate(whole - steps) + steps
    return whole


def period_of(due: Ints) -> int:
    """From the first frame of one loop to that of the next: one mean gap after the last frame."""
    if len(due) < 2:
        return 0
    last = int(due[-1])
    return last + last // (len(due) - 1)
