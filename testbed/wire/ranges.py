"""The one message for a field that does not fit its place in a header."""

from __future__ import annotations

from testbed.errors import WireError

__all__ = ["not_bytes", "out_of_range"]


def out_of_range(owner: str, **fields: tuple[int, int]) -> WireError:
    """The error that names the first of ``fields`` (value, width in bits) that does not fit.

    The formats test all their fields at once, by or-ing them together, and come here only to say
    which of them it was.
    """
    for name, (value, bits) in fields.items():
        if value < 0 or value >> bits:
            limit = (1 << bits) - 1
            return WireError(f"{owner}: {name} is {value}, expected 0 to {limit}")
    return WireError(f"{owner}: a field is out of range")


def not_bytes(owner: str, name: str, value: object) -> WireError:
    """The error for a ``value`` that should have been bytes."""
    return WireError(f"{owner}: {name} is {type(value).__name__}, expected bytes")
