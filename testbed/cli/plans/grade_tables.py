"""A grade on the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Group
from rich.table import Table
from rich.text import Text

from testbed.bench.grading.desk import Decision
from testbed.bench.grading.results import DefectGrade, ExpectationGrade, Grade, RowGrade

__all__ = ["defect_table", "idle_table", "summary", "trouble_table"]


def defect_table(grade: Grade) -> Table:
    """Each defect of each row: by which expectation it was caught, or why not."""
    table = Table(
        title="defects: which expectation of which plan catches them",
        title_justify="left",
        expand=True,
    )
    places = [
        _place(defect.caught_by.decision)
        for row in grade.rows
        for defect in row.defects
        if defect.caught_by and defect.caught_by.decision
    ]
    # What is to be copied is shown whole, whatever the terminal's width; the rest is cut.
    for heading, width in (("row", 5), ("defect", 34), ("in", 7), ("", 7)):
        table.add_column(heading, no_wrap=True, width=width)
    table.add_column("by", no_wrap=True, width=max(map(len, places), default=2))
    table.add_column("expectation", no_wrap=True, ratio=1)
    for row in grade.rows:
        for defect in row.defects:
            table.add_row(*_defect(row, defect))
        for name in row.lacking:
            missing = Text("the catalogue names it, and no Defect of this row has this name")
            table.add_row(row.id, Text(name), "-", Text("unknown", "bold red"), "", missing)
    return table


def _place(decision: Decision) -> str:
    """The plan's file, without its folders, and the line."""
    return decision.place.rpartition("/")[2]


def _defect(row: RowGrade, defect: DefectGrade) -> tuple[Text, ...]:
    name = Text(defect.name, "" if defect.counts else "dim")
    caught = defect.caught_by
    if caught is None or caught.decision is None:
        kinds = ", ".join(defect.kinds)
        missed = Text("missed", "bold red")
        return Text(row.id), name, Text(kinds), missed, Text(), Text(defect.reason)
    by = Text(_place(caught.decision), "cyan")
    told = Text(caught.decision.expectation)
    if caught.drilled:
        told = Text(f"not as its drill says, /{caught.drilled}/: ", "yellow") + told
    return Text(row.id), name, Text(caught.role), Text("caught", "green"), by, told


def idle_table(grade: Grade, *, verbose: bool = False) -> Table:
    """The expectations that never decided anything: their lines, or, ``verbose``, their texts."""
    table = Table(title="expectations that never decided anything", title_justify="left")
    table.add_column("row", no_wrap=True)
    table.add_column("plan", no_wrap=True)
    table.add_column("expectation" if verbose else "lines")
    for row, path, one in _idle(grade) if verbose else ():
        table.add_row(Text(row), Text(f"{path}:{one.line}", "cyan"), Text(one.text))
    if not verbose:
        lines: dict[tuple[str, str], list[str]] = {}
        for row, path, one in _idle(grade):
            lines.setdefault((row, path), []).append(str(one.line))
        for (row, path), numbers in lines.items():
            table.add_row(Text(row), Text(path, "cyan"), Text(", ".join(numbers)))
    return table


def _idle(grade: Grade) -> Iterator[tuple[str, str, ExpectationGrade]]:
    """The row, the plan's file and the expectation, each expectation once."""
    told = set()
    for plan in grade.plans:
        if plan.verdict != "good" or plan.row == "":
            continue  # it was not seen to decide, for other reasons
        path = plan.id.partition("::")[0]
        for one in plan.idle:
            if (path, one.line, one.end) not in told:
                told.add((path, one.line, one.end))
                yield plan.row, path, one


def trouble_table(grade: Grade) -> Table:
    """What is wrong with plans: false alarms, errors, and what their authors should know."""
    table = Table(title="plans that are not in order", title_justify="left")
    table.add_column("plan", ratio=2)
    table.add_column("", no_wrap=True)
    table.add_column("why", ratio=3)
    for plan in grade.plans:
        if plan.verdict != "good":
            style = "yellow" if plan.verdict == "skipped" else "bold red"
            table.add_row(Text(plan.id), Text(plan.verdict, style), Text(plan.reason))
        for remark in plan.remarks:
            table.add_row(Text(plan.id), Text("remark", "yellow"), Text(remark))
    return table


def summary(grade: Grade) -> Group:
    """How many of how many, and what is wrong."""
    defects = [defect for row in grade.rows for defect in row.defects]
    named = [defect for defect in defects if defect.counts]
    lacking = sum(len(row.lacking) for row in grade.rows)
    caught = sum(defect.verdict == "caught" for defect in defects)
    named_caught = sum(defect.verdict == "caught" for defect in named)
    idle = sum(len(plan.idle) for plan in grade.plans)
    expectations = sum(len(plan.expectations) for plan in grade.plans)
    good = sum(plan.verdict == "good" for plan in grade.plans)
    of_all = f"{caught} of {len(defects)} defects caught"
    of_named = f"{named_caught} of {len(named) + lacking} of the catalogue's and your own"
    passing = f"{good} of {len(grade.plans)} plans pass on good devices"
    lines = (
        f"{of_all}; {of_named}",
        f"{passing}, {len(grade.seeds)} seeds; {len(grade.false_alarms)} false alarms",
        f"{expectations - idle} of {expectations} expectations decided something",
        f"{grade.cases} runs in {grade.seconds:.0f} s, {grade.jobs} at a time",
    )
    verdict = Text("passed", "bold green") if grade.passed else Text("not passed", "bold red")
    return Group(*map(Text, lines), verdict)
