"""Identifications of packets: none comes twice while an earlier one may be about (RFC 6864)."""

from __future__ import annotations

from array import array
from ipaddress import IPv4Address
from typing import Final

from testbed.stack.entropy import Entropy

__all__ = ["Identifications"]

_COUNTERS: Final = 4096
_CACHED: Final = 4096


class Identifications:
    """Gives each packet an identification that its source, destination and protocol just once had.

    RFC 6864 4.3: "Sources emitting non-atomic datagrams MUST NOT repeat IPv4 ID values within one
    MDL for a given source address/destination address/protocol tuple." So 65 536 packets pass
    before one comes again. Each triple counts from a point of its own, which nobody without the
    seed can guess (RFC 7739 5.3), and shares its counter with few others: memory stays the same
    however many peers there are. ``constant`` is sent always, as ``IpConfig.constant_ident``
    asks.
    """

    __slots__ = ("_constant", "_counters", "_entropy", "_places")

    def __init__(self, entropy: Entropy, constant: int | None = None) -> None:
        self._entropy = entropy
        self._constant = constant
        self._counters = array("L", bytes(array("L").itemsize * _COUNTERS))
        self._places: dict[int, tuple[int, int]] = {}

    def next(self, src: IPv4Address, dst: IPv4Address, protocol: int) -> int:
        """The identification for the next packet of these three."""
        if self._constant is not None:
            return self._constant
        key = int(src) << 40 | int(dst) << 8 | protocol
        place = self._places.get(key)
        if place is None:
            place = self._place(key)
        counter, start = place
        count = self._counters[counter]
        self._counters[counter] = (count + 1) & 0xFFFF
        return (start + count) & 0xFFFF

    def _place(self, key: int) -> tuple[int, int]:
        """Which counter, counted from where; it follows from the seed, so it may be forgotten."""
        chance = self._entropy.keyed(b"ident", key.to_bytes(9, "big"))
        place = (chance >> 16) % _COUNTERS, chance & 0xFFFF
        if len(self._places) >= _CACHED:
            self._places.clear()
        self._places[key] = place
        return place
