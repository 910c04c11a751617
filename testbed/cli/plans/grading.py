"""``testbed plans grade``: plans against devices that are good, and against every defect."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from testbed.bench.grading.keeping import keep
from testbed.bench.grading.making import Request, make_grade
from testbed.bench.grading.results import Grade, to_json
from testbed.cli.exits import Exit
from testbed.cli.options import load_bench
from testbed.cli.plans.grade_tables import defect_table, idle_table, summary, trouble_table
from testbed.timing import seconds

__all__ = ["grade"]


def _cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@click.command()
@click.argument("plans", nargs=-1, metavar="[PLANS]...")
@click.option(
    "--bench",
    "bench_file",
    type=click.Path(path_type=Path),
    default=Path("inventory/sim.yaml"),
    show_default=True,
    metavar="FILE",
    help="The bench file of a sim lab.",
)
@click.option(
    "-b",
    "--behaviour",
    "behaviours",
    multiple=True,
    metavar="ID",
    help="Only this row or family, such as SW-02 or TC. May be given several times.",
)
@click.option(
    "--plans", "folders", multiple=True, metavar="DIR", help="A folder of plans of your own."
)
@click.option(
    "--defects",
    "own",
    multiple=True,
    metavar="MODULE",
    help="A Python file, or a module, whose constants are defects of your own.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    metavar="N",
    help="On how many good benches each plan runs, each with chance of its own.",
)
@click.option(
    "--jobs", type=click.IntRange(1), metavar="N", help="How many at a time. Default: the cores."
)
@click.option(
    "--limit",
    type=click.FloatRange(min=0, min_open=True),
    default=60,
    show_default=True,
    metavar="SECONDS",
    help="How long one run may take; one that takes longer has caught nothing.",
)
@click.option(
    "--json", "json_file", type=click.Path(path_type=Path), metavar="FILE", help="Also write JSON."
)
@click.option(
    "-v", "--verbose", is_flag=True, help="Also the texts of expectations that never decided."
)
def grade(  # noqa: PLR0917 - click passes each option by name
    plans: tuple[str, ...],
    bench_file: Path,
    behaviours: tuple[str, ...],
    folders: tuple[str, ...],
    own: tuple[str, ...],
    seeds: int,
    jobs: int | None,
    limit: float,
    json_file: Path | None,
    verbose: bool,
) -> None:
    """Tell which of PLANS (default: plans) can tell a good device from a bad one.

    Each plan runs on simulated devices: on good ones, which it must pass, and on one with each
    defect of its row, which it must fail, by an expectation of its own: a plan that crashes or
    hangs has caught nothing. It is also told which expectations never decided anything.

    \b
      testbed plans grade -b SW                        switching only
      testbed plans grade --plans my/plans             your own plans
      testbed plans grade --defects my_defects.py      your own defects, too

    Exit code 1 when a defect that the catalogue names, or one of your own, is missed, or when a
    plan fails on a good device.
    """  # noqa: D301 - \b is click's mark
    chosen = (*plans, *folders)
    request = Request(
        plans=chosen or ("plans",),
        bench=load_bench(bench_file),
        file=bench_file,
        rows=behaviours,
        own=own,
        seeds=seeds,
        jobs=jobs or _cores(),
        whole=not chosen,
        patience=seconds(limit),
    )
    made = _graded(request)
    if json_file is not None:
        json_file.write_text(to_json(made), encoding="utf-8")
    if request.whole and not own:
        keep(made)
    _show(made, verbose=verbose)
    if not made.plans:
        sys.exit(Exit.USAGE if made.problems else Exit.NOTHING)
    sys.exit(Exit.OK if made.passed else Exit.FAILED)


IN_A_FILE = 160
"""Columns of a table that goes into a file, or to another program."""


def _graded(request: Request) -> Grade:
    columns = (TextColumn("grading"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as shown:
        task = shown.add_task("grading", total=None)
        return make_grade(
            request, lambda done, total: shown.update(task, completed=done, total=total)
        )


def _show(made: Grade, *, verbose: bool) -> None:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = IN_A_FILE
    tables = defect_table(made), idle_table(made, verbose=verbose), trouble_table(made)
    for table in tables:
        if table.row_count:
            console.print(table)
    for problem in made.problems:
        console.print(problem, style="red", markup=False)
    console.print(summary(made))
