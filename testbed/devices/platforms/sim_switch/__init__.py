"""The simulated managed switch, by its command line."""

from testbed.devices.platforms.sim_switch.driver import SimSwitchDriver

__all__ = ["SimSwitchDriver"]
