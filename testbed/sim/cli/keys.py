"""What is typed at a terminal: bytes in, keys out; and the line that they edit.

Pure. What comes out does not depend on how the bytes were cut.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from enum import Enum, auto
from typing import Final

__all__ = ["Key", "Keyboard", "Line"]


class Key(Enum):
    """A key that is no text."""

    ENTER = auto()
    TAB = auto()
    INTERRUPT = auto()  # Ctrl-C
    LEAVE = auto()  # Ctrl-Z: out of the settings
    REPRINT = auto()  # Ctrl-L, Ctrl-R
    OLDER = auto()
    NEWER = auto()
    # What follows edits the line.
    ERASE = auto()
    ERASE_WORD = auto()  # Ctrl-W
    KILL = auto()  # Ctrl-U
    CUT = auto()  # Ctrl-K: to the end of the line
    DELETE = auto()
    LEFT = auto()
    RIGHT = auto()
    HOME = auto()
    END = auto()


_KEYS: Final = {
    "\r": Key.ENTER,
    "\n": Key.ENTER,
    "\t": Key.TAB,
    "\x01": Key.HOME,
    "\x02": Key.LEFT,
    "\x03": Key.INTERRUPT,
    "\x05": Key.END,
    "\x06": Key.RIGHT,
    "\x08": Key.ERASE,
    "\x0b": Key.CUT,
    "\x0c": Key.REPRINT,
    "\x0e": Key.NEWER,
    "\x10": Key.OLDER,
    "\x12": Key.REPRINT,
    "\x15": Key.KILL,
    "\x17": Key.ERASE_WORD,
    "\x1a": Key.LEAVE,
    "\x7f": Key.ERASE,
    # ECMA-48 8.3, and what terminals send in application mode (ESC O).
    "[A": Key.OLDER,
    "[B": Key.NEWER,
    "[C": Key.RIGHT,
    "[D": Key.LEFT,
    "[F": Key.END,
    "[H": Key.HOME,
    "[3~": Key.DELETE,
    "OA": Key.OLDER,
    "OB": Key.NEWER,
    "OC": Key.RIGHT,
    "OD": Key.LEFT,
    "OF": Key.END,
    "OH": Key.HOME,
}

_TOKEN: Final = re.compile(
    r"(?P<text>[^\x00-\x1f\x7f])"
    r"|\x1b(?P<escape>\[[0-?]{0,32}[ -/]{0,4}[@-~]|O[ -~]|[^\[O\x00-\x1f])"
    r"|(?P<control>[\x00-\x1f\x7f])"
)
_UNFINISHED: Final = re.compile(r"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}|O)?\Z")

_LAST_WORD: Final = re.compile(r"\S*\s*\Z")


class Keyboard:
    """Makes keys of what a terminal sends."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._after_cr = False

    def keys(self, data: bytes) -> Iterator[Key | str]:
        """The keys in ``data``: a Key each, or a character."""
        text = self._held + self._decoder.decode(data)
        unfinished = _UNFINISHED.search(text)
        self._held = unfinished.group() if unfinished else ""
        for match in _TOKEN.finditer(text.removesuffix(self._held)):
            typed = match[match.lastgroup or 0]
            paired = typed == "\n" and self._after_cr  # some terminals send both for Enter
            self._after_cr = typed == "\r"
            if match.lastgroup == "text":
                yield typed
            elif typed in _KEYS and not paired:
                yield _KEYS[typed]


class Line:
    """The line that is being typed, and where on it the next character goes.

    A method gives what shows the change on the screen, or None where the line must be drawn anew.
    """

    def __init__(self, text: str = "") -> None:
        self.text = text
        self.at = len(text)

    def insert(self, text: str) -> str | None:
        """Put ``text`` in."""
        last = self.at == len(self.text)
        self.text = self.text[: self.at] + text + self.text[self.at :]
        self.at += len(text)
        return text if last else None

    def edit(self, key: Key) -> str | None:
        """Obey an editing key."""
        match key:
            case Key.ERASE:
                return self._erase(1)
            case Key.ERASE_WORD:
                word = _LAST_WORD.search(self.text[: self.at])
                return self._erase(len(word[0]) if word else 0)
            case Key.KILL:
                return self._erase(self.at)
            case Key.CUT:
                self.text = self.text[: self.at]
            case Key.DELETE:
                self.text = self.text[: self.at] + self.text[self.at + 1 :]
            case Key.LEFT:
                self.at = max(0, self.at - 1)
            case Key.RIGHT:
                self.at = min(len(self.text), self.at + 1)
            case Key.HOME:
                self.at = 0
            case Key.END:
                self.at = len(self.text)
        return None

    def drawn(self, prompt: str) -> str:
        """What draws it anew behind ``prompt``: CR, ED to the right, and back to its place."""
        back = len(self.text) - self.at
        return f"\r\x1b[K{prompt}{self.text}" + (f"\x1b[{back}D" if back else "")

    def _erase(self, count: int) -> str | None:
        last = self.at == len(self.text)
        count = min(count, self.at)
        self.text = self.text[: self.at - count] + self.text[self.at :]
        self.at -= count
        return "\b" * count + "\x1b[K" if last else None
