"""What carries the bytes of a dialogue."""

from __future__ import annotations

from typing import Protocol

from testbed.timing import Duration

__all__ = ["HangupError", "Transport"]


class HangupError(Exception):
    """The far end, or what lies between, is gone; the message says how it showed.

    A session turns it into a ConsoleError, which says what was awaited as well.
    """


class Transport(Protocol):
    """A two-way stream of bytes to a device."""

    @property
    def name(self) -> str:
        """For messages: ``ssh admin@192.0.2.10`` or ``serial /dev/ttyUSB0``."""

    def read(self, within: Duration) -> bytes:
        """What has come, at least one byte; empty once ``within`` is over; HangupError."""

    def write(self, data: bytes) -> None:
        """Send all of ``data``; HangupError where the far end takes no more."""

    def fileno(self) -> int | None:
        """A descriptor that is readable when there is something to read, where there is one."""

    def close(self) -> None:
        """Let go of it; closing twice is no error."""
