"""The simulated balancer, over its command line."""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from testbed.devices.lines import LinesDriver, whole_seconds, word
from testbed.devices.middle import BalancerServer
from testbed.errors import DeviceError
from testbed.timing import Duration, format_duration, seconds

__all__ = ["SimBalancer"]

_SERVER: Final = re.compile(r"(\S+) (\d+) (up|down) flows (\d+) total (\d+)")
_SECOND: Final = seconds(1)


def _parse_servers(text: str) -> tuple[BalancerServer, ...]:
    return tuple(_server(line) for line in text.splitlines())


def _server(line: str) -> BalancerServer:
    match = _SERVER.fullmatch(line)
    if match is None:
        raise DeviceError(f"{line!r} is no server")
    address, port, state, flows, total = match.groups()
    return BalancerServer(IPv4Address(address), int(port), state == "up", int(flows), int(total))


class SimBalancer(LinesDriver):
    """Implements ``Balancer``. What its rate limit keeps out is dropped in silence."""

    platform = "sim_balancer"

    def serve_balanced(self, port: int, servers: Iterable[tuple[IPv4Address, int]]) -> None:
        """Take connections to the TCP ``port`` of its addresses, and spread them over servers."""
        held = self._settings()
        places = [f"server {address} {behind}" for address, behind in servers]
        self._set(
            f"TCP port {port} spread over {len(places)} servers",
            *self._instead("server", places, held),
            *self._instead("service port", [f"service port {port}"], held),
        )

    def servers(self) -> tuple[BalancerServer, ...]:
        """The servers, as it sees them."""
        return self._read("show servers", _parse_servers)

    def set_rate_limit(
        self, connections: int | None, per: Duration = _SECOND, *, per_source: bool = True
    ) -> None:
        """Let at most so many new connections come in any span of ``per``; None: all."""
        scope = "source" if per_source else "all"
        lines = []
        summary = "no limit of new connections"
        if connections is not None:
            lines.append(f"limit {connections} {whole_seconds(per)} {scope}")
            summary = f"{connections} new connections in {format_duration(per)} of {scope}"
        self._replace(summary, "limit", lines)

    def deny_source(self, prefix: IPv4Network) -> None:
        """Let nobody connect from there."""
        self._add(f"nobody from {prefix}", f"deny source {prefix}")

    def deny_path(self, path: str) -> None:
        """Let no HTTP request pass for ``path`` or what is below it; it is answered with 403."""
        self._add(f"no requests for {path}", f"deny path {word(path)}")

    def set_idle_time(self, span: Duration) -> None:
        """How long a connection that carries nothing is kept."""
        line = f"idle {whole_seconds(span)}"
        self._replace(f"idle connections kept for {format_duration(span)}", "idle", [line])

    def set_retry_time(self, span: Duration) -> None:
        """How long a server that took no connection is left alone."""
        line = f"retry {whole_seconds(span)}"
        self._replace(f"dead servers tried after {format_duration(span)}", "retry", [line])
