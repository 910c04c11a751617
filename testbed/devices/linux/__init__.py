"""What the drivers of Linux devices share."""

from testbed.devices.linux.driver import LinuxDriver, LinuxIpDriver

__all__ = ["LinuxDriver", "LinuxIpDriver"]
