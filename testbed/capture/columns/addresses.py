"""Addresses as numbers that fit a column: an IPv4 address is itself, an IPv6 one has an index."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import numpy as np

from testbed.capture.columns.arrays import Gather, Ints
from testbed.capture.columns.grouping import first_alike

__all__ = ["Addresses"]

_SIX = 1 << 32


class Addresses:
    """The IPv6 addresses of a capture, each once."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._listed: list[bytes] = []

    def number(self, gather: Gather, at: Ints) -> Ints:
        """The number of the IPv6 address at each offset."""
        packed = gather.runs(at, 16)
        halves = packed.view(np.uint64).reshape(-1, 2)
        leaders = first_alike((halves[:, 0], halves[:, 1]))
        each = np.flatnonzero(leaders == np.arange(len(at)))
        numbers = np.empty(len(at), np.int64)
        numbers[each] = [self._number(packed[place].tobytes()) for place in each.tolist()]
        return numbers[leaders]

    def _number(self, packed: bytes) -> int:
        number = self._known.get(packed)
        if number is None:
            number = self._known[packed] = _SIX + len(self._listed)
            self._listed.append(packed)
        return number

    def address(self, number: int) -> IPv4Address | IPv6Address:
        """The address that a number stands for."""
        return IPv6Address(self._listed[number - _SIX]) if number >= _SIX else IPv4Address(number)
