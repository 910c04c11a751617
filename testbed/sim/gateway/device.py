"""A gateway between HTTP clients and a gopher server.

A client asks ``GET /0/docs/readme HTTP/1.1``; the gateway asks the origin for the selector
``/docs/readme``, and answers with the text as its author wrote it. Errors are told by HTTP's codes:
404 for gopher's error item, 502 for an origin that refuses or breaks off, 504 for one that is
silent. RFC 3234 calls such a middlebox an application-level gateway.
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any, Final

from testbed.sim.appliance import Appliance, LineKind, Words
from testbed.sim.gateway.exchange import Exchange, ExchangeContext
from testbed.stack.tcp.listener import Listener
from testbed.timing import Duration, Instant, seconds

__all__ = ["SimGateway"]

_PATIENCE: Final = seconds(30)


def _number(text: str, least: int, most: int) -> int:
    number = int(text)
    if not least <= number <= most:
        raise ValueError(f"expected {least} to {most}")
    return number


def _port(words: Words) -> int:
    return _number(words["port"], 1, 65535)


def _patience(words: Words) -> Duration:
    return seconds(_number(words["seconds"], 1, 86400))


SERVICE: Final = LineKind("service port <port>", "the port of HTTP", _port, single=True)
ORIGIN: Final = LineKind(
    "origin <address> <port>",
    "the gopher server",
    lambda words: (IPv4Address(words["address"]), _port(words)),
    single=True,
)
PATIENCE: Final = LineKind(
    "patience <seconds>", "how long the origin may be silent", _patience, single=True
)


class SimGateway(Appliance):
    """Serves HTTP out of a gopher server."""

    kind = "gateway"
    model = "testbed simulated gateway"
    own_lines = (SERVICE, ORIGIN, PATIENCE)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.exchanges: set[Exchange] = set()
        self._listener: Listener | None = None

    def reconfigured(self, kind: LineKind, port: str, now: Instant) -> None:
        """Listen where it is said; exchanges under way go on as they are."""
        del port
        if kind is not SERVICE:
            return
        if self._listener is not None:
            self._listener.close(now)
            self._listener = None
        wanted = self.configuration.value(SERVICE, None)
        if wanted is not None:
            self._listener = self.stack.tcp.listen(wanted, now)
            self._listener.on_change = self._accept

    def _accept(self, now: Instant) -> None:
        listener = self._listener
        while listener is not None and (client := listener.accept(now)) is not None:
            exchange = self.variants.of(Exchange)(self._context(), client, now)
            if not exchange.over:
                self.exchanges.add(exchange)

    def _context(self) -> ExchangeContext:
        value = self.configuration.value
        return ExchangeContext(
            self.stack,
            value(ORIGIN, None),
            value(PATIENCE, _PATIENCE),
            self.exchanges.discard,
        )
