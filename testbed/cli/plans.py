"""``testbed plans``: what there is to run."""

from __future__ import annotations

import contextlib
import io
import sys

import click
import pytest
from rich.console import Console
from rich.table import Table

from testbed.bench.cases import Marked, first_line, read_marks
from testbed.cli.exits import Exit

__all__ = ["plans"]


@click.group()
def plans() -> None:
    """List plans."""


class _Collector:
    def __init__(self) -> None:
        self.found: dict[str, Marked] = {}

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Take each plan once, however many cases it has."""
        for item in session.items:
            if "bench" in getattr(item, "fixturenames", ()):
                self.found.setdefault(item.nodeid.partition("[")[0], read_marks(item))


@plans.command("list")
@click.argument("paths", nargs=-1, metavar="[PLANS]...")
def list_plans(paths: tuple[str, ...]) -> None:
    """List the plans in PLANS (default: plans) with their rows, topologies and clauses."""
    collector = _Collector()
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        status = pytest.main(
            ["--collect-only", "-q", "-p", "no:cacheprovider", *(paths or ("plans",))],
            plugins=[collector],
        )
    if not collector.found:
        click.echo(output.getvalue(), err=True)
        sys.exit(Exit.NOTHING if status == pytest.ExitCode.NO_TESTS_COLLECTED else Exit.USAGE)
    table = Table(title=f"{len(collector.found)} plans")
    for heading in ("id", "behaviour", "topology", "clause", "drills", "plan"):
        table.add_column(heading, no_wrap=heading == "id")
    for nodeid, marked in sorted(collector.found.items(), key=lambda item: item[1].behaviour):
        table.add_row(
            marked.behaviour,
            first_line(marked.doc),
            str(marked.topology or "-").partition(" (")[0],
            marked.clause,
            str(len(marked.drills)),
            nodeid,
        )
    Console().print(table)
