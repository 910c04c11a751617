"""The network in virtual time: what happens next, at which device, and when.

A discrete-event simulation: time jumps from one event to the next. The same devices, links and
seeds give the same run, event by event.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from typing import Protocol

from testbed.errors import PlanError
from testbed.sim.journey import KEPT, Journal
from testbed.sim.link import Lane, Link, LinkSpec
from testbed.stack.entropy import Entropy
from testbed.stack.output import Outgoing
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant

__all__ = ["Face", "Network", "Node"]

_BEGIN = Instant(0)
_NEVER = Instant((1 << 63) - 1)


class Face(Protocol):
    """What the network asks of a device: the sans-IO four, and its ports."""

    @property
    def name(self) -> str:
        """The device's name."""

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None:
        """Take a frame that came by the port ``interface``."""

    def handle_timeout(self, now: Instant) -> None:
        """Do all that is due at ``now``."""

    def poll_timeout(self) -> Instant | None:
        """When handle_timeout() must be called next, or None."""

    def poll_transmit(self, now: Instant) -> Outgoing | None:
        """The next frame to send, or None."""

    def set_link(self, port: str, up: bool, now: Instant) -> None:
        """The link of ``port`` came or went."""

    def is_enabled(self, port: str) -> bool:
        """Whether ``port`` is switched on."""


class Node:
    """A device at its place in the network."""

    __slots__ = ("_armed", "_network", "device", "lanes", "name")

    def __init__(self, device: Face, network: Network) -> None:
        self.device = device
        self.name = device.name
        self.lanes: dict[str, Lane] = {}
        """The ways out, by port."""
        self._network = network
        self._armed = _NEVER

    def deliver(self, port: str, frame: bytes) -> None:
        """Hand the device a frame, and send what it has to send."""
        self.device.receive(frame, self._network.instant, port)
        self.drain()

    def drain(self) -> None:
        """Send all that the device has to send, and see when it wants to be woken."""
        device, now = self.device, self._network.instant
        while (out := device.poll_transmit(now)) is not None:
            lane = self.lanes.get(out.interface)
            if lane is not None:
                lane.send(out.frame)
        deadline = device.poll_timeout()
        # A deadline that moved away is looked at when the earlier one comes.
        if deadline is not None and deadline < self._armed:
            self._armed = deadline
            self._network.schedule(deadline, self, b"")

    def arrive(self, _frame: bytes, _cause: int) -> None:
        """The time has come for which the device wanted to be woken."""
        now = self._network.instant
        if self._armed > now:
            return  # an earlier deadline took this one's place, and has been handled
        self._armed = _NEVER
        deadline = self.device.poll_timeout()
        if deadline is not None and deadline <= now:
            self.device.handle_timeout(now)
        self.drain()

    def set_link(self, port: str, up: bool) -> None:
        """Tell the device that a link came or went."""
        self.device.set_link(port, up, self._network.instant)
        self.drain()

    def is_enabled(self, port: str) -> bool:
        """Whether the device has the port switched on."""
        return self.device.is_enabled(port)


class Network:
    """Devices, the links between them, and the events to come."""

    def __init__(self, *, seed: int | str = 0, start: Instant = _BEGIN, kept: int = KEPT) -> None:
        self.instant = start
        """The present, in nanoseconds. Events move it."""
        self.nodes: dict[str, Node] = {}
        self.links: list[Link] = []
        self.journal = Journal(kept)
        self._entropy = Entropy(f"{seed}/links".encode())
        self._events: list[tuple[Instant, int, Lane | Node, bytes, int]] = []
        self._order = 0

    def now(self) -> Instant:
        """The present instant: a network is a clock."""
        return self.instant

    def add(self, device: Face) -> Node:
        """Put a device into the network; PlanError where its name is taken."""
        if device.name in self.nodes:
            raise PlanError(f"the network has a device {device.name} already")
        self.nodes[device.name] = node = Node(device, self)
        return node

    def replace(self, device: Face) -> None:
        """Put another device in the place of the one of that name, on the same cables."""
        node = self.nodes[device.name]
        node.device = device
        for link in self.links:
            for end, port in link.ends:
                if end is node and link.up:
                    node.set_link(port, True)
        node.drain()

    def join(
        self,
        left: tuple[str, str],
        right: tuple[str, str],
        spec: LinkSpec = LinkSpec(),  # noqa: B008 - frozen
        defects: Iterable[Defect] = (),
    ) -> Link:
        """Run a cable between two ports, each a device's name and the port's; it is plugged in."""
        ends = (self.nodes[left[0]], left[1]), (self.nodes[right[0]], right[1])
        link = Link(self, spec, ends, self._entropy, defects)
        self.links.append(link)
        link.refresh()
        return link

    def rewire(self, name: str, defects: Iterable[Defect]) -> None:
        """Put wrong cables in the place of all that end at the device ``name``."""
        node = self.nodes[name]
        for place, link in enumerate(self.links):
            if any(end is node for end, _ in link.ends):
                self.links[place] = link.remade(defects)

    def refresh(self, name: str) -> None:
        """A device switched a port, or was told something: links follow, and it sends."""
        node = self.nodes[name]
        for link in self.links:
            if any(end is node for end, _ in link.ends):
                link.refresh()
        node.drain()

    def schedule(self, at: Instant, whom: Lane | Node, frame: bytes) -> None:
        """Have ``whom.arrive(frame, cause)`` called at ``at``, in the order of calls."""
        self._order += 1
        heapq.heappush(self._events, (at, self._order, whom, frame, self.journal.cause))

    def next_event(self) -> Instant | None:
        """When the next event is, or None."""
        return self._events[0][0] if self._events else None

    def linger(self, span: Duration) -> Instant:
        """Let ``span`` pass without a look at what is due in it; it happens late. Returns now."""
        self.instant = Instant(self.instant + span)
        return self.instant

    def run_next(self) -> None:
        """Move on to the next event, and let it happen."""
        at, _, whom, frame, cause = heapq.heappop(self._events)
        self.instant = max(self.instant, at)
        whom.arrive(frame, cause)
        self.journal.cause = 0

    def run_until(self, at: Instant) -> None:
        """Let all happen that is due up to ``at``, which then is the present."""
        events = self._events
        while events and events[0][0] <= at:
            self.run_next()
        self.instant = max(self.instant, at)
