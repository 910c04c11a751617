"""A fault box as plans see it: ways are named by the node that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from testbed.bench.topology import Topology
from testbed.errors import PlanError
from testbed.hosts import BoxDirection, FaultBox
from testbed.link.impair import Drop, Hold
from testbed.timing import Instant

__all__ = ["BenchBox"]


class BenchBox:
    """The in-line fault box that plays ``role`` in one plan.

    The bench's own ARP probes are kept on the cable that they prove: they pass no box.
    """

    def __init__(
        self,
        role: str,
        topology: Topology,
        box: FaultBox,
        recognise: Callable[[bytes], str | None],
        *,
        left: str,
    ) -> None:
        self.role = role
        self.box = box
        sides = [link.other(role) for link in topology.links_of(role)]
        right = next(node for node in sides if node != left)
        self._ways = {
            right: box.direction(from_left=True),
            left: box.direction(from_left=False),
        }
        self._recognise = recognise
        box.begin()
        for way in self._ways.values():
            way.clear()
            way.add(Drop(lambda frame: recognise(frame) is not None))

    def toward(self, node: str) -> BoxDirection:
        """The way that leads to ``node``: put stages there."""
        if node not in self._ways:
            raise PlanError(f"box {self.role} joins {' and '.join(self._ways)}, not {node!r}")
        return self._ways[node]

    @contextmanager
    def pulled(self) -> Iterator[None]:
        """The cable is out, both ways, within a ``with`` block; what is sent meanwhile is lost."""
        hold = {way: Hold() for way in self._ways.values()}
        for way, stage in hold.items():
            way.add(stage)
            stage.hold()
        try:
            yield
        finally:
            for way, stage in hold.items():
                way.remove(stage)

    def clear(self) -> None:
        """Take every stage out: the box is a wire again."""
        for way in self._ways.values():
            way.clear()

    def events(self) -> list[tuple[Instant, str, str, bytes]]:
        """What was done to the plan's frames: when, toward whom, what, to which frame."""
        found = [
            (event.at, f"to {node}", f"{event.action} {event.note}".strip(), event.frame)
            for node, way in self._ways.items()
            for event in way.events
            if self._recognise(event.frame) is None
        ]
        return sorted(found, key=lambda event: event[0])
