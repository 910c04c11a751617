"""What servers, balancers and gateways have in common: a stack, and a configuration of lines."""

from testbed.sim.appliance.configuration import Configuration, LineKind, Words
from testbed.sim.appliance.device import Appliance

__all__ = ["Appliance", "Configuration", "LineKind", "Words"]
