"""The dialogue with a command line, without input or output.

Bytes go in by ``feed``, time by ``handle_timeout``; what to send comes out of ``poll_transmit``,
when to call again out of ``poll_timeout``, and what happened as frozen events. What is done when
stands in one table, ``steps.STEPS``.

Once a shell is ours its prompt is unique, so the end of a command is seen at once, whatever came
with it; only prompts that are not ours are judged, by the device's falling silent behind them.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable

from testbed.console.answer import Answer
from testbed.console.events import CommandDone, Event, Failed, Left, LineSeen, Ready, Transmit
from testbed.console.heard import Heard, shorten
from testbed.console.hints import at_sight, in_silence
from testbed.console.profiles import DialogProfile, Sight, is_boot_output, is_login_failure
from testbed.console.screen import Screen
from testbed.console.steps import GIVING, PROBE_KEYS, STEPS, Entry, Group, Key, State, Step, Wait
from testbed.timing import Duration, Instant, after

__all__ = ["OUTPUT_LIMIT", "Dialog"]

OUTPUT_LIMIT = 16 * 1024 * 1024
"""Characters that may come in answer to one step of ours: more is a flood."""


class Dialog:
    """One dialogue, from the first byte to the log-out.

    ``nonce`` makes the prompt unique. ``settle`` is how long the line must rest before an
    unterminated line counts as a prompt: longer than the gaps within a line on this transport.
    ``secret`` is the enable password. ``booting`` keeps it from typing before a login prompt, or a
    long silence, shows.
    """

    def __init__(
        self,
        profile: DialogProfile,
        entry: Entry,
        *,
        nonce: str,
        settle: Duration,
        user: str | None = None,
        password: str | None = None,
        secret: str | None = None,
        limit: int = OUTPUT_LIMIT,
        booting: bool = False,
    ) -> None:
        self._profile = profile
        self._console = entry is Entry.CONSOLE
        self._state = State.LISTENING if self._console else State.ENTERING
        self._nonce, self._settle, self._limit = nonce, settle, limit
        self._known = {Step.NAME: user, Step.PASSWORD: password, Step.SECRET: secret}
        self._booting = self._restarted = booting
        self._found = self._raised = False
        self._screen = Screen()
        self._heard = Heard(password, secret)
        self._events: list[Event] = []
        self._outbox: deque[Transmit] = deque()
        self._ready: re.Pattern[str] | None = None
        self._echoes = profile.echoes
        self._setup = deque(profile.setup)
        self._answer = Answer("", echoes=False)
        self._due: Instant | None = None
        self._now = self._last_heard = self._rewake = Instant(0)
        self._count = 0

    @property
    def state(self) -> State:
        """Where it stands."""
        return self._state

    @property
    def found(self) -> bool:
        """Whether the command line was logged in before we came, by somebody else than us."""
        return self._found

    @property
    def awaited(self) -> str:
        """What is awaited, for messages."""
        if self._state is State.RUNNING:
            return f"the end of {shorten(self._answer.command, 80)!r}"
        return str(self._state.value)

    @property
    def got(self) -> str:
        """The last that came, for messages."""
        return self._heard.quote(self._screen.line)

    @property
    def hint(self) -> str:
        """What may mend it when what was awaited does not come."""
        return in_silence(
            self._state,
            self._screen.line,
            self._screen.noise,
            restarted=self._restarted,
            name=self._profile.name,
        )

    def start(self, now: Instant) -> None:
        """Begin; call once, before anything else."""
        self._now = self._last_heard = now
        self._due = after(now, self._settle)

    def run(self, command: str, now: Instant) -> None:
        """Send a command; READY before, CommandDone after. One line, no longer than allowed."""
        if self._state is not State.READY:
            raise ValueError(f"no command can be sent in state {self._state.name}")
        self._now = now
        self._screen.restart()
        self._ask(command, State.RUNNING)

    def leave(self, now: Instant) -> bool:
        """Log out, or give a found shell back as it was; False if there is nothing to wait for."""
        self._now = now
        lines = self._profile.leave
        if self._found and not self._profile.enter:
            lines = self._profile.give_back if self._raised else ()
        if self._state not in Group.OURS or not lines:
            self._left()
            return False
        if self._state is not State.READY:
            self._send(Key.INTERRUPT, "<Ctrl-C>")
        for line in lines:
            self._send(line + Key.ENTER, line)
        self._enter(State.LEAVING, self._settle)
        return True

    def feed(self, data: bytes, now: Instant) -> tuple[Event, ...]:
        """Take what came; what happened by it."""
        self._now = self._last_heard = now
        start = data.find(b"\n") + 1
        self._read(data[:start])
        self._read(self._read_block(data[start:]))
        if self._state not in Group.OVER:
            self._due = after(now, Wait.STUCK if self._state in Group.OURS else self._settle)
        return self._take_events()

    def handle_timeout(self, now: Instant) -> tuple[Event, ...]:
        """Let time pass; what happened by it."""
        self._now = now
        if self._due is None or now < self._due or self._state in Group.OVER:
            return self._take_events()
        line = self._screen.line
        sight = (self._profile.stuck if self._state in Group.OURS else self._profile.sight)(line)
        patience = self._patience(sight)
        self._due = None if now >= patience else patience
        step = STEPS.get((self._state, sight))
        if step is not None and self._due is None:
            self._take_step(step, sight, line)
        return self._take_events()

    def poll_timeout(self) -> Instant | None:
        """When handle_timeout wants to be called, or None."""
        return self._due

    def poll_transmit(self) -> Transmit | None:
        """The next bytes to send, or None."""
        return self._outbox.popleft() if self._outbox else None

    # What the line shows.

    def _read(self, data: bytes) -> None:
        for kind, text in self._screen.tokens(data):
            if self._state in Group.OVER:
                break
            room = self._limit - self._count
            self._count += len(text)
            if kind == "text":
                self._write(text[:room])
            else:
                line = (self._screen.csi if kind == "csi" else self._screen.control)(text)
                if line is not None:
                    self._line_done(line)
            if self._count > self._limit:
                self._fail(f"{self.awaited} within {self._limit} characters", "It floods the line")

    def _read_block(self, data: bytes) -> bytes:
        """Take plain whole lines of output at once, as _read would one by one; returns the rest."""
        if self._state is not State.RUNNING or self._console or not self._answer.plain:
            return data
        text, rest = self._screen.plain_lines(data)
        room = self._limit - self._count
        if not text or len(text) > room or self._ready is None or self._ready.search(text):
            return data
        self._screen.count(text)
        self._count += len(text)
        self._answer.add_rest(text)
        lines = self._heard.redact(text[:-1]).split("\n")
        self._events.extend(LineSeen(line) for line in lines)
        for line in lines[-3:]:
            self._heard.add(line)
        return rest

    def _patience(self, sight: Sight) -> Instant:
        """Until when a sight is not acted upon."""
        if self._booting and sight is not Sight.LOGIN:
            return after(self._last_heard, Wait.BOOT_SILENCE)
        return self._rewake if sight is Sight.BLANK else Instant(0)

    def _write(self, text: str) -> None:
        column, shown = self._screen.write(text)
        if self._ready is None or self._state not in Group.ANSWERING:
            return
        if self._profile.anchored and column:
            return
        find = self._ready.match if self._profile.anchored else self._ready.search
        match = find(shown)
        if match is None or self._answer.waits_for_echo:
            return  # a prompt before the echo answers something older
        before, rest = self._screen.line[: column + match.start()], shown[match.end() :]
        self._screen.restart()
        if before:
            self._see(before)
            self._answer.add_rest(before)
        self._prompt_seen(match)
        if rest:
            self._count += len(rest)
            self._write(rest)

    def _line_done(self, line: str) -> None:
        intruder = self._profile.intrusion.search(line) if self._console else None
        self._booting |= self._state not in Group.OURS and self._console and is_boot_output(line)
        self._restarted |= self._console and is_boot_output(line)
        if intruder is not None:
            start = intruder.start()
            self._see(line[start:], intruding=True)
            if start:
                self._screen.put_back(line[:start])
            return
        self._see(line)
        if self._state in Group.CREDENTIALS and is_login_failure(line):
            self._fail(self.awaited, at_sight(self._state, Sight.PASSWORD))
        elif self._state in Group.ANSWERING:
            self._answer.add_line(line, self._screen.arrived)

    def _prompt_seen(self, match: re.Match[str]) -> None:
        groups, output = match.groupdict(), self._answer.output
        if groups.get("more") is not None:
            self._answer.incomplete = True
            self._send(Key.INTERRUPT, "<Ctrl-C>")
            return
        if groups.get("page") is not None:
            self._send(" ", "<Space>")
            return
        if self._state is State.RUNNING:
            status = groups.get("status")
            refusal = self._profile.refusal
            refused = refusal is not None and refusal.search(output) is not None
            code = int(status) if status else int(refused)
            self._events.append(CommandDone(output, code, self._answer.incomplete))
            self._enter(State.READY, None)
            return
        if self._answer.command:
            self._echoes = self._answer.echoes is True  # None: no line came that could be one
        if self._setup:
            self._ask(self._setup.popleft(), State.SETTING_UP)
        else:
            self._events.append(Ready(self._found))
            self._enter(State.READY, None)

    # What is done about it.

    def _take_step(self, step: Step, sight: Sight, line: str) -> None:
        if line.strip():
            self._see(line.rstrip())
        if step is Step.REFUSE:
            self._refuse(sight)
        elif step is Step.LEFT:
            self._left()
        elif step in PROBE_KEYS:
            key, label, state = PROBE_KEYS[step]
            self._send(key, label)
            self._enter(state, Wait.PROBE)
        elif step in GIVING:
            self._give(step)
        else:
            self._actions[step](self, line)

    def _judge(self, line: str) -> None:
        if line.rstrip() == "^L":
            self._wake(line)
        elif line.rstrip().endswith("^L"):
            self._send(Key.ERASE, "<Erase>")
            self._refuse(Sight.TYPED)
        elif line.rstrip().endswith("^L^R"):
            # A tty without IEXTEN, as agetty leaves it, shows nothing: what is typed must go.
            self._screen.restart()
            self._send(Key.KILL, "<Ctrl-U>")
            self._enter(State.KILLING, Wait.PROBE)

    def _judge_killed(self, line: str) -> None:
        # ECHOKE: BS, space, BS for each column; ours were the four of "^L^R".
        if self._screen.backspaces > 4 * 2:
            hint = "Somebody's command was half typed; it was erased, not sent. Run again"
            self._fail("a command prompt", hint, Sight.TYPED)
        else:
            self._wake(line)

    def _wake(self, _: str) -> None:
        self._booting = False
        self._screen.restart()
        self._send(Key.ERASE + Key.ENTER, "<Erase><Enter>")
        self._rewake = after(self._now, Wait.REWAKE)
        self._enter(State.WAKING, Wait.REWAKE)

    def _give(self, step: Step) -> None:
        self._booting = False
        (word, state), what = GIVING[step], self._known[step]
        if what is None:
            self._fail("a command prompt", f"The bench file names no {word} for this console")
            return
        self._screen.restart()
        self._send(what + Key.ENTER, what if step is Step.NAME else "<password>")
        self._enter(state, None)

    def _set_up(self, line: str) -> None:
        if self._state not in Group.RAISING:
            abandoned = line.startswith("[[testbed:o")
            self._found = self._state not in (*Group.CREDENTIALS, State.ENTERING) and not abandoned
        if self._profile.lacks_rights(line):
            self._raise_rights()
            return
        self._restarted = self._booting = False
        nonce = ("g" if self._found else "o") + self._nonce
        self._ready = self._profile.ready_at(line, nonce)
        self._screen.restart()
        if not self._profile.enter:
            self._ask(self._setup.popleft() if self._setup else "", State.SETTING_UP)
            return
        entering = self._profile.entering(nonce, found=self._found)
        self._answer = Answer("", echoes=False)  # what its echo looks like does not matter
        self._send(entering + Key.ENTER, entering)
        self._enter(State.SETTING_UP, None)

    def _raise_rights(self) -> None:
        if self._state in Group.RAISING:
            self._refuse(Sight.PROMPT)
            return
        self._raised = True
        self._screen.restart()
        self._send(self._profile.enable + Key.ENTER, self._profile.enable)
        self._enter(State.ENABLING, None)

    _actions: dict[Step, Callable[[Dialog, str], None]] = {  # noqa: RUF012 - a table of methods
        Step.JUDGE: _judge,
        Step.JUDGE_KILLED: _judge_killed,
        Step.WAKE: _wake,
        Step.SET_UP: _set_up,
    }

    def _left(self) -> None:
        self._state = State.LEFT
        self._events.append(Left())

    def _refuse(self, sight: Sight) -> None:
        awaited = (
            self.awaited if self._state in (*Group.OURS, *Group.CREDENTIALS) else "a command prompt"
        )
        self._fail(awaited, at_sight(self._state, sight), sight)

    def _fail(self, awaited: str, hint: str, sight: Sight | None = None) -> None:
        got = f"{sight.value}: {self.got}" if sight else self.got
        self._state = State.FAILED
        self._due = None
        self._events.append(Failed(awaited, got, hint))

    # Small parts.

    def _ask(self, command: str, state: State) -> None:
        self._answer = Answer(command, self._echoes)
        self._heard.clear()
        self._send(command + Key.ENTER, command)
        self._enter(state, None)

    def _send(self, text: str, label: str) -> None:
        self._outbox.append(Transmit(text.encode(), label))
        self._count = 0

    def _enter(self, state: State, pause: Duration | None) -> None:
        self._state = state
        self._due = None if pause is None else after(self._now, pause)

    def _see(self, line: str, *, intruding: bool = False) -> None:
        self._events.append(LineSeen(self._heard.add(line), intruding))

    def _take_events(self) -> tuple[Event, ...]:
        events, self._events = tuple(self._events), []
        return events
