"""FRR over the Linux kernel."""

from testbed.devices.platforms.frr.driver import Frr

__all__ = ["Frr"]
