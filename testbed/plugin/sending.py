"""Bars on the terminal while a plan sends: streams and replays, how far they have come."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from testbed.bench.progress import Moving, watched_by
from testbed.report.progress import SendingBars

__all__ = ["SendingNarrator"]


class SendingNarrator:
    """Shows bars where ``console`` is a terminal; else nothing."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bars: SendingBars | None = None
        self._file: io.TextIOWrapper | None = None

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Show what is sent within the block, in which pytest may keep the standard output."""
        if not self._console.is_terminal:
            yield
            return
        if self._bars is None:
            self._file = os.fdopen(os.dup(self._console.file.fileno()), "w")
            self._bars = SendingBars(Console(file=self._file, force_terminal=True, highlight=False))
        with watched_by(self):
            yield

    def close(self) -> None:
        """Let go of the terminal."""
        if self._file is not None:
            self._file.close()

    def moved(self, what: Moving) -> None:
        """Move its bar."""
        if self._bars is not None:
            self._bars.show(what, what.label, what.sent, what.sent_bytes, what.total)

    def ended(self, what: Moving) -> None:
        """Take its bar away."""
        if self._bars is not None:
            self._bars.hide(what)
