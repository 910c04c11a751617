"""What can be typed at a server, besides addresses and routes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from testbed.sim.appliance import LineKind, Words
from testbed.sim.server.records import read_record
from testbed.timing import Duration, milliseconds, seconds
from testbed.wire.dns import DnsName

__all__ = [
    "DHCP_LEASE",
    "DHCP_PING",
    "DHCP_POOL",
    "DHCP_ROUTER",
    "DNS_RECORD",
    "DNS_ZONE",
    "PPPOE",
    "PPPOE_AUTHENTICATION",
    "PPPOE_ECHO",
    "PPPOE_NAME",
    "PPPOE_POOL",
    "PPPOE_RECHALLENGE",
    "PPPOE_SERVICE",
    "PPPOE_SESSIONS",
    "PPPOE_USER",
    "SERVER_LINES",
    "PppoePool",
]

_METHODS: Final = ("chap", "pap")


@dataclass(frozen=True, slots=True)
class PppoePool:
    """The concentrator's own address, and those that it gives to its peers."""

    local: IPv4Address
    first: IPv4Address
    last: IPv4Address


def _number(name: str, least: int, most: int) -> Callable[[Words], int]:
    def read(words: Words) -> int:
        number = int(words[name])
        if not least <= number <= most:
            raise ValueError(f"expected {least} to {most}")
        return number

    return read


def _span(name: str) -> Callable[[Words], Duration]:
    number = _number(name, 1, 86400)
    return lambda words: seconds(number(words))


def _range(words: Words) -> tuple[IPv4Address, IPv4Address]:
    first, last = IPv4Address(words["first"]), IPv4Address(words["last"])
    if last < first:
        raise ValueError("the last address comes before the first")
    return first, last


def _pppoe_pool(words: Words) -> PppoePool:
    return PppoePool(IPv4Address(words["local"]), *_range(words))


def _methods(words: Words) -> tuple[str, ...]:
    methods = tuple(words["methods"].split())
    if not set(methods) <= set(_METHODS):
        raise ValueError(f"expected some of {', '.join(_METHODS)}")
    return methods


DHCP_POOL: Final = LineKind(
    "dhcp pool <first> <last>", "give out these addresses", _range, per_port=True, single=True
)
DHCP_LEASE: Final = LineKind(
    "dhcp lease <seconds>",
    "for how long",
    _number("seconds", 1, 0xFFFFFFFF),
    per_port=True,
    single=True,
)
DHCP_PING: Final = LineKind(
    "dhcp ping <milliseconds>",
    "how long an address may take to answer before it is offered; 0 asks nobody",
    lambda words: milliseconds(_number("milliseconds", 0, 10000)(words)),
    per_port=True,
    single=True,
)
DHCP_ROUTER: Final = LineKind(
    "dhcp router <address>",
    "the router that clients are told of",
    lambda words: IPv4Address(words["address"]),
    per_port=True,
    single=True,
)
DNS_ZONE: Final = LineKind(
    "dns zone <origin>", "answer for this zone", lambda words: DnsName(words["origin"])
)
DNS_RECORD: Final = LineKind(
    "dns record <name> <ttl> <type> <data...>",
    "a record of a zone",
    lambda words: read_record(words["name"], words["ttl"], words["type"], words["data"]),
)
PPPOE: Final = LineKind("pppoe enable", "be an access concentrator", per_port=True, single=True)
PPPOE_NAME: Final = LineKind(
    "pppoe name <name>", "its name", lambda words: words["name"].encode(), single=True
)
PPPOE_SERVICE: Final = LineKind(
    "pppoe service <name>", "a service that it offers", lambda words: words["name"].encode()
)
PPPOE_AUTHENTICATION: Final = LineKind(
    "pppoe authentication <methods...>",
    "how hosts must prove who they are, the preferred method first",
    _methods,
    single=True,
)
PPPOE_USER: Final = LineKind(
    "pppoe user <name> <secret>",
    "a user's name and secret",
    lambda words: (words["name"].encode(), words["secret"].encode()),
)
PPPOE_POOL: Final = LineKind(
    "pppoe pool <local> <first> <last>",
    "its own address, and those that it gives out",
    _pppoe_pool,
    single=True,
)
PPPOE_ECHO: Final = LineKind(
    "pppoe echo <seconds>", "time between its Echo-Requests", _span("seconds"), single=True
)
PPPOE_RECHALLENGE: Final = LineKind(
    "pppoe rechallenge <seconds>",
    "time between challenges once a host is known",
    _span("seconds"),
    single=True,
)
PPPOE_SESSIONS: Final = LineKind(
    "pppoe sessions <count>",
    "sessions at a time",
    _number("count", 0, 65534),
    single=True,
)

SERVER_LINES: Final = (
    DHCP_POOL,
    DHCP_LEASE,
    DHCP_PING,
    DHCP_ROUTER,
    DNS_ZONE,
    DNS_RECORD,
    PPPOE,
    PPPOE_NAME,
    PPPOE_SERVICE,
    PPPOE_AUTHENTICATION,
    PPPOE_USER,
    PPPOE_POOL,
    PPPOE_ECHO,
    PPPOE_RECHALLENGE,
    PPPOE_SESSIONS,
)
