"""Frames out of numpy arrays: one array, or as many as somebody makes while they are sent."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, TypeAlias

import numpy as np

from testbed.errors import PlanError
from testbed.link.replay.reel import LEAST, Feed, Ints, Limits, Numbers, Rows, fill_up
from testbed.link.size import HEADER

__all__ = ["ArrayReel", "Block"]

Block: TypeAlias = Any
"""A two-dimensional array of bytes, a frame in each row; or such a one and the frames' lengths."""


class ArrayReel:
    """The frames of one block, or of an iterable of blocks that are alike in width.

    Blocks of an iterator are taken while frames leave, so that they can be without end; such a
    reel can be played once. Raises PlanError for what is no block.
    """

    def __init__(self, what: Block | Iterable[Block]) -> None:
        self._again = True
        self._blocks: Iterable[Block]
        self.count: int | None = None
        if _is_block(what):
            first = what
            self._blocks = [what]
            self.count = len(_parts(what, 1)[0])
        else:
            blocks = iter(what)
            first = next(blocks, None)
            if first is None:
                raise PlanError("there is no frame to send")
            self._again = blocks is not what
            self._blocks = what if self._again else chain([first], blocks)
        rows, lengths = _parts(first, 1)
        self._opened = False
        self.width = rows.shape[1]
        self.longest = max(self.width, LEAST)
        self.alike = lengths is None
        measured = lengths is not None and len(lengths)
        self.mean_length = (
            float(np.maximum(lengths, LEAST).mean()) if measured else float(self.longest)  # type: ignore[arg-type]
        )
        self.span: int | None = None
        if self.count == 0:
            raise PlanError("there is no frame to send")

    def open(self, limits: Limits) -> Feed:
        """Begin with the first; what is beyond the limits is told as its block comes."""
        if self._opened and not self._again:
            raise PlanError("these arrays come from an iterator, which can be sent only once")
        self._opened = True
        return _ArrayFeed(self, iter(self._blocks), limits)


class _ArrayFeed:
    def __init__(self, reel: ArrayReel, blocks: Iterator[Block], limits: Limits) -> None:
        self._reel = reel
        self._blocks = blocks
        self._limits = limits
        self._number = 0
        self._before = 0
        self._rows: Rows = np.empty((0, 0), np.uint8)
        self._lengths: Ints | None = None
        self._at = 0

    def take(self, rows: Rows, lengths: Numbers, due: Ints) -> int:
        """Write the next frames of one block; how many."""
        del due
        while self._at >= len(self._rows):
            if not self._next():
                return 0
        part = slice(self._at, self._at + len(rows))
        taken = self._rows[part]
        count = len(taken)
        rows[:count, : taken.shape[1]] = taken
        if self._lengths is None:
            lengths[:count] = self._reel.longest
        else:
            sizes = self._lengths[part]
            lengths[:count] = np.maximum(sizes, LEAST)
            short = np.flatnonzero(sizes < LEAST)
            fill_up(rows, short, sizes[short])
        self._at += count
        return count

    def _next(self) -> bool:
        """Go to the next block; False after the last."""
        block = next(self._blocks, None)
        if block is None:
            return False
        self._number += 1
        self._before += len(self._rows)
        rows, lengths = _parts(block, self._number)
        reel = self._reel
        if rows.shape[1] > reel.width or (lengths is None and rows.shape[1] != reel.width):
            raise PlanError(
                f"block {self._number} has rows of {rows.shape[1]} bytes, the first one of "
                f"{reel.width}: expected the same"
            )
        if (lengths is None) != reel.alike:
            raise PlanError(
                f"block {self._number}: lengths are given with all blocks, or with none"
            )
        long = self._limits.mtu + HEADER < reel.longest
        if len(rows) and (long or self._limits.forbidden):
            known = np.full(len(rows), reel.longest) if lengths is None else lengths
            self._limits.check(rows, known, np.arange(self._before, self._before + len(rows)))
        self._rows, self._lengths, self._at = rows, lengths, 0
        return True


def _is_block(what: object) -> bool:
    if isinstance(what, np.ndarray):
        return True
    return isinstance(what, tuple) and len(what) == 2 and getattr(what[1], "ndim", 1) == 1


def _parts(block: Block, number: int) -> tuple[Rows, Ints | None]:
    """The rows and lengths of a block; PlanError where it has none."""
    rows, lengths = block if isinstance(block, tuple) and len(block) == 2 else (block, None)
    if not isinstance(rows, np.ndarray) or rows.ndim != 2 or rows.dtype != np.uint8:
        kind = (
            f"{rows.dtype} of {rows.ndim} dimensions"
            if isinstance(rows, np.ndarray)
            else type(rows).__name__
        )
        raise PlanError(
            f"block {number}: expected a two-dimensional array of bytes (uint8), a frame in each "
            f"row, got {kind}"
        )
    if rows.shape[1] < HEADER:
        raise PlanError(f"block {number}: rows of {rows.shape[1]} bytes are too short for frames")
    if lengths is None:
        return rows, None
    given = np.asarray(lengths)
    if given.shape != (len(rows),) or given.dtype.kind not in "iu":
        raise PlanError(f"block {number}: expected a length for each of its {len(rows)} frames")
    whole = given.astype(np.int64)
    wrong = np.flatnonzero((whole < HEADER) | (whole > rows.shape[1]))
    if len(wrong):
        raise PlanError(
            f"block {number}, frame {wrong[0] + 1}: a length of {whole[wrong[0]]}, expected "
            f"{HEADER} to {rows.shape[1]}"
        )
    return rows, whole
