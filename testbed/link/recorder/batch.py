"""What engines hand over: frames as pcapng blocks, many at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import as_strided

from testbed.link.recorder.outcome import Clock
from testbed.wire.pcapng import PACKET_FOOT, PACKET_HEAD, Block

__all__ = [
    "Batch",
    "Bools",
    "Bytes",
    "Engine",
    "Ints",
    "build_blocks",
    "copy_rows",
    "nothing_but",
    "read_times",
]

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Batch:
    """Whole Enhanced Packet Blocks, one behind the other, in the order of time.

    ``starts`` says where each begins in ``data``. ``losses`` are pairs: so many frames were lost
    just before the frame of that row, or behind the last one. ``matched``: which frames are those
    to stop at.
    """

    data: Bytes
    starts: Ints
    losses: Sequence[tuple[int, int]] = ()
    matched: Bools | None = field(default=None)

    def __len__(self) -> int:
        return len(self.starts)

    def begin(self, row: int) -> int:
        """Where the block of a row begins, or the data ends."""
        return int(self.starts[row]) if row < len(self.starts) else len(self.data)

    def time(self, row: int) -> int:
        """When the frame came."""
        return int(read_times(self.data, self.starts[row : row + 1])[0])


class Engine(Protocol):
    """Records from its making to stop(), into memory that it shares with the kernel."""

    name: str
    clock: Clock

    @property
    def passed(self) -> int:
        """Frames that came, wanted or not."""

    def take(self) -> list[Batch]:
        """What waits, or a part of it; it stays where it is until release()."""

    def release(self) -> None:
        """Let what was taken be overwritten."""

    def stop(self) -> None:
        """Record no more; what was recorded can still be taken."""

    @property
    def drained(self) -> bool:
        """After stop(): whether all that was recorded has been taken."""

    def lost_at_end(self) -> int:
        """After all was taken: frames lost behind the last one."""

    def close(self) -> None:
        """Give everything back; twice is no error."""


def nothing_but(lost: int) -> Batch:
    """A batch of no frame, which tells that some were lost."""
    return Batch(np.empty(0, np.uint8), np.empty(0, np.int64), [(0, lost)])


def read_times(data: Bytes, starts: Ints) -> Ints:
    """The times of blocks, in nanoseconds."""
    words, at = data[: len(data) & ~3].view(np.uint32), starts >> 2
    times: Ints = words[at + 3].astype(np.int64) << 32 | words[at + 4]
    return times


def copy_rows(source: Bytes, taken: Ints, target: Bytes, put: Ints, sizes: Ints) -> None:
    """Copy pieces of ``sizes`` from ``taken`` in ``source`` to ``put`` in ``target``.

    Pieces of one size go at once: there are few sizes in most traffic.
    """
    if not len(sizes):
        return
    order = np.argsort(sizes, kind="stable")
    ordered = sizes[order]
    bounds = [0, *(np.flatnonzero(np.diff(ordered)) + 1).tolist(), len(order)]
    for first, last in pairwise(bounds):
        rows, size = order[first:last], int(ordered[first])
        if size:
            _windows(target, size)[put[rows]] = _windows(source, size)[taken[rows]]


def _windows(data: Bytes, size: int) -> npt.NDArray[Any]:
    """Row ``n`` is ``size`` bytes from ``n`` on."""
    return as_strided(data, (len(data) - size + 1, size), (1, 1))


def build_blocks(memory: Bytes, taken: Ints, kept: Ints, lengths: Ints, times: Ints) -> Batch:
    """Blocks of frames of which ``kept`` bytes are at ``taken`` in ``memory``."""
    padded = kept + 3 & ~3
    sizes = padded + (PACKET_HEAD + PACKET_FOOT)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    data = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    words, at = data.view(np.uint32), starts >> 2
    words[at] = Block.PACKET
    words[at + 1] = sizes
    words[at + 2] = 0
    words[at + 3] = times >> 32
    words[at + 4] = times & 0xFFFF_FFFF
    words[at + 5] = kept
    words[at + 6] = lengths
    words[(ends >> 2) - 2] = 0  # the padding, before the frame is put there
    words[(ends >> 2) - 1] = sizes
    copy_rows(memory, taken, data, starts + PACKET_HEAD, kept)
    return Batch(data, starts)
