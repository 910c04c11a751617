"""What every driver is built on: running commands, reading answers, making undoable changes."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeVar

from testbed.console.cli import DEFAULT_WITHIN, Cli
from testbed.devices.changes import Change, ChangeLog
from testbed.errors import BenchError, DeviceError, PlanError
from testbed.timing import Clock, Duration

__all__ = ["Driver", "DriverContext", "Files", "quote", "tail"]

T = TypeVar("T")

_TAIL = 400


class Files(Protocol):
    """Copies files to and from a device."""

    def put(self, local: Path | bytes, remote: str) -> None:
        """Copy a file, or bytes, to the path ``remote`` of the device."""

    def get(self, remote: str, local: Path | None = None) -> bytes:
        """The bytes of the device's file ``remote``, also written to ``local`` where given."""


@dataclass(frozen=True, slots=True)
class DriverContext:
    """What a driver is made from: a device's name and ports, and the ways to reach it."""

    name: str
    cli: Cli
    changes: ChangeLog
    clock: Clock
    ports: tuple[str, ...]
    files: Files | None = None


def quote(*words: str) -> str:
    """A shell command line that passes exactly ``words``."""
    return shlex.join(words)


def tail(text: str) -> str:
    """The end of what a command printed, for a message."""
    text = text.strip()
    if not text:
        return "no output"
    return repr(text if len(text) <= _TAIL else "..." + text[-_TAIL:])


class Driver:
    """The part of a driver that is the same on every platform."""

    platform = ""

    deviations: Mapping[str, str] = MappingProxyType({})
    """What this platform is known to do unlike the standard: a keyword for plans, and why."""

    def __init__(self, context: DriverContext) -> None:
        self._context = context

    @property
    def name(self) -> str:
        """The device's name in the bench file."""
        return self._context.name

    @property
    def ports(self) -> tuple[str, ...]:
        """Its ports, as the bench file names them."""
        return self._context.ports

    @property
    def clock(self) -> Clock:
        """The clock that deadlines are read from."""
        return self._context.clock

    def execute(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> str:
        """Run one command line on the device and return what it printed.

        DeviceError where its status is not 0. What it changes is not journaled.
        """
        return self._run(command, within=within)

    def undo(self, commands: tuple[str, ...]) -> None:
        """Run the undo commands of a Change.

        All of them are run, also after one failed, for each puts back what it can; DeviceError
        then names those that failed.
        """
        problems: list[str] = []
        for command in commands:
            try:
                self._run(command)
            except BenchError as error:
                problems.append(str(error))
        if problems:
            raise DeviceError("; ".join(problems))

    def _run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> str:
        """Run ``command`` and return what it printed; DeviceError where its status is not 0."""
        reply = self._context.cli.run(command, within=within)
        if reply.status != 0:
            raise DeviceError(
                f"{self.name}: {command!r} ended with status {reply.status}: {tail(reply.output)}"
            )
        return reply.output

    def _read(
        self, command: str, parse: Callable[[str], T], *, within: Duration = DEFAULT_WITHIN
    ) -> T:
        """Run ``command`` and parse what it printed; DeviceError says what could not be read."""
        output = self._run(command, within=within)
        try:
            return parse(output)
        except DeviceError as error:
            raise DeviceError(
                f"{self.name}: cannot read the answer to {command!r}: {error}; got {tail(output)}"
            ) from None

    def _port(self, port: str) -> str:
        """``port``, if it is one of this device's ports; PlanError with the list otherwise."""
        if port not in self.ports:
            raise PlanError(f"{self.name} has no port {port!r}; it has {', '.join(self.ports)}")
        return port

    def _change(self, summary: str, *, do: Sequence[str], undo: Sequence[str]) -> None:
        """Make a change of several commands, written down first, wholly or not at all.

        Where a command of ``do`` fails, ``undo`` is run and the error raised: no half-made change
        is left. A failure of that ``undo`` is added to the error as a note.
        """
        self._context.changes.before(Change(self.name, summary, tuple(undo)))
        try:
            for command in do:
                self._run(command)
        except BenchError as error:
            try:
                self.undo(tuple(undo))
            except BenchError as second:
                error.add_note(f"and could not be undone: {second}")
            raise
