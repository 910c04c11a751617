"""The simulated balancer."""

from testbed.devices.platforms.sim_balancer.driver import SimBalancer

__all__ = ["SimBalancer"]
