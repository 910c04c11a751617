"""A host with the Linux kernel's TCP/IP, by iproute2 and an agent of its own."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path

from testbed.devices.base import DriverContext, quote
from testbed.devices.changes import Change
from testbed.devices.linux.driver import LinuxIpDriver, arp_settings, link_settings
from testbed.devices.linux.links import parse_addresses
from testbed.devices.linux.routes import KernelRoute, parse_path_mtu, parse_routes
from testbed.devices.platforms.linux_host.services import (
    Agent,
    parse_datagrams,
    parse_sent,
    parse_transfer,
    read_command,
    read_file,
    stop_command,
    write_command,
)
from testbed.devices.platforms.linux_host.sockets import SHOW, parse_sockets
from testbed.devices.settings import Form, Setting
from testbed.devices.values import Datagram, Flow, Route, SocketInfo, TransferResult, UdpAnswer
from testbed.errors import PlanError
from testbed.timing import Duration, milliseconds, seconds, to_seconds

__all__ = ["LinuxHost"]

_SECOND, _MILLISECOND = seconds(1), milliseconds(1)

COPY_WITHIN = seconds(300)
"""How long a file may take by the command line: over a serial line that is 250 kilobytes."""

# What plans may change, and what decides how a host answers: the rest is the machine's own.
_SYSCTLS = (
    *(f"net/ipv4/{family}_*" for family in ("icmp", "ip", "ipfrag", "tcp")),
    *(f"net/ipv4/conf/{{}}/{name}" for name in ("accept_*", "arp_*", "rp_filter", "*redirects")),
    *(f"net/ipv4/neigh/{{}}/{name}" for name in ("base_reachable_time_ms", "gc_stale_time")),
)


class LinuxHost(LinuxIpDriver):
    """A Linux host. A route's metric is the kernel's: the lowest of a prefix is used."""

    platform = "linux_host"

    def __init__(self, context: DriverContext) -> None:
        super().__init__(context)
        self._agent = Agent(self.name, self._run)

    def undo(self, commands: tuple[str, ...]) -> None:
        """Run the undo commands of a Change; DeviceError names those that failed."""
        self._agent.forget()
        super().undo(commands)

    def add_address(self, port: str, address: IPv4Interface) -> None:
        """Give ``port`` one more address."""
        old = "" if address in self.addresses(port) else None
        key = f"address {port} {address.with_prefixlen}"
        self._set(f"address {address} on {port}", Setting(key, old, ""))

    def routes(self) -> tuple[Route, ...]:
        """The IPv4 routing table."""
        return tuple(found.route for found in self._routes())

    def add_route(self, prefix: IPv4Network, via: IPv4Address, metric: int = 0) -> None:
        """Add a static route; PlanError where the prefix has another one of this metric."""
        held = {row.via for row in self.routes() if (row.prefix, row.metric) == (prefix, metric)}
        if held - {via}:
            raise PlanError(
                f"{self.name} has a route to {prefix} of metric {metric} already; "
                "a host keeps one, so give another metric"
            )
        key = _route_key(Route(prefix, via, metric=metric))
        self._set(f"route {prefix} via {via}", Setting(key, "" if held else None, ""))

    def path_mtu(self, to: IPv4Address) -> int | None:
        """What the kernel's path-MTU cache holds for ``to``, or None."""
        return self._read(quote("ip", "-j", "route", "get", str(to)), parse_path_mtu)

    def sockets(self) -> tuple[SocketInfo, ...]:
        """The TCP sockets."""
        return self._read(SHOW, parse_sockets)

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
        """Start a TCP service: it takes connections, sends ``send`` seeded bytes, reads all."""
        self._journal_services(f"TCP service on port {port}")
        self._agent.ask(
            "tcp_serve",
            port=port,
            send=send,
            seed=seed,
            flow=_flow(flow),
            connections=connections,
            backlog=connections if backlog is None else backlog,
        )

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
        """Start a client: it connects, sends ``send`` seeded bytes, shuts down, reads all."""
        self._journal_services(f"TCP client of {to} port {port}")
        self._agent.ask(
            "tcp_connect",
            to=to,
            port=port,
            send=send,
            seed=seed,
            source=source,
            source_port=source_port,
            flow=_flow(flow),
        )

    def tcp_result(self, role: str, port: int, *, within: Duration) -> tuple[TransferResult, ...]:
        """Wait for the ``server`` or ``client`` of ``port``: what it sent and what it received."""
        if role not in ("server", "client"):
            raise PlanError(f"a TCP service is 'server' or 'client', not {role!r}")
        return self._agent.read(
            "result",
            parse_transfer,
            lasting=within,
            role=role,
            port=port,
            within=to_seconds(within),
        )

    def udp_serve(self, port: int, *, groups: tuple[tuple[str, str], ...] = ()) -> None:
        """Start a UDP service that records and echoes every datagram."""
        self._journal_services(f"UDP service on port {port}")
        self._agent.ask("udp_serve", port=port, groups=groups)

    def udp_received(self, port: int, *, count: int = 1, within: Duration) -> tuple[Datagram, ...]:
        """What the UDP service of ``port`` received, once there are ``count`` or time is up."""
        return self._agent.read(
            "udp_received",
            parse_datagrams,
            lasting=within,
            port=port,
            count=count,
            within=to_seconds(within),
        )

    def udp_send(
        self, to: str, port: int, payload: bytes, *, df: bool = False, source: str | None = None
    ) -> str | None:
        """Send one datagram; returns the kernel's error name (``EMSGSIZE``) or None."""
        return self.udp_ask(to, port, payload, df=df, source=source, within=Duration(0)).error

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
        self._journal_services(f"UDP datagram to {to} port {port}")
        return self._agent.read(
            "udp_send",
            parse_sent,
            lasting=within,
            to=to,
            port=port,
            file=self._agent.upload(payload),
            df=df,
            source=source,
            source_port=source_port,
            within=to_seconds(within),
        )

    def http_serve(self, port: int, pages: Mapping[str, bytes]) -> None:
        """Start a web server of ``pages``, by their paths; it closes after each answer."""
        self._journal_services(f"web server on port {port}")
        encoded = {path: base64.b64encode(page).decode() for path, page in pages.items()}
        file = self._agent.upload(json.dumps(encoded).encode())
        self._agent.ask("http_serve", port=port, file=file)

    def stop_services(self) -> None:
        """End every service and client that was started here."""
        self._run(stop_command(self._agent.directory()))
        self._agent.forget()

    def put(self, local: Path | bytes, remote: str) -> None:
        """Copy a file, or bytes, to the host: by its file transfer, else by its command line."""
        if self._context.files is not None:
            self._context.files.put(local, remote)
        else:
            content = local if isinstance(local, bytes) else local.read_bytes()
            self._run(write_command(remote, content), within=COPY_WITHIN)

    def get(self, remote: str, local: Path | None = None) -> bytes:
        """The bytes of the host's file ``remote``, also written to ``local`` where given."""
        if self._context.files is not None:
            return self._context.files.get(remote, local)
        content = self._read(read_command(remote), read_file, within=COPY_WITHIN)
        if local is not None:
            local.write_bytes(content)
        return content

    def _journal_services(self, summary: str) -> None:
        """Write down how every service ends, before one is started."""
        self._context.changes.before(
            Change(self.name, summary, (stop_command(self._agent.directory()),))
        )

    def _settings(self) -> dict[str, str]:
        found = link_settings(self._links(), self.ports)
        for port, addresses in self._read("ip -j -4 addr", parse_addresses).items():
            if port in self.ports:
                found |= {f"address {port} {address.with_prefixlen}": "" for address in addresses}
        for row in self._routes():
            if row.protocol != "kernel" and (row.route.port or "") in self.ports:
                found[_route_key(row.route)] = ""
        found |= arp_settings(self.arp_table(), self.ports)
        places = ("all", *(quote(port) for port in self.ports))
        paths = [path.format(place) for path in _SYSCTLS for place in places]
        return found | self._sysctl_settings(*dict.fromkeys(paths))

    def _forms(self) -> tuple[Form, ...]:
        return (
            Form(r"address (\S+) (\S+)", 3, self._make_address),
            Form(r"route (\S+) (.+)", 5, self._make_route),
            *super()._forms(),
        )

    def _make_address(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        port, address = self._port(key[1]), key[2]
        if value is not None:
            return (quote("ip", "addr", "replace", address, "dev", port),)
        look = quote("ip", "-o", "-4", "addr", "show", "dev", port)
        remove = quote("ip", "addr", "del", address, "dev", port)
        return (f"if {look} | grep -qF {quote(f' {address} ')}; then {remove}; fi",)

    def _make_route(self, key: re.Match[str], value: str | None) -> Sequence[str]:
        route = (key[1], *key[2].split())
        if value is not None:
            return (quote("ip", "route", "replace", *route),)
        look = quote("ip", "-4", "route", "show", *route)
        return (f'if [ -n "$({look})" ]; then {quote("ip", "route", "del", *route)}; fi',)

    def _routes(self) -> tuple[KernelRoute, ...]:
        return self._read("ip -j -4 route", parse_routes)

    def _lost_when_down(self, port: str) -> list[Setting]:
        routes = [row for row in self._routes() if row.protocol != "kernel"]
        return [
            *super()._lost_when_down(port),
            *(Setting(_route_key(row.route), "", None) for row in routes if row.route.port == port),
        ]


def _route_key(route: Route) -> str:
    where = f"via {route.via}" if route.via is not None else f"dev {route.port}"
    return f"route {route.prefix} {where}" + (f" metric {route.metric}" if route.metric else "")


def _flow(flow: Flow | None) -> dict[str, object]:
    flow = flow or Flow()
    keepalive = flow.keepalive
    return {
        "chunk": flow.chunk,
        "every": to_seconds(flow.every),
        "nodelay": flow.nodelay,
        "read_after": to_seconds(flow.read_after),
        "receive_buffer": flow.receive_buffer,
        "send_buffer": flow.send_buffer,
        "read_chunk": flow.read_chunk,
        "read_every": to_seconds(flow.read_every),
        "urgent": flow.urgent,
        "oob_inline": flow.oob_inline,
        "max_segment": flow.max_segment,
        "keepalive": keepalive
        and [
            keepalive.idle and keepalive.idle // _SECOND,
            keepalive.interval and keepalive.interval // _SECOND,
            keepalive.probes,
        ],
        "user_timeout": flow.user_timeout and max(1, flow.user_timeout // _MILLISECOND),
        "ending": flow.ending and flow.ending.value,
        "end_after": to_seconds(flow.end_after),
    }
