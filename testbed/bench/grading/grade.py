"""From how cases ended to a grade: what was caught, by what, and what was not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from testbed.bench.grading.catalogue import CATALOGUE, Row, row_of
from testbed.bench.grading.desk import CaseFound, Collected, Outcome, PlanFound
from testbed.bench.grading.engine import Graded
from testbed.bench.grading.expectations import Expectation, expectations_of
from testbed.bench.grading.registry import KnownDefect
from testbed.bench.grading.results import (
    Attempt,
    DefectGrade,
    ExpectationGrade,
    GoodRun,
    PlanGrade,
    PlanVerdict,
    RowGrade,
)

__all__ = ["grade_plans", "grade_rows"]

Run = tuple[CaseFound, Outcome]


def grade_rows(
    graded: Graded, defects: Sequence[KnownDefect], rows: Iterable[str] = ()
) -> tuple[RowGrade, ...]:
    """The rows that have plans, and ``rows``: in the catalogue's order, others last."""
    book = _Book(graded)
    with_plans = (plan.row for plan in book.plans if plan.row)
    wanted = dict.fromkeys([*rows, *with_plans])
    catalogued = [row for row in CATALOGUE if row.id in wanted]
    others = [Row(name, "", ()) for name in wanted if row_of(name) is None]
    return tuple(_row(row, book, defects) for row in (*catalogued, *others))


def grade_plans(graded: Graded, rows: Sequence[RowGrade]) -> tuple[PlanGrade, ...]:
    """Every plan, in the order of their rows."""
    book = _Book(graded)
    order = {plan: place for place, plan in enumerate(plan for row in rows for plan in row.plans)}
    plans = sorted(book.plans, key=lambda plan: order.get(plan.id, len(order)))
    attempts = [one for row in rows for defect in row.defects for one in defect.attempts]
    return tuple(_plan(plan, book, attempts) for plan in plans)


class _Book:
    """What was run, by plan."""

    def __init__(self, graded: Graded) -> None:
        collected: Collected = graded.collected
        self.plans = collected.plans
        self._runs: dict[str, list[Run]] = {}
        for case in collected.cases:
            if case.id in graded.outcomes:
                self._runs.setdefault(case.plan, []).append((case, graded.outcomes[case.id]))

    def runs(self, plan: PlanFound, defect: str = "") -> list[Run]:
        """The runs of a plan on a defect, by its key; without one, those on good devices."""
        return [run for run in self._runs.get(plan.id, ()) if run[0].defect == defect]


def _row(row: Row, book: _Book, defects: Sequence[KnownDefect]) -> RowGrade:
    plans = tuple(plan for plan in book.plans if plan.row == row.id)
    mine = [known for known in defects if known.row == row.id]
    names = {known.defect.name for known in mine}
    return RowGrade(
        id=row.id,
        title=row.title,
        plans=tuple(plan.id for plan in plans),
        defects=tuple(_defect(row, known, plans, book) for known in mine),
        lacking=tuple(name for name in row.defects if name not in names),
    )


def _defect(row: Row, known: KnownDefect, plans: Sequence[PlanFound], book: _Book) -> DefectGrade:
    attempts = tuple(one for plan in plans for one in _attempts(plan, known.key, book))
    caught = any(one.verdict == "caught" for one in attempts)
    return DefectGrade(
        key=known.key,
        name=known.defect.name,
        story=known.defect.story,
        kinds=tuple(sorted(known.kinds)),
        named=known.defect.name in row.defects,
        own=known.own,
        verdict="caught" if caught else "missed",
        attempts=attempts,
    )


def _attempts(plan: PlanFound, key: str, book: _Book) -> list[Attempt]:
    if unfit := plan.unfit.get(key) or plan.unplaced:
        return [Attempt(plan.id, "", "not applicable", unfit)]
    good = book.runs(plan)
    run = book.runs(plan, key)
    if not run:
        reason = next((outcome.reason for _, outcome in good if outcome.reason), "it was not run")
        return [Attempt(plan.id, "", "not applicable", f"skipped: {reason}")]
    return [_attempt(case, outcome, good) for case, outcome in run]


def _attempt(case: CaseFound, outcome: Outcome, good: Sequence[Run]) -> Attempt:
    """What became of a defect; a plan that fails good devices too has not caught it."""
    passes = [one for one, ended in good if ended.ended == "pass" and one.seed == case.seed]
    sound = any(one.placement == case.placement for one in passes)
    attempt = Attempt(case.plan, case.role, "missed", seconds=round(outcome.seconds, 3))
    if outcome.ended == "fail" and sound:
        decision, drilled = outcome.decision, outcome.drilled
        return replace(attempt, verdict="caught", decision=decision, drilled=drilled)
    if outcome.unused:
        return replace(attempt, verdict="not applicable", reason=outcome.unused)
    reasons = {
        "pass": f"passes with it in {case.role}",
        "fail": "fails on good devices too",
        "error": f"breaks on it: {outcome.reason}",
        "skip": f"skipped: {outcome.reason}",
    }
    return replace(attempt, reason=reasons.get(outcome.ended, outcome.reason))


def _plan(plan: PlanFound, book: _Book, attempts: Sequence[Attempt]) -> PlanGrade:
    good = tuple(
        GoodRun(case.placement, case.seed, e.ended, e.reason, e.decision, round(e.seconds, 3))
        for case, e in book.runs(plan)
    )
    verdict, reason = _verdict(plan, good)
    path = Path(plan.path)
    decided = [
        one.decision.lines
        for one in attempts
        if one.decision is not None and Path(one.decision.file).resolve() == path.resolve()
    ]
    expectations = expectations_of(path, plan.function)
    return PlanGrade(
        id=plan.id,
        row=plan.row,
        title=plan.title,
        topology=plan.topology,
        verdict=verdict,
        reason=reason,
        good=good,
        expectations=tuple(_weighed(one, decided) for one in expectations),
        remarks=tuple(_remarks(plan, expectations)),
    )


def _verdict(plan: PlanFound, good: Sequence[GoodRun]) -> tuple[PlanVerdict, str]:
    wrong = [run for run in good if run.ended not in ("pass", "skip")]
    if wrong:
        worst = next((run for run in wrong if run.ended != "fail"), wrong[0])
        at = f" at {worst.decision.place}" if worst.decision else ""
        others = f" ({len(wrong)} of {len(good)} runs)" if len(good) > 1 else ""
        told = f"{worst.reason}{at}, on {worst.placement}, seed {worst.seed}{others}"
        return "false alarm" if worst.ended == "fail" else "error", told
    if any(run.ended == "pass" for run in good):
        return "good", ""
    return "skipped", plan.unplaced or next((run.reason for run in good), "it was not run")


def _weighed(one: Expectation, decided: Iterable[Sequence[int]]) -> ExpectationGrade:
    by = sum(any(one.line <= line <= one.end for line in lines) for lines in decided)
    return ExpectationGrade(one.line, one.end, one.text, by)


def _remarks(plan: PlanFound, expectations: Sequence[Expectation]) -> Iterable[str]:
    if not expectations:
        yield "it expects nothing: no device can fail it"
    if not plan.row:
        yield 'it names no row, so no defect is for it: @pytest.mark.behaviour("...")'
