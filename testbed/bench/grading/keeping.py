"""The last grade of each bench is kept, for the coverage that ``testbed plans list`` shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from testbed.bench.grading.results import Grade
from testbed.bench.state import state_directory, state_file

__all__ = ["KeptRow", "keep", "kept"]


@dataclass(frozen=True, slots=True)
class KeptRow:
    """What the last grade said of a row."""

    graded: datetime
    caught: int
    defects: int
    missed: tuple[str, ...]
    skipped: Mapping[str, str]
    """The plans that were skipped, and why."""


def keep(grade: Grade) -> None:
    """Remember a grade of all plans; rows that it has not graded stay as they were."""
    path = state_file("grades", grade.bench, ".json")
    rows = _read(path)
    skipped = {plan.id: plan.reason for plan in grade.plans if plan.verdict == "skipped"}
    for row in grade.rows:
        rows[row.id] = {
            "graded": grade.started,
            "caught": row.caught,
            "defects": len(row.defects),
            "missed": [defect.name for defect in row.missed],
            "skipped": {plan: skipped[plan] for plan in row.plans if plan in skipped},
        }
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def kept(bench: str) -> dict[str, KeptRow]:
    """The rows of the last grade of a bench; none where there was none."""
    rows = _read(state_directory() / "grades" / f"{bench}.json")
    return {
        name: KeptRow(
            graded=datetime.fromisoformat(row["graded"]),
            caught=row["caught"],
            defects=row["defects"],
            missed=tuple(row["missed"]),
            skipped=row["skipped"],
        )
        for name, row in rows.items()
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):  # none yet, or one that was cut off
        return {}
    return found
