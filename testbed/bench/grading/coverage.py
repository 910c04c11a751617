"""The catalogue held against what there is: plans, benches, defects, and the last grade."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from testbed.bench.cases import Marked, cases_for
from testbed.bench.grading.catalogue import CATALOGUE, Row
from testbed.bench.grading.keeping import KeptRow
from testbed.bench.grading.registry import KnownDefect
from testbed.errors import PlanError
from testbed.inventory import Bench as BenchFile

__all__ = ["CoveredRow", "Placed", "coverage"]


@dataclass(frozen=True, slots=True)
class Placed:
    """How many of a row's plans a bench can run, of how many, and why not the others."""

    runs: int
    plans: int
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CoveredRow:
    """A row of the catalogue and what there is of it. ``benches`` has each bench by its name."""

    row: Row
    plans: tuple[str, ...]
    benches: Mapping[str, Placed]
    defects: int
    lacking: tuple[str, ...]
    """Defects that the catalogue names and nobody has made."""
    graded: KeptRow | None


def coverage(
    plans: Mapping[str, Marked],
    benches: Sequence[BenchFile],
    defects: Sequence[KnownDefect],
    graded: Mapping[str, KeptRow],
) -> tuple[CoveredRow, ...]:
    """Every row; ``plans`` by their ids, ``graded`` the rows of the last grade by theirs."""
    return tuple(_covered(row, plans, benches, defects, graded.get(row.id)) for row in CATALOGUE)


def _covered(
    row: Row,
    plans: Mapping[str, Marked],
    benches: Sequence[BenchFile],
    defects: Sequence[KnownDefect],
    graded: KeptRow | None,
) -> CoveredRow:
    mine = {plan: marked for plan, marked in plans.items() if marked.behaviour == row.id}
    names = [known.defect.name for known in defects if known.row == row.id]
    skipped = graded.skipped if graded else {}
    return CoveredRow(
        row=row,
        plans=tuple(mine),
        benches={
            bench.bench: _placed(mine, bench, skipped if bench.lab == "sim" else {})
            for bench in benches
        },
        defects=len(names),
        lacking=tuple(name for name in row.defects if name not in names),
        graded=graded,
    )


def _placed(plans: Mapping[str, Marked], bench: BenchFile, skipped: Mapping[str, str]) -> Placed:
    reasons: dict[str, None] = {}
    runs = 0
    for plan, marked in plans.items():
        try:
            cases, reason = cases_for(marked, bench, drill=False)
        except PlanError as error:
            cases, reason = [], str(error)
        if cases and plan not in skipped:
            runs += 1
        else:
            reasons[skipped.get(plan) or reason] = None
    return Placed(runs, len(plans), tuple(reasons))
