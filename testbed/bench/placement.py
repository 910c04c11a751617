"""Where a plan's topology fits into a bench's cabling.

Both are turned into simple graphs in which every cable is a node of its own (two devices may be
joined by several), and networkx finds the subgraphs that match. NICs are left out of this where
they hang on one device or box, as nearly all do: which of a switch's 48 testers plays which part
is no search, for the widest cables serve best and every order of them serves alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from testbed.bench.topology import Kind, Link, Topology
from testbed.devices.registry import PLATFORMS
from testbed.errors import PlanError
from testbed.inventory import Bench as BenchFile
from testbed.inventory import Cable

__all__ = ["FULL_MTU", "Placement", "find_placements", "kinds_of"]

FULL_MTU = 1500
"""The MTU of a cable for which the bench file states none (IEEE 802.3)."""

MAX_CANDIDATES = 2000
"""Placements compared for the same device; beyond that the first found are as good as any."""

CONTROLLER = "controller"


@dataclass(frozen=True, slots=True)
class Placement:
    """One placement of a topology: node -> NIC, box or device; link -> cable."""

    topology: Topology
    nodes: Mapping[str, str]
    cables: Mapping[str, Cable]

    def port(self, node: str, link_name: str) -> str:
        """The port (of a device) or the NIC (of the controller) where ``link`` meets ``node``."""
        link = self.topology.link(link_name)
        if not link.joins(node):
            raise PlanError(f"link {link.name} does not end at {node}")
        cable = self.cables[link.name]
        kind = self.topology.kind(node)
        if kind is Kind.NIC:
            return self.nodes[node]
        own = CONTROLLER if kind is Kind.BOX else self.nodes[node]
        ports = [end.port for end in cable.ends if end.node == own]
        if len(ports) > 1:  # a box and a NIC: both ends are the controller's
            ports.remove(self.nodes[link.other(node)])
        return ports[0]

    def __str__(self) -> str:
        return ", ".join(f"{node}={place}" for node, place in self.nodes.items())


def kinds_of(bench: BenchFile) -> dict[str, Kind]:
    """The kind of everything on the bench that a topology can ask for."""
    kinds = dict.fromkeys(bench.controller.nics, Kind.NIC)
    for between in bench.controller.boxes.values():
        for nic in between:
            kinds.pop(nic, None)
    kinds |= dict.fromkeys(bench.controller.boxes, Kind.BOX)
    for name, device in {**bench.devices, **bench.hosts}.items():
        kinds[name] = Kind(PLATFORMS[device.platform].kind)
    return kinds


@dataclass(frozen=True, slots=True)
class _Twig:
    """A link of a topology between a NIC and what is no NIC."""

    nic: str
    hub: str
    link: Link


def _twigs(topology: Topology) -> list[_Twig]:
    found = []
    for link in topology.links:
        nics = [end for end in (link.a, link.b) if topology.kind(end) is Kind.NIC]
        if len(nics) == 1:
            found.append(_Twig(nics[0], link.other(nics[0]), link))
    return found


class _Site:
    """A bench in the terms of the search."""

    def __init__(self, bench: BenchFile) -> None:
        self.kinds = kinds_of(bench)
        self.rank: dict[str | Cable, int] = {name: rank for rank, name in enumerate(self.kinds)}
        self.rank |= {cable: rank for rank, cable in enumerate(bench.cables)}
        self._boxed = {nic: box for box, pair in bench.controller.boxes.items() for nic in pair}
        self._mirrors = {(mirror.device, mirror.to) for mirror in bench.mirrors}
        self._testers: dict[tuple[str, bool], list[tuple[str, Cable]]] = {}
        self._trunk = nx.Graph()
        for cable in bench.cables:
            self._plug_in(cable)

    def graph(self) -> nx.Graph:
        """Everything but the NICs that hang on a device or box."""
        graph = self._trunk.copy()
        for name, kind in self.kinds.items():
            graph.add_node(name, kind=kind, name=name)
        return graph

    def testers(self, place: str, *, mirror: bool) -> list[tuple[str, Cable]]:
        """The NICs that hang on a device or box, each with its cable: the widest first."""
        return self._testers.get((place, mirror), [])

    def _plug_in(self, cable: Cable) -> None:
        mirror = any((end.node, end.port) in self._mirrors for end in cable.ends)
        ends = [
            self._boxed.get(end.port, end.port) if end.node == CONTROLLER else end.node
            for end in cable.ends
        ]
        nics = [end for end in ends if self.kinds[end] is Kind.NIC]
        if len(nics) == 1:
            hub = ends[1] if ends[0] == nics[0] else ends[0]
            mine = self._testers.setdefault((hub, mirror), [])
            mine.append((nics[0], cable))
            mine.sort(key=lambda tester: (_narrowness(tester[1]), self.rank[tester[0]]))
            return
        self._trunk.add_node(cable, kind="cable", mirror=mirror, name=cable)
        for end in ends:
            self._trunk.add_edge(end, cable)


def _narrowness(cable: Cable) -> int:
    return FULL_MTU - (cable.mtu or FULL_MTU)


def _plan_graph(topology: Topology) -> nx.Graph:
    """The topology without its twigs; a node has the number of twigs of either kind on it."""
    twigs = _twigs(topology)
    nics, links = {twig.nic for twig in twigs}, {twig.link.name for twig in twigs}
    graph = nx.Graph()
    for name, kind in topology.nodes:
        if name not in nics:
            mine = [twig.link.mirror for twig in twigs if twig.hub == name]
            needed = {mirror: mine.count(mirror) for mirror in (False, True)}
            graph.add_node(("node", name), kind=kind, name=name, needed=needed)
    for link in topology.links:
        if link.name not in links:
            graph.add_node(("link", link.name), kind="cable", mirror=link.mirror, name=None)
            graph.add_edge(("node", link.a), ("link", link.name))
            graph.add_edge(("node", link.b), ("link", link.name))
    return graph


def find_placements(topology: Topology, bench: BenchFile) -> list[Placement]:
    """The best placement for every device that can be the one under test.

    A topology without a node called ``dut`` has one placement at most. "Best" is the one with the
    widest MTUs, then the first in the order of the bench file.
    """
    site = _Site(bench)
    dut = topology.dut
    if dut is None:
        best = _best(_placements(topology, site, {}), site)
        return [best] if best else []
    candidates = [name for name, kind in site.kinds.items() if kind is topology.kind(dut)]
    found = (_best(_placements(topology, site, {dut: name}), site) for name in candidates)
    return [mapping for mapping in found if mapping]


def _placements(topology: Topology, site: _Site, pinned: dict[str, str]) -> Iterator[Placement]:
    big, small = site.graph(), _plan_graph(topology)

    def same(place: dict[str, Any], wanted: dict[str, Any]) -> bool:
        if place["kind"] != wanted["kind"] or place.get("mirror") != wanted.get("mirror"):
            return False
        if pinned.get(wanted["name"], place["name"]) != place["name"]:
            return False
        return all(
            len(site.testers(place["name"], mirror=mirror)) >= count
            for mirror, count in wanted.get("needed", {}).items()
        )

    matcher = nx.isomorphism.GraphMatcher(big, small, node_match=same)
    for placed in matcher.subgraph_monomorphisms_iter():
        yield _with_twigs(topology, site, {wanted: place for place, wanted in placed.items()})


def _with_twigs(topology: Topology, site: _Site, trunk: Mapping[Any, Any]) -> Placement:
    nodes = {name: place for (what, name), place in trunk.items() if what == "node"}
    cables = {name: place for (what, name), place in trunk.items() if what == "link"}
    twigs = _twigs(topology)
    for hub, mirror in {(twig.hub, twig.link.mirror) for twig in twigs}:
        mine = [twig for twig in twigs if (twig.hub, twig.link.mirror) == (hub, mirror)]
        taken = site.testers(nodes[hub], mirror=mirror)[: len(mine)]
        taken = sorted(taken, key=lambda tester: site.rank[tester[0]])
        for twig, (nic, cable) in zip(mine, taken, strict=True):
            nodes[twig.nic] = nic
            cables[twig.link.name] = cable
    ordered = {name: nodes[name] for name, _ in topology.nodes}
    return Placement(topology, ordered, {link.name: cables[link.name] for link in topology.links})


def _best(placements: Iterator[Placement], site: _Site) -> Placement | None:
    def cost(mapping: Placement) -> tuple[int, list[int]]:
        narrow = sum(_narrowness(cable) for cable in mapping.cables.values())
        order = [site.rank[place] for place in mapping.nodes.values()]
        return narrow, order + [site.rank[cable] for cable in mapping.cables.values()]

    return min(itertools.islice(placements, MAX_CANDIDATES), key=cost, default=None)
