"""Carrier sense and the inter-frame gap: IEEE 802.3 4.2.3.2.1, process Deference of 4.2.8."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from testbed.sim.bus.states import DEFERENCE, Phase, Sense
from testbed.stack.alarms import Alarms
from testbed.timing import Duration, Instant

__all__ = ["GAP", "GAP_PART_1", "Deference"]

GAP: Final = 96
"""Bit times from one frame to the next (IEEE 802.3 4.4.2: interPacketGap)."""

GAP_PART_1: Final = 64
"""Bit times of it in which another's signal still counts: 2/3 at the most (4.2.3.2.1)."""


class Deference:
    """Whether one station must hold its frame back; ``clear`` is told when it no longer must."""

    part_1 = GAP_PART_1
    part_2 = GAP - GAP_PART_1

    def __init__(
        self, port: str, bit: Duration, alarms: Alarms, clear: Callable[[Instant], None]
    ) -> None:
        self.phase = Phase.CLEAR
        self.carrier = False
        """Whether another station's signal is heard."""
        self.sending = False
        """Whether this station is sending."""
        self._has_sent = False
        self._port = port
        self._bit = bit
        self._alarms = alarms
        self._clear = clear

    @property
    def deferring(self) -> bool:
        """Whether a frame must wait."""
        return self.phase is not Phase.CLEAR

    def heard(self, now: Instant) -> None:
        """Another station's signal is there."""
        self.carrier = True
        # After a frame of its own a station waits for the gap, whatever it hears (4.2.8).
        if not (self.phase is Phase.GAP_1 and self._has_sent):
            self._sense(Sense.SIGNAL, now)

    def faded(self, now: Instant) -> None:
        """No other station's signal is there any more."""
        self.carrier = False
        self._quieter(now)

    def began(self, now: Instant) -> None:
        """This station begins to send."""
        self.sending = True
        self._sense(Sense.SIGNAL, now)
        self._has_sent = True

    def ended(self, now: Instant) -> None:
        """This station sends no more."""
        self.sending = False
        self._quieter(now)

    def _quieter(self, now: Instant) -> None:
        if not self.carrier and not self.sending:
            self._sense(Sense.SILENCE, now)

    def _sense(self, sense: Sense, now: Instant) -> None:
        phase = DEFERENCE.get((self.phase, sense))
        if phase is None:
            return
        self.phase = phase
        if phase is Phase.BUSY:
            self._alarms.cancel(self._timer)
            self._has_sent = self.sending
        elif phase is Phase.GAP_1:
            self._wait(self.part_1, Sense.PART_1_OVER, now)
        elif phase is Phase.GAP_2:
            self._wait(self.part_2, Sense.PART_2_OVER, now)
        else:
            self._clear(now)
            if self.carrier:  # it began in the second part of the gap, and nobody sent against it
                self._sense(Sense.SIGNAL, now)

    @property
    def _timer(self) -> tuple[str, str]:
        return ("gap", self._port)

    def _wait(self, bits: int, then: Sense, now: Instant) -> None:
        at = Instant(now + bits * self._bit)
        self._alarms.set(self._timer, at, lambda at: self._sense(then, at))
