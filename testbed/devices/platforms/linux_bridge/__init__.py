"""The bridge of the Linux kernel."""

from testbed.devices.platforms.linux_bridge.driver import LinuxBridge

__all__ = ["LinuxBridge"]
