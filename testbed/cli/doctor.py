"""``testbed doctor``: what this machine can do."""

from __future__ import annotations

import sys

import click
from rich.console import Console
from rich.table import Table

from testbed.cli.exits import Exit

__all__ = ["doctor"]


@click.command()
def doctor() -> None:
    """Say what this machine can do, what is missing, and the command that mends it.

    Exit code 3 when the virtual lab cannot run here.
    """
    from testbed.labs.doctor import examine  # noqa: PLC0415 - it looks at what only Linux has

    report = examine()
    console = Console()
    table = Table(title="this machine")
    for heading in ("", "what", "found", "needed by"):
        table.add_column(heading)
    for check in report.checks:
        sign = "[green]ok[/]" if check.ok else "[red]missing[/]"
        table.add_row(sign, check.name, check.found, ", ".join(check.needed_by))
    console.print(table)
    for check in report.missing:
        mend = check.mend or "optional; plans that need it are skipped here"
        console.print(f"[red]{check.name}[/]: {mend}", highlight=False, soft_wrap=True)
    for lab in report.labs:
        sign = "[green]runs here[/]" if lab.runs else f"[red]does not run here[/]: {lab.why}"
        console.print(f"lab {lab.lab}: {sign}", highlight=False, soft_wrap=True)
    if not all(lab.runs for lab in report.labs if lab.lab == "virtual"):
        sys.exit(Exit.RIG)
