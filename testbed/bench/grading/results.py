"""What a grade says: of each row its defects, of each plan its good devices and expectations.

The JSON of a grade is these classes, field by field; ``grade.schema.json`` beside this file is its
schema, and ``schema`` in it is raised when a field goes or changes its meaning.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Literal

from testbed.bench.grading.desk import Decision

__all__ = [
    "SCHEMA",
    "Attempt",
    "DefectGrade",
    "ExpectationGrade",
    "GoodRun",
    "Grade",
    "PlanGrade",
    "RowGrade",
    "to_json",
]

SCHEMA = 1

AttemptVerdict = Literal["caught", "missed", "not applicable"]
PlanVerdict = Literal["good", "false alarm", "error", "skipped"]


@dataclass(frozen=True, slots=True)
class Attempt:
    """A plan against a defect in one role. ``decision`` is the expectation that caught it.

    ``drilled`` is the pattern of the plan's drill with this defect, where that did not match: it
    was caught, but for another reason than its author's.
    """

    plan: str
    role: str
    verdict: AttemptVerdict
    reason: str = ""
    decision: Decision | None = None
    drilled: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class DefectGrade:
    """A defect: caught when one plan of its row catches it in one role."""

    key: str
    name: str
    story: str
    kinds: tuple[str, ...]
    named: bool
    """Whether the catalogue names it."""
    own: bool
    """Whether the user brought it."""
    verdict: AttemptVerdict
    attempts: tuple[Attempt, ...]

    @property
    def counts(self) -> bool:
        """Whether a grade fails when this is missed: it is the catalogue's, or the user's own."""
        return self.named or self.own

    @property
    def caught_by(self) -> Attempt | None:
        """The first attempt that caught it."""
        return next((one for one in self.attempts if one.verdict == "caught"), None)

    @property
    def reason(self) -> str:
        """Why it was not caught."""
        if not self.attempts:
            return "this row has no plan"
        told = [one for one in self.attempts if one.verdict == "missed"]
        said: dict[str, None] = {
            f"{one.plan.rpartition('::')[2]}: {one.reason}": None for one in told or self.attempts
        }
        return "\n".join(said)


@dataclass(frozen=True, slots=True)
class RowGrade:
    """A row: its plans, its defects, and the names in the catalogue that no defect has."""

    id: str
    title: str
    plans: tuple[str, ...]
    defects: tuple[DefectGrade, ...]
    lacking: tuple[str, ...] = ()

    @property
    def caught(self) -> int:
        """How many of its defects were caught."""
        return sum(defect.verdict == "caught" for defect in self.defects)

    @property
    def missed(self) -> tuple[DefectGrade, ...]:
        """The defects that no plan caught."""
        return tuple(defect for defect in self.defects if defect.verdict == "missed")


@dataclass(frozen=True, slots=True)
class GoodRun:
    """A plan on good devices."""

    placement: str
    seed: int
    ended: str
    reason: str = ""
    decision: Decision | None = None
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class ExpectationGrade:
    """A place at which a plan can fail a device, and how many caught defects came by there."""

    line: int
    end: int
    text: str
    decided: int


@dataclass(frozen=True, slots=True)
class PlanGrade:
    """A plan: ``good`` where it passes on good devices, whatever the seed.

    ``remarks`` are for its author: no expectation, no row, errors.
    """

    id: str
    row: str
    title: str
    topology: str
    verdict: PlanVerdict
    reason: str
    good: tuple[GoodRun, ...]
    expectations: tuple[ExpectationGrade, ...]
    remarks: tuple[str, ...] = ()

    @property
    def idle(self) -> tuple[ExpectationGrade, ...]:
        """The expectations that never decided anything."""
        return tuple(one for one in self.expectations if not one.decided)


@dataclass(frozen=True, slots=True)
class Grade:
    """A whole grade. ``started`` is ISO 8601; ``problems`` are plans that could not be read."""

    bench: str
    testbed: str
    started: str
    seconds: float
    jobs: int
    seeds: tuple[int, ...]
    cases: int
    rows: tuple[RowGrade, ...]
    plans: tuple[PlanGrade, ...]
    problems: tuple[str, ...] = ()
    schema: int = SCHEMA

    @property
    def false_alarms(self) -> tuple[PlanGrade, ...]:
        """Plans that fail on a good device, or break on one."""
        return tuple(plan for plan in self.plans if plan.verdict in ("false alarm", "error"))

    @property
    def missed(self) -> tuple[tuple[RowGrade, DefectGrade], ...]:
        """Every defect that no plan of its row caught."""
        return tuple((row, defect) for row in self.rows for defect in row.missed)

    @property
    def passed(self) -> bool:
        """Whether all that counts is caught, and nothing is a false alarm."""
        lacking = any(row.lacking for row in self.rows)
        missed = any(defect.counts for _, defect in self.missed)
        return not (lacking or missed or self.false_alarms or self.problems)


def to_json(grade: Grade) -> str:
    """A grade as JSON text."""
    whole: dict[str, Any] = asdict(grade)
    whole["passed"] = grade.passed
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"
