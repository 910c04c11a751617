"""The simulated router."""

from testbed.devices.platforms.sim_router.driver import SimRouterDriver

__all__ = ["SimRouterDriver"]
