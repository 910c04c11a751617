"""What may mend a dialogue that does not go on."""

from __future__ import annotations

from testbed.console.profiles import Sight
from testbed.console.steps import Group, State

__all__ = ["at_sight", "in_silence"]

NOISE = 0.2
"""The share of characters that are no text beyond which the line's speed is doubted."""

_HINTS = {
    Sight.CONFIG: "Somebody left it in configuration mode; nothing was typed there. "
    "Leave that mode by hand (`testbed console`), then run again",
    Sight.PAGER: "A pager waits for a key. Leave it by hand (`testbed console`, then q)",
    Sight.TYPED: "Somebody's command is half typed; it was not sent. "
    "Finish or erase it by hand (`testbed console`), then run again",
    Sight.EXPIRED: "The account's password has expired; set a new one by hand",
    Sight.LOGIN: "The device restarted or logged us out",
    Sight.PASSWORD: "Check the user and the password that the bench file refers to",
}

_NO_RIGHTS = "Check the enable password that the bench file refers to"


def at_sight(state: State, sight: Sight) -> str:
    """A hint for ``sight``, at which the dialogue gave up in ``state``."""
    if state in Group.CREDENTIALS and sight in {Sight.LOGIN, Sight.PASSWORD, Sight.PROMPT}:
        return _NO_RIGHTS if state in Group.RAISING else _HINTS[Sight.PASSWORD]
    return _HINTS.get(sight, "")


def in_silence(state: State, line: str, noise: float, *, restarted: bool, name: str) -> str:
    """A hint for what was awaited of a ``name`` in vain, behind ``line``."""
    if noise > NOISE:
        return "What comes is not text: check the line's speed (baud) and parity"
    if restarted:
        return "It printed boot messages: it restarted, or is starting still"
    if state is State.SETTING_UP:
        return f"Is this command line a {name}?"
    shows = state not in (*Group.OURS, *Group.OVER) and line.strip()
    return "The line shows no prompt that is known here" if shows else ""
