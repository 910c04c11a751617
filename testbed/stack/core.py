"""What every part of one stack shares."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from testbed.stack.alarms import Alarms
from testbed.stack.config import StackConfig
from testbed.stack.crossing import Crossing
from testbed.stack.entropy import Entropy
from testbed.stack.events import Event, EventLog, PacketDropped
from testbed.stack.output import Answers, OutputQueue
from testbed.stack.variants import Variants
from testbed.timing import Instant

__all__ = ["Core", "make_core"]


@dataclass(slots=True)
class Core:
    """Settings, deadlines, chance, the log, the frames to send, and counts of what was dropped."""

    config: StackConfig
    alarms: Alarms
    events: EventLog
    entropy: Entropy
    variants: Variants
    answers: Answers
    output: OutputQueue = field(default_factory=deque)
    dropped: dict[tuple[str, str], int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    crossing: Crossing = field(default_factory=Crossing)

    def drop(self, layer: str, reason: str, now: Instant) -> None:
        """Count a packet that is not taken, and note why; ``reason`` is one of a fixed set."""
        key = layer, reason
        self.dropped[key] = self.dropped.get(key, 0) + 1
        self.events.add(PacketDropped(now, layer, reason))

    def count(self, what: str) -> None:
        """Count something that needs no event."""
        self.counts[what] = self.counts.get(what, 0) + 1

    def note(self, event: Event) -> None:
        """Log an event."""
        self.events.add(event)


def make_core(config: StackConfig, seed: int | bytes) -> Core:
    """A stack's core, all of it following from ``config`` and ``seed``."""
    variants = Variants(config.defects)
    return Core(
        config=config,
        alarms=Alarms(),
        events=EventLog(config.event_limit),
        entropy=Entropy(seed),
        variants=variants,
        answers=Answers(config),
    )
