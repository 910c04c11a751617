"""What ``vtysh`` and ``nft`` print."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from pydantic import Field, TypeAdapter

from testbed.devices.parsing import Row, read_json
from testbed.devices.values import Route
from testbed.errors import DeviceError

__all__ = [
    "RibRoute",
    "parse_rib",
    "parse_routes",
    "parse_running_config",
    "parse_tables",
]

STEP = " | "
"""Stands between a line of the configuration and the context that it is in."""

_NOISE = ("!", "exit", "end", "Building configuration", "Current configuration", "frr ")
_PLACES = ("interface ",)


class _NextHop(Row):
    ip: IPv4Address | None = None
    interface_name: str | None = Field(default=None, alias="interfaceName")
    fib: bool = False
    active: bool = False
    afi: str = "ipv4"


class RibRoute(Row):
    """A route that FRR knows of, whether it is used or not."""

    prefix: IPv4Network
    protocol: str
    distance: int = 0
    selected: bool = False
    installed: bool = False
    queued: bool = False
    next_hops: tuple[_NextHop, ...] = Field(default=(), alias="nexthops")


class _Table(Row):
    family: str
    name: str


class _Rule(Row):
    family: str
    table: str
    comment: str = ""


class _Object(Row):
    table: _Table | None = None
    rule: _Rule | None = None


class _Ruleset(Row):
    nftables: tuple[_Object, ...]


_RIB = TypeAdapter(dict[str, tuple[RibRoute, ...]])
_RULESET = TypeAdapter(_Ruleset)


def parse_rib(text: str) -> tuple[RibRoute, ...]:
    """The routes in the answer to ``show ip route json``."""
    return tuple(route for found in read_json(text, _RIB).values() for route in found)


def parse_routes(text: str) -> tuple[Route, ...]:
    """The routes of ``show ip route json`` that packets follow, one row for each next hop."""
    return tuple(
        Route(route.prefix, hop.ip, hop.interface_name, route.distance)
        for route in parse_rib(text)
        if route.selected and route.installed
        for hop in route.next_hops
        if hop.fib
    )


def parse_running_config(text: str) -> tuple[str, ...]:
    """The lines of ``show running-config``, each behind the lines of the context that it is in.

    ``interface eth1`` and, indented, ``ip address 10.0.0.1/24`` give
    ``interface eth1 | ip address 10.0.0.1/24``. What is no configuration is left out, and so are
    interfaces themselves, which exist whether they are configured or not.
    """
    if "Current configuration:" not in text:
        raise DeviceError("expected 'Current configuration:'")
    found: list[str] = []
    context: list[tuple[int, str]] = []
    for raw in text.splitlines():
        line = raw.strip()
        if not line or line.startswith(_NOISE):
            continue
        indent = len(raw) - len(raw.lstrip())
        while context and context[-1][0] >= indent:
            context.pop()
        context.append((indent, line))
        if context[0][1] is not line or not line.startswith(_PLACES):
            found.append(STEP.join(step for _, step in context))
    return tuple(found)


def parse_tables(text: str) -> dict[tuple[str, str], str]:
    """The tables of ``nft -j list ruleset``, by family and name, with their rules' comment."""
    tables: dict[tuple[str, str], str] = {}
    for entry in read_json(text, _RULESET).nftables:
        if entry.table is not None:
            tables.setdefault((entry.table.family, entry.table.name), "")
        elif entry.rule is not None and entry.rule.comment:
            tables[entry.rule.family, entry.rule.table] = entry.rule.comment
    return tables
