"""The active monitor of a ring: it makes the first token, and a new one where it was lost."""

from __future__ import annotations

from typing import Final

from testbed.sim.ring.wire import Wire
from testbed.stack.alarms import Alarms
from testbed.timing import Instant, milliseconds

__all__ = ["VALID_TRANSMISSION", "Monitor"]

VALID_TRANSMISSION: Final = milliseconds(10)
"""So long a ring may be without token or frame (IEEE 802.5 table 7: TVX)."""


class Monitor:
    """The one of the ring's first port."""

    def __init__(self, wire: Wire, alarms: Alarms) -> None:
        self.wire = wire
        self.regenerated = 0
        """Tokens that it made because there was none any more."""
        self._alarms = alarms

    def begin(self, now: Instant) -> None:
        """Make the first token."""
        self.wire.pass_token(self.wire.order[0], now)

    def watch(self, now: Instant) -> None:
        """Look after the token, until it goes round with nobody to take it."""
        self._alarms.set("monitor", Instant(now + VALID_TRANSMISSION), self._look)

    def regenerate(self, now: Instant) -> None:
        """Nothing came by for too long: make a token."""
        self.regenerated += 1
        self.wire.pass_token(self.wire.order[0], now)

    def _look(self, now: Instant) -> None:
        if self.wire.asleep:
            return
        due = Instant(self.wire.last_seen + VALID_TRANSMISSION)
        if not self.wire.active() and due <= now:
            self.regenerate(now)
        elif not self.wire.active():
            now = Instant(due - VALID_TRANSMISSION)
        self.watch(now)
