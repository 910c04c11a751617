"""A half-duplex bus: one cable, and stations that share it by CSMA/CD (IEEE 802.3 clause 4)."""

from testbed.sim.bus.device import SimBus

__all__ = ["SimBus"]
