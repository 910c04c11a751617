"""The simulated hub, by its command line."""

from __future__ import annotations

from testbed.devices.sharing import SharedMediumDriver

__all__ = ["SimHubDriver"]


class SimHubDriver(SharedMediumDriver):
    """A simulated hub."""

    platform = "sim_hub"
