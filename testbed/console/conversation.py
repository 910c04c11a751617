"""A transport whose far end is a program: it answers, in virtual time, what it is sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from testbed.console.transport import HangupError
from testbed.timing import Clock, Duration, Instant

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


def whole(data: bytes) -> int:
    """The length of a piece that is all of ``data``."""
    return len(data)


class ConversationTransport:
    """Carries bytes to ``far`` and back; waiting moves ``clock`` on at once.

    ``piece`` says how many bytes of those that have come one read gives. ``look`` is the longest
    time that ``far`` is left alone while it is waited for.
    """

    def __init__(
        self,
        name: str,
        far: FarEnd,
        clock: Lapse,
        *,
        piece: Callable[[bytes], int] = whole,
        look: Duration | None = None,
    ) -> None:
        self._name = name
        self._far = far
        self._clock = clock
        self._piece = piece
        self._look = look
        self._closed = False
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
            if self._pending or now >= end:
                break
            self._refuse_if_gone()
            due = self._far.poll_timeout()
            wake = min(end, end if due is None else max(due, Instant(now + 1)))
            if self._look is not None:
                wake = min(wake, Instant(now + self._look))
            self._clock.advance(Duration(wake - now))
        if not self._pending:
            self._refuse_if_gone()
        count = self._piece(self._pending)
        data, self._pending = self._pending[:count], self._pending[count:]
        return data

    def write(self, data: bytes) -> None:
        """Send ``data``, and keep the answer for who reads next."""
        self._refuse_if_gone()
        self._pending += self._far.feed(data, self._clock.now())

    def fileno(self) -> None:
        """There is none."""

    def close(self) -> None:
        """Let go of the line."""
        self._closed = True

    def _refuse_if_gone(self) -> None:
        if self._closed:
            raise HangupError("the line is closed")
        if self._far.over:
            raise HangupError("the device let go of the line")
