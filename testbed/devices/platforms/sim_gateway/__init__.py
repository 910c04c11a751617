"""The simulated gateway."""

from testbed.devices.platforms.sim_gateway.driver import SimGateway

__all__ = ["SimGateway"]
