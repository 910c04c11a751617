"""A Python stack in the place of a kernel host: the same capability, with or without defects."""

from testbed.labs.stackdevice.device import StackDevice
from testbed.labs.stackdevice.ports import TakenPorts, take_ports

__all__ = ["StackDevice", "TakenPorts", "take_ports"]
