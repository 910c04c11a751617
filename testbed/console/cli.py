"""A logged-in command line, whatever carries it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from testbed.timing import Duration, seconds

__all__ = ["DEFAULT_WITHIN", "Cli", "Reply"]

DEFAULT_WITHIN = seconds(10)
"""How long a command may take unless its caller says otherwise."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a command printed (Unix line ends, no prompt, no echo), and its exit status."""

    output: str
    status: int = 0


class Cli(Protocol):
    """One login on one device. Calls block, for ``within`` at most, then raise ConsoleError."""

    @property
    def device(self) -> str:
        """The device's name in the bench file."""

    @property
    def transport(self) -> str:
        """What carries it, for messages: ``ssh admin@192.0.2.10`` or ``serial /dev/ttyUSB0``."""

    def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        """Run one command line and return what it printed."""

    def close(self) -> None:
        """Log out; closing twice is no error."""
