"""The hooks of a pytest session that has a bench."""

from __future__ import annotations

import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from testbed.bench.cases import RIG_STATUS, read_marks
from testbed.errors import (
    BenchError,
    ExpectationFailed,
    PlanError,
    TestbedError,
    Unsupported,
    UsageError,
)
from testbed.plugin.keys import STORY
from testbed.plugin.run import Run
from testbed.plugin.stories import Story
from testbed.report import Verdict, properties

__all__ = ["BenchPlugin"]


class BenchPlugin:
    """The hooks of a session that has a bench."""

    def __init__(self, run: Run) -> None:
        self.run = run

    def pytest_report_header(self) -> list[str]:
        """Name the bench and its devices."""
        bench = self.run.file
        gear = {**bench.devices, **bench.hosts}
        names = ", ".join(f"{name} ({device.platform})" for name, device in gear.items())
        return [f"bench: {bench.bench} ({bench.lab}): {names}"]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Hold the bench while plans run."""
        wanted = any("bench" in getattr(item, "fixturenames", ()) for item in session.items)
        runnable = any(not list(item.iter_markers("skip")) for item in session.items)
        if session.config.option.collectonly or not (wanted and runnable):
            return (yield)
        try:
            self.run.open()
        except (BenchError, UsageError) as error:
            self.run.failed_to_open = error
            raise pytest.exit.Exception(
                f"the bench cannot be used: {error}", returncode=RIG_STATUS
            ) from None
        try:
            return (yield)
        finally:
            self.run.close()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Begin a story for every plan."""
        story = Story(item.nodeid, read_marks(item), started=time.time_ns())
        story.attempt = int(getattr(item, "execution_count", 1))
        item.stash[STORY] = story
        return (yield)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Turn Unsupported into a skip, and a drill's failure into its success."""
        case = pyfuncitem.stash[STORY].case
        drill = case.drill if case else None
        try:
            outcome = yield
        except Unsupported as reason:
            pytest.skip(str(reason))
        except ExpectationFailed as failure:
            if drill is None:
                raise
            drill.judge(failure)
            pyfuncitem.stash[STORY].reason = failure.summary
            return True
        if drill is not None:
            raise PlanError(f"drill {drill.name!r}: the plan passes on a device with this defect")
        return outcome

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Judge a phase: fail, error or skip, by the class of what was raised."""
        story = item.stash[STORY]
        error = call.excinfo.value if call.excinfo else None
        if isinstance(error, Unsupported):
            call.excinfo = pytest.ExceptionInfo.from_exception(_skip(str(error)))
        _judge(story, call)
        if call.when == "teardown":
            story.duration = time.time_ns() - story.started
            record = self.run.record(story)
            item.user_properties.extend(properties(record))
        report = yield
        if call.excinfo is not None and isinstance(error, TestbedError) and report.failed:
            report.longrepr = _told(item, call.excinfo)
        report.bench_verdict = story.verdict  # type: ignore[attr-defined]
        return report

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        """Tell a wrong rig from a wrong device."""
        verdict = getattr(report, "bench_verdict", None)
        if report.when == "call" and report.failed and verdict == "error":
            return "error", "E", "ERROR"
        return None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> Generator[None, object, object]:
        """Have JUnit count a wrong rig as an error: it does so for any phase but the call."""
        wrong_rig = report.when == "call" and report.failed
        wrong_rig = wrong_rig and getattr(report, "bench_verdict", None) == "error"
        if wrong_rig:
            report.when = "setup"
        try:
            return (yield)
        finally:
            if wrong_rig:
                report.when = "call"

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Keep the rows that were asked for."""
        if not self.run.options.rows:
            return
        kept = [item for item in items if self._is_wanted(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    def _is_wanted(self, item: pytest.Item) -> bool:
        row = read_marks(item).behaviour
        wanted = self.run.options.rows
        return any(row == name or row.startswith(f"{name}-") for name in wanted)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Tell CI a wrong rig from a wrong device, and a run of nothing from a good one."""
        if exitstatus not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
            return
        verdicts = {record.verdict for record in self.run.records}
        restored = self.run.session is None or self.run.session.restored
        if verdicts & {"fail", "drill-missed"}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif "error" in verdicts or not restored:
            session.exitstatus = RIG_STATUS
        elif exitstatus == pytest.ExitCode.OK and not verdicts - {"skip"}:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was not put back, and where the report is."""
        if self.run.options.narrate or self.run.report is None or self.run.session is None:
            return
        for note in self.run.session.restore_notes:
            terminalreporter.write_line(f"not put back: {note}", red=True)
        terminalreporter.write_line(f"report: {self.run.report}")


def _told(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """Our own errors say what is wrong: of the traceback, only the plan's line is wanted."""
    own = [entry for entry in excinfo.traceback if Path(entry.path) == item.path]
    message = "\n".join([str(excinfo.value), *getattr(excinfo.value, "__notes__", ())])
    kind = type(excinfo.value).__name__
    if not own:
        return f"{kind}: {message}"
    where = f"{own[-1].path}:{own[-1].lineno + 1}"
    return f"{where}:\n>   {str(own[-1].statement).strip()}\n{kind}: {message}"


def _skip(reason: str) -> BaseException:
    return pytest.skip.Exception(reason)


def _judge(story: Story, call: pytest.CallInfo[None]) -> None:
    if call.excinfo is None:
        if call.when == "call" and story.case and story.case.drill:
            story.verdict = "drill-caught"
        return
    error = call.excinfo.value
    verdict: Verdict = "error"
    if isinstance(error, pytest.skip.Exception):
        verdict = "skip"
    elif isinstance(error, PlanError) and story.case and story.case.drill:
        verdict = "drill-missed"
    elif isinstance(error, AssertionError) and call.when == "call":
        verdict = "fail"
    worse = {"pass": 0, "drill-caught": 0, "skip": 1, "fail": 3, "drill-missed": 3, "error": 2}
    if worse[verdict] >= worse[story.verdict]:
        story.verdict = verdict
        summary, _, rest = str(error).partition("\n")
        story.reason = getattr(error, "summary", summary) or type(error).__name__
        story.details = getattr(error, "details", rest)
