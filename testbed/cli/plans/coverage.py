"""``testbed plans list --coverage``: the catalogue, and what there is of each row."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from testbed.bench.cases import Marked
from testbed.bench.grading.coverage import CoveredRow, Placed, coverage
from testbed.bench.grading.keeping import KeptRow, kept
from testbed.bench.grading.registry import known_defects
from testbed.cli.options import load_bench
from testbed.timing import Duration, format_duration, seconds

__all__ = ["coverage_table"]

LINKS = re.compile(r" \([^()]*--[^()]*\)$")
"""The links of a topology, at the end of why a plan has no place: its nodes say enough here."""


def coverage_table(plans: Mapping[str, Marked], files: tuple[Path, ...]) -> Table:
    """Each row of the catalogue: its plans, where they run, its defects, how many were caught."""
    benches = [load_bench(file) for file in files]
    graded = {
        row: each
        for bench in benches
        if bench.lab == "sim"
        for row, each in kept(bench.bench).items()
    }
    rows = coverage(plans, benches, known_defects(), graded)
    table = Table(title=_title(rows), title_justify="left", caption=_age(graded))
    for heading in ("row", "behaviour", "plans", *(bench.bench for bench in benches)):
        table.add_column(heading, no_wrap=heading == "row")
    for heading in ("named", "defects", "caught"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.row.id,
            Text(row.row.title),
            Text(str(len(row.plans)), "" if row.plans else "bold red"),
            *(_placed(row.benches[bench.bench]) for bench in benches),
            _named(row),
            str(row.defects),
            _caught(row.graded),
        )
    return table


def _title(rows: tuple[CoveredRow, ...]) -> str:
    planned = sum(bool(row.plans) for row in rows)
    defects = sum(row.defects for row in rows)
    return f"the catalogue: {len(rows)} rows, {planned} with plans; {defects} defects"


def _placed(placed: Placed) -> Text:
    if not placed.plans:
        return Text("-")
    if placed.runs == placed.plans:
        return Text("yes", "green")
    part = f"{placed.runs} of {placed.plans}" if placed.runs else "no"
    why = dict.fromkeys(LINKS.sub("", reason) for reason in placed.reasons)
    return Text(f"{part}: {'; '.join(why)}", "yellow")


def _named(row: CoveredRow) -> Text:
    there = len(row.row.defects) - len(row.lacking)
    whole = not row.lacking
    return Text(
        str(there) if whole else f"{there} of {len(row.row.defects)}", "" if whole else "red"
    )


def _caught(graded: KeptRow | None) -> Text:
    if graded is None:
        return Text("not graded", "dim")
    style = "green" if graded.caught == graded.defects else "bold red"
    return Text(f"{graded.caught} of {graded.defects}", style)


def _age(graded: Mapping[str, KeptRow]) -> str:
    if not graded:
        return "not graded yet: testbed plans grade"
    now = datetime.now(UTC)
    ages = sorted(seconds(round((now - row.graded).total_seconds())) for row in graded.values())
    told = [_told(age) for age in (ages[0], ages[-1])]
    return f"graded {' to '.join(dict.fromkeys(told))} ago"


def _told(age: Duration) -> str:
    """In days, hours or minutes: whichever it is at least one of."""
    whole = age // seconds(1)
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if whole >= size:
            return f"{whole // size} {unit}"
    return format_duration(age)
