"""What ``ip -j route`` and ``ip -j neigh`` print."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from pydantic import TypeAdapter

from testbed.devices.parsing import Mac, Row, read_json
from testbed.devices.values import ArpEntry, Route
from testbed.errors import DeviceError

__all__ = ["KernelRoute", "parse_neighbours", "parse_path_mtu", "parse_routes"]


@dataclass(frozen=True, slots=True)
class KernelRoute:
    """A route of the kernel's main table; ``protocol`` says who made it: ``kernel``, ``static``."""

    route: Route
    protocol: str


class _NextHop(Row):
    gateway: IPv4Address | None = None
    dev: str | None = None


class _Route(Row):
    dst: str
    type: str = "unicast"
    gateway: IPv4Address | None = None
    dev: str | None = None
    metric: int = 0
    protocol: str = "boot"
    nexthops: tuple[_NextHop, ...] = ()


class _Neighbour(Row):
    dst: str
    dev: str
    lladdr: Mac | None = None
    state: tuple[str, ...] = ()


class _Metrics(Row):
    mtu: int | None = None


class _Looked(Row):
    dst: str
    metrics: tuple[_Metrics, ...] = ()


_ROUTES = TypeAdapter(tuple[_Route, ...])
_NEIGHBOURS = TypeAdapter(tuple[_Neighbour, ...])
_LOOKED = TypeAdapter(tuple[_Looked, ...])

_UNUSABLE = frozenset({"INCOMPLETE", "FAILED", "NOARP", "NONE"})


def parse_routes(text: str) -> tuple[KernelRoute, ...]:
    """The unicast routes in the answer to ``ip -j -4 route``, one row for each next hop."""
    found: list[KernelRoute] = []
    for row in read_json(text, _ROUTES):
        if row.type != "unicast":
            continue
        prefix = _prefix(row.dst)
        hops = row.nexthops or (_NextHop(gateway=row.gateway, dev=row.dev),)
        found += [
            KernelRoute(Route(prefix, hop.gateway, hop.dev, row.metric), row.protocol)
            for hop in hops
        ]
    return tuple(found)


def parse_neighbours(text: str) -> tuple[ArpEntry, ...]:
    """The rows of ``ip -j -4 neigh`` that hold an address."""
    return tuple(
        ArpEntry(_address(row.dst), row.lladdr, row.dev, permanent="PERMANENT" in row.state)
        for row in read_json(text, _NEIGHBOURS)
        if row.lladdr is not None and not _UNUSABLE.intersection(row.state)
    )


def parse_path_mtu(text: str) -> int | None:
    """The MTU that ``ip -j route get`` tells of, or None where the path has none of its own."""
    for row in read_json(text, _LOOKED):
        for metric in row.metrics:
            if metric.mtu is not None:
                return metric.mtu
    return None


def _prefix(text: str) -> IPv4Network:
    try:
        return IPv4Network("0.0.0.0/0" if text == "default" else text)
    except ValueError as error:
        raise DeviceError(f"{text!r} is no IPv4 prefix: {error}") from None


def _address(text: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError as error:
        raise DeviceError(f"{text!r} is no IPv4 address: {error}") from None
