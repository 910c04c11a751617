"""A host with the Linux kernel's TCP/IP."""

from testbed.devices.platforms.linux_host.driver import LinuxHost
from testbed.devices.platforms.linux_host.transfer import seeded

__all__ = ["LinuxHost", "seeded"]
