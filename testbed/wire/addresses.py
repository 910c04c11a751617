"""MAC addresses as values. IPv4 addresses are the standard library's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache, total_ordering
from ipaddress import AddressValueError, IPv4Address
from typing import ClassVar

from testbed.errors import WireError

__all__ = ["MacAddr", "ipv4_address", "ipv4_from_int", "mac_from_bytes"]

_TEXT = re.compile(r"[0-9a-f]{2}([:-])(?:[0-9a-f]{2}\1){4}[0-9a-f]{2}", re.IGNORECASE)


@total_ordering
@dataclass(frozen=True, slots=True, init=False)
class MacAddr:
    """A 48-bit MAC address: from ``02:00:00:00:00:01``, from ``02-00-...``, or from six bytes."""

    packed: bytes
    BROADCAST: ClassVar[MacAddr]
    ZERO: ClassVar[MacAddr]

    def __init__(self, value: str | bytes | MacAddr) -> None:
        if isinstance(value, MacAddr):
            packed = value.packed
        elif isinstance(value, str):
            if not _TEXT.fullmatch(value):
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
MacAddr.ZERO = MacAddr(bytes(6))


# Parsing meets the same few addresses over and over. The caches are bounded, so that a flood of
# made-up addresses costs time but no memory.
@lru_cache(maxsize=4096)
def mac_from_bytes(packed: bytes) -> MacAddr:
    """The address whose six bytes are ``packed``; faster than MacAddr when it comes again."""
    return MacAddr(packed)


@lru_cache(maxsize=4096)
def ipv4_from_int(value: int) -> IPv4Address:
    """The address whose 32 bits are ``value``; faster than IPv4Address when it comes again."""
    return IPv4Address(value)


def ipv4_address(value: str | bytes | int | IPv4Address) -> IPv4Address:
    """An IPv4 address from text, four bytes or a number; WireError for anything else."""
    try:
        return IPv4Address(value)
    except AddressValueError as error:
        raise WireError(f"{value!r} is no IPv4 address: {error}") from None
