"""What a dialogue heard last, fit to be shown: shortened, and without passwords."""

from __future__ import annotations

from collections import deque

__all__ = ["Heard", "shorten"]

LONGEST = 240
"""Characters of what came that an error message quotes."""


def shorten(text: str, most: int) -> str:
    """``text``, or its beginning and dots."""
    return text if len(text) <= most else f"{text[:most]}..."


class Heard:
    """The last lines, for messages. ``secrets`` never show."""

    def __init__(self, *secrets: str | None) -> None:
        self._secrets = [secret for secret in secrets if secret]
        self._recent: deque[str] = deque(maxlen=3)

    def clear(self) -> None:
        """Forget the lines: what comes from now on answers something else."""
        self._recent.clear()

    def redact(self, text: str) -> str:
        """``text`` without the secrets: some devices echo what is typed at a password prompt."""
        for secret in self._secrets:
            text = text.replace(secret, "<password>")
        return text

    def add(self, line: str) -> str:
        """Remember ``line``; returns it redacted."""
        text = self.redact(line)
        if text.strip():
            self._recent.append(shorten(text, LONGEST))
        return text

    def quote(self, under_way: str) -> str:
        """The last lines and the one under way, quoted; ``nothing`` if there were none."""
        lines = [line for line in (*self._recent, under_way.rstrip()) if line.strip()]
        return f"{self.redact(' | '.join(lines))[-LONGEST:]!r}" if lines else "nothing"
