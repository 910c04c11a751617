"""Devices: what plans can ask of them, and the drivers of the platforms that there are."""

from testbed.devices.base import Driver, DriverContext, Files
from testbed.devices.capabilities import Configurable, Device, Host, Router, Switch
from testbed.devices.changes import Change, ChangeLog
from testbed.devices.registry import PLATFORMS, PlatformInfo, open_driver
from testbed.devices.values import (
    ArpEntry,
    Datagram,
    Ending,
    FdbEntry,
    Flow,
    Keepalive,
    NatEntry,
    PortCounters,
    Route,
    SocketInfo,
    TransferResult,
    UdpAnswer,
    VlanMode,
)
from testbed.devices.waiting import wait_until

__all__ = [
    "PLATFORMS",
    "ArpEntry",
    "Change",
    "ChangeLog",
    "Configurable",
    "Datagram",
    "Device",
    "Driver",
    "DriverContext",
    "Ending",
    "FdbEntry",
    "Files",
    "Flow",
    "Host",
    "Keepalive",
    "NatEntry",
    "PlatformInfo",
    "PortCounters",
    "Route",
    "Router",
    "SocketInfo",
    "Switch",
    "TransferResult",
    "UdpAnswer",
    "VlanMode",
    "open_driver",
    "wait_until",
]
