"""What a NIC was like before it was taken."""

from __future__ import annotations

from typing import TypedDict

__all__ = ["NicBefore"]


class NicBefore(TypedDict):
    """What a NIC was like before it was claimed; goes through JSON unharmed."""

    interface: str
    index: int
    up: bool
    sysctls: dict[str, str]
    features: dict[str, bool]
