"""IPv4 addresses for a plan's topology: subnets per segment, gateways, static routes.

Addresses come from 198.18.0.0/15, which RFC 2544 C.2.2 sets aside for tests between devices, less
what the bench file calls management. Balancers and gateways have an address on each of their links,
as routers have, but pass no packets on: they are ends of each network.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from testbed.bench.topology import Kind, Link, Topology
from testbed.errors import PlanError

__all__ = ["AddressPlan", "Assignment", "Hop", "plan_addresses"]

TEST_NETWORK = IPv4Network("198.18.0.0/15")
"""RFC 2544 C.2.2: the block that was assigned for use in benchmark tests of devices."""

FIRST_END = 10
"""Routers take .1 and on, ends of the network .10 and on: easy to tell apart in a capture."""

_ADDRESSED = frozenset({Kind.NIC, Kind.HOST, Kind.ROUTER, Kind.SERVER, Kind.BALANCER, Kind.GATEWAY})


@dataclass(frozen=True, slots=True)
class Assignment:
    """One address: ``node`` has ``address`` on ``link``; ends of the network have a ``gateway``."""

    node: str
    link: str
    address: IPv4Interface
    gateway: IPv4Address | None = None


@dataclass(frozen=True, slots=True)
class Hop:
    """A static route that ``router`` needs to reach ``prefix``."""

    router: str
    prefix: IPv4Network
    via: IPv4Address


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """All addresses and routes of a topology."""

    assignments: tuple[Assignment, ...]
    routes: tuple[Hop, ...]

    def of(self, node: str, link: str | None = None) -> Assignment:
        """The address of ``node`` (on ``link``, where it has several)."""
        mine = [a for a in self.assignments if a.node == node and link in (None, a.link)]
        if len(mine) != 1:
            links = ", ".join(a.link for a in self.assignments if a.node == node) or "none"
            raise PlanError(
                f"{node} has {len(mine)} addresses there; name one of its links: {links}"
            )
        return mine[0]


def plan_addresses(topology: Topology, management: tuple[IPv4Network, ...] = ()) -> AddressPlan:
    """Give every NIC, host and router of ``topology`` its addresses and routes."""
    subnets = _free_subnets(management)
    assignments: list[Assignment] = []
    for segment in _segments(topology):
        network = next(subnets)
        hosts = list(network.hosts())
        members = [
            (node, link.name)
            for link in segment
            for node in (link.a, link.b)
            if topology.kind(node) in _ADDRESSED
        ]
        routers = [m for m in members if topology.kind(m[0]) is Kind.ROUTER]
        ends = [m for m in members if topology.kind(m[0]) is not Kind.ROUTER]
        gateway = hosts[0] if routers else None
        for index, (node, link_name) in enumerate(routers):
            interface = IPv4Interface((hosts[index], network.prefixlen))
            assignments.append(Assignment(node, link_name, interface))
        for index, (node, link_name) in enumerate(ends):
            interface = IPv4Interface((hosts[FIRST_END - 1 + index], network.prefixlen))
            assignments.append(Assignment(node, link_name, interface, gateway))
    return AddressPlan(tuple(assignments), tuple(_routes(topology, assignments)))


def _free_subnets(management: tuple[IPv4Network, ...]) -> Iterator[IPv4Network]:
    for network in TEST_NETWORK.subnets(new_prefix=24):
        if not any(network.overlaps(other) for other in management):
            yield network


def _segments(topology: Topology) -> list[list[Link]]:
    """Links grouped into broadcast domains: boxes and switches join what they touch."""
    groups = [[link] for link in topology.links if not link.mirror]
    for node, kind in topology.nodes:
        if kind not in (Kind.BOX, Kind.SWITCH):
            continue
        touching = [group for group in groups if any(link.joins(node) for link in group)]
        if len(touching) > 1:
            groups = [group for group in groups if group not in touching]
            groups.append(list(itertools.chain.from_iterable(touching)))
    order = {link.name: index for index, link in enumerate(topology.links)}
    return sorted(groups, key=lambda group: min(order[link.name] for link in group))


def _routes(topology: Topology, assignments: list[Assignment]) -> Iterator[Hop]:
    """Shortest paths, router by router, to the networks that are not its own."""
    by_network: dict[IPv4Network, list[Assignment]] = {}
    for a in assignments:
        by_network.setdefault(a.address.network, []).append(a)
    routers = [name for name, kind in topology.nodes if kind is Kind.ROUTER]

    def networks_of(router: str) -> set[IPv4Network]:
        return {a.address.network for a in assignments if a.node == router}

    for router in routers:
        known = networks_of(router)
        edge = [(a, a.address.ip) for n in known for a in by_network[n] if a.node != router]
        while edge:
            reached: list[tuple[Assignment, IPv4Address]] = []
            for neighbour, via in edge:
                if neighbour.node not in routers:
                    continue
                for network in sorted(networks_of(neighbour.node) - known):
                    known.add(network)
                    yield Hop(router, network, via)
                    reached += [(a, via) for a in by_network[network] if a.node != neighbour.node]
            edge = reached
