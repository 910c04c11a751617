"""The loop, and what lives on it: taps, fault boxes, tester stations."""

from testbed.hosts.box import BoxDirection, FaultBox
from testbed.hosts.loop import RealLoop
from testbed.hosts.pump import StackPump, StackWire
from testbed.hosts.station import Station
from testbed.hosts.tap import Subscription, Tap
from testbed.hosts.turning import Loop
from testbed.hosts.way import ImpairedWay, WayEvent

__all__ = [
    "BoxDirection",
    "FaultBox",
    "ImpairedWay",
    "Loop",
    "RealLoop",
    "StackPump",
    "StackWire",
    "Station",
    "Subscription",
    "Tap",
    "WayEvent",
]
