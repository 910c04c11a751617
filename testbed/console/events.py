"""What a dialogue sends, and what it tells: frozen values."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "CommandDone",
    "Event",
    "Failed",
    "Left",
    "LineSeen",
    "Ready",
    "Transmit",
]


@dataclass(frozen=True, slots=True)
class Transmit:
    """Bytes to send, and what to write down about them (a password is never written down)."""

    data: bytes
    label: str


@dataclass(frozen=True, slots=True)
class LineSeen:
    """The device showed a line; ``intruding`` if it is a log line and no answer."""

    text: str
    intruding: bool = False


@dataclass(frozen=True, slots=True)
class Ready:
    """The command line is ours; ``found`` if it was logged in before we came."""

    found: bool


@dataclass(frozen=True, slots=True)
class CommandDone:
    """A command came to its end; ``incomplete`` if the shell wanted more of it."""

    output: str
    status: int
    incomplete: bool


@dataclass(frozen=True, slots=True)
class Left:
    """The login is over."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The dialogue cannot go on."""

    awaited: str
    got: str
    hint: str


Event = LineSeen | Ready | CommandDone | Left | Failed
