"""What a worker and the one who hands out work tell each other.

A worker is a pytest session of its own. It collects all plans and tells what it found, then runs
one case after the other as it is told to, and tells how each ended.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import BinaryIO, Literal

import pytest

from testbed.timing import Duration, seconds

__all__ = [
    "DESK",
    "PATIENCE",
    "CaseFound",
    "Collected",
    "Decision",
    "Desk",
    "Ended",
    "Order",
    "Outcome",
    "PlanFound",
]


PATIENCE = seconds(60)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be graded besides the plans, which pytest collects."""

    seeds: tuple[int, ...] = (1,)
    """With each of these every plan runs on good devices; with the first on defects."""
    sources: tuple[str, ...] = ()
    """Modules and files of the user's own defects."""
    patience: Duration = PATIENCE
    """How long one case may take by the wall clock; a plan that hangs has caught nothing."""


@dataclass(frozen=True, slots=True)
class PlanFound:
    """A plan. ``unfit`` says of defects of its row why they fit no node of its topology."""

    id: str
    path: str
    function: str
    row: str
    title: str
    topology: str
    unfit: Mapping[str, str]
    unplaced: str = ""
    """Why the bench has nowhere to put it; empty where it has."""


@dataclass(frozen=True, slots=True)
class CaseFound:
    """A plan on a placement: on good devices with a seed, or with a defect in a role."""

    id: str
    plan: str
    placement: str
    seed: int
    defect: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Collected:
    """All that a worker can run, and what of the plans could not be read."""

    plans: tuple[PlanFound, ...]
    cases: tuple[CaseFound, ...]
    problems: tuple[str, ...]


Ended = Literal["pass", "fail", "error", "skip", "took too long", "died"]
"""How a case ended. ``fail``: by the plan's own judgement, and by nothing else."""


@dataclass(frozen=True, slots=True)
class Decision:
    """The expectation that failed: its place in the plan, its source there, what it said."""

    file: str
    line: int
    statement: str
    expectation: str
    lines: tuple[int, ...] = ()
    """Every line of the plan's file on the way to it, the test function's first."""

    @property
    def place(self) -> str:
        """``file:line``."""
        return f"{self.file}:{self.line}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended."""

    case: str
    ended: Ended
    reason: str = ""
    decision: Decision | None = None
    drilled: str = ""
    """Of a failure: what a drill of the plan says of this defect, where that is another reason."""
    unused: str = ""
    """Why nothing of the plan had the defect in it."""
    seconds: float = 0.0


class Desk:
    """Where a worker takes its work from: the far end of a pipe. Also a pytest plugin.

    Shortly before a case has taken too long, where it is at is written down in ``log``.
    """

    def __init__(self, order: Order, connection: Connection, log: BinaryIO) -> None:
        self.order = order
        self._connection = connection
        self._log = log
        self._alarm: threading.Timer | None = None

    def tell(self, what: Collected | Outcome) -> None:
        """Send an answer."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._connection.send(what)

    def next(self) -> str | None:
        """The id of the case to run next; None when there is no more."""
        try:
            wanted: str | None = self._connection.recv()
        except EOFError:  # whoever hands out work is gone
            return None
        if wanted is not None:
            late = 0.9 * self.order.patience / seconds(1)
            self._alarm = threading.Timer(late, self._write_down, [threading.get_ident()])
            self._alarm.daemon = True
            self._alarm.start()
        return wanted

    def _write_down(self, thread: int) -> None:
        """Where this thread is, the latest call first.

        By a thread that holds Python's lock: faulthandler's does not, and may read a frame that is
        just being taken away, which ends the process.
        """
        frame = sys._current_frames().get(thread)  # noqa: SLF001 - public all but by name
        lines = ["", "Where it was:"]
        while frame is not None:
            code = frame.f_code
            lines.append(f'  File "{code.co_filename}", line {frame.f_lineno} in {code.co_name}')
            frame = frame.f_back
        self._log.write("\n".join([*lines, ""]).encode())
        self._log.flush()

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Be found by the testbed's plugin."""
        config.stash[DESK] = self


DESK = pytest.StashKey[Desk]()
"""The desk of a pytest session that is a worker; others have none."""
