"""A token ring station: it sends while it has the token, and repeats what else comes by."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from testbed.sim.bus.log import Signal
from testbed.sim.ring.states import STATION, Event, State
from testbed.sim.ring.wire import Wire, frame_bits
from testbed.stack.alarms import Alarms
from testbed.timing import Duration, Instant, microseconds

__all__ = ["HOLDING_TIME", "QUEUE", "Station", "StationCounters"]

HOLDING_TIME: Final = microseconds(8900)
"""How long a station may send on one token (IEEE 802.5 table 7: TTHT)."""

QUEUE: Final = 4096
"""Frames that wait in a station."""


@dataclass(slots=True)
class StationCounters:
    """Of one station: frames sent whole, and tokens taken for them."""

    frames: int = 0
    tokens: int = 0
    overflows: int = 0

    def __str__(self) -> str:
        return f"frames {self.frames} tokens {self.tokens} overflows {self.overflows}"


class Station:
    """One station at ``port`` of ``wire``; ``deliver`` takes the frames that come by."""

    def __init__(
        self,
        port: str,
        wire: Wire,
        alarms: Alarms,
        deliver: Callable[[str, bytes], None],
        holding_time: Duration = HOLDING_TIME,
    ) -> None:
        self.port = port
        self.state = State.REPEATING
        self.counters = StationCounters()
        self.queue: deque[bytes] = deque()
        self.holding_time = holding_time
        self.wire = wire
        self.taken_at = Instant(0)
        """When the token that is held was taken."""
        self._alarms = alarms
        self._deliver = deliver
        self._signal: Signal | None = None
        wire.attach(port, self)

    # What its host tells it

    def submit(self, frame: bytes, now: Instant) -> None:  # noqa: ARG002 - a seam
        """Send ``frame`` after those that wait already."""
        if len(self.queue) >= QUEUE:
            self.counters.overflows += 1
            return
        self.queue.append(frame)

    def reset(self, now: Instant) -> None:
        """Forget what waits, and fall silent in the middle of a frame; a token held is lost."""
        self.queue.clear()
        self._alarms.cancel(self._timer)
        if self._signal is not None and self._signal.end is None:
            self.wire.stop(self._signal, now, whole=False)
        self._signal = None
        self._happens(Event.OFF, now)

    # What comes by

    def token(self, now: Instant) -> None:
        """Take the token where there is something to send; one that comes while sending is lost."""
        if self.state is not State.REPEATING:
            return
        if self.may_capture(now):
            self.taken_at = now
            self.counters.tokens += 1
            self._happens(Event.CAPTURED, now)
        else:
            self.wire.pass_token(self.port, now)

    def receive(self, frame: bytes) -> None:
        """A frame came by: the station's host is to judge it."""
        self._deliver(self.port, frame)

    def returned(self, signal: Signal, frame: bytes, now: Instant) -> None:  # noqa: ARG002 - a seam
        """Take the own frame off the ring; after the last one, the token goes on."""
        if signal is self._signal:
            self._happens(Event.RETURNED, now)

    # The rules

    def may_capture(self, now: Instant) -> bool:  # noqa: ARG002 - a seam
        """Whether a token that comes is taken."""
        return bool(self.queue)

    def may_go_on(self, now: Instant) -> bool:
        """Whether the next frame is over before the holding time is."""
        if not self.queue:
            return False
        length = frame_bits(len(self.queue[0])) * self.wire.bit
        return now + length <= self.taken_at + self.holding_time

    def release(self, now: Instant) -> None:
        """Send a token."""
        self.wire.pass_token(self.port, now)

    # The state machine

    def _happens(self, event: Event, now: Instant) -> None:
        state = STATION.get((self.state, event))
        if state is None:
            return
        self.state = state
        if state is State.HOLDING:
            self._send(now)
        elif event is Event.RETURNED:
            self._signal = None
            self.release(now)

    def _send(self, now: Instant) -> None:
        frame = self.queue[0]
        self._signal = self.wire.transmit(self.port, frame, now)
        end = Instant(now + frame_bits(len(frame)) * self.wire.bit)
        self._alarms.set(self._timer, end, self._sent)

    def _sent(self, now: Instant) -> None:
        self.queue.popleft()
        self.counters.frames += 1
        if self._signal is not None:
            self.wire.stop(self._signal, now, whole=True)
        self._happens(Event.MORE if self.may_go_on(now) else Event.LAST, now)

    @property
    def _timer(self) -> tuple[str, str]:
        return ("station", self.port)
