"""A benchmark's results on the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from rich import box
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from testbed.report.benchmarks.records import BenchmarkRecord, Cell

__all__ = ["REMARK", "BenchmarkTable", "shown"]

REMARK = "remark"
"""The key of a column of remarks on each row."""


def shown(cell: Cell) -> str:
    """A value for people: thousands apart, no more digits than are meant."""
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    if isinstance(cell, int) or (abs(cell) >= 100 and float(cell).is_integer()):
        return f"{int(cell):,}"
    if abs(cell) >= 1000:
        return f"{cell:,.0f}"
    return f"{cell:.4g}"


@dataclass(frozen=True, slots=True)
class BenchmarkTable:
    """The table with its terms below it."""

    record: BenchmarkRecord

    def __rich_console__(self, _: Console, options: ConsoleOptions) -> Iterator[RenderableType]:
        record = self.record
        title = f"{record.name} of {record.device} ({record.clause})"
        yield Padding(Text(_plain(title, options), "bold"), (1, 0, 0, 4))
        table = Table(
            box=box.ASCII2 if options.ascii_only else box.SIMPLE_HEAD,
            padding=(0, 1),
        )
        # A column without a value in any row is not worth its room, nor are remarks in each row.
        used = [
            place
            for place, column in enumerate(record.columns)
            if column.key != REMARK and any(row[place] not in (None, "") for row in record.rows)
        ]
        for place in used:
            column = record.columns[place]
            unit = f"\n{column.unit}" if column.unit else ""
            words = any(isinstance(row[place], str) for row in record.rows)
            head = escape(f"{column.title}{unit}")
            table.add_column(head, justify="left" if words else "right", no_wrap=not words)
        for row in record.rows:
            table.add_row(*(escape(_plain(shown(row[place]), options)) for place in used))
        yield Padding(table, (0, 0, 0, 2))
        for label, lines in (
            *((remark, [rows]) for remark, rows in _remarks(record).items()),
            ("not as the RFC has it", record.departures),
            ("tester", record.tester),
            ("note", record.remarks),
        ):
            for line in lines:
                text = Text(f"{label}: ", "dim").append(_plain(line, options))
                yield Padding(text, (0, 0, 0, 4))


def _remarks(record: BenchmarkRecord) -> dict[str, str]:
    """Each remark, and the rows that it is of by their first column."""
    found: dict[str, dict[str, None]] = {}
    for place, column in enumerate(record.columns):
        if column.key != REMARK:
            continue
        unit = record.columns[0].unit
        for row in record.rows:
            if row[place]:
                found.setdefault(str(row[place]), {})[shown(row[0])] = None
        return {remark: f"{', '.join(rows)} {unit}".strip() for remark, rows in found.items()}
    return {}


def _plain(text: str, options: ConsoleOptions) -> str:
    """``text`` in characters that the terminal has."""
    if not options.ascii_only:
        return text
    return text.replace("µ", "u").encode("ascii", "backslashreplace").decode("ascii")
