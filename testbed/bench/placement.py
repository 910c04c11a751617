"""Where a plan's topology fits into a bench's cabling.

Both are turned into simple graphs in which every cable is a node of its own (two devices may be
joined by several), and networkx finds the subgraphs that match.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import networkx as nx

from testbed.bench.topology import Kind, Topology
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
        own = CONTROLLER if kind in (Kind.NIC, Kind.BOX) else self.nodes[node]
        ends = [end for end in cable.ends if end.node == own]
        return ends[0].port

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


def _bench_graph(bench: BenchFile) -> nx.Graph:
    boxed = {nic: box for box, pair in bench.controller.boxes.items() for nic in pair}
    mirrors = {(mirror.device, mirror.to) for mirror in bench.mirrors}
    graph = nx.Graph()
    for name, kind in kinds_of(bench).items():
        graph.add_node(name, kind=kind)
    ordered = sorted(bench.cables, key=lambda cable: -(cable.mtu or FULL_MTU))
    for cable in ordered:
        ends = [
            boxed.get(end.port, end.port) if end.node == CONTROLLER else end.node
            for end in cable.ends
        ]
        mirror = any((end.node, end.port) in mirrors for end in cable.ends)
        graph.add_node(cable, kind="cable", mirror=mirror)
        for end in ends:
            graph.add_edge(end, cable)
    return graph


def _plan_graph(topology: Topology) -> nx.Graph:
    graph = nx.Graph()
    for name, kind in topology.nodes:
        graph.add_node(("node", name), kind=kind, name=name)
    for link in topology.links:
        graph.add_node(("link", link.name), kind="cable", mirror=link.mirror, name=None)
        graph.add_edge(("node", link.a), ("link", link.name))
        graph.add_edge(("node", link.b), ("link", link.name))
    return graph


def find_placements(topology: Topology, bench: BenchFile) -> list[Placement]:
    """The best placement for every device that can be the one under test.

    A topology without a node called ``dut`` has one placement at most. "Best" is the one with the
    widest MTUs, then the first in the order of the bench file.
    """
    kinds = kinds_of(bench)
    dut = topology.dut
    if dut is None:
        best = _best(_placements(topology, bench, {}))
        return [best] if best else []
    candidates = [name for name, kind in kinds.items() if kind is topology.kind(dut)]
    found = (_best(_placements(topology, bench, {dut: name})) for name in candidates)
    return [mapping for mapping in found if mapping]


def _placements(
    topology: Topology, bench: BenchFile, pinned: dict[str, str]
) -> Iterator[Placement]:
    big, small = _bench_graph(bench), _plan_graph(topology)
    for name in big.nodes:
        big.nodes[name]["name"] = name

    def same(place: dict[str, Any], wanted: dict[str, Any]) -> bool:
        if place["kind"] != wanted["kind"] or place.get("mirror") != wanted.get("mirror"):
            return False
        pin = pinned.get(wanted["name"])
        return pin is None or place["name"] == pin

    matcher = nx.isomorphism.GraphMatcher(big, small, node_match=same)
    for placed in matcher.subgraph_monomorphisms_iter():
        by_plan = {wanted: place for place, wanted in placed.items()}
        nodes = {name: by_plan["node", name] for name, _ in topology.nodes}
        cables = {link.name: by_plan["link", link.name] for link in topology.links}
        yield Placement(topology, nodes, cables)


def _best(placements: Iterator[Placement]) -> Placement | None:
    def cost(mapping: Placement) -> tuple[int, list[str]]:
        narrow = sum(FULL_MTU - (cable.mtu or FULL_MTU) for cable in mapping.cables.values())
        return narrow, [mapping.nodes[name] for name, _ in mapping.topology.nodes]

    return min(itertools.islice(placements, MAX_CANDIDATES), key=cost, default=None)
