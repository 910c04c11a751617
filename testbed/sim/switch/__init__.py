"""The managed switch."""

from testbed.sim.switch.device import SimSwitch
from testbed.sim.switch.ports import PortMode

__all__ = ["PortMode", "SimSwitch"]
