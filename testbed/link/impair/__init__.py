"""Faults of a cable, as small stages without a clock or a port of their own."""

from testbed.link.impair.alter import Corrupt, Duplicate, Modify
from testbed.link.impair.fields import FieldTest, FrameField, Guarded, TcpData
from testbed.link.impair.late import Delay, RateLimit, Reorder
from testbed.link.impair.loss import Drop, Hold, MtuHole
from testbed.link.impair.pieces import Fragments
from testbed.link.impair.pipeline import Pipeline
from testbed.link.impair.select import Chance, GilbertElliott, Nth, Selector, any_frame
from testbed.link.impair.stage import EventLog, Stage, StageEvent

__all__ = [
    "Chance",
    "Corrupt",
    "Delay",
    "Drop",
    "Duplicate",
    "EventLog",
    "FieldTest",
    "Fragments",
    "FrameField",
    "GilbertElliott",
    "Guarded",
    "Hold",
    "Modify",
    "MtuHole",
    "Nth",
    "Pipeline",
    "RateLimit",
    "Reorder",
    "Selector",
    "Stage",
    "StageEvent",
    "TcpData",
    "any_frame",
]
