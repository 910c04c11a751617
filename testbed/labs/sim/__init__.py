"""The sim lab: a bench file of kind ``sim`` as a network in virtual time, and a loop on it."""

from testbed.labs.sim.gear import SimGear
from testbed.labs.sim.lab import SimLab
from testbed.labs.sim.loop import SimLoop
from testbed.labs.sim.port import SimPort

__all__ = ["SimGear", "SimLab", "SimLoop", "SimPort"]
