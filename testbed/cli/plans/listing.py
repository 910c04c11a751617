"""``testbed plans list``: what there is to run."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Mapping
from pathlib import Path

import click
import pytest
from rich.console import Console
from rich.table import Table

from testbed.bench.cases import Marked, first_line, read_marks
from testbed.cli.exits import Exit
from testbed.cli.plans.coverage import coverage_table
from testbed.errors import PlanError

__all__ = ["list_plans"]

SHIPPED = (Path("inventory/sim.yaml"), Path("inventory/virtual.yaml"))


class _Collector:
    def __init__(self) -> None:
        self.found: dict[str, Marked] = {}
        self.unread: list[str] = []

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note what is wrong with a plan that cannot be read."""
        if report.failed:
            self.unread.append(f"{report.nodeid} cannot be read:\n{report.longreprtext}")

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take each plan once, however many cases it has."""
        for item in session.items:
            if "bench" not in getattr(item, "fixturenames", ()):
                continue
            nodeid = item.nodeid.partition("[")[0]
            try:
                self.found.setdefault(nodeid, read_marks(item))
            except PlanError as error:
                self.unread.append(f"{nodeid}: {error}")


@click.command("list")
@click.argument("paths", nargs=-1, metavar="[PLANS]...")
@click.option(
    "--coverage",
    "covering",
    is_flag=True,
    help="Show the catalogue instead: of each row its plans, where they run, its defects.",
)
@click.option(
    "--bench",
    "benches",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="With --coverage: the benches to place the plans on. Default: those that ship.",
)
def list_plans(paths: tuple[str, ...], covering: bool, benches: tuple[Path, ...]) -> None:
    """List the plans in PLANS (default: plans) with their rows, topologies and clauses."""
    found, unread = _collected(paths)
    for problem in unread:
        click.echo(problem, err=True)
    if covering:
        Console(highlight=False).print(coverage_table(found, benches or SHIPPED))
    else:
        Console().print(_table(found))
    if unread:
        sys.exit(Exit.USAGE)


def _collected(paths: tuple[str, ...]) -> tuple[dict[str, Marked], list[str]]:
    """The plans by their ids, and what could not be read; ends the command where there are none."""
    collector = _Collector()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = pytest.main(
            ["--collect-only", "-q", "-p", "no:cacheprovider", *(paths or ("plans",))],
            plugins=[collector],
        )
    if not collector.found and not collector.unread:
        click.echo(output.getvalue(), err=True)
        sys.exit(Exit.NOTHING if status == pytest.ExitCode.NO_TESTS_COLLECTED else Exit.USAGE)
    return collector.found, collector.unread


def _table(found: Mapping[str, Marked]) -> Table:
    table = Table(title=f"plans: {len(found)}")
    for heading in ("id", "behaviour", "topology", "clause", "drills", "plan"):
        table.add_column(heading, no_wrap=heading == "id")
    for nodeid, marked in sorted(found.items(), key=lambda item: item[1].behaviour):
        table.add_row(
            marked.behaviour,
            first_line(marked.doc),
            str(marked.topology or "-").partition(" (")[0],
            marked.clause,
            str(len(marked.drills)),
            nodeid,
        )
    return table
