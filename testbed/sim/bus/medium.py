"""The physics of a shared medium: signals that travel, and what each port hears of them.

Nothing here is ever defective. Who may send when is the business of the stations; the medium only
carries what they send, at its own pace, and lets signals that meet spoil each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol

from testbed.sim.bus.log import AttemptLog, Signal
from testbed.sim.frames import FCS, BadFcs
from testbed.stack.alarms import Alarms
from testbed.timing import Duration, Instant

__all__ = ["PREAMBLE", "Listener", "Medium", "Reach", "frame_bits"]

PREAMBLE: Final = 64
"""Bits before a frame: preamble and start frame delimiter (IEEE 802.3 3.1.1)."""

_HEADER: Final = 14

Reach = Callable[[str], Iterable[tuple[str, Duration]]]
"""Gives the other ports to which a port's signals get, each with the time it takes."""


def frame_bits(octets: int) -> int:
    """Bits that a frame of so many bytes without its FCS takes on the medium."""
    return PREAMBLE + (octets + FCS) * 8


class Listener(Protocol):
    """A station's transceiver."""

    def heard(self, now: Instant) -> None:
        """Another station's signal is there, where there was none."""

    def faded(self, now: Instant) -> None:
        """No other station's signal is there any more."""

    def disturbed(self, now: Instant) -> None:
        """Another station's signal met the one that this station is sending."""

    def receive(self, frame: bytes, signal: Signal) -> None:
        """A frame came by ``signal``, whole or as the BadFcs that a collision left of it."""


class Medium:
    """A cable, or a hub's ports: ``bit`` is the time of one bit."""

    def __init__(self, bit: Duration, reach: Reach, alarms: Alarms) -> None:
        self.bit = bit
        self.log = AttemptLog()
        self._reach = reach
        self._alarms = alarms
        self._listeners: dict[str, Listener] = {}
        self._present: dict[str, list[Signal]] = {}
        self._routes: dict[Signal, list[tuple[str, Duration]]] = {}
        self._leading: dict[Signal, set[str]] = {}
        self._spoilt: dict[Signal, set[str]] = {}

    def attach(self, port: str, listener: Listener) -> None:
        """Put a transceiver at ``port``."""
        self._listeners[port] = listener
        self._present[port] = []

    def transmit(self, port: str, frame: bytes, now: Instant) -> Signal:
        """Begin to send; the signal is ``disturbed`` at once where another is heard already."""
        signal = self.log.add(port, frame, len(frame), now)
        self._leading[signal] = set()
        self._spoilt[signal] = set()
        self._join(port, signal)
        self._routes[signal] = list(self._reach(port))
        for ear, delay in self._routes[signal]:
            self._at(now, delay, ("arrive", signal, ear), self._arrive)
        return signal

    def stop(self, signal: Signal, now: Instant, *, whole: bool) -> None:
        """Send no more; ``whole`` says that the frame was sent to its end."""
        signal.end = now
        signal.whole = whole
        self._present[signal.port].remove(signal)
        for ear, delay in self._routes[signal]:
            self._at(now, delay, ("leave", signal, ear), self._leave)
        if not self._routes[signal]:
            self._forget(signal)

    def _at(
        self,
        now: Instant,
        delay: Duration,
        key: tuple[str, Signal, str],
        action: Callable[[Signal, str, Instant], None],
    ) -> None:
        _, signal, ear = key
        self._alarms.set(key, Instant(now + delay), lambda at: action(signal, ear, at))

    def _join(self, port: str, signal: Signal) -> bool:
        """Let ``signal`` be there at ``port``; whether it is alone there."""
        others = self._present[port]
        for met in others:
            for spoilt in (met, signal):
                spoilt.disturbed = True
                self._spoilt[spoilt].add(port)
        others.append(signal)
        return len(others) == 1

    def _arrive(self, signal: Signal, ear: str, now: Instant) -> None:
        listener = self._listeners[ear]
        first = not any(each.port != ear for each in self._present[ear])
        sending = any(each.port == ear for each in self._present[ear])
        if self._join(ear, signal):
            self._leading[signal].add(ear)
        if first:
            listener.heard(now)
        if sending:
            listener.disturbed(now)

    def _leave(self, signal: Signal, ear: str, now: Instant) -> None:
        present = self._present[ear]
        present.remove(signal)
        frame = self._decode(signal, ear)
        routes = self._routes[signal]
        routes.remove(next(route for route in routes if route[0] == ear))
        if not routes:
            self._forget(signal)
        if frame is not None:
            self._listeners[ear].receive(frame, signal)
        if not any(each.port != ear for each in present):
            self._listeners[ear].faded(now)

    def _decode(self, signal: Signal, ear: str) -> bytes | None:
        """What a receiver at ``ear`` makes of ``signal``: nothing where another was there first."""
        if ear not in self._leading[signal]:
            return None
        if signal.whole:
            spoilt = ear in self._spoilt[signal]
            return BadFcs(signal.frame) if spoilt else signal.frame
        sent = (Instant(signal.end or 0) - signal.start) // self.bit
        fragment = signal.frame[: max(0, (sent - PREAMBLE) // 8)]
        return BadFcs(fragment) if len(fragment) >= _HEADER else None

    def _forget(self, signal: Signal) -> None:
        signal.frame = b""
        for book in (self._routes, self._leading, self._spoilt):
            book.pop(signal, None)
