"""A host with the Linux kernel's TCP/IP."""

from testbed.devices.platforms.linux_host.agent import seeded
from testbed.devices.platforms.linux_host.driver import LinuxHost

__all__ = ["LinuxHost", "seeded"]
