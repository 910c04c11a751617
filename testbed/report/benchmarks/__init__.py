"""What a benchmark of a device leaves behind: a table, its terms, and graphs of it."""

from testbed.report.benchmarks.drawing import draw_chart
from testbed.report.benchmarks.records import (
    BenchmarkColumn,
    BenchmarkRecord,
    Cell,
    ChartRecord,
    SeriesRecord,
)
from testbed.report.benchmarks.tables import BenchmarkTable, shown

__all__ = [
    "BenchmarkColumn",
    "BenchmarkRecord",
    "BenchmarkTable",
    "Cell",
    "ChartRecord",
    "SeriesRecord",
    "draw_chart",
    "shown",
]
