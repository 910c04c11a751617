"""The terminal of a simulated device: what a console cable or a login over the net would show.

Sans-IO: bytes in by ``feed``, bytes out; ``poll_timeout`` tells when ``handle_timeout`` wants to be
called. It asks who is there, has modes and a password for ``enable``, edits lines, helps at ``?``,
completes at TAB, and stops output at the end of a screen, as switches and routers do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Final, Protocol

from testbed.sim.cli.commands import Call, CommandRefused, CommandSession, Mode
from testbed.sim.cli.helping import complete, explain
from testbed.sim.cli.keys import Key, Keyboard, Line
from testbed.sim.cli.syslog import links_changed
from testbed.timing import Duration, Instant, after

__all__ = ["LONGEST", "MORE", "TRIES", "Account", "Managed", "Terminal"]

TRIES: Final = 3
"""How often a password may be given: then the line is let go, or the login begins anew."""

LONGEST: Final = 4000
"""Characters of a line; more are answered by the bell."""

MORE: Final = " --More-- "
"""What shows that there is more output than the screen has room for."""

KEPT: Final = 50
"""Lines that the history keeps."""

_BELL: Final = "\a"
_ERASE_ROW: Final = "\r\x1b[K"


@dataclass(frozen=True, slots=True)
class Account:
    """Who may log in. Without ``enable`` no password is wanted for all rights."""

    user: str = "lab"
    password: str = field(default="lab", repr=False)
    enable: str = field(default="lab", repr=False)


class Managed(Protocol):
    """A device as its terminal sees it."""

    name: str
    kind: str
    up: dict[str, bool]

    def login(self, mode: Mode) -> CommandSession:
        """A command line of its own for one who logged in."""


class _Asks(Enum):
    """What the terminal waits for."""

    NAME = auto()
    PASSWORD = auto()
    COMMAND = auto()
    SECRET = auto()  # the password for all rights
    PAGE = auto()  # a key for more output
    NOTHING = auto()  # the line is let go


_HIDDEN: Final = (_Asks.PASSWORD, _Asks.SECRET)


class Terminal:
    """One line to ``device``.

    ``serial``: a console cable, where one logs in, which stays when one logs out, and gets the
    device's log. Without it: a login over the net, whose user is known already (SSH), and which is
    let go in the end. ``idle`` is after how long without a key one is logged out.
    """

    def __init__(
        self,
        device: Managed,
        account: Account | None = None,
        *,
        banner: str = "",
        serial: bool = True,
        idle: Duration | None = None,
    ) -> None:
        self._device = device
        self._account = account or Account()
        self._banner = banner
        self._serial = serial
        self._idle = idle
        self._asks = _Asks.NOTHING
        self._line = Line()
        self._keyboard = Keyboard()
        self._history: deque[str] = deque(maxlen=KEPT)
        self._back = 0
        self._tries = 0
        self._name = ""
        self._session: CommandSession = self._new_session()
        self._waiting: deque[str] = deque()
        self._out: list[str] = []
        self._links = dict(device.up)
        self._due: Instant | None = None
        self._now = Instant(0)

    @property
    def over(self) -> bool:
        """Whether the device has let go of the line."""
        return self._asks is _Asks.NOTHING

    def start(self, now: Instant) -> bytes:
        """Take up the line; what it shows. Call once, before anything else."""
        self._now = now
        self._links = dict(self._device.up)
        self._greet()
        self._expect_keys()
        return self._shown()

    def feed(self, data: bytes, now: Instant) -> bytes:
        """Take what was typed; what the terminal shows for it."""
        self._let_pass(now)
        for key in self._keyboard.keys(data):
            if self.over:
                break
            self._press(key)
        self._expect_keys()
        return self._shown()

    def handle_timeout(self, now: Instant) -> bytes:
        """Let time pass; what the terminal shows by itself: log lines, a log-out."""
        self._let_pass(now)
        return self._shown()

    def poll_timeout(self) -> Instant | None:
        """When one who does nothing is logged out, or None."""
        return self._due if self._logged_in else None

    def _let_pass(self, now: Instant) -> None:
        self._now = now
        self._tell_links()
        if self._due is not None and now >= self._due and self._logged_in:
            self._show("\n% Idle for too long\n")
            self._log_out()

    def _expect_keys(self) -> None:
        if self._idle is not None and self._logged_in:
            self._due = after(self._now, self._idle)

    # Keys

    def _press(self, key: Key | str) -> None:
        if self._asks is _Asks.PAGE:
            self._turn_page(key)
        elif key is Key.ENTER:
            self._show("\n")
            text, self._line = self._line.text, Line()
            self._entered[self._asks](self, text)
        elif key is Key.INTERRUPT:
            self._line = Line()
            self._show("^C\n")
            if self._asks is _Asks.SECRET:
                self._asks = _Asks.COMMAND
            self._show(self._prompt)
        elif key is Key.REPRINT:
            self._draw()
        elif isinstance(key, str) and not (key == "?" and self._asks is _Asks.COMMAND):
            self._type(key)
        elif self._asks is _Asks.COMMAND:
            self._press_at_command(key)
        elif isinstance(key, Key):
            self._edit(key)

    def _press_at_command(self, key: Key | str) -> None:
        if isinstance(key, str):
            self._show(f"{key}\n{explain(self._session, self._line.text[: self._line.at])}")
            self._draw()
        elif key is Key.TAB:
            self._type(complete(self._session, self._line.text[: self._line.at]) or _BELL)
        elif key is Key.LEAVE and self._session.mode in {Mode.CONFIG, Mode.INTERFACE}:
            self._line = Line()
            self._show("^Z\n")
            self._run("end")
        elif key in {Key.OLDER, Key.NEWER}:
            self._recall(1 if key is Key.OLDER else -1)
        else:
            self._edit(key)

    def _type(self, text: str) -> None:
        if text == _BELL or len(self._line.text) + len(text) > LONGEST:
            self._show(_BELL)
        else:
            self._echo(self._line.insert(text))

    def _edit(self, key: Key) -> None:
        self._echo(self._line.edit(key))

    def _echo(self, text: str | None) -> None:
        if self._asks in _HIDDEN:
            return
        if text is None:
            self._draw()
        else:
            self._show(text)

    def _recall(self, step: int) -> None:
        """Show an older line, or a newer one."""
        place = self._back + step
        if not 0 <= place <= len(self._history):
            self._show(_BELL)
            return
        self._back = place
        self._line = Line(self._history[-place] if place else "")
        self._draw()

    # Logging in and out

    @property
    def _logged_in(self) -> bool:
        return self._asks in {_Asks.COMMAND, _Asks.SECRET, _Asks.PAGE}

    def _greet(self) -> None:
        self._tries = 0
        self._show(f"\n{self._banner}\n" if self._banner else "\n")
        self._ask(_Asks.NAME if self._serial else _Asks.COMMAND)

    def _take_name(self, text: str) -> None:
        self._name = text.strip()
        self._ask(_Asks.PASSWORD if self._name else _Asks.NAME)

    def _take_password(self, text: str) -> None:
        if (self._name, text) == (self._account.user, self._account.password):
            self._session = self._new_session()
            self._history.clear()
            self._show("\n")
            self._ask(_Asks.COMMAND)
            return
        self._show("% Login invalid\n")
        if self._tried_too_often():
            self._show("% Bad passwords\n")
            self._log_out()
        else:
            self._show("\n")
            self._ask(_Asks.NAME)

    def _take_secret(self, text: str) -> None:
        if text == self._account.enable:
            self._session.enter(Mode.ENABLE)
            self._ask(_Asks.COMMAND)
        elif self._tried_too_often():
            self._show("% Bad secrets\n")
            self._ask(_Asks.COMMAND)
        else:
            self._ask(_Asks.SECRET)

    def _want_secret(self, _: Call) -> None:
        """What ``enable`` does at a terminal."""
        if not self._account.enable:
            self._session.enter(Mode.ENABLE)
            return
        if " ; " in self._history[-1]:
            raise CommandRefused("It has a password: type enable on a line of its own")
        self._tries = 0
        self._asks = _Asks.SECRET

    def _tried_too_often(self) -> bool:
        self._tries += 1
        return self._tries >= TRIES

    def _log_out(self) -> None:
        self._due = None
        self._waiting.clear()
        self._line = Line()
        if self._serial:
            self._greet()
        else:
            self._asks = _Asks.NOTHING

    def _new_session(self) -> CommandSession:
        session = self._device.login(Mode.EXEC)
        session.commands = tuple(
            replace(command, run=self._want_secret) if command.words == "enable" else command
            for command in session.commands
        )
        return session

    # Commands and their output

    def _run(self, text: str) -> None:
        self._back = 0
        if text.strip():
            self._history.append(text)
        output = self._session.run(text, self._now).output
        if self._session.over:
            self._show(output)
            self._log_out()
            return
        self._waiting = deque(output.splitlines(keepends=True))
        self._print(self._session.lines - 1)

    def _print(self, room: int) -> None:
        """Print ``room`` lines, or all on a screen without end; then ask for the next thing."""
        count = room if self._session.lines > 1 else len(self._waiting)
        for _ in range(min(count, len(self._waiting))):
            self._show(self._waiting.popleft())
        if self._waiting:
            self._ask(_Asks.PAGE)
        else:
            self._ask(_Asks.SECRET if self._asks is _Asks.SECRET else _Asks.COMMAND)

    def _turn_page(self, key: Key | str) -> None:
        if key not in {" ", "q", "Q", Key.ENTER, Key.INTERRUPT}:
            self._draw()
            return
        self._show(_ERASE_ROW)
        if key not in {" ", Key.ENTER}:
            self._waiting.clear()
        self._print(1 if key is Key.ENTER else self._session.lines - 1)

    def _tell_links(self) -> None:
        """Write the log lines that are due on a console, and below them what was there before."""
        lines = links_changed(self._links, self._device.up, self._now)
        self._links = dict(self._device.up)
        if lines and self._serial and self._logged_in:
            self._show(_ERASE_ROW + "".join(f"{line}\n" for line in lines))
            self._draw()

    _entered: Final[dict[_Asks, Callable[[Terminal, str], None]]] = {  # a table of methods
        _Asks.NAME: _take_name,
        _Asks.PASSWORD: _take_password,
        _Asks.SECRET: _take_secret,
        _Asks.COMMAND: _run,
    }

    # The screen

    @property
    def _prompt(self) -> str:
        match self._asks:
            case _Asks.NAME:
                return f"{self._device.name} login: "
            case _Asks.COMMAND:
                return f"{self._session.prompt} "
            case _Asks.PAGE:
                return MORE
            case _:
                return "Password: "

    def _ask(self, what: _Asks) -> None:
        self._asks = what
        self._show(self._prompt)

    def _draw(self) -> None:
        hidden = self._asks in _HIDDEN
        self._show((Line() if hidden else self._line).drawn(self._prompt))

    def _show(self, text: str) -> None:
        self._out.append(text.replace("\n", "\r\n"))

    def _shown(self) -> bytes:
        data = "".join(self._out).encode()
        self._out.clear()
        return data
