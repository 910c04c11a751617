"""The shipped plans, graded: whatever the catalogue names is caught, for the right reason.

More good benches than this one are tried by ``make grade``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from testbed.bench.grading.catalogue import CATALOGUE
from testbed.bench.grading.making import Request, make_grade
from testbed.bench.grading.results import Grade
from testbed.devices.registry import PLATFORMS
from testbed.inventory import load

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def grade() -> Grade:
    file = ROOT / "inventory/sim.yaml"
    bench = load(file, platforms=frozenset(PLATFORMS)).bench
    cores = len(os.sched_getaffinity(0))
    request = Request((str(ROOT / "plans"),), bench, file, jobs=cores, whole=True)
    return make_grade(request)


def test_every_plan_can_be_read(grade) -> None:
    assert grade.problems == ()


def test_no_plan_fails_on_good_devices(grade) -> None:
    assert [f"{plan.id}: {plan.reason}" for plan in grade.false_alarms] == []


def test_every_plan_runs(grade) -> None:
    skipped = [plan for plan in grade.plans if plan.verdict == "skipped"]
    assert [f"{plan.id}: {plan.reason}" for plan in skipped] == []


@pytest.mark.parametrize("row", [row.id for row in CATALOGUE])
def test_every_defect_of_the_row_is_caught(grade, row) -> None:
    (found,) = [each for each in grade.rows if each.id == row]
    assert found.plans, "it has no plan"
    assert found.lacking == ()
    assert [f"{defect.name}: {defect.reason}" for defect in found.missed] == []


def test_what_a_plans_drill_has_is_caught_for_the_reason_that_the_drill_gives(grade) -> None:
    assert [
        f"{attempt.plan}: {defect.name}: /{attempt.drilled}/"
        for row in grade.rows
        for defect in row.defects
        for attempt in defect.attempts
        if attempt.drilled
    ] == []


def test_every_plan_expects_something_and_has_a_row(grade) -> None:
    assert [(plan.id, plan.remarks) for plan in grade.plans if plan.remarks] == []
