"""What a plan can ask of servers, balancers and gateways, and the values that they tell.

As in ``capabilities``: every ``serve_*``, ``set_*``, ``add_*``, ``deny_*`` and ``translate`` is
journaled and undone when the plan ends.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Protocol

from testbed.devices.capabilities import Configurable, Device
from testbed.timing import Duration, seconds
from testbed.wire.addresses import MacAddr
from testbed.wire.dns import DnsRecord

__all__ = [
    "Addressed",
    "Balancer",
    "BalancerServer",
    "DhcpService",
    "Gateway",
    "LeasedAddress",
    "PppoeHeld",
    "PppoeService",
    "Server",
]


@dataclass(frozen=True, slots=True)
class DhcpService:
    """What a DHCP server gives out at a port: the addresses from ``first`` to ``last``.

    ``lease`` is in seconds. An address is pinged before it is offered, and ``ping`` is how long it
    may take to answer (RFC 2131 3.1); None asks nobody.
    """

    first: IPv4Address
    last: IPv4Address
    lease: int = 3600
    ping: Duration | None = seconds(1)
    router: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class LeasedAddress:
    """An address that a DHCP server leased, and to which client: type and hardware address."""

    port: str
    address: IPv4Address
    client: bytes


@dataclass(frozen=True, slots=True)
class PppoeService:
    """What an access concentrator offers, whom it lets in, and what addresses it has for them."""

    local: IPv4Address
    """The concentrator's address on each session."""
    first: IPv4Address
    last: IPv4Address
    """The addresses for its peers."""
    name: str = "testbed"
    """Its AC-Name (RFC 2516 appendix A)."""
    services: tuple[str, ...] = ()
    """Services by name; none: any."""
    authenticate: tuple[str, ...] = ()
    """``chap``, ``pap``: what hosts must prove themselves by, the preferred one first."""
    users: Mapping[str, str] = field(default_factory=dict)
    """Names and secrets."""
    echo: Duration | None = None
    """Between its Echo-Requests; None: none."""
    rechallenge: Duration | None = None
    """Between further challenges; None: none (RFC 1994 2)."""
    sessions: int | None = None
    """The most sessions at a time; None: as many as there are addresses."""


@dataclass(frozen=True, slots=True)
class PppoeHeld:
    """A session of an access concentrator. ``phase`` is RFC 1661 3.2's, in small letters."""

    port: str
    ident: int
    host: MacAddr
    address: IPv4Address
    phase: str


@dataclass(frozen=True, slots=True)
class BalancerServer:
    """A server behind a balancer, as the balancer sees it."""

    address: IPv4Address
    port: int
    up: bool
    flows: int
    """Connections that it has now."""
    total: int
    """Connections that it was sent in all."""


class Addressed(Device, Configurable, Protocol):
    """A device whose ports have IPv4 addresses."""

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


class Server(Addressed, Protocol):
    """A server of addresses and names, and an access concentrator."""

    def serve_dhcp(self, port: str, service: DhcpService) -> None:
        """Give out addresses at ``port``, in place of what was given out there before."""

    def dhcp_leases(self) -> tuple[LeasedAddress, ...]:
        """The addresses that are leased."""

    def serve_dns(self, origin: str, records: Iterable[DnsRecord]) -> None:
        """Answer for a zone, with authority, at every address of the device."""

    def serve_pppoe(self, port: str, service: PppoeService) -> None:
        """Be an access concentrator at ``port``; sessions that there are end."""

    def pppoe_sessions(self) -> tuple[PppoeHeld, ...]:
        """The sessions that there are."""


class Balancer(Addressed, Protocol):
    """A layer 4-7 device: spreads TCP connections to one service over servers."""

    def serve_balanced(self, port: int, servers: Iterable[tuple[IPv4Address, int]]) -> None:
        """Take connections to the TCP ``port`` of its addresses, and spread them over servers."""

    def servers(self) -> tuple[BalancerServer, ...]:
        """The servers, as it sees them."""

    def set_rate_limit(
        self, connections: int | None, per: Duration = seconds(1), *, per_source: bool = True
    ) -> None:
        """Let at most so many new connections come in any span of ``per``; None: all.

        From each source, or from all together. What is beyond is dropped, or refused.
        """

    def deny_source(self, prefix: IPv4Network) -> None:
        """Let nobody connect from there."""

    def deny_path(self, path: str) -> None:
        """Let no HTTP request pass for ``path`` or what is below it; it is answered with 403."""

    def set_idle_time(self, span: Duration) -> None:
        """How long a connection that carries nothing is kept."""

    def set_retry_time(self, span: Duration) -> None:
        """How long a server that took no connection is left alone."""


class Gateway(Addressed, Protocol):
    """An application gateway: HTTP in front, gopher (RFC 1436) behind."""

    def translate(self, port: int, origin: IPv4Address, origin_port: int) -> None:
        """Serve HTTP at the TCP ``port`` of its addresses, out of that gopher server.

        A path is that of a gopher URL (RFC 4266 2.1): the item's type, then its selector.
        """

    def set_patience(self, span: Duration) -> None:
        """How long the origin may be silent before the client is told so (504)."""
