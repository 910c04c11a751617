"""What a plan can ask of a device: one Protocol per capability, no platform named.

A method raises Unsupported where the device cannot do it at all, DeviceError where it refused or
answered nonsense, ConsoleError where the dialogue failed. Every ``set_*``, ``add_*`` and
``clear_*`` is written to the change log before it is made and undone when the plan ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Protocol

from testbed.timing import Duration
from testbed.wire.addresses import MacAddr

__all__ = [
    "ArpEntry",
    "Configurable",
    "Device",
    "FdbEntry",
    "Host",
    "PortCounters",
    "Route",
    "Router",
    "SocketInfo",
    "Switch",
    "TransferResult",
    "VlanMode",
]


@dataclass(frozen=True, slots=True)
class FdbEntry:
    """One row of a MAC table. ``vlan`` 0 means untagged; ``age`` is None where it is not told."""

    mac: MacAddr
    port: str
    vlan: int = 0
    static: bool = False
    age: Duration | None = None


@dataclass(frozen=True, slots=True)
class VlanMode:
    """How a port treats tags: access (one untagged VLAN) or trunk (tagged, ``native`` untagged)."""

    access: int | None = None
    trunk: tuple[int, ...] = ()
    native: int | None = None


@dataclass(frozen=True, slots=True)
class PortCounters:
    """Frames and bytes since the device last started, as the device counts them."""

    rx_frames: int
    tx_frames: int
    rx_bytes: int
    tx_bytes: int
    rx_errors: int = 0
    tx_errors: int = 0
    rx_dropped: int = 0
    tx_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Route:
    """One row of a routing table. ``via`` is None for a connected network."""

    prefix: IPv4Network
    via: IPv4Address | None = None
    port: str | None = None
    metric: int = 0


@dataclass(frozen=True, slots=True)
class ArpEntry:
    """One row of an ARP table."""

    ip: IPv4Address
    mac: MacAddr
    port: str
    permanent: bool = False


@dataclass(frozen=True, slots=True)
class SocketInfo:
    """A TCP socket of a host as its kernel reports it. Times in Duration, windows in segments."""

    local: str
    remote: str
    state: str
    rto: Duration | None = None
    rtt: Duration | None = None
    cwnd: int | None = None
    ssthresh: int | None = None
    mss: int | None = None
    pmtu: int | None = None
    retransmits: int = 0
    unacked: int = 0


@dataclass(frozen=True, slots=True)
class TransferResult:
    """How a transfer ended at one side. ``sha256`` is of the bytes that were sent or received."""

    octets: int
    sha256: str
    duration: Duration
    error: str | None = None


class Device(Protocol):
    """What every managed device can do."""

    @property
    def name(self) -> str:
        """The device's name in the bench file."""

    @property
    def platform(self) -> str:
        """The platform's name in the bench file."""

    @property
    def ports(self) -> tuple[str, ...]:
        """Its ports, as the bench file names them."""

    def version(self) -> str:
        """What it runs, in one line, for the report."""

    def port_is_up(self, port: str) -> bool:
        """Whether the link of ``port`` is up."""

    def set_port_up(self, port: str, up: bool) -> None:
        """Switch ``port`` on or off."""

    def counters(self, port: str) -> PortCounters:
        """The counters of ``port``."""

    def undo(self, commands: tuple[str, ...]) -> None:
        """Run the undo commands of a Change; DeviceError names the one that failed."""


class Configurable(Protocol):
    """A device whose configuration is a text."""

    def read_config(self) -> str:
        """The running configuration: stable text, the same for the same configuration."""

    def apply_config(self, text: str) -> None:
        """Make the running configuration equal to ``text``; journaled."""

    def diff_config(self, wanted: str) -> str:
        """Unified diff from the running configuration to ``wanted``; empty when they agree."""

    def restore_config(self, text: str) -> None:
        """As apply_config, but not journaled: this is how a bench puts a device back."""


class Switch(Device, Configurable, Protocol):
    """An Ethernet switch."""

    def fdb(self) -> tuple[FdbEntry, ...]:
        """The MAC table."""

    def flush_fdb(self, port: str | None = None) -> None:
        """Forget dynamic entries, of one port or all; static entries stay."""

    def add_static(self, mac: MacAddr, port: str, vlan: int = 0) -> None:
        """Add a static entry."""

    def ageing_time(self) -> Duration:
        """The ageing time."""

    def set_ageing_time(self, span: Duration) -> None:
        """Set the ageing time; Unsupported, with the range, where the device cannot hold it."""

    @property
    def least_ageing_time(self) -> Duration:
        """The shortest ageing time that can be set."""

    def vlan_mode(self, port: str) -> VlanMode:
        """How ``port`` treats tags."""

    def set_vlan_mode(self, port: str, mode: VlanMode) -> None:
        """Make ``port`` an access or trunk port."""

    def set_mirror(self, sources: tuple[str, ...], to: str) -> None:
        """Copy both directions of ``sources`` to ``to``, which then carries nothing else."""

    def clear_mirror(self) -> None:
        """Remove the mirror session that set_mirror made."""


class Router(Device, Configurable, Protocol):
    """An IPv4 router."""

    def addresses(self, port: str) -> tuple[IPv4Interface, ...]:
        """The addresses of ``port``."""

    def add_address(self, port: str, address: IPv4Interface) -> None:
        """Give ``port`` one more address."""

    def mac(self, port: str) -> MacAddr:
        """The MAC address of ``port``."""

    def mtu(self, port: str) -> int:
        """The IP MTU of ``port`` in bytes."""

    def set_mtu(self, port: str, mtu: int) -> None:
        """Set the IP MTU of ``port``."""

    def routes(self) -> tuple[Route, ...]:
        """The IPv4 routing table."""

    def add_route(self, prefix: IPv4Network, via: IPv4Address, metric: int = 0) -> None:
        """Add a static route."""

    def arp_table(self) -> tuple[ArpEntry, ...]:
        """The ARP table: entries that hold an address, not those being asked for."""

    def add_arp(self, port: str, ip: IPv4Address, mac: MacAddr) -> None:
        """Add a permanent ARP entry."""

    def flush_arp(self, port: str | None = None) -> None:
        """Forget what ARP learned."""

    def set_icmp_rate_limit(self, on: bool) -> None:
        """Whether ICMP errors are rate limited; plans that count errors switch it off."""

    def set_icmp_errors(self, on: bool) -> None:
        """Whether ICMP errors leave the router at all: off makes a path-MTU black hole."""

    def set_redirects(self, on: bool) -> None:
        """Whether ICMP redirects are sent."""

    def set_directed_broadcast(self, port: str, on: bool) -> None:
        """Whether broadcasts directed at the subnet of ``port`` are forwarded to it (RFC 2644)."""

    def set_arp_timeout(self, port: str, span: Duration) -> None:
        """How long a confirmed ARP entry counts as fresh."""

    def icmp_counters(self) -> dict[str, int]:
        """The router's IP and ICMP counters, by the device's own names."""


class Host(Device, Protocol):
    """A general-purpose host with a kernel TCP/IP stack."""

    def addresses(self, port: str) -> tuple[IPv4Interface, ...]:
        """The addresses of ``port``."""

    def add_address(self, port: str, address: IPv4Interface) -> None:
        """Give ``port`` one more address."""

    def add_route(self, prefix: IPv4Network, via: IPv4Address, metric: int = 0) -> None:
        """Add a static route."""

    def mac(self, port: str) -> MacAddr:
        """The MAC address of ``port``."""

    def mtu(self, port: str) -> int:
        """The IP MTU of ``port`` in bytes."""

    def set_mtu(self, port: str, mtu: int) -> None:
        """Set the IP MTU of ``port``."""

    def sysctl(self, name: str) -> str:
        """The value of a kernel setting."""

    def set_sysctl(self, name: str, value: str) -> None:
        """Set a kernel setting."""

    def run(self, command: str, *, within: Duration) -> str:
        """Run a shell command and return what it printed; DeviceError on a non-zero status."""

    def tcp_serve(self, port: int, *, send: int = 0, seed: int = 0) -> None:
        """Start a TCP service: it takes one connection, sends ``send`` seeded bytes, reads all."""

    def tcp_connect(
        self, to: str, port: int, *, send: int, seed: int = 0, source: str | None = None
    ) -> None:
        """Start a client: it connects, sends ``send`` seeded bytes, shuts down, reads all."""

    def tcp_result(self, role: str, port: int, *, within: Duration) -> tuple[TransferResult, ...]:
        """Wait for the ``server`` or ``client`` of ``port``: what it sent and what it received."""

    def udp_serve(self, port: int) -> None:
        """Start a UDP service that records and echoes every datagram."""

    def udp_send(self, to: str, port: int, payload: bytes, *, df: bool = False) -> str | None:
        """Send one datagram; returns the kernel's error name (``EMSGSIZE``) or None."""

    def sockets(self) -> tuple[SocketInfo, ...]:
        """The TCP sockets."""

    def path_mtu(self, to: IPv4Address) -> int | None:
        """What the kernel's path-MTU cache holds for ``to``, or None."""

    def stop_services(self) -> None:
        """End every service and client that was started here."""

    def put(self, local: str, remote: str) -> None:
        """Copy a file to the host."""

    def get(self, remote: str, local: str) -> None:
        """Copy a file from the host."""
