"""What a terminal would show of one line: bytes in, finished lines and the line under way out.

Pure. Knows the escapes that command lines use to edit one line (erase, move, insert, delete) and
takes every other as nothing, or, where it moves to another row, as the end of the line. What comes
out does not depend on how the bytes were cut.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator

__all__ = ["Screen", "squeeze"]

TAIL = 256
"""Characters of the line's end that stay at hand for finding a prompt: none is longer."""

FARTHEST = 511
"""The column beyond which no escape moves the cursor: no terminal that we ask for is wider."""

# ECMA-48 5.4: CSI, parameter bytes, intermediate bytes, one final byte; 5.6: a control string ends
# with ST, or with BEL on xterm. The bounds keep line noise from swallowing all that follows.
_TOKEN = re.compile(
    r"(?P<text>[^\x00-\x08\x0a-\x1f\x7f]+)"
    r"|\x1b\[(?P<csi>[0-?]{0,32}[ -/]{0,4}[@-~])"
    r"|\x1b[\]PX^_][^\x07\x1b\n]{0,255}(?:\x07|\x1b\\)"
    r"|\x1b[ -/]{0,4}[0-~]"
    r"|(?P<control>[\x00-\x1f\x7f])"
)
_UNFINISHED = re.compile(
    r"\x1b(?:\[[0-?]{0,32}[ -/]{0,4}|[\]PX^_][^\x07\x1b\n]{0,255}\x1b?|[ -/]{0,4})\Z"
)

_WRAP = re.compile(r"(.)\r(?=\1)")

_NOT_PLAIN = re.compile(rb"[^\t\r\n\x20-\x7e\x80-\xff]|\r(?!\n)")

_NEW_ROW = frozenset("ABEFHSTdf")
"""CSI finals that move to another row (CUU, CUD, CNL, CPL, CUP, SU, SD, VPA, HVP)."""


def squeeze(text: str) -> str:
    """``text``, a line as it arrived, without white space and without the traces of wrapping.

    An echo is compared thus. Line editors wrap with a space or the next character, then a CR and
    that character once more: the terminal's cursor then is on the next row for certain.
    """
    return "".join(_WRAP.sub("", text).split())


class Screen:
    """The line under way, as a one-line terminal of endless width shows it."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._noise = 0
        self._seen = 0
        self._arrived_whole = ""
        self.restart()

    def restart(self) -> None:
        """Forget the line under way (a prompt was recognised, or the line is done)."""
        self._pieces: list[str] = []
        self._arrived: list[str] = []
        self._cursor: int | None = None  # None: at the end of the line
        self._length = 0
        self._tail = ""
        self._backspaces = 0

    @property
    def line(self) -> str:
        """The line under way."""
        return "".join(self._pieces)

    @property
    def backspaces(self) -> int:
        """How many backspaces came on the line under way, those at its beginning too."""
        return self._backspaces

    @property
    def arrived(self) -> str:
        """The characters of the line that was finished last, in the order they came."""
        return self._arrived_whole

    @property
    def noise(self) -> float:
        """The share, 0 to 1, of what came that is not text."""
        return self._noise / self._seen if self._seen else 0.0

    def plain_lines(self, data: bytes) -> tuple[str, bytes]:
        """The whole lines at the start of ``data``, and the rest; no lines unless all are plain."""
        end = data.rfind(b"\n") + 1
        if not end or not self._fresh() or _NOT_PLAIN.search(data, 0, end):
            return "", data
        return data[:end].decode("utf-8", "replace").replace("\r\n", "\n"), data[end:]

    def count(self, text: str) -> None:
        """Count ``text``, which was shown elsewhere, for ``noise``."""
        self._seen += len(text)
        self._noise += text.count("\ufffd")

    def put_back(self, line: str) -> None:
        """Make ``line`` the line under way again."""
        self.restart()
        self.write(line)

    def tokens(self, data: bytes) -> Iterator[tuple[str, str]]:
        """Cut ``data`` into ("text", run), ("csi", sequence) and ("control", character)."""
        text = self._held + self._decoder.decode(data)
        self._held = ""
        unfinished = _UNFINISHED.search(text)
        if unfinished:
            self._held = unfinished.group()
            text = text[: unfinished.start()]
        for match in _TOKEN.finditer(text):
            if match.lastgroup:
                yield match.lastgroup, match[match.lastgroup]

    def write(self, text: str) -> tuple[int, str]:
        """Show ``text``; the line up to the cursor, or its last part, and where that begins.

        A prompt of at most TAIL characters that ``text`` completes lies in it.
        """
        self._arrived.append(text)
        self.count(text)
        if self._cursor is None:
            self._pieces.append(text)
            self._length += len(text)
            around = self._tail + text
            self._tail = around[-TAIL:]
            return self._length - len(around), around
        line, start = self.line, self._cursor
        end = start + len(text)
        shown = line[:start].ljust(start) + text
        self._set(shown + line[end:], end)
        return 0, shown

    def control(self, character: str) -> str | None:
        """Obey a control character; returns the line if that finished it."""
        if character == "\n":
            return self._finish()
        if character == "\r":
            self._arrived.append("\r")
            self._move(0)
        elif character == "\b":
            self._backspaces += 1
            self._move(max(0, self._at() - 1))
        elif character not in "\x00\x07\x0e\x0f\x1b":
            self._seen += 1
            self._noise += 1
        return None

    def csi(self, sequence: str) -> str | None:
        """Obey a control sequence (what follows ``ESC [``); the line if that finished it."""
        final, digits = sequence[-1], re.match(r"\d{1,5}", sequence)
        count = max(1, int(digits[0])) if digits else 1
        if final in _NEW_ROW or (final == "J" and digits and digits[0] in {"2", "3"}):
            line = self._finish()
            return line if line.strip() else None
        line, at = self.line, self._at()
        if final in "JK":
            whole = digits is not None and digits[0] == "2"
            self._set("" if whole else line[:at], at)
        elif final == "C":
            self._move(min(at + count, max(self._length, FARTHEST)))
        elif final == "D":
            self._move(max(0, at - count))
        elif final == "G":
            self._move(min(count - 1, max(self._length, FARTHEST)))
        elif final == "P":
            self._set(line[:at] + line[at + count :], at)
        elif final == "@" and self._length < FARTHEST:
            self._set(line[:at] + " " * count + line[at:], at)
        return None

    def _finish(self) -> str:
        line = self.line
        self._arrived_whole = "".join(self._arrived)
        self.restart()
        return line

    def _fresh(self) -> bool:
        """Whether nothing is under way: no line, no escape, no character."""
        undecoded, _ = self._decoder.getstate()
        return not (self._pieces or self._held or undecoded or self._cursor is not None)

    def _at(self) -> int:
        return self._length if self._cursor is None else self._cursor

    def _move(self, column: int) -> None:
        self._cursor = None if column == self._length else column

    def _set(self, line: str, at: int) -> None:
        self._pieces = [line]
        self._length = len(line)
        self._tail = line[-TAIL:]
        self._move(at)
