"""What a plan asks for: named nodes of certain kinds, joined by links."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from testbed.errors import PlanError

__all__ = ["Kind", "Link", "Topology"]


class Kind(Enum):
    """What a node of a topology must be on the bench."""

    NIC = "nic"  # a controller NIC: injects, captures, answers
    SWITCH = "switch"
    ROUTER = "router"
    HOST = "host"  # a host with a kernel stack
    HUB = "hub"
    BUS = "bus"  # a medium that stations share by CSMA/CD
    RING = "ring"  # a medium that stations share by passing a token
    SERVER = "server"  # gives out addresses and names, and lets PPPoE hosts in
    BALANCER = "balancer"  # a layer 4-7 device in front of servers
    GATEWAY = "gateway"  # turns one application protocol into another
    BOX = "box"  # an in-line fault box of the controller


@dataclass(frozen=True, slots=True)
class Link:
    """A cable between two nodes. A ``mirror`` link ends on a mirror port of its switch."""

    a: str
    b: str
    mirror: bool = False

    @property
    def name(self) -> str:
        """How plans call it: ``a--b``."""
        return f"{self.a}--{self.b}"

    def other(self, node: str) -> str:
        """The node at the other end."""
        return self.b if node == self.a else self.a

    def joins(self, node: str) -> bool:
        """Whether one end is ``node``."""
        return node in (self.a, self.b)


def _node(spec: str, default: Kind | None) -> tuple[str, Kind]:
    name, _, kind = spec.partition(":")
    if not name or "--" in name:
        raise PlanError(f"{spec!r}: a node needs a name without '--'")
    if not kind:
        if default is None:
            kinds = ", ".join(k.value for k in Kind)
            raise PlanError(f"{spec!r}: say what it is, {name}:KIND with KIND one of {kinds}")
        return name, default
    try:
        return name, Kind(kind)
    except ValueError:
        kinds = ", ".join(k.value for k in Kind)
        raise PlanError(f"{spec!r}: unknown kind {kind!r}, expected one of {kinds}") from None


@dataclass(frozen=True, slots=True)
class Topology:
    """Named nodes and links; build one with star(), chain() or of()."""

    nodes: tuple[tuple[str, Kind], ...]
    links: tuple[Link, ...]

    def __post_init__(self) -> None:
        names = [name for name, _ in self.nodes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise PlanError(f"topology names a node twice: {', '.join(twice)}")
        for link in self.links:
            for end in (link.a, link.b):
                if end not in names:
                    raise PlanError(f"link {link.name} ends at {end}, which is no node")
        for name, kind in self.nodes:
            degree = sum(link.joins(name) for link in self.links)
            if kind is Kind.BOX and degree != 2:
                raise PlanError(f"box {name} has {degree} links; a fault box has two sides")
            if kind is Kind.NIC and degree != 1:
                raise PlanError(f"NIC {name} has {degree} links; a NIC has one cable")

    @classmethod
    def star(cls, center: str, *leaves: str, mirror: str | None = None) -> Topology:
        """A device with leaves around it: a switch and NICs unless ``name:kind`` says otherwise.

        ``mirror`` names one more NIC, plugged into the device's mirror port.
        """
        hub = _node(center, Kind.SWITCH)
        around = [_node(leaf, Kind.NIC) for leaf in leaves]
        links = [Link(name, hub[0]) for name, _ in around]
        if mirror is not None:
            watcher = _node(mirror, Kind.NIC)
            around.append(watcher)
            links.append(Link(watcher[0], hub[0], mirror=True))
        return cls((hub, *around), tuple(links))

    @classmethod
    def chain(cls, *nodes: str) -> Topology:
        """Nodes in a row, each ``name:kind``: ``chain("a:host", "wire:box", "b:host")``."""
        row = tuple(_node(spec, None) for spec in nodes)
        links = tuple(Link(a[0], b[0]) for a, b in itertools.pairwise(row))
        return cls(row, links)

    @classmethod
    def of(cls, nodes: Iterable[str], links: Iterable[tuple[str, str]]) -> Topology:
        """Any shape: nodes as ``name:kind``, links as pairs of names."""
        return cls(tuple(_node(spec, None) for spec in nodes), tuple(Link(a, b) for a, b in links))

    def kind(self, node: str) -> Kind:
        """What ``node`` is; PlanError when there is none of that name."""
        for name, kind in self.nodes:
            if name == node:
                return kind
        known = ", ".join(name for name, _ in self.nodes)
        raise PlanError(f"this plan's topology has no node {node!r}; it has {known}")

    def link(self, name: str) -> Link:
        """The link called ``name``, in either order of its ends."""
        for link in self.links:
            if name in (link.name, f"{link.b}--{link.a}"):
                return link
        known = ", ".join(link.name for link in self.links)
        raise PlanError(f"this plan's topology has no link {name!r}; it has {known}")

    def links_of(self, node: str) -> tuple[Link, ...]:
        """The links that end at ``node``."""
        self.kind(node)
        return tuple(link for link in self.links if link.joins(node))

    @property
    def dut(self) -> str | None:
        """The node under test where a plan says so by the name ``dut``."""
        return "dut" if any(name == "dut" for name, _ in self.nodes) else None

    def __str__(self) -> str:
        kinds = " ".join(f"{name}:{kind.value}" for name, kind in self.nodes)
        return f"{kinds} ({', '.join(link.name for link in self.links)})"
