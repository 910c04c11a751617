"""A hub: it joins half-duplex stations to one collision domain (IEEE 802.3 clause 9)."""

from testbed.sim.hub.device import SimHub

__all__ = ["SimHub"]
