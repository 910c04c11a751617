"""Worker processes: each a pytest session that runs the cases which it is handed."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from testbed.bench.grading.desk import Collected, Desk, Order, Outcome

__all__ = ["Worker"]

TAIL = 2000
"""Characters of what a worker printed last that are told when it ends before its time."""

LEAVE = 5.0
"""Seconds that a process may take to end after it has closed its end of the pipe."""


class Worker:
    """A process that takes cases from its desk; ``arguments`` are pytest's.

    Started anew rather than forked: the one who hands out work has threads, and draws on a screen.
    """

    def __init__(self, order: Order, arguments: Sequence[str]) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        descriptor, name = tempfile.mkstemp(prefix="testbed-grade-", suffix=".log")
        os.close(descriptor)
        self._log = Path(name)
        self._process = context.Process(
            target=_work, args=(far, order, tuple(arguments), name), daemon=True
        )
        self._process.start()
        far.close()
        self.case: str | None = None
        self.since = monotonic()
        """When it was given its case, or was started."""
        self.idle = False
        """Whether it waits for a case, the plans read."""

    def give(self, case: str | None) -> None:
        """Hand it a case; None ends it."""
        self.case, self.since, self.idle = case, monotonic(), False
        with contextlib.suppress(OSError):  # where it has died, hear() tells so
            self.connection.send(case)

    def hear(self) -> Collected | Outcome | None:
        """What it tells; None when it has ended."""
        try:
            told: Any = self.connection.recv()
        except (EOFError, OSError):
            return None
        return told if isinstance(told, Collected | Outcome) else None

    @property
    def busy_for(self) -> float:
        """Seconds since it was given its case."""
        return monotonic() - self.since

    def printed(self) -> str:
        """The end of what it printed."""
        return self._log.read_text(errors="replace")[-TAIL:].strip()

    def line_in(self, path: str) -> int | None:
        """Where in this file it was when it had taken too long; None where it was elsewhere."""
        frame = rf'^  File "{re.escape(path)}", line (\d+) in '
        found = re.search(frame, self._log.read_text(errors="replace"), re.MULTILINE)
        return int(found[1]) if found else None

    def status(self) -> int | None:
        """The status with which it ended, once its end of the pipe is closed."""
        self._process.join(LEAVE)
        return self._process.exitcode

    def end(self) -> None:
        """End it, whatever it is doing: nothing of a simulated bench has to be put back."""
        self.connection.close()
        self._process.kill()
        self._process.join()
        self._process.close()
        self._log.unlink(missing_ok=True)


def _work(connection: Connection, order: Order, arguments: Sequence[str], log: str) -> None:
    """Run pytest, with all that it prints in ``log``."""
    with Path(log).open("wb", buffering=0) as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        desk = Desk(order, connection, output)
        sys.exit(int(pytest.main(list(arguments), plugins=[desk])))
