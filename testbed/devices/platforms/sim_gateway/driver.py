"""The simulated gateway, over its command line."""

from __future__ import annotations

from ipaddress import IPv4Address

from testbed.devices.lines import LinesDriver, whole_seconds
from testbed.timing import Duration, format_duration

__all__ = ["SimGateway"]


class SimGateway(LinesDriver):
    """Implements ``Gateway``."""

    platform = "sim_gateway"

    def translate(self, port: int, origin: IPv4Address, origin_port: int) -> None:
        """Serve HTTP at the TCP ``port`` of its addresses, out of that gopher server."""
        held = self._settings()
        self._set(
            f"HTTP at port {port} out of gopher at {origin}:{origin_port}",
            *self._instead("origin", [f"origin {origin} {origin_port}"], held),
            *self._instead("service port", [f"service port {port}"], held),
        )

    def set_patience(self, span: Duration) -> None:
        """How long the origin may be silent before the client is told so (504)."""
        line = f"patience {whole_seconds(span)}"
        self._replace(f"patience of {format_duration(span)}", "patience", [line])
