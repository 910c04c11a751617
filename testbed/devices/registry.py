"""The platforms that there are drivers for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from testbed.console.cli import Cli
from testbed.console.profiles import LINUX_SHELL, SIM_CLI, DialogProfile
from testbed.devices.base import DriverContext, Files
from testbed.devices.changes import ChangeLog
from testbed.devices.platforms.frr.driver import Frr
from testbed.devices.platforms.linux_bridge.driver import LinuxBridge
from testbed.devices.platforms.linux_host.driver import LinuxHost
from testbed.devices.platforms.openvswitch.driver import OpenVswitch
from testbed.devices.platforms.sim_balancer.driver import SimBalancer
from testbed.devices.platforms.sim_bus.driver import SimBusDriver
from testbed.devices.platforms.sim_gateway.driver import SimGateway
from testbed.devices.platforms.sim_hub.driver import SimHubDriver
from testbed.devices.platforms.sim_ring.driver import SimRingDriver
from testbed.devices.platforms.sim_router.driver import SimRouterDriver
from testbed.devices.platforms.sim_server.driver import SimServer
from testbed.devices.platforms.sim_switch.driver import SimSwitchDriver
from testbed.devices.settings import ConfiguredDriver
from testbed.errors import PlanError
from testbed.timing import Clock

__all__ = ["PLATFORMS", "PlatformInfo", "open_driver"]


@dataclass(frozen=True, slots=True)
class PlatformInfo:
    """What a platform is, how its command line speaks, and what makes its driver."""

    kind: Literal["switch", "router", "host", "hub", "bus", "ring", "server", "balancer", "gateway"]
    profile: DialogProfile
    driver: Callable[[DriverContext], ConfiguredDriver] | None
    """None for what has no command line: a Python stack in a host's place."""


PLATFORMS: dict[str, PlatformInfo] = {
    "frr": PlatformInfo("router", LINUX_SHELL, Frr),
    "linux_bridge": PlatformInfo("switch", LINUX_SHELL, LinuxBridge),
    "linux_host": PlatformInfo("host", LINUX_SHELL, LinuxHost),
    "openvswitch": PlatformInfo("switch", LINUX_SHELL, OpenVswitch),
    "sim_balancer": PlatformInfo("balancer", SIM_CLI, SimBalancer),
    "sim_bus": PlatformInfo("bus", SIM_CLI, SimBusDriver),
    "sim_gateway": PlatformInfo("gateway", SIM_CLI, SimGateway),
    "sim_host": PlatformInfo("host", SIM_CLI, None),
    "sim_hub": PlatformInfo("hub", SIM_CLI, SimHubDriver),
    "sim_ring": PlatformInfo("ring", SIM_CLI, SimRingDriver),
    "sim_router": PlatformInfo("router", SIM_CLI, SimRouterDriver),
    "sim_server": PlatformInfo("server", SIM_CLI, SimServer),
    "sim_switch": PlatformInfo("switch", SIM_CLI, SimSwitchDriver),
}
"""Every platform, by the name that bench files use."""


def open_driver(  # noqa: PLR0917 - the parts of a DriverContext, in their order
    platform: str,
    name: str,
    cli: Cli,
    changes: ChangeLog,
    clock: Clock,
    ports: tuple[str, ...],
    files: Files | None = None,
) -> ConfiguredDriver:
    """The driver of the device ``name``; PlanError for a platform that there is none for."""
    try:
        info = PLATFORMS[platform]
    except KeyError:
        raise PlanError(
            f"{name}: no driver for platform {platform!r}; there are {', '.join(PLATFORMS)}"
        ) from None
    if info.driver is None:
        raise PlanError(f"{name}: a {platform} has no command line, and no driver")
    return info.driver(DriverContext(name, cli, changes, clock, ports, files))
