"""What a NIC was like before it was taken."""

from __future__ import annotations

from typing import NotRequired, TypedDict

__all__ = ["NicBefore", "StampsBefore"]


class StampsBefore(TypedDict):
    """Which frames a NIC stamped (linux/net_tstamp.h, hwtstamp_config)."""

    flags: int
    sent: int
    received: int


class NicBefore(TypedDict):
    """What a NIC was like before it was claimed; goes through JSON unharmed."""

    interface: str
    index: int
    up: bool
    sysctls: dict[str, str]
    features: dict[str, bool]
    stamps: NotRequired[StampsBefore]
    """Only of a NIC whose time stamps were switched."""
