"""Addresses as numbers that fit a column: an IPv4 address is itself, an IPv6 one has an index."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

import numpy as np

from testbed.capture.columns.arrays import Gather, Ints

__all__ = ["Addresses"]

_SIX = 1 << 32


class Addresses:
    """The IPv6 addresses of a capture, each once."""

    def __init__(self) -> None:
        self._known: dict[bytes, int] = {}
        self._listed: list[IPv6Address] = []

    def number(self, gather: Gather, at: Ints) -> Ints:
        """The number of the IPv6 address at each offset."""
        words = np.stack([gather.u4(at + place) for place in (0, 4, 8, 12)], axis=1)
        each, back = np.unique(words.astype(">u4"), axis=0, return_inverse=True)
        numbers = np.array([self._number(row.tobytes()) for row in each], np.int64)
        return numbers[back.ravel()] if len(numbers) else np.empty(0, np.int64)

    def _number(self, packed: bytes) -> int:
        number = self._known.get(packed)
        if number is None:
            number = self._known[packed] = _SIX + len(self._listed)
            self._listed.append(IPv6Address(packed))
        return number

    def address(self, number: int) -> IPv4Address | IPv6Address:
        """The address that a number stands for."""
        return self._listed[number - _SIX] if number >= _SIX else IPv4Address(number)
