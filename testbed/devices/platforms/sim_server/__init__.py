"""The simulated server."""

from testbed.devices.platforms.sim_server.driver import SimServer

__all__ = ["SimServer"]
