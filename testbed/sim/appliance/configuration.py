"""A configuration of lines: ``ip address 198.18.0.10/24`` is there, or by ``no`` it is not.

A device lists the kinds of lines that it has. Of each it gets what there is to type, and the values
that were read from what was typed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from testbed.errors import TestbedError
from testbed.sim.cli.commands import Call, Command, CommandRefused, Mode

__all__ = ["Configuration", "LineKind", "Words"]

Words: TypeAlias = Mapping[str, str]
"""What was typed for the words in angle brackets, by their names."""


def _nothing(_: Words) -> None:
    """A line that is just there."""


@dataclass(frozen=True, slots=True)
class LineKind:
    """One kind of line: ``words`` as a Command has them, what they mean, and where they stand.

    ``read`` gives the value, or raises ValueError or an error of the testbed's. A ``single`` line
    takes the place of any other of its kind.
    """

    words: str
    help: str
    read: Callable[[Words], Any] = _nothing
    per_port: bool = False
    single: bool = False

    def line(self, words: Words) -> str:
        """The line itself, with what was typed."""
        return " ".join(
            words[word.strip("<>").removesuffix("...")] if word.startswith("<") else word
            for word in self.words.split()
        )


@dataclass(frozen=True, slots=True)
class _Held:
    kind: LineKind
    port: str
    value: Any


class Configuration:
    """The lines that a device has; ``changed`` is told after each line that came or went."""

    def __init__(
        self, kinds: tuple[LineKind, ...], changed: Callable[[LineKind, Call], None]
    ) -> None:
        self._kinds = kinds
        self._changed = changed
        self._held: dict[tuple[str, str], _Held] = {}

    def values(self, kind: LineKind, port: str = "") -> list[Any]:
        """The values of the lines of one kind, in the order in which they came."""
        held = self._held.values()
        return [each.value for each in held if each.kind is kind and each.port == port]

    def value(self, kind: LineKind, default: Any, port: str = "") -> Any:
        """The value of a single line; ``default`` where there is none."""
        return next(iter(self.values(kind, port)), default)

    def has(self, kind: LineKind, port: str = "") -> bool:
        """Whether there is such a line."""
        return bool(self.values(kind, port))

    def text(self, ports: Iterator[str]) -> str:
        """The running configuration, as it would be typed."""
        lines = [line for (port, line) in self._held if not port]
        for name in ports:
            mine = [line for (port, line) in self._held if port == name]
            if mine:
                lines += [f"interface {name}", *(f" {line}" for line in mine)]
        return "".join(f"{line}\n" for line in lines)

    def commands(self) -> tuple[Command, ...]:
        """What there is to type: each line, and what takes it away."""
        return tuple(command for kind in self._kinds for command in self._pair(kind))

    def _pair(self, kind: LineKind) -> tuple[Command, Command]:
        modes = (Mode.INTERFACE,) if kind.per_port else (Mode.CONFIG,)
        return (
            Command(modes, kind.words, lambda call: self._add(kind, call), kind.help),
            Command(modes, f"no {kind.words}", lambda call: self._remove(kind, call), "not so"),
        )

    def _add(self, kind: LineKind, call: Call) -> None:
        port, line = call.port if kind.per_port else "", kind.line(call.arguments)
        try:
            value = kind.read(call.arguments)
        except (ValueError, TestbedError) as error:
            raise CommandRefused(f"{line}: {error}") from None
        if (port, line) in self._held:
            return
        if kind.single:
            gone = [
                key for key, each in self._held.items() if (each.kind, each.port) == (kind, port)
            ]
            for key in gone:
                del self._held[key]
        self._held[port, line] = _Held(kind, port, value)
        self._changed(kind, call)

    def _remove(self, kind: LineKind, call: Call) -> None:
        port = call.port if kind.per_port else ""
        if self._held.pop((port, kind.line(call.arguments)), None) is not None:
            self._changed(kind, call)
