"""What is on a simulated wire besides good frames."""

from __future__ import annotations

from typing import Final

__all__ = ["FCS", "LEAST", "BadFcs", "as_bytes"]

LEAST: Final = 60
"""Bytes of the shortest legal frame without its FCS (IEEE 802.3 4.4.2: minFrameSize 512 bits)."""

FCS: Final = 4
"""Bytes of the frame check sequence, which frames here are without."""


class BadFcs(bytes):
    """A frame whose check sequence does not match its bytes: damaged on its way, or sent so.

    Whoever passes the very bytes on, as a repeater does, passes this on; a copy is a good frame.
    """

    __slots__ = ()


def as_bytes(frame: bytes) -> bytes:
    """The bytes of ``frame`` with a check sequence that matches them."""
    return bytes(memoryview(frame)) if isinstance(frame, BadFcs) else frame
