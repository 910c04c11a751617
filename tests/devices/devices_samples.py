"""Recorded answers of devices, each with what its parser is expected to make of it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from testbed.devices.linux.kernel import parse_snmp, parse_sysctls
from testbed.devices.linux.links import parse_addresses, parse_links
from testbed.devices.linux.routes import parse_neighbours, parse_path_mtu, parse_routes
from testbed.devices.platforms.frr import answers as frr
from testbed.devices.platforms.frr import conntrack
from testbed.devices.platforms.linux_bridge import answers as bridge
from testbed.devices.platforms.linux_bridge.lines import PREF
from testbed.devices.platforms.linux_host import services
from testbed.devices.platforms.linux_host.sockets import parse_sockets
from testbed.devices.platforms.openvswitch import answers as ovs

SAMPLES = Path(__file__).parent / "samples"

OVS_PORTS = {1: "p1", 2: "p2", 3: "p3", 4: "p4", 5: "p5", 65534: "br0"}

PARSERS: dict[str, Callable[[str], Any]] = {
    "linux/ip-link": parse_links,
    "linux/ip-addr": parse_addresses,
    "linux/ip-route": parse_routes,
    "linux/ip-route-get": parse_path_mtu,
    "linux/ip-neigh": parse_neighbours,
    "linux/sysctl": parse_sysctls,
    "linux/snmp": parse_snmp,
    "openvswitch/list-bridge": ovs.parse_bridges,
    "openvswitch/list-port": ovs.parse_ports,
    "openvswitch/list-interface": ovs.parse_interfaces,
    "openvswitch/list-mirror": ovs.parse_mirrors,
    "openvswitch/fdb-show": lambda text: ovs.parse_fdb(text, OVS_PORTS),
    "openvswitch/dump-flows": ovs.parse_flows,
    "openvswitch/dump-meters": ovs.parse_meters,
    "openvswitch/meter-features": ovs.parse_most_meters,
    "linux_bridge/ip-link-bridge": bridge.parse_bridge,
    "linux_bridge/ip-link-ports": bridge.parse_bridge_ports,
    "linux_bridge/fdb-show": bridge.parse_fdb,
    "linux_bridge/tc-filter": lambda text: bridge.parse_mirrored(text, PREF),
    "linux_bridge/vlan-show": bridge.parse_vlans,
    "frr/show-ip-route": frr.parse_rib,
    "frr/show-ip-route-used": frr.parse_routes,
    "frr/running-config": frr.parse_running_config,
    "frr/nft-ruleset": frr.parse_tables,
    "frr/nf-conntrack": conntrack.parse_mappings,
    "linux_host/ss": parse_sockets,
    "linux_host/agent-transfer": services.parse_transfer,
    "linux_host/agent-datagrams": services.parse_datagrams,
    "linux_host/agent-sent": services.parse_sent,
    "linux_host/agent-failure": services.parse_failure,
}
"""What reads the answer to each command, by platform and command."""


def plain(value: Any) -> Any:
    """``value`` as JSON holds it, to be compared and to be read by people."""
    if isinstance(value, BaseModel):
        return {name: plain(getattr(value, name)) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not hasattr(value, "packed"):
        fields = dataclasses.fields(value)
        return {field.name: plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, dict):
        return {
            " ".join(key) if isinstance(key, tuple) else str(key): plain(held)
            for key, held in value.items()
        }
    if isinstance(value, list | tuple):
        return [plain(held) for held in value]
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, bool | int | float | str | None) else str(value)


def samples() -> list[tuple[str, Path]]:
    """Every sample: its command, and the path of what the device said."""
    return [
        (str(raw.parent.relative_to(SAMPLES)), raw) for raw in sorted(SAMPLES.glob("*/*/*.raw"))
    ]


def expected(raw: Path) -> Any:
    """What is expected of the parser of a sample."""
    return json.loads(raw.with_suffix(".json").read_text())
