"""The table of the dialogue: in a state, at a sight, do this. Its only home.

::

    a console: LISTENING -> PROBING -> REPRINTING -> KILLING -> WAKING (as far as it takes)
                 -> NAMED -> AUTHENTICATING --+
    a login of our own (SSH): ENTERING -------+-> SETTING_UP -> READY <-> RUNNING
    where the prompt has too few rights:      +-> ENABLING -> PROVING -> SETTING_UP

A console may be somebody else's. Nothing is typed that could end a command or a line of
configuration before it is known that there is none: a Ctrl-L makes line editors and pagers show
what is on their line; where it is only echoed, the tty itself reads the line, and Ctrl-R shows it
(VREPRINT); where that is not in force either, Ctrl-U (VKILL) tells by what it erases on the screen.
What was typed for it is erased again.
"""

from __future__ import annotations

from enum import Enum, auto

from testbed.console.profiles import Sight
from testbed.timing import seconds

__all__ = ["GIVING", "PROBE_KEYS", "STEPS", "Entry", "Group", "Key", "State", "Step", "Wait"]


class Wait:
    """How long what is done next is put off."""

    BOOT_SILENCE = seconds(5)
    """How long a device that boots must say nothing before its line is probed."""

    PROBE = seconds(1)
    """How long a probe may stay unanswered: Enter behind it must not overtake the answer."""

    REWAKE = seconds(2)
    """When a line that was woken stays silent, wake it again: a getty may have been starting."""

    STUCK = seconds(1)
    """How long a running command's output must rest before its line is looked at for a pager."""


class Key:
    """What is typed beside text."""

    ENTER = "\r"
    ERASE = "\x7f"
    KILL = "\x15"
    INTERRUPT = "\x03"


class Entry(Enum):
    """How the dialogue begins."""

    CONSOLE = "console"  # a line in whatever state the last user left it
    LOGIN = "login"  # a terminal that was made for us, authenticated already


class State(Enum):
    """Where the dialogue stands; the value says what is awaited."""

    LISTENING = "a login or command prompt"
    PROBING = "what the line shows after Ctrl-L"
    REPRINTING = "what the line shows after Ctrl-R"
    KILLING = "what the line shows after Ctrl-U"
    WAKING = "a login or command prompt after Enter"
    NAMED = "a password prompt"
    AUTHENTICATING = "a command prompt after the password"
    ENTERING = "the first command prompt"
    ENABLING = "a prompt with all rights"
    PROVING = "a prompt with all rights after the password"
    SETTING_UP = "the prompt after setting up the session"
    READY = "nothing"
    RUNNING = "the end of a command"
    LEAVING = "the end of the login"
    FAILED = "nothing any more"
    LEFT = "nothing, being logged out"


class Step(Enum):
    """What to do at a sight."""

    PROBE = auto()  # Ctrl-L
    REPRINT = auto()  # Ctrl-R
    WAKE = auto()  # erase what was probed with, press Enter
    NAME = auto()  # send the user name
    PASSWORD = auto()
    SECRET = auto()  # send the password for all rights
    SET_UP = auto()
    JUDGE = auto()  # the line reprinted: is it only our own probe?
    JUDGE_KILLED = auto()  # the line killed: was there more than our own probe?
    LEFT = auto()
    REFUSE = auto()  # give up, saying why


def _table() -> dict[tuple[State, Sight], Step]:
    taken = dict.fromkeys((Sight.CONFIG, Sight.PAGER, Sight.EXPIRED), Step.REFUSE)
    found = taken | {Sight.LOGIN: Step.NAME, Sight.PASSWORD: Step.WAKE, Sight.ENTER: Step.WAKE}
    found |= {Sight.PROMPT: Step.SET_UP}
    again = {Sight.LOGIN: Step.REFUSE}
    rows: dict[State, dict[Sight, Step]] = {
        State.LISTENING: found
        | dict.fromkeys((Sight.BLANK, Sight.OTHER, Sight.TYPED, Sight.ECHO), Step.PROBE),
        State.PROBING: found
        | {Sight.BLANK: Step.WAKE, Sight.ECHO: Step.REPRINT, Sight.TYPED: Step.REFUSE},
        State.REPRINTING: found | dict.fromkeys((Sight.ECHO, Sight.TYPED, Sight.OTHER), Step.JUDGE),
        State.KILLING: found | {Sight.BLANK: Step.JUDGE_KILLED},
        State.WAKING: found | {Sight.BLANK: Step.WAKE, Sight.TYPED: Step.REFUSE},
        State.NAMED: taken | again | {Sight.PASSWORD: Step.PASSWORD, Sight.PROMPT: Step.SET_UP},
        State.AUTHENTICATING: taken
        | again
        | {Sight.PASSWORD: Step.REFUSE, Sight.PROMPT: Step.SET_UP},
        State.ENTERING: taken
        | again
        | {Sight.PASSWORD: Step.REFUSE, Sight.PROMPT: Step.SET_UP, Sight.ENTER: Step.WAKE},
        State.ENABLING: again | {Sight.PASSWORD: Step.SECRET, Sight.PROMPT: Step.SET_UP},
        State.PROVING: again | {Sight.PASSWORD: Step.REFUSE, Sight.PROMPT: Step.SET_UP},
        State.SETTING_UP: again,
        State.READY: again,
        State.RUNNING: again | {Sight.PAGER: Step.REFUSE},
        State.LEAVING: dict.fromkeys((Sight.LOGIN, Sight.PROMPT), Step.LEFT),
    }
    return {(state, sight): step for state, row in rows.items() for sight, step in row.items()}


STEPS = _table()
"""The state machine. What is not in it means: go on waiting."""

PROBE_KEYS = {
    Step.PROBE: ("\x0c", "<Ctrl-L>", State.PROBING),
    Step.REPRINT: ("\x12", "<Ctrl-R>", State.REPRINTING),
}
"""What the probing steps type, what is written down about it, and the state they lead to."""

GIVING = {
    Step.NAME: ("user", State.NAMED),
    Step.PASSWORD: ("password", State.AUTHENTICATING),
    Step.SECRET: ("enable password", State.PROVING),
}
"""What the steps that give something give, and the state they lead to."""


class Group:
    """States that have something in common; tuples, for an enum member hashes slowly."""

    OVER = (State.FAILED, State.LEFT)
    ANSWERING = (State.SETTING_UP, State.RUNNING)
    OURS = (State.SETTING_UP, State.READY, State.RUNNING)
    RAISING = (State.ENABLING, State.PROVING)
    CREDENTIALS = (State.NAMED, State.AUTHENTICATING, *RAISING)
