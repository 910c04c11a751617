"""A layer 4-7 device: spreads connections over servers, limits how fast they come, and filters."""

from testbed.sim.balancer.device import SimBalancer

__all__ = ["SimBalancer"]
