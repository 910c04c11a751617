"""Rows with equal keys put together: what a dict of lists does, a million at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from testbed.capture.columns.arrays import Bools, Ints, Numbers

__all__ = ["Flows", "first_alike", "group"]

_MULTIPLIERS = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0xD6E8FEB86659FD93)
"""Odd numbers that spread bits well; one for each attempt."""


@dataclass(frozen=True, slots=True, eq=False)
class Flows:
    """Rows by flow. ``order`` has the rows of flow 0, then those of flow 1, each in file order.

    ``starts`` is where each flow begins in ``order``, with the end of the last one behind. Flows
    are in the order of their first packets.
    """

    order: Ints
    starts: Ints

    def __len__(self) -> int:
        return len(self.starts) - 1

    def rows(self, flow: int) -> Ints:
        """The rows of one flow, in file order."""
        return self.order[self.starts[flow] : self.starts[flow + 1]]

    def of_row(self) -> Ints:
        """The flow of each element of ``order``."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def only(self, good: Bools) -> Flows:
        """The same with only some rows: ``good`` has one element for every row of the capture."""
        kept = good[self.order]
        if kept.all():
            return self
        left = np.concatenate((np.zeros(1, np.int64), np.cumsum(kept)))[self.starts]
        some = np.diff(left) > 0
        begins, sizes = left[:-1][some], np.diff(left)[some]
        order = self.order[kept]
        # Of some flows the first row may have gone, so that others began before them.
        rank = np.argsort(order[begins], kind="stable")
        sizes = sizes[rank]
        ends = np.cumsum(sizes)
        if (np.diff(rank) < 0).any():
            order = order[np.repeat(begins[rank] - (ends - sizes), sizes) + np.arange(len(order))]
        return Flows(order, np.concatenate((np.zeros(1, np.int64), ends)))


def group(keys: tuple[Numbers, ...], rows: Ints) -> Flows:
    """Put together the rows whose keys are all the same; each key is as long as ``rows``."""
    if not len(rows):
        return Flows(rows, np.zeros(1, np.int64))
    leaders = first_alike(keys)
    numbers = np.cumsum(leaders == np.arange(len(rows), dtype=leaders.dtype), dtype=leaders.dtype)
    flow = (numbers - 1)[leaders]
    count = int(numbers[-1])
    starts = np.zeros(count + 1, np.int64)
    np.cumsum(np.bincount(flow, minlength=count), out=starts[1:])
    return Flows(rows[_sorted(flow, count)], starts)


def first_alike(keys: tuple[Numbers, ...]) -> Numbers:
    """The place of the first element with the same keys, for every element."""
    return _leaders(keys, _MULTIPLIERS)


def _leaders(keys: tuple[Numbers, ...], multipliers: tuple[int, ...]) -> Numbers:
    """The same with some hashes: multipliers of one each.

    A table is filled from the back so that the first element of those that fall into one slot
    is left standing there. Elements that have other keys than that one, be it by chance or because
    somebody made them so, are looked at again with another hash, and at last sorted.
    """
    count = len(keys[0])
    kind = np.int32 if count < 1 << 31 else np.int64
    if not multipliers:
        return _leaders_sorted(keys).astype(kind)
    bits = max(8, count.bit_length() + 1)
    multiplier = np.uint64(multipliers[0])
    mixed = np.zeros(count, np.uint64)
    for key in keys:
        mixed ^= mixed >> np.uint64(32)
        mixed += key.astype(np.uint64, copy=False)
        mixed *= multiplier
    slots = (mixed >> np.uint64(64 - bits)).view(np.int64)
    table = np.empty(1 << bits, kind)
    table[slots[::-1]] = np.arange(count - 1, -1, -1, dtype=kind)
    leaders: Numbers = table[slots]
    same = np.ones(count, np.bool_)
    for key in keys:
        same &= key[leaders] == key
    if not same.all():
        rest = np.flatnonzero(~same)
        again = _leaders(tuple(key[rest] for key in keys), multipliers[1:])
        leaders[rest] = rest[again]
    return leaders


def _leaders_sorted(keys: tuple[Numbers, ...]) -> Ints:
    """The same without a table: slower, whatever the keys are."""
    order = np.lexsort(keys)
    fresh = np.ones(len(order), np.bool_)
    fresh[1:] = False
    for key in keys:
        fresh[1:] |= np.diff(key[order]) != 0
    leaders = np.empty(len(order), np.int64)
    leaders[order] = order[np.maximum.accumulate(np.where(fresh, np.arange(len(order)), 0))]
    return leaders


def _sorted(flow: Numbers, count: int) -> Ints:
    """The places in order of their flows: numpy sorts numbers of 16 bits by counting, so in two."""
    order = np.argsort(flow.astype(np.uint16), kind="stable")
    for shift in range(16, count.bit_length(), 16):
        order = order[np.argsort((flow >> shift).astype(np.uint16)[order], kind="stable")]
    return order
