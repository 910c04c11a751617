"""A fault box as plans see it: ways are named by the node that they lead to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

from testbed.bench.topology import Topology
from testbed.capture import Beacon, BeaconKind
from testbed.errors import PlanError
from testbed.hosts import BoxDirection, FaultBox
from testbed.link.impair import Drop, Hold
from testbed.link.impair.fields import FrameField, Guarded
from testbed.timing import Instant

__all__ = ["BenchBox"]

_MAGIC = int.from_bytes(Beacon(BeaconKind.CANARY, bytes(8), 0, "").emit()[:4], "big")
_BEHIND = partial(FrameField, layer="payload")
_INSIDE = partial(FrameField, layer="transport")
_PROBE, _ANSWER = _BEHIND(14, 4, 0), _BEHIND(6, 2, 2)
_ARP = _BEHIND(-2, 2, 0x0806) & (_PROBE | _ANSWER)
_QUOTING = _BEHIND(9, 1, 1) & (_INSIDE(0, 1, 3, 5) | _INSIDE(0, 1, 11, 12))
_TAGGED = FrameField(12, 2, 0x8100) | FrameField(12, 2, 0x88A8)
_OLD_TAG = FrameField(12, 2, 0x9100) | _BEHIND(-2, 2, 0x9100)
_ODDLY_TAGGED = _OLD_TAG | (_TAGGED & ~_BEHIND(-2, 2, 0, 0xFFFF))
_MAYBE_OURS = _ARP | _BEHIND(0, 4, _MAGIC) | _INSIDE(8, 4, _MAGIC) | _QUOTING | _ODDLY_TAGGED
"""Frames that may be the bench's own: ARP probes and their answers, beacons in broadcasts and in
datagrams, ICMP errors about beacons, and frames with tags that hide what they are."""


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
            way.add(Drop(Guarded(lambda frame: recognise(frame) is not None, _MAYBE_OURS)))

    def toward(self, node: str) -> BoxDirection:
        """The way that leads to ``node``: put stages there."""
        if node not in self._ways:
            raise PlanError(f"box {self.role} joins {' and '.join(self._ways)}, not {node!r}")
        return self._ways[node]

    def engines(self) -> dict[str, tuple[str, str]]:
        """What carries the frames toward each node now, ``XDP`` or ``user space``, and why."""
        return {node: (way.engine, way.why) for node, way in self._ways.items()}

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
