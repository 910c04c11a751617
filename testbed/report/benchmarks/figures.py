"""A benchmark as the page shows it: its values in words, its graphs drawn."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from testbed.report.benchmarks.drawing import draw_chart
from testbed.report.benchmarks.records import BenchmarkRecord
from testbed.report.benchmarks.tables import shown

__all__ = ["Figures", "figures_of"]

MOST, ROWS = 8, 200
"""Graphs of a benchmark, and rows of its table, that are shown at most."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A benchmark with its values as they are shown, and its graphs; ``hidden`` rows are not."""

    record: BenchmarkRecord
    rows: tuple[tuple[str, ...], ...]
    charts: tuple[Markup, ...]
    hidden: int


def figures_of(benchmarks: tuple[BenchmarkRecord, ...]) -> tuple[Figures, ...]:
    """The benchmarks of one plan, no more than anybody would look at."""
    return tuple(
        Figures(
            record,
            tuple(tuple(map(shown, row)) for row in record.rows[:ROWS]),
            tuple(map(draw_chart, record.charts[:MOST])),
            max(0, len(record.rows) - ROWS),
        )
        for record in benchmarks[:MOST]
    )
