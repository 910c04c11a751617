"""What a run leaves behind: records, JSON, the HTML report, JUnit properties, history, summary."""

from testbed.report.benchmarks import (
    BenchmarkColumn,
    BenchmarkRecord,
    BenchmarkTable,
    Cell,
    ChartRecord,
    SeriesRecord,
)
from testbed.report.benchmarks_json import benchmarks_json
from testbed.report.history import History, PastVerdict, append, load
from testbed.report.junit import properties
from testbed.report.records import (
    VERDICTS,
    ArtifactRecord,
    BoxEventRecord,
    BoxRecord,
    CableRecord,
    CableState,
    ChangeRecord,
    ColumnRecord,
    ConsoleRecord,
    DeviceRecord,
    JudgementRecord,
    LadderRecord,
    LadderRowRecord,
    NicRecord,
    NoteRecord,
    PlanRecord,
    RunRecord,
    Verdict,
)
from testbed.report.render import render
from testbed.report.serial import from_json, to_json
from testbed.report.terminal import ClosingSummary, PlanEnded, PlanStarted

__all__ = [
    "VERDICTS",
    "ArtifactRecord",
    "BenchmarkColumn",
    "BenchmarkRecord",
    "BenchmarkTable",
    "BoxEventRecord",
    "BoxRecord",
    "CableRecord",
    "CableState",
    "Cell",
    "ChangeRecord",
    "ChartRecord",
    "ClosingSummary",
    "ColumnRecord",
    "ConsoleRecord",
    "DeviceRecord",
    "History",
    "JudgementRecord",
    "LadderRecord",
    "LadderRowRecord",
    "NicRecord",
    "NoteRecord",
    "PastVerdict",
    "PlanEnded",
    "PlanRecord",
    "PlanStarted",
    "RunRecord",
    "SeriesRecord",
    "Verdict",
    "append",
    "benchmarks_json",
    "from_json",
    "load",
    "properties",
    "render",
    "to_json",
]
