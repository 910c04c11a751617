"""The MAC of a half-duplex station: IEEE 802.3 clause 4, CSMA/CD.

It is told frames to send and what its transceiver hears, and sends by the table of
``testbed.sim.bus.states``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from testbed.sim.bus.backoff import SLOT, Backoff
from testbed.sim.bus.deference import Deference
from testbed.sim.bus.log import Signal
from testbed.sim.bus.medium import PREAMBLE, Medium, frame_bits
from testbed.sim.bus.states import SENDER, Event, State
from testbed.stack.alarms import Alarms
from testbed.stack.variants import Variants
from testbed.timing import Instant

__all__ = ["JAM", "QUEUE", "Mac", "MacCounters"]

JAM: Final = 32
"""Bits sent after a collision so that everybody notices it (IEEE 802.3 4.4.2: jamSize)."""

QUEUE: Final = 4096
"""Frames that wait in a station."""


@dataclass(slots=True)
class MacCounters:
    """Of one station (IEEE 802.3 30.3.1.1).

    ``frames`` were sent whole, ``deferred`` frames found the medium busy at first, ``late``
    collisions came after the slot time, and frames that met ``excessive`` collisions were given up.
    """

    frames: int = 0
    collisions: int = 0
    late: int = 0
    excessive: int = 0
    deferred: int = 0
    overflows: int = 0

    def __str__(self) -> str:
        return (
            f"frames {self.frames} collisions {self.collisions} late {self.late} "
            f"excessive {self.excessive} deferred {self.deferred} overflows {self.overflows}"
        )


class Mac:
    """One station at ``port`` of ``medium``; ``deliver`` takes the frames that it hears."""

    jam = JAM

    def __init__(
        self,
        port: str,
        medium: Medium,
        alarms: Alarms,
        deliver: Callable[[str, bytes, Signal], None],
        *,
        variants: Variants,
        seed: str,
    ) -> None:
        self.port = port
        self.state = State.IDLE
        self.counters = MacCounters()
        self.queue: deque[bytes] = deque()
        self.collisions = 0
        """Of the frame that is being sent."""
        self.medium = medium
        self.deference = variants.of(Deference)(port, medium.bit, alarms, self._medium_clear)
        self.backoff = variants.of(Backoff)(seed, port)
        self._alarms = alarms
        self._deliver = deliver
        self._signal: Signal | None = None
        medium.attach(port, self)

    # What its host tells it

    def submit(self, frame: bytes, now: Instant) -> None:
        """Send ``frame`` after those that wait already."""
        if len(self.queue) >= QUEUE:
            self.counters.overflows += 1
            return
        self.queue.append(frame)
        self._happens(Event.FRAME, now)

    def reset(self, now: Instant) -> None:
        """Forget what waits, and fall silent in the middle of a frame."""
        self.queue.clear()
        self._stop(now, whole=False)
        self._happens(Event.OFF, now)

    # What its transceiver tells it

    def heard(self, now: Instant) -> None:
        """Another station's signal is there."""
        self.deference.heard(now)

    def faded(self, now: Instant) -> None:
        """No other station's signal is there any more."""
        self.deference.faded(now)

    def disturbed(self, now: Instant) -> None:
        """Another station's signal met the one that this station is sending."""
        self._happens(Event.COLLISION, now)

    def receive(self, frame: bytes, signal: Signal) -> None:
        """A frame came: the station's host is to judge it."""
        self._deliver(self.port, frame, signal)

    # The state machine

    def _happens(self, event: Event, now: Instant) -> None:
        state = SENDER.get((self.state, event))
        if state is None:
            return
        self.state = state
        if state is State.IDLE:
            self._enter_idle(event, now)
        elif state is State.WAITING:
            self._enter_waiting(now)
        elif state is State.SENDING:
            self._enter_sending(now)
        elif state is State.JAMMING:
            self._enter_jamming(now)
        else:
            self._enter_backing_off(now)

    def _enter_idle(self, event: Event, now: Instant) -> None:
        """A frame is done with, one way or another: on to the next."""
        self._alarms.cancel(self._timer)
        if event is Event.SENT:
            self._sent(now)
        elif event is Event.GIVE_UP:
            self.counters.excessive += 1
        if self.queue:
            self.queue.popleft()
        self._forget_collisions()
        if self.queue:
            self._happens(Event.FRAME, now)

    def _enter_waiting(self, now: Instant) -> None:
        if not self.deference.deferring:
            self._happens(Event.MEDIUM_CLEAR, now)
        elif self.deference.carrier and not self.collisions:
            self.counters.deferred += 1

    def _enter_sending(self, now: Instant) -> None:
        frame = self.queue[0]
        self.deference.began(now)
        self._signal = self.medium.transmit(self.port, frame, now)
        end = Instant(now + frame_bits(len(frame)) * self.medium.bit)
        self._alarms.set(self._timer, end, lambda at: self._happens(Event.SENT, at))
        if self._signal.disturbed:
            self.disturbed(now)

    def _enter_jamming(self, now: Instant) -> None:
        """Send the preamble to its end, then the jam (4.2.8: StartJam)."""
        begun = self._signal.start if self._signal else now
        bit = self.medium.bit
        if now - begun > SLOT * bit:
            self.counters.late += 1
        over = Instant(max(now, begun + PREAMBLE * bit) + self.jam * bit)
        self._alarms.set(self._timer, over, self._jam_over)

    def _jam_over(self, now: Instant) -> None:
        self._stop(now, whole=False)
        self.counters.collisions += 1
        self.collisions += 1
        over = self.backoff.exhausted(self.collisions)
        self._happens(Event.GIVE_UP if over else Event.RETRY, now)

    def _enter_backing_off(self, now: Instant) -> None:
        slots = self.backoff.slots(self.collisions)
        over = Instant(now + slots * self.backoff.slot * self.medium.bit)
        self._alarms.set(self._timer, over, lambda at: self._happens(Event.SLOTS_OVER, at))

    def _medium_clear(self, now: Instant) -> None:
        self._happens(Event.MEDIUM_CLEAR, now)

    def _sent(self, now: Instant) -> None:
        self._stop(now, whole=True)
        self.counters.frames += 1
        self.backoff.succeeded()

    def _forget_collisions(self) -> None:
        """The next frame begins anew."""
        self.collisions = 0

    def _stop(self, now: Instant, *, whole: bool) -> None:
        signal, self._signal = self._signal, None
        if signal is not None:
            self.medium.stop(signal, now, whole=whole)
            self.deference.ended(now)

    @property
    def _timer(self) -> tuple[str, str]:
        return ("sender", self.port)
