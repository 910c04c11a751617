"""MAC addresses as values. IPv4 addresses are the standard library's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import ClassVar

from testbed.errors import WireError

__all__ = ["MacAddr"]

_TEXT = re.compile(r"^[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}$", re.IGNORECASE)


@total_ordering
@dataclass(frozen=True, slots=True, init=False)
class MacAddr:
    """A 48-bit MAC address: from ``02:00:00:00:00:01``, from ``02-00-...``, or from six bytes."""

    packed: bytes
    BROADCAST: ClassVar[MacAddr]

    def __init__(self, value: str | bytes | MacAddr) -> None:
        if isinstance(value, MacAddr):
            packed = value.packed
        elif isinstance(value, str):
            if not _TEXT.match(value):
                raise WireError(f"{value!r} is no MAC address, expected six hex pairs with colons")
            packed = bytes.fromhex(value.replace(":", "").replace("-", ""))
        else:
            packed = bytes(value)
            if len(packed) != 6:
                raise WireError(f"a MAC address has 6 bytes, got {len(packed)}")
        object.__setattr__(self, "packed", packed)

    @property
    def is_group(self) -> bool:
        """Multicast or broadcast: the I/G bit (IEEE 802 8.2.2)."""
        return bool(self.packed[0] & 1)

    @property
    def is_local(self) -> bool:
        """Locally administered: the U/L bit."""
        return bool(self.packed[0] & 2)

    def __str__(self) -> str:
        return self.packed.hex(":")

    def __repr__(self) -> str:
        return f"MacAddr('{self}')"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, MacAddr):
            return NotImplemented
        return self.packed < other.packed


MacAddr.BROADCAST = MacAddr(b"\xff" * 6)
