"""Ports that move frames, the NICs under them, and the faults of a cable."""

from testbed.link.afpacket import RING_SIZE, AfPacketPort
from testbed.link.claim import NicBefore, NicClaim, claim, restore
from testbed.link.ethtool import Feature
from testbed.link.impair import (
    Chance,
    Corrupt,
    Delay,
    Drop,
    Duplicate,
    EventLog,
    Fragments,
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
    any_frame,
)
from testbed.link.memory import MemoryPort, memory_pair
from testbed.link.nic import LinkWatch, NicState, read_nic, wait_for_link
from testbed.link.port import Port
from testbed.link.size import payload_length, room

__all__ = [
    "RING_SIZE",
    "AfPacketPort",
    "Chance",
    "Corrupt",
    "Delay",
    "Drop",
    "Duplicate",
    "EventLog",
    "Feature",
    "Fragments",
    "GilbertElliott",
    "Hold",
    "LinkWatch",
    "MemoryPort",
    "Modify",
    "MtuHole",
    "NicBefore",
    "NicClaim",
    "NicState",
    "Nth",
    "Pipeline",
    "Port",
    "RateLimit",
    "Reorder",
    "Selector",
    "Stage",
    "StageEvent",
    "any_frame",
    "claim",
    "memory_pair",
    "payload_length",
    "read_nic",
    "restore",
    "room",
    "wait_for_link",
]
