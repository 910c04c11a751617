"""Stacks joined by lines in virtual time: the clock jumps from one deadline to the next.

::

    pair = Pair(seed=7, delay=milliseconds(20))
    pair.to_right.impair.add(Drop(Nth(3)))
    pair.run(seconds(5))                          # or pair.run_until(lambda: ..., within=...)
    pair.write_pcapng(path, pair.left)

``Net`` joins any number of stacks: ``net.add(stack)``, ``net.join((a, "eth0"), (b, "eth0"))``.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any, Protocol

from testbed.capture import Recording, write_pcapng
from testbed.errors import PlanError
from testbed.link.impair import Pipeline
from testbed.stack.config import StackConfig
from testbed.timing import Duration, Instant, after, milliseconds, seconds
from testbed.wire import Direction, Frame, MacAddr

__all__ = ["Line", "Net", "Node", "Pair", "Seen", "Stuck"]

OUT = Direction.OUT
START = Instant(1_000_000_000_000)
"""Virtual time starts here: far from 0, so that nobody takes an instant for a span."""


class Stuck(AssertionError):  # noqa: N818
    """Nothing is left to happen, or the clock goes on without the world moving."""


class Node(Protocol):
    """The stack's face, as a net needs it."""

    def receive(self, frame: bytes, now: Instant, interface: str | None = None) -> None: ...
    def handle_timeout(self, now: Instant) -> None: ...
    def poll_timeout(self) -> Instant | None: ...
    def poll_transmit(self, now: Instant) -> Any: ...


End = tuple[Node, str]


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame at a stack's end of a line: OUT as it left, IN as it came."""

    at: Instant
    node: Node
    interface: str
    frame: bytes
    direction: Direction = Direction.OUT


class Line:
    """One direction of a cable: a pipeline of faults, then a delay that keeps the order."""

    def __init__(self, delay: Duration, ends: Iterable[End]) -> None:
        self.impair = Pipeline()
        self.delay = delay
        self.ends = tuple(ends)
        self.sent = 0
        self.up = True
        """A line that is down loses what is sent into it."""


class Net:
    """Stacks and lines with one virtual clock."""

    def __init__(self, *, start: Instant = START, trace: bool = True) -> None:
        self.now = start
        self.trace: list[Seen] = []
        self.tracing = trace
        self.on_frame: Callable[[Seen], None] | None = None
        self.steps = 0
        self._nodes: list[Node] = []
        self._lines: dict[tuple[int, str], Line] = {}
        self._flying: list[tuple[Instant, int, Node, str, bytes]] = []
        self._order = 0
        self._frozen: set[int] = set()
        self._calls: list[tuple[Instant, int, Callable[[], None]]] = []

    def add(self, *nodes: Node) -> None:
        """Put stacks into the net; join() does it by itself."""
        for node in nodes:
            if not any(node is known for known in self._nodes):
                self._nodes.append(node)

    def join(self, *ends: End, delay: Duration = milliseconds(1)) -> tuple[Line, ...]:
        """Plug ends together: two are a cable, more are a hub. The line out of each end."""
        if len(ends) < 2:
            raise PlanError("a line has two ends at least")
        lines = []
        for end in ends:
            others = [other for other in ends if other is not end]
            line = Line(delay, others)
            self.add(end[0])
            self._lines[id(end[0]), end[1]] = line
            lines.append(line)
        return tuple(lines)

    def freeze(self, node: Node) -> None:
        """Stop a node's clock: it hears nothing, no timer of it fires, until thaw()."""
        self._frozen.add(id(node))

    def thaw(self, node: Node) -> None:
        """Let the node go on; what came meanwhile is lost."""
        self._frozen.discard(id(node))

    def call_at(self, at: Instant, action: Callable[[], None]) -> None:
        """Do something at an instant, before what the stacks do then."""
        self._order += 1
        heapq.heappush(self._calls, (at, self._order, action))

    def call_after(self, span: Duration, action: Callable[[], None]) -> None:
        """Do something after a span of time."""
        self.call_at(after(self.now, span), action)

    def flush(self) -> None:
        """Take away from the stacks all that they have to send now."""
        for node in self._nodes:
            self._drain(node)

    def inject(self, node: Node, frame: bytes, interface: str | None = None) -> None:
        """Give a node a frame at this instant, as if it came from its cable."""
        node.receive(frame, self.now, interface)
        self.flush()

    def next_event(self) -> Instant | None:
        """When something happens next, or None."""
        times = [heap[0][0] for heap in (self._flying, self._calls) if heap]
        lines = self._lines.values()
        times += [at for line in lines if (at := line.impair.next_deadline()) is not None]
        awake = (node for node in self._nodes if id(node) not in self._frozen)
        times += [at for node in awake if (at := node.poll_timeout()) is not None]
        return max(self.now, min(times)) if times else None

    def step(self, limit: Instant | None = None) -> bool:
        """Go to the next event and do it; False, at ``limit``, when none comes before it."""
        self.flush()
        at = self.next_event()
        if at is None or (limit is not None and at > limit):
            if limit is not None:
                self.now = max(self.now, limit)
            return False
        self._watch(at)
        self.now = at
        self._deliver(at)
        for node in self._nodes:
            deadline = node.poll_timeout()
            if deadline is not None and deadline <= at and id(node) not in self._frozen:
                node.handle_timeout(at)
        self.flush()
        return True

    def _deliver(self, at: Instant) -> None:
        while self._calls and self._calls[0][0] <= at:
            heapq.heappop(self._calls)[2]()
        for line in self._lines.values():
            deadline = line.impair.next_deadline()
            if deadline is not None and deadline <= at:
                self._launch(line, line.impair.due(at))
        while self._flying and self._flying[0][0] <= at:
            _, _, node, interface, frame = heapq.heappop(self._flying)
            if id(node) not in self._frozen:
                if self.tracing:
                    self.trace.append(Seen(at, node, interface, frame, Direction.IN))
                node.receive(frame, at, interface)
                self._drain(node)

    def run(self, span: Duration) -> None:
        """Let ``span`` of virtual time go by."""
        limit = after(self.now, span)
        while self.step(limit):
            pass

    def run_until(self, condition: Callable[[], object], within: Duration = seconds(60)) -> bool:
        """Run until ``condition`` holds; False when it did not within the time."""
        limit = after(self.now, within)
        while not condition():
            if not self.step(limit):
                return bool(condition())
        return True

    def settle(self, within: Duration = seconds(3600)) -> None:
        """Run until nothing is left to happen; Stuck when that does not come."""
        limit = after(self.now, within)
        while self.step(limit):
            pass
        if self.next_event() is not None:
            raise Stuck(f"still not at rest after {within / 1e9:g} s")

    def sent(self, node: Node) -> list[Seen]:
        """What left a stack, in order."""
        return [seen for seen in self.trace if seen.node is node and seen.direction is OUT]

    def frames(self, node: Node) -> list[bytes]:
        """The frames that left a stack, in order."""
        return [seen.frame for seen in self.sent(node)]

    def write_pcapng(self, path: Path, node: Node) -> None:
        """Write what one stack sent and got, as a capture at its end of the cable sees it."""
        recording = Recording(["net"])
        seen = [each for each in self.trace if each.node is node]
        recording.add("net", [Frame(each.frame, each.at, each.direction) for each in seen])
        with path.open("wb") as stream:
            write_pcapng(stream, recording)

    def _drain(self, node: Node) -> None:
        while id(node) not in self._frozen and (out := node.poll_transmit(self.now)) is not None:
            self._send(node, out.interface, out.frame)

    def _send(self, node: Node, interface: str, frame: bytes) -> None:
        if self.tracing or self.on_frame:
            seen = Seen(self.now, node, interface, frame)
            if self.tracing:
                self.trace.append(seen)
            if self.on_frame:
                self.on_frame(seen)
        line = self._lines.get((id(node), interface))
        if line is None:
            return
        line.sent += 1
        if line.up:
            self._launch(line, line.impair.push(frame, self.now))

    def _launch(self, line: Line, frames: Iterable[bytes]) -> None:
        at = after(self.now, line.delay)
        for frame in frames:
            for node, interface in line.ends:
                self._order += 1
                heapq.heappush(self._flying, (at, self._order, node, interface, frame))

    def _watch(self, at: Instant) -> None:
        """A deadline that never moves on is a busy loop: say so rather than hang."""
        self.steps = self.steps + 1 if at == self.now else 0
        if self.steps > 100_000:
            raise Stuck(f"100000 steps at one instant, {at} ns")


class Pair(Net):
    """Two stacks, 10.0.0.1 and 10.0.0.2 of a /24, and a cable between their eth0."""

    def __init__(
        self,
        left: StackConfig | None = None,
        right: StackConfig | None = None,
        *,
        seed: int = 1,
        delay: Duration = milliseconds(5),
        mtu: int = 1500,
        ethernet: bool = True,
        trace: bool = True,
    ) -> None:
        from testbed.stack.stack import Stack  # noqa: PLC0415 - a net may hold other nodes

        super().__init__(trace=trace)
        self.left = Stack(left or StackConfig(), seed=2 * seed, name="left")
        self.right = Stack(right or StackConfig(), seed=2 * seed + 1, name="right")
        for number, stack in ((1, self.left), (2, self.right)):
            mac = MacAddr(f"02:00:00:00:00:0{number}") if ethernet else None
            stack.add_interface("eth0", mac=mac, mtu=mtu)
            stack.add_address("eth0", IPv4Interface(f"10.0.0.{number}/24"), self.now)
        self.to_right, self.to_left = self.join(
            (self.left, "eth0"), (self.right, "eth0"), delay=delay
        )

    def unplug(self) -> None:
        """Pull the cable: what is sent is lost, both ways. The stacks do not notice."""
        self.to_right.up = self.to_left.up = False

    def plug(self) -> None:
        """Put the cable in again."""
        self.to_right.up = self.to_left.up = True
