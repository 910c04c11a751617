"""Ports that move frames, and the faults of a cable: what runs on any operating system.

Ports on Linux NICs are in ``afpacket``, their settings in ``claim``, ``nic`` and ``ethtool``.
"""

from testbed.link.impair import (
    Chance,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    EventLog,
    Fragments,
    FrameField,
    GilbertElliott,
    Hold,
    Modify,
    MtuHole,
    Nth,
    Pipeline,
    RateLimit,
    Reorder,
    Selector,
    Stage,
    StageEvent,
    TcpData,
    any_frame,
)
from testbed.link.memory import MemoryPort, memory_pair
from testbed.link.port import Port
from testbed.link.size import payload_length, room

__all__ = [
    "Chance",
    "Corrupt",
    "Delay",
    "Drop",
    "Duplicate",
    "EventLog",
    "Fragments",
    "FrameField",
    "GilbertElliott",
    "Hold",
    "MemoryPort",
    "Modify",
    "MtuHole",
    "Nth",
    "Pipeline",
    "Port",
    "RateLimit",
    "Reorder",
    "Selector",
    "Stage",
    "StageEvent",
    "TcpData",
    "any_frame",
    "memory_pair",
    "payload_length",
    "room",
]
