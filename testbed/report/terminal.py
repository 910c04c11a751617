"""What a run shows on the terminal: a line as each plan starts and ends, and a closing summary.

Everything here is a rich renderable. Colour is rich's business (it honours ``NO_COLOR`` and writes
none to a file); these see to it that the words carry the meaning without colour, that no line is
longer than a narrow terminal, and that a terminal without Unicode gets plain ASCII.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from testbed.report.benchmarks.tables import BenchmarkTable
from testbed.report.fragments import commands
from testbed.report.records import VERDICTS, PlanRecord, RunRecord, Verdict
from testbed.report.text import first_line, span
from testbed.report.view import FAMILIES, GOOD, LABELS, family_of, headline

__all__ = ["ClosingSummary", "PlanEnded", "PlanStarted"]

_STYLES: dict[Verdict, str] = {
    "pass": "green",
    "fail": "bold red",
    "error": "bold yellow",
    "skip": "dim",
    "drill-caught": "cyan",
    "drill-missed": "bold magenta",
}
_SIGNS: dict[Verdict, tuple[str, str]] = {  # with Unicode, without
    "pass": ("✔", "+"),
    "fail": ("✘", "x"),
    "error": ("!", "!"),
    "skip": ("-", "-"),
    "drill-caught": ("✔", "+"),
    "drill-missed": ("✘", "x"),
}
_MOST = 30
"""Plans told in full at the end; the report has the others."""


def _fit(text: str, options: ConsoleOptions) -> str:
    """``text`` in characters that the terminal has."""
    if not options.ascii_only:
        return text
    plain = text.replace("\u00a0", " ").replace("…", "...").replace("µ", "u")
    return plain.encode("ascii", "backslashreplace").decode("ascii")


def _line(options: ConsoleOptions, *pieces: tuple[str, str]) -> Text:
    """One line of styled pieces, cut where the terminal ends."""
    overflow = "crop" if options.ascii_only else "ellipsis"
    line = Text(no_wrap=True, overflow=overflow)  # type: ignore[arg-type]
    for text, style in pieces:
        line.append(_fit(text, options), style)
    return line


def _roles(mapping: Mapping[str, str]) -> str:
    """``[dut=sw1 old=a]``, or nothing."""
    pairs = " ".join(f"{role}={device}" for role, device in mapping.items())
    return f" [{first_line(pairs, 80)}]" if pairs else ""


@dataclass(frozen=True, slots=True)
class PlanStarted:
    """``▶ SW-02 station move [dut=sw1]``."""

    behaviour: str
    title: str
    mapping: Mapping[str, str]

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        sign = ">" if options.ascii_only else "▶"
        yield _line(
            options,
            (f"{sign} ", "blue"),
            (f"{first_line(self.behaviour, 40)} ", "bold"),
            (first_line(self.title, 120), ""),
            (_roles(self.mapping), "dim"),
        )


@dataclass(frozen=True, slots=True)
class PlanEnded:
    """``✔ pass 0.42 s SW-02``, and the reason under it where the plan did not simply pass."""

    plan: PlanRecord

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        plan = self.plan
        sign = _SIGNS[plan.verdict][options.ascii_only]
        style = _STYLES[plan.verdict]
        drill = f" drill: {first_line(plan.drill, 40)}" if plan.drill else ""
        yield _line(
            options,
            (f"{sign} {plan.verdict} ", style),
            (f"{span(plan.duration)} ", "dim"),
            (f"{first_line(plan.behaviour or plan.nodeid, 80)}{drill}", ""),
        )
        if plan.reason and plan.verdict not in {"pass", "drill-caught"}:
            yield _line(options, ("  ", ""), (first_line(plan.reason), style))
        for benchmark in plan.benchmarks:
            yield BenchmarkTable(benchmark)


def _counts(run: RunRecord, options: ConsoleOptions) -> Table:
    """How many plans of each family came to each verdict."""
    families: dict[str, Counter[Verdict]] = {}
    for plan in run.plans:
        families.setdefault(family_of(plan), Counter())[plan.verdict] += 1
    present = [v for v in VERDICTS if any(count[v] for count in families.values())]
    wide = options.max_width >= 40 + 14 * len(present)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("family", no_wrap=True, overflow="crop", header_style="dim")
    if wide:
        table.add_column("", no_wrap=True, overflow="crop", style="dim")
    for verdict in present:
        head = LABELS[verdict][1] if wide else verdict.removeprefix("drill-")
        style = _STYLES[verdict]
        # "crop" for rich's own ellipsis is no ASCII.
        table.add_column(head, justify="right", no_wrap=True, overflow="crop", header_style=style)
    known = list(FAMILIES)
    for family in sorted(families, key=lambda key: (known.index(key) if key in known else 99, key)):
        cells = [str(families[family][verdict] or ".") for verdict in present]
        styles = [_STYLES[v] if families[family][v] else "dim" for v in present]
        row = [Text(cell, style) for cell, style in zip(cells, styles, strict=True)]
        name = [Text(FAMILIES.get(family, ""))] if wide else []
        table.add_row(Text(_fit(first_line(family, 20), options), "bold"), *name, *row)
    return table


def _trouble(plan: PlanRecord, options: ConsoleOptions, below: Path) -> Iterator[RenderableType]:
    """A plan that needs attention: what it is, what failed, where to look."""
    style = _STYLES[plan.verdict]
    sign = _SIGNS[plan.verdict][options.ascii_only]
    what = first_line(plan.title or plan.nodeid, 160)
    yield _line(
        options,
        (f"{sign} {plan.verdict} ", style),
        (f"{first_line(plan.behaviour, 40)} ", "bold"),
        (what, ""),
        (_roles(plan.mapping), "dim"),
    )
    told = [plan.reason, *plan.details.splitlines()[:2]]
    for line in (first_line(text) for text in told):
        if line:
            yield Padding(Text(_fit(line, options), overflow="fold"), (0, 0, 0, 4))
    yield _line(options, ("    ", ""), (first_line(plan.nodeid), "dim"))
    shown = next((commands(item, below) for item in plan.artifacts if commands(item, below)), ())
    for command in shown[-1:]:
        # A command is to be copied: folded, never cut.
        yield Padding(
            Text(_fit(first_line(command, 600), options), "dim", overflow="fold"), (0, 0, 0, 4)
        )


@dataclass(frozen=True, slots=True)
class ClosingSummary:
    """The end of a run: verdicts by family, what needs attention, and where the report is."""

    run: RunRecord
    report: Path | None = None

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        run = self.run
        troubles = [plan for plan in run.plans if plan.verdict not in GOOD]
        below = self.report.parent if self.report else Path()
        yield Text()
        if run.plans:
            yield _counts(run, options)
            yield Text()
        for plan in troubles[:_MOST]:
            yield from _trouble(plan, options, below)
            yield Text()
        if len(troubles) > _MOST:
            yield Text(f"and {len(troubles) - _MOST} more in the report\n", "dim")
        yield from self._end(options)

    def _end(self, options: ConsoleOptions) -> Iterable[RenderableType]:
        run = self.run
        told = headline(run)
        style = {"good": "bold green", "bad": "bold red", "idle": "bold"}[told.look]
        where = f" on {first_line(run.bench, 60)} in {span(max(run.ended - run.started, 0))}"
        if run.lab == "sim":
            where += f", {span(sum(plan.duration for plan in run.plans))} of virtual time"
        yield _line(options, (told.text, style), (where, ""))
        if not run.restored:
            yield Text("the bench was not restored: run `testbed bench recover`", "bold red")
            for note in run.restore_notes[:10]:
                yield Padding(Text(_fit(first_line(note), options)), (0, 0, 0, 4))
        if self.report is not None:
            # A path is to be opened: folded, never cut.
            yield Text.assemble(
                ("report: ", "dim"), _fit(str(self.report), options), overflow="fold"
            )
