"""A command line in modes, as switches and routers have it: words that may be cut short.

A device lists its commands; a session holds the mode that one login is in. A line may hold several
commands with `` ; `` between them; where one is refused the rest is not run and the mode is again
that before the line. A refusal is a line that begins with ``%``, and a status of 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import Enum

from testbed.timing import Instant

__all__ = ["Answer", "Call", "Command", "CommandRefused", "CommandSession", "Mode"]


class Mode(Enum):
    """Where a session is; the value is what its prompt ends with."""

    EXEC = ">"
    ENABLE = "#"
    CONFIG = "(config)#"
    INTERFACE = "(config-if)#"


class CommandRefused(Exception):  # noqa: N818 - an answer to who typed it
    """The device does not take the command; the text says why."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a line printed, and 1 where it was refused."""

    output: str
    status: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """A command as it was typed: its arguments by name, the port that is configured, and when."""

    arguments: Mapping[str, str]
    port: str
    now: Instant

    def __getitem__(self, name: str) -> str:
        return self.arguments[name]


@dataclass(frozen=True, slots=True)
class Command:
    """One command: ``words`` as ``show mac address-table`` or ``no ip route <prefix> <via>``.

    A word in angle brackets takes any word, one that ends in dots (``<text...>``) all that are
    left. ``run`` gives what is printed and raises CommandRefused.
    """

    modes: tuple[Mode, ...]
    words: str
    run: Callable[[Call], str | None]
    help: str = ""

    def match(self, typed: list[str]) -> dict[str, str] | None:
        """The arguments, if ``typed`` is this command, its words whole or cut short."""
        wanted = self.words.split()
        if wanted[-1].endswith("...>"):
            if len(typed) < len(wanted):
                return None
            head = len(wanted) - 1
            typed = [*typed[:head], " ".join(typed[head:])]
        if len(typed) != len(wanted):
            return None
        found: dict[str, str] = {}
        for have, want in zip(typed, wanted, strict=True):
            if want.startswith("<"):
                found[want.strip("<>").removesuffix("...")] = have
            elif not want.startswith(have.lower()):
                return None
        return found

    def exactness(self, typed: list[str]) -> int:
        """How many words were typed whole: of two commands that match, the better one is meant."""
        pairs = zip(typed, self.words.split(), strict=False)
        return sum(have.lower() == want for have, want in pairs)


class CommandSession:
    """One login: its mode, and the port whose settings it is at."""

    def __init__(
        self,
        host: str,
        commands: Iterable[Command],
        mode: Mode = Mode.EXEC,
        *,
        ports: Iterable[str] = (),
    ) -> None:
        self.host = host
        self.mode = mode
        self.port = ""
        self.ports = tuple(ports)
        self.lines = 24
        """Lines of a screen, after which the terminal waits; 0 for one without end."""
        self.over = False
        """Whether the one who typed has logged out."""
        self.commands = (*commands, *self._own())

    @property
    def prompt(self) -> str:
        """``sw1#``, ``sw1(config-if)#``."""
        return self.host + self.mode.value

    def run(self, line: str, now: Instant) -> Answer:
        """Run the commands of one line."""
        before = self.mode, self.port
        printed: list[str] = []
        for text in line.split(" ; "):
            try:
                printed.append(self._run_one(text, now))
            except CommandRefused as refusal:
                self.mode, self.port = before
                return Answer("".join([*printed, f"% {refusal}\n"]), 1)
        return Answer("".join(printed))

    def enter(self, mode: Mode, port: str = "") -> None:
        """Go to another mode."""
        self.mode, self.port = mode, port

    def candidates(self, typed: str) -> list[Command]:
        """The commands of this mode that begin with what was typed: what ``?`` shows."""
        words = typed.split()
        return [
            command
            for command in self.commands
            if self.mode in command.modes
            and all(
                want.startswith(("<", have.lower()))
                for have, want in zip(words, command.words.split(), strict=False)
            )
            and len(words) <= len(command.words.split())
        ]

    def _run_one(self, text: str, now: Instant) -> str:
        typed = text.split()
        if not typed or typed[0].startswith("!"):
            return ""
        command, arguments = self._find(typed)
        printed = command.run(Call(arguments, self.port, now)) or ""
        return printed if not printed or printed.endswith("\n") else f"{printed}\n"

    def _find(self, typed: list[str]) -> tuple[Command, dict[str, str]]:
        found = [
            (command, arguments)
            for command in self.commands
            if self.mode in command.modes and (arguments := command.match(typed)) is not None
        ]
        if not found:
            some = self.candidates(" ".join(typed))
            what = "Incomplete command" if some else "Unknown command"
            raise CommandRefused(f"{what}: {' '.join(typed)}")
        best = max(command.exactness(typed) for command, _ in found)
        found = [one for one in found if one[0].exactness(typed) == best]
        if len(found) > 1:
            names = ", ".join(command.words for command, _ in found)
            raise CommandRefused(f"Ambiguous command: {' '.join(typed)}: {names}")
        return found[0]

    def _own(self) -> tuple[Command, ...]:
        """The commands that move between modes."""
        config = (Mode.CONFIG, Mode.INTERFACE)

        def to(mode: Mode) -> Callable[[Call], None]:
            return lambda _: self.enter(mode)

        def leave(_: Call) -> None:
            self.over = True

        def to_port(call: Call) -> None:
            if call["port"] not in self.ports:
                some = ", ".join(self.ports)
                raise CommandRefused(f"No such port: {call['port']}; there are {some}")
            self.enter(Mode.INTERFACE, call["port"])

        def set_lines(call: Call) -> None:
            if not call["lines"].isdigit():
                raise CommandRefused(f"Not a number of lines: {call['lines']}")
            self.lines = int(call["lines"])

        return (
            Command((Mode.EXEC,), "enable", to(Mode.ENABLE), "more may be done"),
            Command((Mode.ENABLE,), "disable", to(Mode.EXEC), "no more than look"),
            Command((Mode.ENABLE,), "configure terminal", to(Mode.CONFIG), "change settings"),
            Command((Mode.INTERFACE,), "exit", to(Mode.CONFIG), "back to all settings"),
            Command((Mode.CONFIG,), "exit", to(Mode.ENABLE), "leave the settings"),
            Command(config, "end", to(Mode.ENABLE), "leave the settings"),
            Command((Mode.EXEC, Mode.ENABLE), "exit", leave, "log out"),
            Command(config, "interface <port>", to_port, "the settings of one port"),
            Command(
                (Mode.EXEC, Mode.ENABLE),
                "terminal length <lines>",
                set_lines,
                "lines of a screen, 0 for one without end",
            ),
        )
