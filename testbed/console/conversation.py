"""A transport whose far end is a program: it answers, in virtual time, what it is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from testbed.console.transport import HangupError
from testbed.timing import Clock, Duration, Instant, after

__all__ = ["ConversationTransport", "FarEnd", "Lapse", "whole"]


class FarEnd(Protocol):
    """One line to a program that speaks as a device does: bytes in, bytes out, time as given."""

    @property
    def over(self) -> bool:
        """Whether it has let go of the line."""

    def start(self, now: Instant) -> bytes:
        """Take up the line; what it says first."""

    def feed(self, data: bytes, now: Instant) -> bytes:
        """Take what it is sent; what it answers."""

    def handle_timeout(self, now: Instant) -> bytes:
        """Let time pass; what it says by itself."""

    def poll_timeout(self) -> Instant | None:
        """When handle_timeout() must be called at the latest, or None."""


class Lapse(Clock, Protocol):
    """A clock that is moved by those who wait, as ManualClock is."""

    def advance(self, span: Duration) -> Instant:
        """Let ``span`` pass, and all that is due in it happen."""


NO_LAG = Duration(0)


def whole(data: bytes) -> int:
    """The length of a piece that is all of ``data``."""
    return len(data)


class ConversationTransport:
    """Carries bytes to ``far`` and back; waiting moves ``clock`` on at once.

    An answer is there ``lag`` after it was asked for: who asks again and again until something is
    so would else never see time pass. ``piece`` says how many bytes of those that have come one
    read gives. ``look`` is the longest time that ``far`` is left alone while it is waited for.
    """

    def __init__(
        self,
        name: str,
        far: FarEnd,
        clock: Lapse,
        *,
        lag: Duration = NO_LAG,
        piece: Callable[[bytes], int] = whole,
        look: Duration | None = None,
    ) -> None:
        self._name = name
        self._far = far
        self._clock = clock
        self._lag = lag
        self._piece = piece
        self._look = look
        self._closed = False
        self._arrives = clock.now()
        self._pending = far.start(clock.now())

    @property
    def name(self) -> str:
        """What it was given."""
        return self._name

    def read(self, within: Duration) -> bytes:
        """What has come; ``within`` passes on the clock as far as it must be waited for."""
        end = Instant(self._clock.now() + within)
        while True:
            now = self._clock.now()
            self._pending += self._far.handle_timeout(now)
            came = bool(self._pending) and now >= self._arrives
            if came or now >= end:
                break
            if self._pending:
                wake = self._arrives
            else:
                self._refuse_if_gone()
                wake = self._next_look(now, end)
            self._clock.advance(Duration(min(wake, end) - now))
        if not came:
            if not self._pending:
                self._refuse_if_gone()
            return b""
        count = self._piece(self._pending)
        data, self._pending = self._pending[:count], self._pending[count:]
        return data

    def write(self, data: bytes) -> None:
        """Send ``data``, and keep the answer for who reads next."""
        self._refuse_if_gone()
        now = self._clock.now()
        self._arrives = after(now, self._lag)
        self._pending += self._far.feed(data, now)

    def fileno(self) -> None:
        """There is none."""

    def close(self) -> None:
        """Let go of the line."""
        self._closed = True

    def _next_look(self, now: Instant, end: Instant) -> Instant:
        """When the far end is to be looked at again, to whom nobody says anything."""
        due = self._far.poll_timeout()
        wake = end if due is None else max(due, Instant(now + 1))
        return wake if self._look is None else min(wake, after(now, self._look))

    def _refuse_if_gone(self) -> None:
        if self._closed:
            raise HangupError("the line is closed")
        if self._far.over:
            raise HangupError("the device let go of the line")
