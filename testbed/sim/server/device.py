"""A server whose services are those of a Python stack, one for each that is switched on."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Network
from typing import Any, Final

from testbed.errors import PlanError
from testbed.sim.appliance import Appliance, LineKind
from testbed.sim.appliance.device import ADDRESS
from testbed.sim.cli.commands import Call
from testbed.sim.server import lines
from testbed.sim.server.access import Access
from testbed.stack.refusals import Refused
from testbed.stack.services.dhcp_pool import DhcpServerConfig, DhcpSubnet
from testbed.stack.services.dhcp_server import DhcpServer
from testbed.stack.services.dns_server import DnsServer
from testbed.stack.services.dns_zone import Zone
from testbed.timing import Instant, seconds
from testbed.wire.dns import DnsName, DnsRecord

__all__ = ["SimServer"]

_LEASE: Final = 3600
_PING: Final = seconds(1)


class SimServer(Appliance):
    """DHCP and PPPoE at the ports where they are switched on, DNS at all of them."""

    kind = "server"
    model = "testbed simulated server"
    own_lines = lines.SERVER_LINES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dhcp: dict[str, DhcpServer] = {}
        self.access: dict[str, Access] = {}
        self.dns: DnsServer | None = None

    def shows(self) -> tuple[tuple[str, Callable[[Call], str], str], ...]:
        """Leases, zones, sessions."""
        return (
            ("show dhcp leases", lambda _: self._leases(), "addresses that were given out"),
            ("show dns zones", lambda _: self._zones(), "zones that are answered for"),
            ("show pppoe sessions", lambda _: self._sessions(), "hosts that are connected"),
        )

    def reconfigured(self, kind: LineKind, port: str, now: Instant) -> None:
        """Start anew what the line is about; its leases, or sessions, end."""
        if kind is ADDRESS or kind.words.startswith("dhcp"):
            self._serve_dhcp(port, now)
        elif kind.words.startswith("dns"):
            self._serve_dns(now)
        elif kind.words.startswith("pppoe"):
            for each in self.jacks if not port else (port,):
                self._serve_pppoe(each, now)

    # DHCP

    def _serve_dhcp(self, port: str, now: Instant) -> None:
        if port in self.dhcp:
            self.dhcp.pop(port).close(now)
        pool = self.configuration.value(lines.DHCP_POOL, None, port)
        held = [
            each for each in self.stack.interface(port).addresses if each.network.prefixlen < 32
        ]
        if pool is None or not held:
            return
        first, last = pool
        ping = self.configuration.value(lines.DHCP_PING, _PING, port)
        subnet = DhcpSubnet(
            IPv4Network(held[0].network),
            first,
            last,
            routers=tuple(self.configuration.values(lines.DHCP_ROUTER, port)),
        )
        config = DhcpServerConfig(
            (subnet,),
            lease_time=self.configuration.value(lines.DHCP_LEASE, _LEASE, port),
            ping=bool(ping),
            ping_wait=ping,
        )
        with suppress(Refused):  # the port was taken in the meantime: there is no service
            self.dhcp[port] = DhcpServer.on(self.stack, port, config, now)

    def _leases(self) -> str:
        return "".join(
            f"{port} {lease.address} {lease.client.hex()} "
            f"{'for ever' if lease.until is None else f'until {lease.until / seconds(1):.3f}'}\n"
            for port, server in self.dhcp.items()
            for lease in server.leases
        )

    # DNS

    def _serve_dns(self, now: Instant) -> None:
        zones = self._made_zones()
        if not zones:
            if self.dns is not None:
                self.dns.close(now)
            self.dns = None
        elif self.dns is None:
            self.dns = DnsServer.on(self.stack, zones, now)
        else:
            self.dns.zones = zones

    def _made_zones(self) -> tuple[Zone, ...]:
        """The zones that have all they need; a zone without its SOA is not answered for."""
        origins: list[DnsName] = self.configuration.values(lines.DNS_ZONE)
        mine: dict[DnsName, list[DnsRecord]] = {origin: [] for origin in origins}
        for record in self.configuration.values(lines.DNS_RECORD):
            above = [origin for origin in origins if record.name.within(origin)]
            if above:
                mine[max(above, key=lambda origin: len(origin.labels))].append(record)
        made = []
        for origin, records in mine.items():
            with suppress(PlanError):
                made.append(Zone(origin, records))
        return tuple(made)

    def _zones(self) -> str:
        zones = self.dns.zones if self.dns is not None else ()
        return "".join(f"{zone.origin}\n" for zone in zones)

    # PPPoE

    def _serve_pppoe(self, port: str, now: Instant) -> None:
        if port in self.access:
            self.access.pop(port).close(now)
        if self.configuration.has(lines.PPPOE, port):
            self.access[port] = Access(self.stack, port, self.configuration, now)

    def _sessions(self) -> str:
        return "".join(
            f"{port} {session.ident} {session.peer} {access.addresses.get(session.ident, '-')} "
            f"{session.link.phase.value}\n"
            for port, access in self.access.items()
            for session in access.sessions
        )
