"""Places the bench's picture: device cards in rows, their NICs above, links in tracks below.

The shape is a wiring diagram: each NIC stands right above the port it is plugged into, and links
between devices run as U-shapes under the cards, the shorter inside the longer, so that a line can
be followed by eye from end to end. Every length is in the picture's own units, pixels at scale 1.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from testbed.report.cabling import CONTROLLER, Graph, Leaf, Link

__all__ = ["CARD_HEIGHT", "Card", "Chip", "Picture", "Wire", "lay_out"]

CARD_HEIGHT = 78
_CHIP_PITCH = 40
_PORT_PITCH = 44
_CARD_GAP = 56
_BOX_GAP = 140  # between cards where a link passes a box: room for it and for its cables' MTUs
_COMPONENT_GAP = 36
_DROP = 96  # from a row's top to its cards: the NICs and their cables
_TRACK = 34
_ROW_GAP = 26
_ROW_WIDTH = 1240


@dataclass(frozen=True, slots=True)
class Chip:
    """A NIC above its port: the centre ``x``, the chip's top ``y``, and the card's top edge."""

    leaf: Leaf
    x: float
    y: float
    card_y: float


@dataclass(frozen=True, slots=True)
class Card:
    """A device, or a NIC with a place of its own, at its top left corner."""

    node: str
    x: float
    y: float
    width: float


@dataclass(frozen=True, slots=True)
class Wire:
    """A link's U: down from ``x1``, along ``track_y``, up to ``x2``; ``x1 <= x2``.

    ``flipped`` where the link's end, not its start, is on the left.
    """

    link: Link
    x1: float
    x2: float
    card_y: float
    track_y: float
    flipped: bool


@dataclass(frozen=True, slots=True)
class Picture:
    """The whole bench, placed."""

    width: float
    height: float
    cards: tuple[Card, ...]
    chips: tuple[Chip, ...]
    wires: tuple[Wire, ...]


def _components(graph: Graph) -> list[list[str]]:
    """Nodes that meet, in the order in which the bench names them."""
    leader = {node: node for node in graph.nodes}

    def find(node: str) -> str:
        while leader[node] != node:
            leader[node] = leader[leader[node]]
            node = leader[node]
        return node

    for link in graph.links:
        leader[find(link.end[0])] = find(link.start[0])
    groups: dict[str, list[str]] = defaultdict(list)
    for node in graph.nodes:
        groups[find(node)].append(node)
    # NICs with no cable at all come last, whatever their place in the file.
    return sorted(groups.values(), key=lambda nodes: nodes[0].startswith(f"{CONTROLLER}:"))


def _ordered(nodes: list[str], links: tuple[Link, ...]) -> list[str]:
    """The order that keeps links short: exchange any two nodes as long as that shortens them."""
    pairs = [(link.start[0], link.end[0]) for link in links]
    order = list(nodes)

    def length() -> int:
        place = {node: index for index, node in enumerate(order)}
        return sum(abs(place[a] - place[b]) for a, b in pairs if a in place and b in place)

    best, improved = length(), len(order) <= 40
    while improved:
        improved = False
        for i in range(len(order)):
            for j in range(i + 1, len(order)):
                order[i], order[j] = order[j], order[i]
                if (now := length()) < best:
                    best, improved = now, True
                else:
                    order[i], order[j] = order[j], order[i]
    return order


def _attachments(nodes: list[str], links: list[Link]) -> dict[str, list[tuple[int, int]]]:
    """For each node its links' ends, left to right, as (link's index, which end).

    Leftward links come first, the nearest leftmost; rightward ones last, the nearest rightmost:
    nested so, the U-shapes of one node never cross each other.
    """
    place = {node: index for index, node in enumerate(nodes)}
    ends: dict[str, list[tuple[tuple[int, int], int, int]]] = defaultdict(list)
    for index, link in enumerate(links):
        here, there = place[link.start[0]], place[link.end[0]]
        for end, (a, b) in enumerate(((here, there), (there, here))):
            side = (0, a - b) if b < a else (2, a - b) if b > a else (1, end)
            ends[nodes[a]].append((side, index, end))
    return {node: [(index, end) for _, index, end in sorted(found)] for node, found in ends.items()}


def _tracks(spans: list[tuple[float, float]]) -> list[int]:
    """A track for each span, 0 the topmost: overlapping spans differ, the longer lies deeper."""
    tracks = [0] * len(spans)
    done: list[int] = []
    for index in sorted(range(len(spans)), key=lambda i: (spans[i][1] - spans[i][0], i)):
        low, high = spans[index]
        under = [tracks[i] for i in done if spans[i][0] < high + 10 and low - 10 < spans[i][1]]
        tracks[index] = max(under, default=-1) + 1
        done.append(index)
    return tracks


class _Layout:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.leaves: dict[str, list[Leaf]] = defaultdict(list)
        for leaf in graph.leaves:
            self.leaves[leaf.device].append(leaf)
        self.degree: dict[str, int] = defaultdict(int)
        for link in graph.links:
            self.degree[link.start[0]] += 1
            self.degree[link.end[0]] += 1
        self.groups = [_ordered(nodes, graph.links) for nodes in _components(graph)]
        self.boxed = {
            node
            for link in graph.links
            if len(link.parts) > 1
            for node, _ in (link.start, link.end)
        }
        self.staggered = False
        self.staggered = max(map(self.group_width, self.groups), default=0) > _ROW_WIDTH
        self.cards: list[Card] = []
        self.chips: list[Chip] = []
        self.wires: list[Wire] = []

    def width(self, node: str) -> float:
        if node.startswith(f"{CONTROLLER}:"):
            return 72
        pitch = self.pitch(node)
        top = len(self.leaves[node]) * pitch + (24 if pitch < _CHIP_PITCH else 16)
        return max(132, top, self.degree[node] * _PORT_PITCH + 16)

    def pitch(self, node: str) -> float:
        crowded = self.staggered and len(self.leaves[node]) > 3
        return _CHIP_PITCH / 2 + 2 if crowded else _CHIP_PITCH

    def gap(self, nodes: list[str]) -> float:
        """The distance between the cards of a component."""
        return _BOX_GAP if self.boxed.intersection(nodes) else _CARD_GAP

    def group_width(self, nodes: list[str]) -> float:
        return sum(map(self.width, nodes)) + self.gap(nodes) * (len(nodes) - 1)

    def rows(self) -> list[list[list[str]]]:
        """Components packed into rows, in order."""
        rows: list[list[list[str]]] = []
        room = 0.0
        for group in self.groups:
            need = self.group_width(group) + _COMPONENT_GAP
            if not rows or need > room:
                rows.append([])
                room = _ROW_WIDTH + _COMPONENT_GAP
            rows[-1].append(group)
            room -= need
        return rows

    def place(self) -> Picture:
        rows = self.rows()
        widths = [
            sum(self.group_width(group) + _COMPONENT_GAP for group in row) - _COMPONENT_GAP
            for row in rows
        ]
        total = max(widths, default=0)
        y = 0.0
        for row, width in zip(rows, widths, strict=True):
            y = self.place_row(row, (total - width) / 2, y) + _ROW_GAP
        return Picture(
            total,
            max(y - _ROW_GAP, 0),
            tuple(self.cards),
            tuple(self.chips),
            tuple(self.wires),
        )

    def place_row(self, row: list[list[str]], x: float, y: float) -> float:
        drop = _DROP if any(self.leaves[node] for group in row for node in group) else 8
        nodes: list[str] = []
        left: dict[str, float] = {}
        for group in row:
            for node in group:
                left[node] = x
                nodes.append(node)
                self.cards.append(Card(node, x, y + drop, self.width(node)))
                self.place_chips(node, x, y, y + drop)
                x += self.width(node) + self.gap(group)
            x += _COMPONENT_GAP - self.gap(group)
        return self.place_wires(nodes, left, y + drop)

    def place_chips(self, node: str, x: float, y: float, card_y: float) -> None:
        leaves, pitch = self.leaves[node], self.pitch(node)
        start = x + (self.width(node) - (len(leaves) - 1) * pitch) / 2
        for index, leaf in enumerate(leaves):
            lowered = 30 if pitch < _CHIP_PITCH and index % 2 else 0
            self.chips.append(Chip(leaf, start + index * pitch, y + lowered, card_y))

    def place_wires(self, nodes: list[str], left: dict[str, float], card_y: float) -> float:
        """Place the row's links and return where the row ends."""
        links = [link for link in self.graph.links if link.start[0] in left]
        at: dict[tuple[int, int], float] = {}
        for node, ends in _attachments(nodes, links).items():
            start = left[node] + (self.width(node) - (len(ends) - 1) * _PORT_PITCH) / 2
            for index, end in enumerate(ends):
                at[end] = start + index * _PORT_PITCH
        spans = []
        for index in range(len(links)):
            a, b = at[index, 0], at[index, 1]
            spans.append((min(a, b), max(a, b)))
        tracks = _tracks(spans)
        bottom = card_y + CARD_HEIGHT
        for index, link in enumerate(links):
            low, high = spans[index]
            track_y = bottom + 30 + tracks[index] * _TRACK
            self.wires.append(Wire(link, low, high, bottom, track_y, at[index, 0] > at[index, 1]))
        return bottom + (30 + max(tracks) * _TRACK + 18 if tracks else 4)


def lay_out(graph: Graph) -> Picture:
    """The picture of ``graph``; the same graph always gives the same picture."""
    return _Layout(graph).place()
