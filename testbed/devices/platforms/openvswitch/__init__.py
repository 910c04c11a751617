"""Open vSwitch."""

from testbed.devices.platforms.openvswitch.driver import OpenVswitch

__all__ = ["OpenVswitch"]
