"""Many frames of a blend at once, by numpy: the same bytes as ``Blend.frame``, a row each."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from testbed.link.streams.flow import Blend, Compiled
from testbed.link.streams.places import Place
from testbed.link.streams.values import (
    MULTIPLIERS,
    STEP,
    WORD,
    Increment,
    Listed,
    Random,
    Values,
    as_number,
)

__all__ = ["Renderer", "Rows"]

Words: TypeAlias = npt.NDArray[np.uint64]
Rows: TypeAlias = npt.NDArray[np.uint8]


class Renderer:
    """Fills ``rows`` (one frame each, ``count`` of them) and ``lengths`` with what comes next."""

    def __init__(self, blend: Blend, count: int) -> None:
        self._blend = blend
        stride = -(-blend.longest // 8) * 8
        self.rows: Rows = np.zeros((count, stride), np.uint8)
        self.lengths: npt.NDArray[np.int64] = np.zeros(count, np.int64)
        self._templates = [_stacked(flow, stride) for flow in blend.flows]
        order = np.array(blend.order, np.int64).reshape(-1, 2)
        self._order, self._ranks = order[:, 0], order[:, 1]
        self._counts = np.array(blend.counts, np.int64)

    @property
    def still(self) -> bool:
        """Whether every frame is the same, so that once is enough."""
        flows = self._blend.flows
        return len(flows) == 1 and len(flows[0].templates) == 1 and not flows[0].fields

    def fill(self, first: int, count: int, now: int) -> None:
        """Make the first ``count`` rows the frames from number ``first`` on, sent ``now``."""
        numbers = np.arange(first, first + count, dtype=np.int64)
        if len(self._blend.flows) == 1:
            self._fill_flow(0, slice(0, count), numbers, now)
            return
        places = numbers % self._blend.period
        flows = self._order[places]
        within = numbers // self._blend.period * self._counts[flows] + self._ranks[places]
        for flow in np.unique(flows):
            chosen = np.flatnonzero(flows == flow)
            self._fill_flow(int(flow), chosen, within[chosen], now)

    def _fill_flow(
        self, flow: int, rows: slice | npt.NDArray[np.int64], numbers: npt.NDArray[np.int64],
        now: int,
    ) -> None:  # fmt: skip
        plan = self._blend.flows[flow]
        templates, lengths = self._templates[flow]
        which = numbers % len(plan.templates)
        made = templates[which]
        counted = numbers.astype(np.uint64)
        values = [
            _numbers(each.values, counted, now) & np.uint64(each.place.mask) for each in plan.fields
        ]
        for each, value in zip(plan.fields, values, strict=True):
            _write(made, each.place, value)
        for total in plan.sums:
            covered = np.array(total.bases, np.uint64)[which]
            for index, weight in total.terms:
                covered += _halves(values[index]) * np.uint64(weight)
            # The complement of the sum folded to 16 bits, where 0xFFFF stays and 0 is only 0.
            checksum = np.uint64(0xFFFE) - (covered - np.uint64(1)) % np.uint64(0xFFFF)
            checksum[covered == 0] = 0xFFFF
            if total.optional:
                checksum[checksum == 0] = 0xFFFF
            _write(made, Place(total.offset, 2), checksum)
        self.rows[rows] = made
        self.lengths[rows] = lengths[which]


def _stacked(flow: Compiled, stride: int) -> tuple[Rows, npt.NDArray[np.int64]]:
    rows = np.zeros((len(flow.templates), stride), np.uint8)
    for row, template in zip(rows, flow.templates, strict=True):
        row[: len(template)] = np.frombuffer(template, np.uint8)
    return rows, np.array([len(each) for each in flow.templates], np.int64)


def _numbers(values: Values, n: Words, now: int) -> Words:
    if isinstance(values, Increment):
        first = 0 if values.start is None else as_number(values.start)
        turn = n % np.uint64(values.count) if values.count else n
        return turn * np.uint64(values.step & WORD) + np.uint64(first & WORD)
    if isinstance(values, Listed):
        table = np.array([as_number(value) & WORD for value in values.values], np.uint64)
        found: Words = table[n % np.uint64(len(table))]
        return found
    if isinstance(values, Random):
        word = _mixed(n, values.seed)
        if values.span <= WORD:
            word = word % np.uint64(values.span)
        return word + np.uint64(as_number(values.least))
    return np.full(len(n), now & WORD, np.uint64)


def _mixed(n: Words, seed: int) -> Words:
    word = (n + np.uint64(1)) * np.uint64(STEP) + np.uint64(seed & WORD)
    word = (word ^ word >> np.uint64(30)) * np.uint64(MULTIPLIERS[0])
    word = (word ^ word >> np.uint64(27)) * np.uint64(MULTIPLIERS[1])
    return word ^ word >> np.uint64(31)


def _halves(value: Words) -> Words:
    """The same modulo 65535, and small: the sum of the two halves."""
    return (value >> np.uint64(32)) + (value & np.uint64(0xFFFF_FFFF))


def _write(rows: Rows, place: Place, value: Words) -> None:
    """Put the low bytes of each value into its row, in the order of a network."""
    parts: npt.NDArray[Any] = value.astype(">u8").view(np.uint8).reshape(-1, 8)
    target = rows[:, place.offset : place.end]
    if place.whole:
        target[:] = parts[:, 8 - place.size :]
        return
    mask = np.frombuffer(place.mask.to_bytes(place.size, "big"), np.uint8)
    target[:] = target & ~mask | parts[:, 8 - place.size :] & mask
