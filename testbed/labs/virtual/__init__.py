"""The virtual lab: real software devices in namespaces, handed over as if they were hardware."""

from testbed.labs.virtual.held import Held, held_labs, hold, take_down
from testbed.labs.virtual.lab import VirtualLab

__all__ = ["Held", "VirtualLab", "held_labs", "hold", "take_down"]
