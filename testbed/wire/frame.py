"""A frame as it was seen at one point: its bytes, its time and its direction."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from testbed.timing import Instant

__all__ = ["Direction", "Frame"]


class Direction(Enum):
    """Which way a frame went, seen from the controller's port."""

    IN = "in"  # came from the cable
    OUT = "out"  # was sent by the controller


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame at one port.

    ``at`` is in nanoseconds of the capture clock (the realtime clock on real labs, virtual time on
    the sim lab). ``data`` starts at the destination MAC and has no FCS; tags that a NIC stripped
    are put back. ``wire_length`` is the length before any snap length cut it. ``damaged``: its FCS
    was wrong; most NICs drop such a frame and say nothing.
    """

    data: bytes
    at: Instant
    direction: Direction = Direction.IN
    wire_length: int = -1
    damaged: bool = False

    def __post_init__(self) -> None:
        if self.wire_length < 0:
            object.__setattr__(self, "wire_length", len(self.data))
