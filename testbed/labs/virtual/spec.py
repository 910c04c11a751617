"""What the runner tells the rack to build: plain values that travel as one line of JSON.

Only the standard library is imported here; see ``testbed.labs.virtual.rack``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

__all__ = [
    "CONTROLLER",
    "FILES",
    "LOOSE",
    "MANAGEMENT",
    "RACK_COMM",
    "CableSpec",
    "DeviceSpec",
    "PortSpec",
    "RackSpec",
]

CONTROLLER = "controller"
"""The node whose ports live in the rack's own network namespace."""

LOOSE = "-"
"""The node of ends that are plugged in nowhere; no device can have this name. They stay down, so
that the port at the other end has no carrier."""

FILES = "/run/testbed"
"""Where the rack keeps its files: a tmpfs in its own mount namespace, gone when it is gone.

The runner reads them as ``/proc/PID/root/run/testbed/...``.
"""

MANAGEMENT = "mgmt"
"""A device's management interface, by which its SSH login is reached."""

RACK_COMM = "testbed-rack"
"""The rack's name in process lists; ``held_labs`` finds racks by it."""


@dataclass(frozen=True, slots=True)
class PortSpec:
    """One end of a cable: the node, the interface's name there, its MAC address."""

    node: str
    name: str
    mac: str


@dataclass(frozen=True, slots=True)
class CableSpec:
    """A veth pair."""

    left: PortSpec
    right: PortSpec
    mtu: int


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device: what runs in it, its ports in order, its logins."""

    name: str
    platform: str
    ports: tuple[str, ...]
    address: str
    """Its management address; the controller's end is ``gateway``, both in a /31 (RFC 3021)."""
    gateway: str
    management_nic: str
    """The interface on the controller's side."""
    management_mac: str
    gateway_mac: str
    host_key: str
    """The private key in OpenSSH's format."""
    password_hash: str


@dataclass(frozen=True, slots=True)
class RackSpec:
    """A whole bench."""

    bench: str
    devices: tuple[DeviceSpec, ...]
    cables: tuple[CableSpec, ...]
    authorized_key: str
    files: dict[str, str]
    """Files for the runner's own use, by name, put under FILES."""

    def to_json(self) -> str:
        """One line of JSON; ``from_json`` reads it back."""
        return json.dumps(asdict(self))

    @staticmethod
    def from_json(text: str) -> RackSpec:
        """The values that ``to_json`` wrote."""
        data: dict[str, Any] = json.loads(text)
        return RackSpec(
            bench=data["bench"],
            devices=tuple(
                DeviceSpec(**{**entry, "ports": tuple(entry["ports"])}) for entry in data["devices"]
            ),
            cables=tuple(
                CableSpec(PortSpec(**c["left"]), PortSpec(**c["right"]), c["mtu"])
                for c in data["cables"]
            ),
            authorized_key=data["authorized_key"],
            files=data["files"],
        )
