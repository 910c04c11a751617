"""Faults that show under load only: the rows BM, which benchmarks must find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from testbed.sim.link import OVERHEAD
from testbed.sim.switch.defects import frames
from testbed.sim.switch.egress import Egress
from testbed.sim.switch.fabric import LATENCY, Fabric
from testbed.sim.switch.forwarder import Forwarder
from testbed.sim.switch.ports import Port
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, microseconds, milliseconds, seconds

__all__ = [
    "BLOCKS_HEAD_OF_LINE",
    "BROADCASTS_BY_PROCESSOR",
    "DEAF_WHILE_BUSY",
    "LISTENS_AFTER_RESET",
    "LONG_QUEUE",
    "LOSES_ONE_IN_A_HUNDRED",
    "LOSES_WHEN_FULL",
    "NARROW_BACKPLANE",
    "PASSES_DAMAGED",
    "PASSES_RUNTS",
    "SHALLOW_BUFFER",
    "SLOW_ENGINE",
    "TAKES_A_MILLISECOND",
]

ENGINE: Final = Duration(1429)
"""700,000 frames a second: less than a gigabit has of the shortest, more than of any other."""
EXIT: Final = 80
"""Nanoseconds a byte at 100 Mbit/s."""


class _Engine(Fabric):
    """Takes its time for each frame, whatever its length; few can wait for it."""

    patience: Duration = microseconds(3)
    _free = Instant(0)

    def cost(self, frame: bytes) -> int:  # noqa: ARG002 - a seam
        """Nanoseconds that the engine is busy with a frame."""
        return ENGINE

    def store(self, port: str, frame: bytes, now: Instant) -> None:
        start = max(self._free, now)
        if start - now > self.patience:
            self.refuse(now)
            return
        self._free = Instant(start + self.cost(frame))
        self.place(Instant(start + self.latency), port, frame)

    def refuse(self, now: Instant) -> None:
        """A frame is lost."""


class _Shallow(_Engine):
    patience = microseconds(100)


class _Backplane(_Engine):
    """One bus between all ports, 250 Mbit/s wide."""

    patience = microseconds(200)

    def cost(self, frame: bytes) -> int:
        return (len(frame) + OVERHEAD) * 32


class _Deaf(_Engine):
    """What is lost wakes the engine up to lose the next one, until there is silence."""

    _deaf_until = Instant(0)

    def store(self, port: str, frame: bytes, now: Instant) -> None:
        if now < self._deaf_until:
            self.refuse(now)
        else:
            super().store(port, frame, now)

    def refuse(self, now: Instant) -> None:
        self._deaf_until = Instant(now + milliseconds(1))


class _OneInAHundred(Fabric):
    _count = 0

    def store(self, port: str, frame: bytes, now: Instant) -> None:
        self._count += 1
        if self._count % 100:
            super().store(port, frame, now)


class _Late(Fabric):
    def store(self, port: str, frame: bytes, now: Instant) -> None:
        super().store(port, frame, Instant(now + milliseconds(1)))


class _Bloated(Fabric):
    """The more wait, the longer each waits."""

    def store(self, port: str, frame: bytes, now: Instant) -> None:
        last = self.waiting[-1][0] if self.waiting else now
        after = max(last, now) - now + LATENCY
        self.place(Instant(now + min(after, milliseconds(2))), port, frame)


class _Blocked(Fabric):
    """One queue for all exits: who waits for a busy one keeps all behind from going."""

    patience: Duration = microseconds(100)

    def __init__(self) -> None:
        super().__init__()
        self._head = Instant(0)
        self._full = False
        self._free: dict[str, Instant] = {}

    def store(self, port: str, frame: bytes, now: Instant) -> None:
        start = max(now, self._head, self._free.get(port, now))
        # Once full it takes nothing in until it is half empty.
        self._full = start - now > self.patience // (2 if self._full else 1)
        if self._full:
            return
        self._head = Instant(start)
        self._free[port] = Instant(start + (len(frame) + OVERHEAD) * EXIT)
        self.place(Instant(start + self.latency), port, frame)


class _Falls(Port):
    fell = False
    since = Instant(0)

    def settle(self) -> None:
        was = self.live
        super().settle()
        self.fell = self.fell or (was and not self.live)


class _Listens(Egress):
    def send(self, frame: bytes, vlan: int, port: Port, now: Instant) -> None:
        if isinstance(port, _Falls):
            if port.live and port.fell:
                port.fell, port.since = False, now
            if port.since and now - port.since < seconds(3):
                return
        super().send(frame, vlan, port, now)


class _ByProcessor(Forwarder):
    _next = Instant(0)

    def to_broadcast(self, frame: bytes, vlan: int, port: Port, now: Instant) -> Sequence[Port]:
        if now < self._next:
            return ()
        self._next = Instant(now + microseconds(50))
        return super().to_broadcast(frame, vlan, port, now)


SLOW_ENGINE: Final = Defect(
    "forwards short frames below the line rate",
    "BM-01",
    "The data sheet's bits per second are of long frames; voice, which is short ones, is lost.",
    {Fabric: _Engine},
)
LOSES_ONE_IN_A_HUNDRED: Final = Defect(
    "loses one frame in a hundred",
    "BM-01",
    "A bad memory chip: pings pass nearly always, and transfers crawl.",
    {Fabric: _OneInAHundred},
)
TAKES_A_MILLISECOND: Final = Defect(
    "takes a millisecond",
    "BM-02",
    "Frames go by the processor, which looks for them a thousand times a second.",
    {Fabric: _Late},
)
LONG_QUEUE: Final = Defect(
    "makes frames wait longer the more there are",
    "BM-02",
    "A queue in front of the exit fills at full load, and calls break up though nothing is lost.",
    {Fabric: _Bloated},
)
LOSES_WHEN_FULL: Final = Defect(
    "loses frames at the full load",
    "BM-03",
    "The engine is a little slower than the line, and the buffer hides it at all lower loads.",
    {Fabric: _Engine},
)
SHALLOW_BUFFER: Final = Defect(
    "has room for short bursts only",
    "BM-04",
    "The engine keeps up on average; what a server sends at once is lost behind the first hundred.",
    {Fabric: _Shallow},
)
DEAF_WHILE_BUSY: Final = Defect(
    "recovers from an overload in silence only",
    "BM-05",
    "An overflow is cleared up frame by frame, and each that comes meanwhile begins it anew.",
    {Fabric: _Deaf},
)
LISTENS_AFTER_RESET: Final = Defect(
    "listens for seconds once a port is back",
    "BM-06",
    "The port looks for loops before it forwards, and whoever was moved is cut off meanwhile.",
    {Port: _Falls, Egress: _Listens},
)
NARROW_BACKPLANE: Final = Defect(
    "carries less than all ports together",
    "BM-07",
    "Any two ports reach the line rate, and the sum of all is what the bus between them has.",
    {Fabric: _Backplane},
)
BLOCKS_HEAD_OF_LINE: Final = Defect(
    "blocks the head of the line",
    "BM-08",
    "One slow station fills the queue that all share, and traffic to idle ports is lost.",
    {Fabric: _Blocked},
)
BROADCASTS_BY_PROCESSOR: Final = Defect(
    "broadcasts by its processor",
    "BM-09",
    "ARP is lost while anything else broadcasts, and stations cannot find each other.",
    {Forwarder: _ByProcessor},
)
PASSES_RUNTS: Final = Defect(
    "passes runts on",
    "BM-10",
    frames.FORWARDS_RUNTS.story,
    frames.FORWARDS_RUNTS.mixins,
)
PASSES_DAMAGED: Final = Defect(
    "passes damaged frames on",
    "BM-10",
    frames.CUTS_THROUGH.story,
    frames.CUTS_THROUGH.mixins,
)
