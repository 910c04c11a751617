"""Frames out of a capture's bytes, as they lie there, again and again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from testbed.errors import PlanError
from testbed.link.replay.headers import HEAD
from testbed.link.replay.reel import LEAST, Feed, Ints, Limits, Numbers, Rows, fill_up
from testbed.link.replay.schedule import LATEST, period_of

__all__ = ["Gatherer", "RecordedReel"]

_WIDTHS = (64, 128, 256, 512, 1024, 2048, 4096, 16_384, 65_536, 262_144)
"""Frames are fetched together with others of about their length."""

_CHECKED = 1 << 14  # frames looked at at a time


class Gatherer:
    """Fetches frames out of one buffer, many at a time."""

    def __init__(self, data: Rows, widest: int) -> None:
        self._data = data
        # Whatever is fetched has a fixed width, which may reach beyond the end of the data.
        self._tail_at = max(0, len(data) - widest)
        self._tail = np.concatenate([data[self._tail_at :], np.zeros(widest, np.uint8)])

    def fetch(self, offsets: Ints, width: int) -> Rows:
        """``width`` bytes from every offset on, a row each; zeros beyond the end."""
        near = offsets + width > len(self._data)
        if not near.any():
            return _gather(self._data, offsets, width)
        if near.all():
            return _gather(self._tail, offsets - self._tail_at, width)
        rows = np.empty((len(offsets), width), np.uint8)
        rows[~near] = _gather(self._data, offsets[~near], width)
        rows[near] = _gather(self._tail, offsets[near] - self._tail_at, width)
        return rows


def _gather(data: Rows, offsets: Ints, width: int) -> Rows:
    windows: npt.NDArray[np.void] = np.ndarray(
        (len(data) - width + 1,), f"V{width}", data, strides=(1,)
    )
    return windows[offsets].view(np.uint8).reshape(-1, width)


@dataclass(eq=False)
class RecordedReel:
    """Frames that lie at ``offset`` in ``data``, ``captured`` bytes each, ``loops`` times.

    What is shorter than ``length``, or than a NIC sends, is filled up with zeros. ``due`` is in
    nanoseconds after the first one, None for frames without times. ``names`` are their numbers in
    the file, from 0 on.
    """

    data: Rows
    offset: Ints
    captured: Ints
    length: Ints
    names: Ints
    due: Ints | None = None
    loops: int = 1

    def __post_init__(self) -> None:
        if not len(self.offset):
            raise PlanError("there is no frame to send")
        if self.loops < 1:
            raise PlanError(f"{self.loops} loops: expected 1 at least")
        self.length = np.maximum(np.maximum(self.length, self.captured), LEAST)
        self.longest = int(self.length.max())
        self.alike = bool((self.length == self.longest).all())
        self.mean_length = float(self.length.mean())
        self.period = 0 if self.due is None else period_of(self.due)
        if self.period * (self.loops - 1) > LATEST:
            raise PlanError(f"{self.loops} loops of {self.period / 1e9:g} s: no bench lasts that")

    @property
    def count(self) -> int:
        """How many frames there are, in all loops."""
        return len(self.offset) * self.loops

    @property
    def span(self) -> int | None:
        """Nanoseconds from the first frame to the last; None where frames have no times."""
        if self.due is None:
            return None
        return self.period * (self.loops - 1) + int(self.due[-1])

    def open(self, limits: Limits) -> Feed:
        """Begin with the first; LinkError or PlanError for frames beyond the limits."""
        gatherer = Gatherer(self.data, max(self.longest + 8, HEAD))
        for at in range(0, len(self.offset), _CHECKED):
            part = slice(at, at + _CHECKED)
            rows = gatherer.fetch(self.offset[part], HEAD)
            limits.check(rows, self.length[part], self.names[part])
        return _RecordedFeed(self, gatherer)


class _RecordedFeed:
    def __init__(self, reel: RecordedReel, gatherer: Gatherer) -> None:
        self._reel = reel
        self._gatherer = gatherer
        self._widths = np.searchsorted(np.array(_WIDTHS), reel.captured)
        self._filled = reel.length > reel.captured
        self._fills = bool(self._filled.any())
        self._at = 0

    def take(self, rows: Rows, lengths: Numbers, due: Ints) -> int:
        """Write the next frames; how many."""
        reel = self._reel
        count = min(len(rows), reel.count - self._at)
        if count <= 0:
            return 0
        numbers = np.arange(self._at, self._at + count)
        loop, which = np.divmod(numbers, len(reel.offset))
        self._at += count
        lengths[:count] = reel.length[which]
        if reel.due is not None:
            due[:count] = reel.due[which] + loop * reel.period
        widths = self._widths[which]
        kinds = np.unique(widths)
        for kind in kinds:
            wide = min(_WIDTHS[kind], rows.shape[1])
            if len(kinds) == 1:
                rows[:count, :wide] = self._gatherer.fetch(reel.offset[which], wide)
            else:
                chosen = np.flatnonzero(widths == kind)
                rows[chosen, :wide] = self._gatherer.fetch(reel.offset[which[chosen]], wide)
        if self._fills:
            self._fill_up(rows, which)
        return count

    def _fill_up(self, rows: Rows, which: Ints) -> None:
        """Nothing that lies behind a short frame in the file is sent."""
        reel = self._reel
        filled = np.flatnonzero(self._filled[which])
        sizes, lengths = reel.captured[which[filled]], reel.length[which[filled]]
        short = lengths == LEAST
        fill_up(rows, filled[short], sizes[short])
        for row, size, length in zip(filled[~short], sizes[~short], lengths[~short], strict=True):
            rows[row, size:length] = 0
