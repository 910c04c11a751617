"""Numbers gathered out of a capture's bytes, many at once."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

__all__ = ["Bools", "Bytes", "Gather", "Ints", "Numbers", "Order"]

Ints = npt.NDArray[np.int64]
Numbers = npt.NDArray[Any]
"""Whole numbers of any size: 32 bits where these do, for half the memory takes half the time."""
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]
Order = Literal["<", ">"]


class Gather:
    """Reads 1, 2 and 4 byte numbers at arrays of offsets, as int64.

    The views overlap: one element for every offset, so that a gather is one step of numpy. Whoever
    asks sees to it that every offset lies within the buffer. ``order`` is the byte order.
    """

    def __init__(self, data: Bytes, order: Order = ">") -> None:
        self.bytes = data
        self.size = len(self.bytes)
        self._shorts = self._view(np.dtype(f"{order}u2"))
        self._words = self._view(np.dtype(f"{order}u4"))

    def _view(self, kind: np.dtype[np.unsignedinteger]) -> npt.NDArray[np.unsignedinteger]:
        count = max(0, self.size - kind.itemsize + 1)
        return np.ndarray((count,), kind, buffer=self.bytes, strides=(1,))

    def u1(self, at: Ints) -> Ints:
        """The byte at each offset."""
        return self.bytes[at].astype(np.int64)

    def u2(self, at: Ints) -> Ints:
        """The 16 bit number at each offset."""
        return self._shorts[at].astype(np.int64)

    def u4(self, at: Ints) -> Ints:
        """The 32 bit number at each offset."""
        return self._words[at].astype(np.int64)

    def runs(self, at: Ints, size: int) -> npt.NDArray[np.void]:
        """``size`` bytes in a row from each offset.

        What is far apart in memory is fetched once, which is most of what a gather costs.
        """
        room = max(0, self.size - size + 1)
        runs: npt.NDArray[np.void] = np.ndarray((room,), f"V{size}", self.bytes, strides=(1,))
        return runs[at]

    def words(self, at: Ints, count: int) -> Ints:
        """``count`` 32 bit numbers in a row from each offset: one column for each of them."""
        rows = self.runs(at, 4 * count).view(self._words.dtype).reshape(len(at), count)
        return rows.T.astype(np.int64)
