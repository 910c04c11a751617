"""What can be typed at a balancer, besides addresses and routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Final

from testbed.sim.appliance import LineKind, Words
from testbed.timing import Duration, seconds

__all__ = [
    "BALANCER_LINES",
    "CONNECT",
    "DENY_PATH",
    "DENY_SOURCE",
    "IDLE",
    "LIMIT",
    "RETRY",
    "SCHEDULE",
    "SERVER",
    "SERVICE",
    "Limit",
]

_METHODS: Final = ("least-connections", "round-robin")
_SCOPES: Final = ("source", "all")


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so many new connections in any ``span``, from each source or from all together."""

    connections: int
    span: Duration
    per_source: bool


def _number(text: str, least: int, most: int) -> int:
    number = int(text)
    if not least <= number <= most:
        raise ValueError(f"expected {least} to {most}")
    return number


def _port(words: Words) -> int:
    return _number(words["port"], 1, 65535)


def _span(words: Words) -> Duration:
    return seconds(_number(words["seconds"], 1, 86400))


def _limit(words: Words) -> Limit:
    scope = _among(_SCOPES, "scope")(words)
    return Limit(_number(words["connections"], 1, 1_000_000), _span(words), scope == "source")


def _among(names: tuple[str, ...], word: str) -> Callable[[Words], str]:
    def read(words: Words) -> str:
        if words[word] not in names:
            raise ValueError(f"expected one of {', '.join(names)}")
        return words[word]

    return read


SERVICE: Final = LineKind("service port <port>", "the port that clients use", _port, single=True)
SERVER: Final = LineKind(
    "server <address> <port>",
    "a server to send connections to",
    lambda words: (IPv4Address(words["address"]), _port(words)),
)
SCHEDULE: Final = LineKind(
    "schedule <method>",
    "how a server is chosen: least-connections or round-robin",
    _among(_METHODS, "method"),
    single=True,
)
LIMIT: Final = LineKind(
    "limit <connections> <seconds> <scope>",
    "new connections in so many seconds, of each source or of all",
    _limit,
    single=True,
)
DENY_SOURCE: Final = LineKind(
    "deny source <prefix>",
    "let nobody in from there",
    lambda words: IPv4Network(words["prefix"]),
)
DENY_PATH: Final = LineKind(
    "deny path <path>", "let no request pass for this path and below", lambda words: words["path"]
)
IDLE: Final = LineKind("idle <seconds>", "how long a silent flow is kept", _span, single=True)
RETRY: Final = LineKind(
    "retry <seconds>", "how long a server that failed is left alone", _span, single=True
)
CONNECT: Final = LineKind(
    "connect <seconds>", "how long a server may take to answer a SYN", _span, single=True
)

BALANCER_LINES: Final = (
    SERVICE,
    SERVER,
    SCHEDULE,
    LIMIT,
    DENY_SOURCE,
    DENY_PATH,
    IDLE,
    RETRY,
    CONNECT,
)
