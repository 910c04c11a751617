"""What a plan can ask of a device: one Protocol per capability, no platform named.

A method raises Unsupported where the device cannot do it at all, DeviceError where it refused or
answered nonsense, ConsoleError where the dialogue failed. Every ``set_*``, ``add_*`` and
``clear_*`` is written to the change log before it is made and undone when the plan ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from typing import Protocol

from testbed.console.cli import DEFAULT_WITHIN
from testbed.devices.values import (
    ArpEntry,
    Datagram,
    FdbEntry,
    Flow,
    NatEntry,
    PortCounters,
    Route,
    SocketInfo,
    TransferResult,
    UdpAnswer,
    VlanMode,
)
from testbed.timing import Duration, seconds
from testbed.wire.addresses import MacAddr

__all__ = ["Configurable", "Device", "Host", "Router", "Switch"]


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

    @property
    def deviations(self) -> Mapping[str, str]:
        """What its platform is known to do unlike the standard: keyword and reason."""

    def version(self) -> str:
        """What it runs, in one line, for the report."""

    def port_is_up(self, port: str) -> bool:
        """Whether the link of ``port`` is up."""

    def set_port_up(self, port: str, up: bool) -> None:
        """Switch ``port`` on or off."""

    def counters(self, port: str) -> PortCounters:
        """The counters of ``port``."""

    def wait_port_up(self, port: str, *, within: Duration, up: bool = True) -> None:
        """Wait until the link of ``port`` is up (or down); ExpectationFailed when it is not."""

    def execute(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> str:
        """Run one command line on it and return what it printed; not journaled.

        DeviceError where its status is not 0.
        """

    def undo(self, commands: tuple[str, ...]) -> None:
        """Run all the undo commands of a Change; DeviceError names those that failed."""


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

    def wait_learned(
        self, mac: MacAddr, *, on: str, within: Duration, vlan: int | None = None
    ) -> FdbEntry:
        """Wait until ``mac`` is in the MAC table, on ``on`` only; ExpectationFailed shows it."""

    def wait_forgotten(self, mac: MacAddr, *, within: Duration, vlan: int | None = None) -> None:
        """Wait until ``mac`` is not in the MAC table; ExpectationFailed shows the table."""

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

    def set_storm_control(self, port: str, frames_per_second: int | None) -> None:
        """Let in at most so many broadcast frames a second at ``port``; None: all of them.

        Each port is counted for itself, unicast and multicast not at all. Above the ceiling the
        excess is lost, at most one second's worth of frames may pass at once, and once the storm is
        over everything passes again. Unsupported where the device has no such thing.
        """

    def mtu(self, port: str) -> int:
        """The longest payload in bytes that a frame, tagged or not, may have at ``port``."""

    def set_mtu(self, port: str, mtu: int) -> None:
        """Set the longest payload of frames at ``port``: above 1500 lets jumbo frames pass.

        Unsupported, with the range, where the device cannot.
        """


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

    def set_connection_filter(self, tcp_port: int | None) -> None:
        """Let no SYN to ``tcp_port`` through that is forwarded, in whatever fragments; None: all.

        The SYNs of connections that exist, and all other packets, pass.
        """

    def set_directed_broadcast(self, port: str, on: bool) -> None:
        """Whether broadcasts directed at the subnet of ``port`` are forwarded to it (RFC 2644)."""

    def set_arp_timeout(self, port: str, span: Duration) -> None:
        """How long a confirmed ARP entry counts as fresh."""

    def set_mss_clamp(self, port: str, on: bool) -> None:
        """Whether SYNs that are forwarded out of ``port``, or came in by it, are clamped.

        The MSS that such a SYN or SYN+ACK announces is lowered to the MTU of the path less 40
        bytes (RFC 9293 3.7.1), and never raised. That MTU is the smaller one of the ports it came
        in by and leaves by. Nothing is clamped by default.
        """

    def set_next_hop_tracking(self, on: bool) -> None:
        """Whether a next hop that ARP has given up is passed over where others share its route.

        Off by default. How soon that is, set_arp_timeout of its port says; one that is heard of
        again is used again. A next hop whose port is down is passed over in any case.
        """

    def set_multicast_routing(self, on: bool) -> None:
        """Whether it asks its links who listens to groups (IGMP), and forwards to those who do.

        Off by default. Only what came by the port that leads to its sender is forwarded; the times
        are those of RFC 2236 8. Unsupported where the device cannot.
        """

    def set_router_discovery(
        self,
        port: str,
        on: bool,
        *,
        preference: int = 0,
        interval: Duration = seconds(600),
        lifetime: Duration = seconds(1800),
    ) -> None:
        """Whether it advertises itself on ``port`` (RFC 1256), which it does not by default.

        All addresses of the port, each with the ``preference``; ``interval`` is the most between
        two advertisements (4 s to 1800 s), three quarters of it the least; hosts may believe one
        for ``lifetime``. Whole seconds. Unsupported where the device cannot.
        """

    def set_nat(self, outside: str | None) -> None:
        """Translate between the port ``outside`` and all others (NAPT, RFC 3022); None: do not.

        What is forwarded out of ``outside`` leaves with the port's address as its source; what
        comes in by it and belongs to no mapping is not forwarded (RFC 4787 5). It begins without
        mappings.
        """

    def nat_table(self) -> tuple[NatEntry, ...]:
        """The mappings that have not run out, one row each, however many peers they have."""

    def set_nat_lifetime(self, protocol: str, span: Duration) -> None:
        """How long an idle mapping of ``tcp``, ``udp`` or ``icmp`` is kept, in whole seconds.

        Of TCP it is the time of an established connection (RFC 5382 REQ-5); for mappings that are
        made, or used, from now on.
        """

    def icmp_counters(self) -> dict[str, int]:
        """The router's IP and ICMP counters, by the device's own names."""


class Host(Device, Configurable, Protocol):
    """A general-purpose host with a kernel TCP/IP stack.

    Services run in the background until their work is done, stop_services, or the plan's end.
    What they send is determined by a seed: SHAKE128 of the seed as 8 bytes.
    """

    def addresses(self, port: str) -> tuple[IPv4Interface, ...]:
        """The addresses of ``port``."""

    def add_address(self, port: str, address: IPv4Interface) -> None:
        """Give ``port`` one more address."""

    def routes(self) -> tuple[Route, ...]:
        """The IPv4 routing table."""

    def add_route(self, prefix: IPv4Network, via: IPv4Address, metric: int = 0) -> None:
        """Add a static route."""

    def mac(self, port: str) -> MacAddr:
        """The MAC address of ``port``."""

    def mtu(self, port: str) -> int:
        """The IP MTU of ``port`` in bytes."""

    def set_mtu(self, port: str, mtu: int) -> None:
        """Set the IP MTU of ``port``."""

    def arp_table(self) -> tuple[ArpEntry, ...]:
        """The ARP table: entries that hold an address, not those being asked for."""

    def add_arp(self, port: str, ip: IPv4Address, mac: MacAddr) -> None:
        """Add a permanent ARP entry."""

    def flush_arp(self, port: str | None = None) -> None:
        """Forget what ARP learned."""

    def sysctl(self, name: str) -> str:
        """The value of a kernel setting."""

    def set_sysctl(self, name: str, value: str) -> None:
        """Set a kernel setting."""

    def tcp_serve(
        self,
        port: int,
        *,
        send: int = 0,
        seed: int = 0,
        flow: Flow | None = None,
        connections: int = 1,
        backlog: int | None = None,
    ) -> None:
        """Start a TCP service: it sends ``send`` seeded bytes in each connection, and reads all.

        It listens when this returns, and takes so many ``connections``, no more; ``backlog`` is
        listen(2)'s, as many as connections unless given. It closes each once it has sent all and
        the peer has closed, or as ``flow`` says.
        """

    def tcp_connect(
        self,
        to: str,
        port: int,
        *,
        send: int,
        seed: int = 0,
        source: str | None = None,
        source_port: int = 0,
        flow: Flow | None = None,
    ) -> None:
        """Start a client: it connects, sends ``send`` seeded bytes, shuts down, reads all.

        This returns at once, whether the peer answers or not.
        """

    def tcp_result(self, role: str, port: int, *, within: Duration) -> tuple[TransferResult, ...]:
        """Wait for the ``server`` or ``client`` of ``port``: what it sent and what it received.

        A connection that failed has its error in the results; ExpectationFailed where it has not
        ended ``within``, with how far it came. A server of several connections tells both for
        each, in the order in which it took them.
        """

    def udp_serve(self, port: int, *, groups: tuple[tuple[str, str], ...] = ()) -> None:
        """Start a UDP service that records and echoes every datagram.

        It joins ``groups``, each on the port that has the address which comes with it.
        """

    def udp_received(self, port: int, *, count: int = 1, within: Duration) -> tuple[Datagram, ...]:
        """What the UDP service of ``port`` received, once there are ``count`` or time is up."""

    def udp_send(
        self, to: str, port: int, payload: bytes, *, df: bool = False, source: str | None = None
    ) -> str | None:
        """Send one datagram; returns the kernel's error name (``EMSGSIZE``) or None.

        ``source`` is one of the host's addresses: to a group, or to 255.255.255.255, the datagram
        leaves by the port that has it.
        """

    def udp_ask(
        self,
        to: str,
        port: int,
        payload: bytes,
        *,
        df: bool = False,
        source: str | None = None,
        source_port: int = 0,
        within: Duration,
    ) -> UdpAnswer:
        """Send one datagram and wait for an answer, or for an ICMP error, ``within`` at most."""

    def http_serve(self, port: int, pages: Mapping[str, bytes]) -> None:
        """Start a web server of ``pages``, by their paths; it closes after each answer."""

    def sockets(self) -> tuple[SocketInfo, ...]:
        """The TCP sockets."""

    def path_mtu(self, to: IPv4Address) -> int | None:
        """What the kernel's path-MTU cache holds for ``to``, or None."""

    def stop_services(self) -> None:
        """End every service and client that was started here."""

    def put(self, local: Path | bytes, remote: str) -> None:
        """Copy a file, or bytes, to the host."""

    def get(self, remote: str, local: Path | None = None) -> bytes:
        """The bytes of the host's file ``remote``, also written to ``local`` where given."""
