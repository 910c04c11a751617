"""The loop, and what lives on it: taps, fault boxes, tester stations."""

from testbed.hosts.box import BoxDirection, BoxEvent, FaultBox
from testbed.hosts.loop import RealLoop
from testbed.hosts.station import Station
from testbed.hosts.tap import Subscription, Tap

__all__ = [
    "BoxDirection",
    "BoxEvent",
    "FaultBox",
    "RealLoop",
    "Station",
    "Subscription",
    "Tap",
]
