"""The terminal during ``testbed run``: a line per plan as it goes, then the verdicts."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest
from rich.console import Console

from testbed.bench.cases import first_line, read_marks
from testbed.plugin.run import Run
from testbed.plugin.sending import SendingNarrator
from testbed.report import ClosingSummary, PlanEnded, PlanStarted

__all__ = ["Narrator"]

Status = tuple[str, str, str]


class Narrator:
    """Tells plans by their rows and sentences, in place of pytest's dots; use it with ``-q``."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._console = Console(highlight=False)
        self._sending = SendingNarrator(self._console)
        self._told = 0

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(self, report: Any) -> Generator[None, Status, Status]:
        """Keep pytest's categories, which its totals need; say nothing for each."""
        status = yield
        return (status[0], "", "") if hasattr(report, "bench_verdict") else status

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Say which plan begins, and where."""
        case = item.callspec.params.get("bench_case") if hasattr(item, "callspec") else None
        if case is not None:
            marked = read_marks(item)
            title = f"[{case.id}] {first_line(marked.doc)}"
            self._console.print(PlanStarted(marked.behaviour, title, {}))
        with self._sending.watching():
            return (yield)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Say at once what is wrong with a plan that cannot be read."""
        if report.failed:
            told = f"{report.nodeid} cannot be read:\n{report.longreprtext}"
            self._console.print(told, style="red", markup=False, soft_wrap=True)

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print a plan's line when it has ended and everything is put back."""
        if report.when == "teardown" and len(self._run.records) > self._told:
            self._told = len(self._run.records)
            self._console.print(PlanEnded(self._run.records[-1]))

    def pytest_unconfigure(self) -> None:
        """Show the verdicts by family and what needs attention, last of all."""
        self._sending.close()
        if self._run.result is not None and self._run.report is not None:
            self._console.print(ClosingSummary(self._run.result, self._run.report))
