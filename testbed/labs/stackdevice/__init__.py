"""A Python stack in the place of a kernel host: the same capability, with or without defects."""

from testbed.labs.stackdevice.device import StackDevice

__all__ = ["StackDevice"]
