"""The simulated bus, by its command line."""

from __future__ import annotations

from testbed.devices.sharing import SharedMediumDriver

__all__ = ["SimBusDriver"]


class SimBusDriver(SharedMediumDriver):
    """A simulated bus."""

    platform = "sim_bus"
