"""What was said on every console, line by line, on the clock of the captures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from testbed.timing import Instant
from testbed.wire.frame import Direction

__all__ = ["ConsoleLine", "ConsoleLog"]

LONGEST_LINE = 4096
"""Characters of a line that are kept: a JSON dump of a device is one line of megabytes."""


@dataclass(frozen=True, slots=True)
class ConsoleLine:
    """One line of a dialogue. ``at`` is on the capture clock; IN is what the device said."""

    device: str
    transport: str
    at: Instant
    direction: Direction
    text: str


class ConsoleLog:
    """Collects console lines; ``now`` reads the capture clock, ``sink`` is given each line too.

    Sessions in several threads may share one.
    """

    def __init__(
        self, now: Callable[[], Instant], sink: Callable[[ConsoleLine], None] | None = None
    ) -> None:
        self._now = now
        self._sink = sink
        self._lines: list[ConsoleLine] = []

    @property
    def lines(self) -> tuple[ConsoleLine, ...]:
        """All lines so far, oldest first."""
        return tuple(self._lines)

    def forget(self) -> None:
        """Begin anew, without a line."""
        self._lines.clear()

    def add(self, device: str, transport: str, direction: Direction, text: str) -> None:
        """Add a line, cut where it is very long."""
        if len(text) > LONGEST_LINE:
            text = f"{text[:LONGEST_LINE]} [{len(text) - LONGEST_LINE} more characters]"
        line = ConsoleLine(device, transport, self._now(), direction, text)
        self._lines.append(line)
        if self._sink is not None:
            self._sink(line)
