"""The hooks of a pytest session that has a bench."""

from __future__ import annotations

from collections.abc import Generator
from importlib.metadata import version
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
from testbed.plugin.signals import terminating_as_interrupting
from testbed.plugin.stories import Story
from testbed.report import Verdict, properties

__all__ = ["BenchPlugin"]


class BenchPlugin:
    """The hooks of a session that has a bench."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._uncollected = False
        self._rig_at_fault = False

    def pytest_report_header(self) -> list[str]:
        """Name the bench and its devices; their versions follow once they have been asked."""
        bench = self.run.file
        gear = {**bench.devices, **bench.hosts}
        names = ", ".join(f"{name} ({device.platform})" for name, device in gear.items())
        return [f"testbed {version('testbed')}, bench: {bench.bench} ({bench.lab}): {names}"]

    @pytest.hookimpl(wrapper=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Hold the bench while plans run."""
        if not self._has_work(session):
            return (yield)
        with terminating_as_interrupting():
            try:
                self.run.open()
            except (BenchError, UsageError) as error:
                own = isinstance(error, BenchError)
                raise pytest.exit.Exception(
                    f"the bench cannot be used: {error}",
                    returncode=RIG_STATUS if own else pytest.ExitCode.USAGE_ERROR,
                ) from None
            try:
                return (yield)
            finally:
                self.run.close()

    def _has_work(self, session: pytest.Session) -> bool:
        option = session.config.option
        uncollected = session.testsfailed and not option.continue_on_collection_errors
        if option.collectonly or uncollected:
            return False
        return any(
            "bench" in getattr(item, "fixturenames", ()) and not any(item.iter_markers("skip"))
            for item in session.items
        )

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        """Begin a story for every plan."""
        story = Story(item.nodeid, read_marks(item), started=self.run.now())
        story.attempt = int(getattr(item, "execution_count", 1))
        item.stash[STORY] = story
        try:
            return (yield)
        except (KeyboardInterrupt, pytest.exit.Exception) as stop:
            self._interrupted(item, story, stop)
            raise

    def _interrupted(self, item: pytest.Item, story: Story, stop: BaseException) -> None:
        """End the plan while there is a bench to put back: pytest does so after the session."""
        try:
            item.session._setupstate.teardown_exact(None)  # noqa: SLF001 - it has no public name
        except Exception as error:  # noqa: BLE001 - whatever a fixture raises
            story.details = f"while it was put back: {error}"
        story.verdict = "error"
        story.reason = "interrupted" if isinstance(stop, KeyboardInterrupt) else str(stop)
        story.duration = self.run.now() - story.started
        self.run.record(story)

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Generator[None, object, object]:
        """Turn Unsupported into a skip, and a drill's failure into its success."""
        case = pyfuncitem.stash[STORY].case
        drill = case.drill if case else None
        try:
            outcome = yield
        except Unsupported as reason:
            raise _skip(str(reason)) from None
        except pytest.xfail.Exception:
            raise
        except (AssertionError, pytest.fail.Exception) as failure:
            if drill is None:
                raise
            drill.judge(failure)
            pyfuncitem.stash[STORY].reason = str(failure).partition("\n")[0]
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
            reason = _skip(str(error)).with_traceback(error.__traceback__)
            call.excinfo = pytest.ExceptionInfo.from_exception(reason)
        _judge(story, call)
        if call.when == "teardown":
            story.duration = self.run.now() - story.started
            record = self.run.record(story)
            item.user_properties.extend(properties(record))
            self._rig_at_fault |= story.rig_at_fault
        report = yield
        if hasattr(report, "wasxfail"):
            _weigh_expected(story, report, error)
        elif report.failed and call.excinfo is None:  # a strict xfail that passed
            story.verdict, story.reason = "fail", str(report.longrepr)
        if call.excinfo is not None and isinstance(error, TestbedError) and report.failed:
            report.longrepr = _told(item, call.excinfo)
        report.bench_verdict = story.verdict  # type: ignore[attr-defined]
        report.bench_failure = isinstance(error, ExpectationFailed)  # type: ignore[attr-defined]
        return report

    def pytest_report_teststatus(self, report: Any) -> tuple[str, str, str] | None:
        """Tell a wrong rig from a wrong device."""
        if _is_wrong_rig(report):
            return "error", "E", "ERROR"
        return ("failed", "F", "FAILED") if _is_early_failure(report) else None

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_logreport(self, report: Any) -> Generator[None, object, object]:
        """Have JUnit count as pytest_report_teststatus: by the phase, a failed call is a failure.

        An expectation that fails in a fixture is the device's fault, a call can fail by the rig's.
        """
        when = report.when
        if _is_wrong_rig(report):
            report.when = "setup"
        elif _is_early_failure(report):
            report.when = "call"
        try:
            return (yield)
        finally:
            report.when = when

    def pytest_collection_modifyitems(
        self, config: pytest.Config, items: list[pytest.Item]
    ) -> None:
        """Keep the rows that were asked for; slow plans only where those were asked for.

        In virtual time nothing is slow. Benchmarks are for who asks for them, and for a grade.
        """
        if not self.run.options.slow and self.run.file.lab != "sim":
            for item in items:
                _leave_if_slow(item)
        if not self.run.options.performance and not config.pluginmanager.has_plugin(
            "testbed-grading"
        ):
            for item in items:
                _leave_if_benchmark(item)
        if not self.run.options.rows:
            return
        kept = [item for item in items if self._is_wanted(item)]
        config.hook.pytest_deselected(items=[item for item in items if item not in kept])
        items[:] = kept

    def _is_wanted(self, item: pytest.Item) -> bool:
        row = read_marks(item).behaviour
        wanted = self.run.options.rows
        return any(row == name or row.startswith(f"{name}-") for name in wanted)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Tell plans that could not be read from Ctrl-C: pytest ends alike for both."""
        self._uncollected = isinstance(excinfo.value, pytest.Session.Interrupted)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Tell CI a wrong rig from a wrong device, and a run of nothing from a good one."""
        if self._uncollected:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        judged = exitstatus in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED)
        if not judged or session.config.option.collectonly:
            return
        verdicts = {record.verdict for record in self.run.records}
        restored = self.run.session is None or self.run.session.restored
        if verdicts & {"fail", "drill-missed"}:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
        elif self._rig_at_fault or not restored:
            session.exitstatus = RIG_STATUS
        elif "error" in verdicts:
            session.exitstatus = pytest.ExitCode.USAGE_ERROR
        elif exitstatus == pytest.ExitCode.OK and not verdicts - {"skip"}:
            session.exitstatus = pytest.ExitCode.NO_TESTS_COLLECTED

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        """Say what was not put back, and where the report is."""
        if self.run.options.narrate or self.run.report is None or self.run.session is None:
            return
        for note in self.run.session.restore_notes:
            terminalreporter.write_line(f"not put back: {note}", red=True)
        terminalreporter.write_line(f"report: {self.run.report}")


def _leave_if_benchmark(item: pytest.Item) -> None:
    if read_marks(item).minimum is not None:
        reason = "a benchmark of a device, not run without --performance"
        item.add_marker(pytest.mark.skip(reason=reason), append=False)


def _leave_if_slow(item: pytest.Item) -> None:
    why = read_marks(item).slow
    if why:
        reason = f"slow, not run without --slow: {why}"
        item.add_marker(pytest.mark.skip(reason=reason), append=False)


def _told(item: pytest.Item, excinfo: pytest.ExceptionInfo[BaseException]) -> str:
    """Our own errors say what is wrong: of the traceback, only the plan's line is wanted."""
    own = [entry for entry in excinfo.traceback if Path(entry.path) == item.path]
    message = "\n".join([str(excinfo.value), *getattr(excinfo.value, "__notes__", ())])
    kind = type(excinfo.value).__name__
    if not own:
        return f"{kind}: {message}"
    where = f"{own[-1].path}:{own[-1].lineno + 1}"
    return f"{where}:\n>   {str(own[-1].statement).strip()}\n{kind}: {message}"


def _is_wrong_rig(report: Any) -> bool:
    verdict = getattr(report, "bench_verdict", None)
    return bool(report.when == "call" and report.failed and verdict == "error")


def _is_early_failure(report: Any) -> bool:
    verdict = getattr(report, "bench_failure", False)
    return bool(report.when != "call" and report.failed and verdict)


def _weigh_expected(story: Story, report: Any, error: BaseException | None) -> None:
    """A device may be expected to fail; a wrong rig or a wrong plan is an error all the same."""
    if isinstance(error, BenchError | UsageError):
        del report.wasxfail
        report.outcome = "failed"
    elif report.skipped:
        story.verdict = "skip"
        story.reason = f"expected to fail ({report.wasxfail or 'xfail'}): {story.reason}"


def _skip(reason: str) -> BaseException:
    return pytest.skip.Exception(reason, _use_item_location=True)


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
    elif isinstance(error, ExpectationFailed) or (
        isinstance(error, AssertionError | pytest.fail.Exception) and call.when == "call"
    ):
        verdict = "fail"
    story.rig_at_fault |= verdict == "error" and _has_bench_error(error)
    worse = {"pass": 0, "drill-caught": 0, "skip": 1, "fail": 3, "drill-missed": 3, "error": 2}
    if worse[verdict] >= worse[story.verdict]:
        story.verdict = verdict
        summary, _, rest = str(error).partition("\n")
        story.reason = getattr(error, "summary", summary) or type(error).__name__
        story.details = getattr(error, "details", rest)


def _has_bench_error(error: BaseException) -> bool:
    if isinstance(error, BaseExceptionGroup):  # of several fixtures, each in its own way
        return any(_has_bench_error(one) for one in error.exceptions)
    return isinstance(error, BenchError)
