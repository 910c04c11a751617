"""The results of a run's benchmarks as JSON, for programs: ``benchmarks.json`` beside the report.

``benchmarks.schema.json`` beside this file is its schema; ``schema`` in it is raised when a field
goes or changes its meaning.
"""

from __future__ import annotations

import json
from importlib.resources import files
from typing import Any

from testbed.report.benchmarks import BenchmarkRecord
from testbed.report.records import RunRecord

__all__ = ["SCHEMA", "benchmarks_json", "schema"]

SCHEMA = 1


def schema() -> dict[str, Any]:
    """The JSON Schema of ``benchmarks_json``."""
    text = (files("testbed.report") / "benchmarks.schema.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def benchmarks_json(run: RunRecord) -> str:
    """Every benchmark of a run: its rows as objects, by the keys of its columns."""
    found = [
        {
            "plan": plan.nodeid,
            "behaviour": plan.behaviour,
            "verdict": plan.verdict,
            **_benchmark(each),
        }
        for plan in run.plans
        for each in plan.benchmarks
    ]
    document = {
        "schema": SCHEMA,
        "run": run.run_id,
        "bench": run.bench,
        "lab": run.lab,
        "machine": run.platform,
        "benchmarks": found,
    }
    return json.dumps(document, indent=1) + "\n"


def _benchmark(record: BenchmarkRecord) -> dict[str, Any]:
    keys = [column.key for column in record.columns]
    return {
        "name": record.name,
        "clause": record.clause,
        "device": record.device,
        "units": {column.key: column.unit for column in record.columns if column.unit},
        "rows": [dict(zip(keys, row, strict=True)) for row in record.rows],
        "departures": list(record.departures),
        "tester": list(record.tester),
        "remarks": list(record.remarks),
    }
