"""A login that blocks: a dialogue driven over a transport, one command at a time."""

from __future__ import annotations

import secrets
import shlex
import threading
from dataclasses import dataclass, field
from typing import TypeVar

from testbed.console.cli import DEFAULT_WITHIN, Reply
from testbed.console.dialog import Dialog
from testbed.console.events import CommandDone, Event, Failed, Left, LineSeen, Ready
from testbed.console.profiles import LINUX_SHELL, DialogProfile
from testbed.console.steps import Entry, State
from testbed.console.transcript import ConsoleLog
from testbed.console.transport import HangupError, Transport
from testbed.errors import ConsoleError, PlanError
from testbed.timing import Clock, Duration, Instant, after, format_duration, milliseconds, seconds
from testbed.wire.frame import Direction

__all__ = ["Access", "Session"]

LEAVE_WITHIN = seconds(3)
"""How long a console may take to show its login prompt again after the log-out."""

LOGIN_SETTLE = milliseconds(30)
"""How long a line must rest to be a prompt on a link that does not stutter."""

MOST_NOTED = 2000
"""Lines of one answer that go to the log: a flood is not worth a report of it."""

PIECE = 700
"""Characters of a piece of a long command: quoted (at most 5 bytes each) it fits a tty line."""

E = TypeVar("E", CommandDone, Left, Ready)


@dataclass(frozen=True, slots=True)
class Access:
    """How a session gets in: what it meets, in what state, with whose credentials."""

    profile: DialogProfile = LINUX_SHELL
    entry: Entry = Entry.LOGIN
    settle: Duration = LOGIN_SETTLE
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    secret: str | None = field(default=None, repr=False)
    """The enable password, where the command line asks for one."""


class Session:
    """A Cli over any transport.

    Once broken (a deadline passed, the far end went, the dialogue failed) it stays broken and
    every call tells its first cause; only ``wait_for_boot`` begins anew. Deadlines are on
    ``clock``; every line goes to ``log``. May be used from several threads, one command at a time.
    """

    def __init__(
        self, device: str, transport: Transport, access: Access, *, clock: Clock, log: ConsoleLog
    ) -> None:
        self._device = device
        self._transport = transport
        self._access = access
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._cause: ConsoleError | None = None
        self._closed = False
        self._noted = 0
        self._dialog = self._new_dialog(booting=False)

    @property
    def device(self) -> str:
        """The device's name in the bench file."""
        return self._device

    @property
    def transport(self) -> str:
        """What carries it, for messages."""
        return self._transport.name

    @property
    def found_logged_in(self) -> bool:
        """Whether the console was logged in by somebody else; it then is left logged in."""
        return self._dialog.found

    def login(self, within: Duration) -> Session:
        """Bring it to a command prompt; on failure let go of the transport. Returns itself."""
        try:
            with self._lock:
                self._enter(within, booting=False)
        except BaseException:
            self.close()
            raise
        return self

    def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        """Run one command line and return what it printed.

        PlanError for what is no command line: more than one line, control characters, a quote
        that is not closed. A command that is longer than a tty takes is sent in pieces where the
        command line is a shell.
        """
        self._check(command)
        deadline = after(self._clock.now(), within)
        if not self._lock.acquire(timeout=within / 1e9):
            raise self._error(f"its turn to run {command[:80]!r}", "another command, still running")
        try:
            for piece in self._pieces(command):
                done = self._ask(piece, deadline, within)
                if done.incomplete:
                    raise PlanError(f"{self._device}: the command is not complete: {command!r}")
        finally:
            self._lock.release()
        return Reply(done.output, done.status)

    def send(self, command: str) -> None:
        """Send a command that does not come back (``reboot``); then wait_for_boot or close."""
        self._check(command)
        with self._lock:
            self._refuse_if_broken(command)
            self._dialog.run(command, self._clock.now())
            self._flush()
            self._cause = self._error("a new login", f"nothing yet after {command!r}")

    def wait_for_boot(self, within: Duration) -> None:
        """Wait until a device that is restarting can be logged in to, and log in anew.

        For consoles only (ConsoleError elsewhere): an SSH login ends with the device's network.
        Nothing is typed until a login prompt shows or the device has been silent for seconds.
        """
        if self._access.entry is not Entry.CONSOLE:
            raise self._error("a restart", "no console to watch it on", "Log in anew by SSH")
        with self._lock:
            self._cause = None
            self._enter(within, booting=True)

    def close(self) -> None:
        """Log out, and let go of the transport; closing twice is no error."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._access.entry is Entry.CONSOLE and self._lock.acquire(blocking=False):
                try:
                    self._leave()
                finally:
                    self._lock.release()
        finally:
            self._transport.close()

    # One step of the dialogue.

    def _enter(self, within: Duration, *, booting: bool) -> None:
        self._dialog = self._new_dialog(booting=booting)
        self._dialog.start(self._clock.now())
        self._await(Ready, after(self._clock.now(), within), within)

    def _ask(self, command: str, deadline: Instant, within: Duration) -> CommandDone:
        self._refuse_if_broken(command)
        self._dialog.run(command, self._clock.now())
        return self._await(CommandDone, deadline, within)

    def _leave(self) -> None:
        """Log out as well as can be: a line that is gone needs none."""
        if self._dialog.state in {State.FAILED, State.LEFT}:
            return
        if not self._dialog.leave(self._clock.now()):
            return
        try:
            self._await(Left, after(self._clock.now(), LEAVE_WITHIN), LEAVE_WITHIN)
        except ConsoleError:
            return

    def _await(self, wanted: type[E], deadline: Instant, within: Duration) -> E:
        """Drive the dialogue until it tells ``wanted``; any failure breaks the session."""
        try:
            while True:
                self._flush()
                for event in self._turn(deadline, within):
                    if isinstance(event, LineSeen):
                        self._note_answer(event.text)
                    elif isinstance(event, wanted):
                        self._flush()
                        return event
        except ConsoleError as error:
            self._cause = self._cause or error
            raise
        except BaseException as error:
            self._cause = self._error(self._dialog.awaited, f"interrupted ({error!r})")
            raise

    def _turn(self, deadline: Instant, within: Duration) -> tuple[Event, ...]:
        dialog, now = self._dialog, self._clock.now()
        if now >= deadline:
            awaited = f"{dialog.awaited} within {format_duration(within)}"
            raise self._error(awaited, dialog.got, dialog.hint)
        due = dialog.poll_timeout()
        wake = deadline if due is None else min(deadline, due)
        try:
            data = self._transport.read(Duration(max(0, wake - now)))
        except HangupError as gone:
            raise self._error(dialog.awaited, f"{dialog.got}, then {gone}") from gone
        now = self._clock.now()
        events = dialog.feed(data, now) if data else ()
        events += dialog.handle_timeout(now)
        if events and isinstance(failed := events[-1], Failed):
            for event in events:
                if isinstance(event, LineSeen):
                    self._note_answer(event.text)
            self._flush()  # what erases a probe again
            raise self._error(failed.awaited, failed.got, failed.hint)
        return events

    def _flush(self) -> None:
        while (item := self._dialog.poll_transmit()) is not None:
            self._noted = 0
            self._note(Direction.OUT, item.label)
            try:
                self._transport.write(item.data)
            except HangupError as gone:
                raise self._error(self._dialog.awaited, str(gone)) from gone

    # Small parts.

    def _new_dialog(self, *, booting: bool) -> Dialog:
        access = self._access
        return Dialog(
            access.profile,
            access.entry,
            nonce=secrets.token_hex(4),
            settle=access.settle,
            user=access.user,
            password=access.password,
            secret=access.secret,
            booting=booting,
        )

    def _check(self, command: str) -> None:
        if not command.strip():
            raise PlanError(f"{self._device}: an empty command")
        if any((c < " " and c != "\t") or c == "\x7f" for c in command):
            raise PlanError(
                f"{self._device}: a command is one line without control characters: {command!r}"
            )
        profile = self._access.profile
        if len(command.encode()) > profile.longest and not profile.pieces:
            raise PlanError(
                f"{self._device}: a command of {len(command.encode())} bytes; "
                f"{profile.name} takes {profile.longest}: {command[:60]!r}..."
            )

    def _pieces(self, command: str) -> list[str]:
        if len(command.encode()) <= self._access.profile.longest:
            return [command]
        parts = [command[at : at + PIECE] for at in range(0, len(command), PIECE)]
        joined = [f'TESTBED_LINE="${{TESTBED_LINE}}"{shlex.quote(part)}' for part in parts]
        return ["TESTBED_LINE=", *joined, 'eval "$TESTBED_LINE"']

    def _refuse_if_broken(self, command: str) -> None:
        if self._closed:
            raise self._error(f"to run {command[:80]!r}", "a session that is closed")
        if self._cause is not None:
            got = f"a session that broke before: {self._cause}"
            raise self._error(f"to run {command[:80]!r}", got) from self._cause

    def _note_answer(self, text: str) -> None:
        self._noted += 1
        if self._noted < MOST_NOTED:
            self._note(Direction.IN, text)
        elif self._noted == MOST_NOTED:
            self._note(Direction.IN, f"[more than {MOST_NOTED} lines; the rest is not kept]")

    def _note(self, direction: Direction, text: str) -> None:
        self._log.add(self._device, self._transport.name, direction, text)

    def _error(self, awaited: str, got: str, hint: str = "") -> ConsoleError:
        return ConsoleError(self._device, self._transport.name, awaited, got, hint)
