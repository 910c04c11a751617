"""Reads a run's cables as a graph: which NICs hang on one device, which devices meet each other.

A cable from a device to a NIC that stands alone is a *leaf*. Everything else is a *link* between
two nodes, led through any number of in-line boxes: ``h1 - x1 [w1] x2 - r1``.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from testbed.report.records import BoxRecord, CableRecord, RunRecord

__all__ = ["CONTROLLER", "Graph", "Leaf", "Link", "Passage", "read_cabling", "split_end"]

CONTROLLER = "controller"


def split_end(end: str) -> tuple[str, str]:
    """A cable's end as node and port: only the first colon divides, ports may hold more."""
    node, _, port = end.partition(":")
    return node, port


@dataclass(frozen=True, slots=True)
class Leaf:
    """A NIC cabled straight to a device's port."""

    nic: str
    device: str
    port: str
    cable: CableRecord


@dataclass(frozen=True, slots=True)
class Passage:
    """A box as a link passes it: entered at one NIC, left at the other."""

    box: str
    entered: str
    left: str


@dataclass(frozen=True, slots=True)
class Link:
    """Two nodes, the port at each, and the cables and boxes between them in order."""

    start: tuple[str, str]
    end: tuple[str, str]
    parts: tuple[CableRecord | Passage, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """``nodes`` are device names and, as ``controller:x``, NICs that need a place of their own."""

    nodes: tuple[str, ...]
    leaves: tuple[Leaf, ...]
    links: tuple[Link, ...]


@dataclass(slots=True)
class _Reader:
    cables: dict[tuple[str, str], CableRecord]
    boxes: dict[str, tuple[str, str]]  # NIC -> the box that it belongs to, the NIC on its far side
    used: set[int] = field(default_factory=set)  # identities of cables already drawn

    def is_terminal(self, end: tuple[str, str]) -> bool:
        """Whether a walk stops here: at a device, or at a NIC that is no box's."""
        return end[0] != CONTROLLER or end[1] not in self.boxes

    def walk(self, start: tuple[str, str], cable: CableRecord) -> Link:
        """Follow ``cable`` from ``start`` through boxes to the next terminal or loose end."""
        parts: list[CableRecord | Passage] = []
        here, step = start, cable
        while True:
            self.used.add(id(step))
            parts.append(step)
            a, b = split_end(step.end_a), split_end(step.end_b)
            here = b if here == a else a
            if self.is_terminal(here):
                break
            box, far = self.boxes[here[1]]
            parts.append(Passage(box, here[1], far))
            here = (CONTROLLER, far)
            onward = self.cables.get(here)
            if onward is None or id(onward) in self.used:
                break
            step = onward
        return Link(start, here, tuple(parts))


def _box_sides(boxes: tuple[BoxRecord, ...]) -> dict[str, tuple[str, str]]:
    sides: dict[str, tuple[str, str]] = {}
    for box in boxes:
        sides.setdefault(box.left, (box.name, box.right))
        sides.setdefault(box.right, (box.name, box.left))
    return sides


def _as_node(link: Link) -> Link:
    """The link with NIC ends turned into nodes of their own."""
    start, end = (
        (f"{CONTROLLER}:{port}", "") if node == CONTROLLER else (node, port)
        for node, port in (link.start, link.end)
    )
    return Link(start, end, link.parts)


def _all_links(run: RunRecord, reader: _Reader) -> list[Link]:
    """Every cable in exactly one link; first those with a terminal, then the rest."""
    found = []
    for with_terminal in (True, False):
        for cable in run.cables:
            if id(cable) in reader.used:
                continue
            ends = (split_end(cable.end_a), split_end(cable.end_b))
            start = next((end for end in ends if reader.is_terminal(end)), None)
            if start is not None or not with_terminal:
                found.append(reader.walk(start or ends[0], cable))
    passed = {part.box for link in found for part in link.parts if isinstance(part, Passage)}
    found += [
        Link(
            (CONTROLLER, box.left),
            (CONTROLLER, box.right),
            (Passage(box.name, box.left, box.right),),
        )
        for box in run.boxes
        if box.name not in passed
    ]
    return found


def _leaf(link: Link) -> Leaf | None:
    """The link as a leaf, where it is one cable between a device and a NIC."""
    first = link.parts[0]
    if len(link.parts) > 1 or not isinstance(first, CableRecord):
        return None
    ends = sorted((link.start, link.end), key=lambda end: end[0] != CONTROLLER)
    (node_a, nic), (node_b, port) = ends
    return Leaf(nic, node_b, port, first) if node_a == CONTROLLER != node_b else None


def read_cabling(run: RunRecord) -> Graph:
    """The graph of ``run``: every device, NIC, box and cable is in it once."""
    cables: dict[tuple[str, str], CableRecord] = {}
    for cable in run.cables:
        for end in (cable.end_a, cable.end_b):
            cables.setdefault(split_end(end), cable)
    nodes = dict.fromkeys(device.name for device in run.devices)
    leaves: list[Leaf] = []
    links: list[Link] = []
    shown: set[str] = set()
    for link in _all_links(run, _Reader(cables, _box_sides(run.boxes))):
        if leaf := _leaf(link):
            leaves.append(leaf)
            nodes.setdefault(leaf.device)
            shown.add(leaf.nic)
            continue
        links.append(_as_node(link))
        nodes.setdefault(links[-1].start[0])
        nodes.setdefault(links[-1].end[0])
        shown.update(port for node, port in (link.start, link.end) if node == CONTROLLER)
    boxed = {nic for box in run.boxes for nic in (box.left, box.right)}
    for nic in run.nics:
        if nic.name not in shown | boxed:
            nodes.setdefault(f"{CONTROLLER}:{nic.name}")
    return Graph(tuple(nodes), tuple(leaves), tuple(links))
