"""The last grade of each bench is kept, for the coverage that ``testbed plans list`` shows."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from testbed.bench.grading.results import Grade, to_json
from testbed.bench.state import state_directory, state_file

__all__ = ["KeptRow", "keep", "kept"]


@dataclass(frozen=True, slots=True)
class KeptRow:
    """What the last grade said of a row."""

    graded: datetime
    caught: int
    defects: int
    missed: tuple[str, ...]
    skipped: str = ""
    """Why its plans were skipped, where all were."""


def keep(grade: Grade) -> None:
    """Remember a grade of all plans; rows that it has not graded stay as they were."""
    path = state_file("grades", grade.bench, ".json")
    rows = _read(path)
    whole = json.loads(to_json(grade))
    plans = {plan["id"]: plan for plan in whole["plans"]}
    for row in whole["rows"]:
        verdicts = [plans[name]["verdict"] for name in row["plans"]]
        skipped = [plans[name]["reason"] for name in row["plans"]]
        rows[row["id"]] = {
            "graded": grade.started,
            "caught": sum(each["verdict"] == "caught" for each in row["defects"]),
            "defects": len(row["defects"]),
            "missed": [each["name"] for each in row["defects"] if each["verdict"] == "missed"],
            "skipped": skipped[0] if verdicts and set(verdicts) == {"skipped"} else "",
        }
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False) + "\n")


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
        found: dict[str, Any] = json.loads(path.read_text())
    except (OSError, ValueError):  # none yet, or one that was cut off
        return {}
    return found
