"""Handing out the cases of a grade to worker processes, and collecting how they ended."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import Literal

import pytest

from testbed.bench.grading.desk import CaseFound, Collected, Order, Outcome
from testbed.bench.grading.schedule import Schedule
from testbed.bench.grading.workers import Worker
from testbed.errors import LabError, PlanError
from testbed.timing import format_duration, seconds

__all__ = ["Graded", "run_cases"]

START_UP = 120.0
"""Seconds that a worker may take to collect the plans."""

Progress = Callable[[int, int], None]
"""Told how many cases are done, of how many."""


@dataclass(frozen=True, slots=True)
class Graded:
    """All that was found, and how each case ended that was run, by its id."""

    collected: Collected
    outcomes: Mapping[str, Outcome]
    cases: Mapping[str, CaseFound]


def run_cases(
    order: Order,
    arguments: Sequence[str],
    *,
    jobs: int,
    progress: Progress = lambda _done, _total: None,
) -> Graded:
    """Run every case of ``order`` in ``jobs`` processes; ``arguments`` are each one's for pytest.

    PlanError where pytest refuses these; LabError where a worker ends for another reason before it
    has told what there is to run.
    """
    with ExitStack() as ending:
        office = _Office(order, arguments, ending)
        office.hire(jobs)
        while not office.finished:
            office.turn()
            if office.schedule is not None:
                progress(len(office.schedule.outcomes), office.schedule.total())
        if office.collected is None or office.schedule is None:
            raise LabError("no worker told which plans there are")
        return Graded(office.collected, office.schedule.outcomes, office.schedule.cases)


class _Office:
    """The workers, and what is left to hand out."""

    def __init__(self, order: Order, arguments: Sequence[str], ending: ExitStack) -> None:
        self._order = order
        self._arguments = arguments
        self._workers: list[Worker] = []
        self.collected: Collected | None = None
        self.schedule: Schedule | None = None
        ending.callback(self._dismiss_all)

    @property
    def finished(self) -> bool:
        """Whether all has been run that there is to run."""
        busy = any(worker.case for worker in self._workers)
        return self.schedule is not None and not busy and not self.schedule.left

    def hire(self, jobs: int) -> None:
        """Start workers."""
        self._workers += [Worker(self._order, self._arguments) for _ in range(jobs)]

    def turn(self) -> None:
        """Hand out what can be, and wait until a worker tells something or takes too long."""
        for worker in self._workers:
            if self.schedule is not None and worker.idle and (case := self.schedule.next()):
                worker.give(case)
        within = min(self._left(worker) for worker in self._workers)
        ready = wait([worker.connection for worker in self._workers], max(within, 0.0))
        for worker in list(self._workers):
            if worker.connection in ready:
                self._listen(worker)
            elif self._left(worker) <= 0:
                self._lose(worker, "took too long")

    def _left(self, worker: Worker) -> float:
        """Seconds until ``worker`` has taken too long."""
        if worker.case is not None:
            return self._order.patience / seconds(1) - worker.busy_for
        return START_UP if worker.idle else START_UP - worker.busy_for

    def _listen(self, worker: Worker) -> None:
        told = worker.hear()
        if told is None:
            self._lose(worker, "died")
            return
        worker.case, worker.idle = None, True
        if isinstance(told, Collected) and self.schedule is None:
            self.collected, self.schedule = told, Schedule(told, self._order.seeds[0])
        elif isinstance(told, Outcome) and self.schedule is not None:
            self.schedule.done(told)

    def _lose(self, worker: Worker, how: Literal["died", "took too long"]) -> None:
        """Take a worker out that has died or hangs, and another in for it."""
        case, took, printed = worker.case, worker.busy_for, worker.printed()
        stuck = self._stuck(worker) if how == "took too long" else ""
        if case is None and not worker.idle:
            if how == "died" and worker.status() == pytest.ExitCode.USAGE_ERROR:
                raise PlanError(printed)
            raise LabError(f"a worker {how} before it had read the plans:\n{printed}")
        self._workers.remove(worker)
        worker.end()
        if case is not None and self.schedule is not None:
            reason = stuck or f"its process ended: {printed}"
            self.schedule.done(Outcome(case, how, reason, seconds=took))
        self.hire(1)

    def _stuck(self, worker: Worker) -> str:
        """How long a plan was given, and where it was then."""
        told = f"took longer than {format_duration(self._order.patience)}"
        if self.collected is None or self.schedule is None or worker.case is None:
            return told
        plan = self.schedule.cases[worker.case].plan
        path = next(each.path for each in self.collected.plans if each.id == plan)
        line = worker.line_in(path)
        return told if line is None else f"{told}, at {os.path.relpath(path)}:{line}"

    def _dismiss_all(self) -> None:
        for worker in self._workers:
            worker.end()
