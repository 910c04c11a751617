"""Making a grade: collect, run, weigh."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import monotonic

from testbed.bench.grading.catalogue import CATALOGUE
from testbed.bench.grading.desk import PATIENCE, Order
from testbed.bench.grading.engine import Progress, run_cases
from testbed.bench.grading.grade import grade_plans, grade_rows
from testbed.bench.grading.registry import KnownDefect, known_defects
from testbed.bench.grading.results import Grade
from testbed.errors import PlanError
from testbed.inventory import Bench as BenchFile
from testbed.timing import Duration

__all__ = ["Request", "make_grade", "wants"]


@dataclass(frozen=True, slots=True)
class Request:
    """What to grade: ``plans`` as pytest takes them, on the sim bench of a file.

    ``rows`` are rows or families; none for all. ``whole`` says that a row without a plan counts,
    as it does where the plans are all there are. ``own`` are modules or files with the user's
    defects.
    """

    plans: tuple[str, ...]
    bench: BenchFile
    file: Path
    rows: tuple[str, ...] = ()
    own: tuple[str, ...] = ()
    seeds: int = 1
    jobs: int = 1
    whole: bool = False
    patience: Duration = PATIENCE


def wants(rows: tuple[str, ...], row: str) -> bool:
    """Whether ``row`` is one of ``rows``, or of a family among them; of none, each is wanted."""
    return not rows or any(row == name or row.startswith(f"{name}-") for name in rows)


def make_grade(request: Request, progress: Progress = lambda _done, _total: None) -> Grade:
    """Run everything and weigh it; PlanError where the bench or the defects are not to be used."""
    if request.bench.lab != "sim":
        raise PlanError(
            f"bench {request.bench.bench} is a {request.bench.lab} lab: only simulated devices can "
            "be given defects, as those of inventory/sim.yaml"
        )
    order = Order(tuple(range(1, request.seeds + 1)), request.own, request.patience)
    defects = known_defects(request.own)
    began, started = monotonic(), datetime.now(UTC)
    graded = run_cases(order, _arguments(request), jobs=request.jobs, progress=progress)
    rows = grade_rows(graded, defects, _wanted(request, defects))
    return Grade(
        bench=request.bench.bench,
        testbed=version("testbed"),
        started=started.isoformat(timespec="seconds"),
        seconds=round(monotonic() - began, 2),
        jobs=request.jobs,
        seeds=order.seeds,
        cases=len(graded.outcomes),
        rows=rows,
        plans=grade_plans(graded, rows),
        problems=graded.collected.problems,
    )


def _wanted(request: Request, defects: tuple[KnownDefect, ...]) -> tuple[str, ...]:
    """The rows that are graded whether or not they have plans."""
    rows = [row.id for row in CATALOGUE] if request.whole else []
    rows += [known.row for known in defects if known.own]
    return tuple(row for row in rows if wants(request.rows, row))


def _arguments(request: Request) -> tuple[str, ...]:
    rows = [word for row in request.rows for word in ("--bench-row", row)]
    return (
        *request.plans,
        *("--bench", str(request.file)),
        *("--bench-capture", "never"),
        *("--bench-slow", "--no-bench-report", "--no-bench-prove"),
        *("-q", "--tb=no", "-rN", "-p", "no:cacheprovider"),
        # The worker has loaded testbed to be told what to do: its own asserts are none of a plan's.
        *("-W", "ignore::pytest.PytestAssertRewriteWarning"),
        "--continue-on-collection-errors",  # who cannot be read is told; the others are graded
        *rows,
    )
