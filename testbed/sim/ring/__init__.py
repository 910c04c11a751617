"""A token ring: stations that send in turn, in the manner of IEEE 802.5."""

from testbed.sim.ring.device import SimRing

__all__ = ["SimRing"]
