"""One run: the bench session, the plans' stories, the files that are left behind."""

from __future__ import annotations

import contextlib
import platform
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from testbed.bench.bench import Bench
from testbed.bench.cases import Case
from testbed.bench.session import BenchSession
from testbed.bench.state import state_directory
from testbed.capture import write_pcapng
from testbed.errors import BenchError, PlanError
from testbed.inventory import Bench as BenchFile
from testbed.plugin.options import Options
from testbed.plugin.stories import Story, bench_records, tell
from testbed.report import PlanRecord, RunRecord, benchmarks_json, history, render, to_json
from testbed.timing import Instant

__all__ = ["Run"]


@dataclass(slots=True)
class Run:
    """A run on one bench, from the first plan to the report."""

    options: Options
    file: BenchFile
    say: Callable[[str], None]
    records: list[PlanRecord] = field(default_factory=list)
    started: int = 0
    session: BenchSession | None = None
    report: Path | None = None
    result: RunRecord | None = None

    @property
    def run_id(self) -> str:
        """When it began, and where: also the name of its directory."""
        began = datetime.fromtimestamp(self.started / 1e9, UTC)
        return f"{began:%Y%m%d-%H%M%S}-{self.file.bench}"

    @property
    def directory(self) -> Path:
        """Where this run's files go."""
        return self.options.artifacts / self.run_id

    def open(self) -> None:
        """Take the bench."""
        self.session = BenchSession(
            self.file,
            keep_config=self.options.keep_config,
            prove=self.options.prove,
            seed=self.options.seed,
            say=self.say,
        )
        self.started = int(datetime.now(UTC).timestamp() * 1e9)
        if self.options.report:
            self._make_room()
        self.session.open()
        for name, version_of in self.session.versions.items():
            self.say(f"{name}: {version_of}")

    def _make_room(self) -> None:
        try:
            self.options.artifacts.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise PlanError(
                f"cannot write reports to {self.options.artifacts}: {error.strerror}"
            ) from error

    def now(self) -> int:
        """The time that stories are told in: the capture clock of the bench, once it is held."""
        return time.time_ns() if self.session is None else self.session.loop.wall_now()

    def close(self) -> None:
        """Put everything back, then write the report, whatever went wrong before."""
        if self.session is None:
            return
        ended = int(datetime.now(UTC).timestamp() * 1e9)
        try:
            self.session.close()
        finally:
            if self.options.report:
                self._write(ended)

    @contextmanager
    def plan(self, story: Story, case: Case, source: Callable[[], str | None]) -> Iterator[Bench]:
        """The bench for one plan; afterwards everything that the plan changed is undone."""
        session = self._held()
        session.renew(story.slug, case.seed)
        story.started = session.loop.wall_now()
        mark, lines = session.mark(), len(session.console.lines)
        started = Instant(story.started)
        bench = Bench(session, case.placement, story.nodeid, source, started)
        capture = Path("captures") / f"{story.slug}.pcapng"
        if self.options.capture != "never":
            bench.trace.path = str(self.directory / capture)
        story.bench = bench

        def write_down() -> None:
            story.console = session.console.lines[lines:]
            story.changes = [e for e in session.journal.entries if e.change and e.number >= mark]
            if self._keeps_capture(story):
                story.capture = self._save(bench, capture)

        # Each of these is done, last first, also where another one fails.
        with ExitStack() as ending:
            ending.callback(write_down)
            if not self.options.keep_config:
                ending.callback(self._put_back, session, mark, case)
            ending.callback(bench.finish)
            if (fault := case.drill or case.flaw) is not None:
                fault.sabotage(bench)
            elif self.options.python_hosts:
                bench.replace_hosts()
            yield bench

    def record(self, story: Story) -> PlanRecord:
        """Write down how a plan ended."""
        record = tell(story, in_full=self.options.report)
        self.records.append(record)
        return record

    def _put_back(self, session: BenchSession, mark: int, case: Case) -> None:
        failures = session.undo_since(mark)
        if failures:
            raise BenchError("not everything could be put back:\n  " + "\n  ".join(failures))
        if case.drill is not None:
            # A defect may leave more behind than its undo knows of.
            session.restore(case.placement.nodes.values())

    def _held(self) -> BenchSession:
        if self.session is None:
            raise BenchError("no bench is held: this plan was started outside pytest's run loop")
        return self.session

    def _keeps_capture(self, story: Story) -> bool:
        when = self.options.capture
        wrong = story.verdict in ("fail", "error", "drill-missed")
        return when == "always" or (when == "failed" and wrong)

    def _save(self, bench: Bench, relative: Path) -> Path:
        path = self.directory / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as stream:
            write_pcapng(stream, bench.trace)
        return relative

    def _write(self, ended: int) -> None:
        session = self._held()
        run = RunRecord(
            run_id=self.run_id,
            bench=self.file.bench,
            lab=self.file.lab,
            started=self.started,
            ended=ended,
            command=" ".join(sys.argv),
            version=version("testbed"),
            python=platform.python_version(),
            platform=platform.platform(),
            plans=tuple(self.records),
            restored=session.restored,
            restore_notes=tuple(session.restore_notes),
            **bench_records(session),
        )
        self.directory.mkdir(parents=True, exist_ok=True)
        (self.directory / "run.json").write_text(to_json(run))
        if any(plan.benchmarks for plan in run.plans):
            (self.directory / "benchmarks.json").write_text(benchmarks_json(run))
        past = state_directory() / "history"
        earlier = history.load(past, self.file.bench)
        with contextlib.suppress(OSError):  # a read-only home loses the trend, not the report
            past.mkdir(parents=True, exist_ok=True)
            history.append(past, run)
        self.report = self.directory / "report.html"
        self.report.write_text(render(run, earlier))
        self.result = run
