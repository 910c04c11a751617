"""The physics of a ring: what a station sends travels from port to port, and comes back to it.

Nothing here is ever defective. The wire hands tokens and frames on, at its own pace, and lets
stations that send at the same time spoil each other's frames, for each takes off the ring what
comes to it while it sends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from testbed.sim.bus.log import AttemptLog, Signal
from testbed.sim.frames import FCS, BadFcs
from testbed.stack.alarms import Alarms
from testbed.timing import Duration, Instant

__all__ = ["TOKEN", "Ear", "Wire", "frame_bits"]

TOKEN: Final = 24
"""Bits of a token: starting delimiter, access control, ending delimiter (IEEE 802.5 3.1.1)."""

_AROUND: Final = 5
"""Bytes around a frame: two delimiters, access control, frame control, frame status (3.1.2)."""

_SEEN = 3
"""Rotations of a token that nobody takes which are looked at one by one, and written down."""

_STRIDE = 64
"""Of those that follow, one in so many is looked at."""


def frame_bits(octets: int) -> int:
    """Bits that a frame of so many bytes without its FCS takes on the ring."""
    return (octets + FCS + _AROUND) * 8


class Ear(Protocol):
    """A station's receiver."""

    def token(self, now: Instant) -> None:
        """The token is there."""

    def receive(self, frame: bytes) -> None:
        """Another station's frame came by, whole or spoilt."""

    def returned(self, signal: Signal, frame: bytes, now: Instant) -> None:
        """The station's own frame came back, and goes on unless it is taken off the ring."""


class Wire:
    """Ports in the order in which signals pass them; ``hops`` is the time from each to its next.

    A hop has the cable and the delay in the station at its end. While nobody has anything to send
    (``idle``) the token goes round in arithmetic only; wake() puts it back to where it is by then.
    """

    def __init__(
        self,
        bit: Duration,
        hops: Mapping[str, Duration],
        alarms: Alarms,
        idle: Callable[[], bool],
        open_to: Callable[[str], bool],
    ) -> None:
        self.bit = bit
        self.order = tuple(hops)
        self.rotation = Duration(sum(hops.values()))
        """The time that a token needs all the way round."""
        self.log = AttemptLog()
        self.last_seen = Instant(0)
        """Until when something was on the ring, as far as is known."""
        self._hops = hops
        self._alarms = alarms
        self._idle = idle
        self._open_to = open_to
        self._ears: dict[str, Ear] = {}
        self._sending: dict[Signal, Instant | None] = {}
        self._parked: list[tuple[str, Instant]] = []
        self._tokens = 0
        self._untaken = 0

    def attach(self, port: str, ear: Ear) -> None:
        """Put a station at ``port``."""
        self._ears[port] = ear

    def after(self, port: str) -> str:
        """The next port."""
        return self.order[(self.order.index(port) + 1) % len(self.order)]

    def latency(self, source: str, ear: str) -> Duration:
        """The time that a signal takes from one port to another; all the way round to itself."""
        port, span = source, 0
        while True:
            span += self._hops[port]
            port = self.after(port)
            if port == ear:
                return Duration(span)

    # Tokens

    @property
    def asleep(self) -> bool:
        """Whether a token goes round that nobody looks at."""
        return bool(self._parked)

    def pass_token(self, port: str, now: Instant) -> None:
        """Let the token go on from ``port``, repeated or new."""
        if self._idle():
            self._parked.append((port, now))
            return
        self._untaken += 1
        at = Instant(now + self._hops[port])
        seen = _SEEN * len(self.order)
        if self._untaken <= seen:
            self._note(port, now)
        elif self._untaken % len(self.order) == 0:
            at = Instant(at + (_STRIDE - 1) * self.rotation)
        self._arrive_at(self.after(port), at)

    def wake(self, now: Instant) -> None:
        """Somebody has something to send: the token comes to the next port on its way."""
        parked, self._parked = self._parked, []
        self._untaken = 0
        for parked_at, since in parked:
            port, at = parked_at, Instant(now - (now - since) % self.rotation)
            while at + self._hops[port] < now:
                port, at = self.after(port), Instant(at + self._hops[port])
            self._note(port, at)
            self._arrive_at(self.after(port), Instant(at + self._hops[port]))

    def _note(self, port: str, at: Instant) -> None:
        signal = self.log.add(port, b"", 0, at)
        signal.end = Instant(at + TOKEN * self.bit)
        signal.whole = True

    def _arrive_at(self, ear: str, at: Instant) -> None:
        self._tokens += 1
        self.last_seen = max(self.last_seen, at)
        self._alarms.set(("token", self._tokens), at, lambda now: self._token(ear, now))

    def _token(self, ear: str, now: Instant) -> None:
        if self._open_to(ear):
            self._ears[ear].token(now)
        else:  # the relay at a port that is off closes the ring past it
            self.pass_token(ear, now)

    # Frames

    def active(self) -> bool:
        """Whether a station is sending."""
        return any(over is None for over in self._sending.values())

    def transmit(self, port: str, frame: bytes, now: Instant) -> Signal:
        """Begin to send."""
        self._untaken = 0
        signal = self.log.add(port, frame, len(frame), now)
        for other, over in list(self._sending.items()):
            if over is not None and over <= now:
                del self._sending[other]
            elif other.port != port:
                other.disturbed = signal.disturbed = True
        self._sending[signal] = None
        return signal

    def stop(self, signal: Signal, now: Instant, *, whole: bool) -> None:
        """Send no more: a whole frame comes to the others, each at its time."""
        signal.end = now
        signal.whole = whole
        frame, signal.frame = signal.frame, b""
        if whole:
            self.carry(signal, frame, now)
        else:
            self._sending[signal] = now

    def carry(self, signal: Signal, frame: bytes, now: Instant) -> None:
        """Let a frame that passes its sender go round once, and come back to it."""
        back = Instant(now + self.rotation)
        self._sending[signal] = back
        self.last_seen = max(self.last_seen, back)
        for ear in self.order:
            at = Instant(now + self.latency(signal.port, ear))
            self._alarms.set(("frame", signal, ear), at, self._coming(signal, frame, ear))

    def _coming(self, signal: Signal, frame: bytes, ear: str) -> Callable[[Instant], None]:
        def come(now: Instant) -> None:
            if not self._open_to(ear):
                return
            if ear == signal.port:
                self._ears[ear].returned(signal, frame, now)
            else:
                self._ears[ear].receive(BadFcs(frame) if signal.disturbed else frame)

        return come
