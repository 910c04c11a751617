"""What counts as caught, missed, a false alarm: from how the cases of a plan ended."""

from __future__ import annotations

import json
from importlib.resources import files

import jsonschema
import pytest

from testbed.bench.grading.desk import CaseFound, Collected, Decision, Ended, Outcome, PlanFound
from testbed.bench.grading.engine import Graded
from testbed.bench.grading.grade import grade_plans, grade_rows
from testbed.bench.grading.registry import KnownDefect
from testbed.bench.grading.results import Grade, PlanGrade, RowGrade, to_json
from testbed.stack.variants import Defect

PLAN = """\
def test_it(bench):
    expect_this(bench)
    bench.expect_that()

def expect_this(bench):
    raise ExpectationFailed("not this")
"""


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "test_it.py"
    made.write_text(PLAN)
    return made


class Story:
    """A plan of row MY-1, and how each of its cases ended."""

    def __init__(self, path, *, row: str = "MY-1", unplaced: str = "", unfit: str = "") -> None:
        self.path = path
        self.id = "test_it.py::test_it"
        unfits = {"mine:BAD": unfit} if unfit else {}
        self.plan = PlanFound(
            self.id, str(path), "test_it", row, "it works", "a dut", unfits, unplaced
        )
        self.cases: list[CaseFound] = []
        self.outcomes: dict[str, Outcome] = {}

    def good(self, ended: Ended, *, seed: int = 1, reason: str = "") -> Story:
        return self._add("", seed, ended, "", reason)

    def bad(self, ended: Ended, *, role: str = "dut", unused: str = "", drilled: str = "") -> Story:
        return self._add("mine:BAD", 1, ended, role, "why", unused=unused, drilled=drilled)

    def _add(self, defect, seed, ended: Ended, role, reason, **more) -> Story:
        case = CaseFound(f"{self.id}[{len(self.cases)}]", self.id, "dut=sw1", seed, defect, role)
        decision = Decision(str(self.path), 6, "raise", "not this", (2, 6))
        self.cases.append(case)
        self.outcomes[case.id] = Outcome(
            case.id, ended, reason, decision if ended == "fail" else None, **more
        )
        return self

    def graded(self) -> Graded:
        found = Collected((self.plan,), tuple(self.cases), ())
        return Graded(found, self.outcomes, {case.id: case for case in self.cases})

    def row(self) -> RowGrade:
        (found,) = grade_rows(self.graded(), DEFECTS)
        return found

    def judged(self) -> PlanGrade:
        (found,) = grade_plans(self.graded(), grade_rows(self.graded(), DEFECTS))
        return found


BAD = Defect("bad", "MY-1", "A story.", {})
DEFECTS = (KnownDefect("mine:BAD", BAD, frozenset({"switch"}), own=True),)


def test_a_failure_by_the_plans_own_judgement_is_a_catch(path) -> None:
    (defect,) = Story(path).good("pass").bad("fail").row().defects
    assert defect.verdict == "caught"
    assert defect.caught_by.decision.place == f"{path}:6"
    assert defect.caught_by.decision.expectation == "not this"


@pytest.mark.parametrize(
    ("ended", "told"),
    [
        ("pass", "passes with it in dut"),
        ("error", "breaks on it: why"),
        ("skip", "skipped: why"),
        ("took too long", "why"),
        ("died", "why"),
    ],
)
def test_nothing_else_is(path, ended, told) -> None:
    (defect,) = Story(path).good("pass").bad(ended).row().defects
    assert defect.verdict == "missed"
    assert defect.reason == f"test_it: {told}"


def test_a_plan_that_fails_good_devices_has_caught_nothing(path) -> None:
    (defect,) = Story(path).good("fail").bad("fail").row().defects
    assert defect.verdict == "missed"
    assert "fails on good devices too" in defect.reason


def test_one_role_is_enough(path) -> None:
    (defect,) = Story(path).good("pass").bad("pass", role="a").bad("fail", role="b").row().defects
    assert defect.verdict == "caught"
    assert defect.caught_by.role == "b"


def test_what_nothing_had_in_it_was_not_tried(path) -> None:
    (defect,) = Story(path).good("pass").bad("pass", unused="it makes no stack on a").row().defects
    assert [one.verdict for one in defect.attempts] == ["not applicable"]
    assert defect.verdict == "missed"  # as no other plan of the row has caught it


def test_what_fits_no_node_or_no_bench_was_not_tried(path) -> None:
    unfit = Story(path, unfit="no switch in its topology").good("pass")
    assert "no switch" in unfit.row().defects[0].reason
    unplaced = Story(path, unplaced="nowhere to put it")
    assert "nowhere" in unplaced.row().defects[0].reason
    skipped = Story(path).good("skip", reason="it cannot")
    assert "skipped: it cannot" in skipped.row().defects[0].reason


def test_a_drill_that_expects_another_reason_is_told(path) -> None:
    (defect,) = Story(path).good("pass").bad("fail", drilled="floods").row().defects
    assert defect.caught_by.drilled == "floods"


def test_rows_that_were_asked_for_are_graded_without_plans_too(path) -> None:
    rows = grade_rows(Story(path).good("pass").graded(), DEFECTS, ["TC-01", "SW-01", "YOUR-1"])
    assert [row.id for row in rows] == ["SW-01", "TC-01", "YOUR-1", "MY-1"]
    assert rows[0].lacking == ("never learns",)


def test_verdicts_of_plans(path) -> None:
    assert Story(path).good("pass").judged().verdict == "good"
    assert Story(path).good("skip", reason="no").judged().verdict == "skipped"
    assert Story(path, unplaced="nowhere").judged().reason == "nowhere"
    alarm = Story(path).good("pass").good("fail", seed=2, reason="not this").judged()
    assert alarm.verdict == "false alarm"
    assert alarm.reason == f"not this at {path}:6, on dut=sw1, seed 2 (1 of 2 runs)"
    assert Story(path).good("fail").good("error", seed=2).judged().verdict == "error"
    assert Story(path).good("took too long").judged().verdict == "error"


def test_expectations_that_a_catch_came_by_have_decided(path) -> None:
    plan = Story(path).good("pass").bad("fail").judged()
    assert [(one.line, one.decided) for one in plan.expectations] == [(3, 0), (6, 1)]
    assert [one.line for one in plan.idle] == [3]


def test_authors_are_told_what_their_plans_lack(path) -> None:
    path.write_text("def test_it(bench):\n    bench.log('hello')\n")
    told = Story(path, row="").good("pass").judged().remarks
    assert any("expects nothing" in remark for remark in told)
    assert any("names no row" in remark for remark in told)


def whole(story: Story, **more) -> Grade:
    rows = grade_rows(story.graded(), DEFECTS)
    plans = grade_plans(story.graded(), rows)
    return Grade("sim", "1", "2026-01-01T00:00:00+00:00", 1.0, 2, (1,), 2, rows, plans, **more)


def test_a_grade_passes_where_all_is_caught_and_nothing_is_a_false_alarm(path) -> None:
    assert whole(Story(path).good("pass").bad("fail")).passed
    assert not whole(Story(path).good("pass").bad("pass")).passed
    assert not whole(Story(path).good("fail").bad("fail")).passed
    assert not whole(Story(path).good("pass").bad("fail"), problems=("cannot be read",)).passed


def test_json_is_as_its_schema_says(path) -> None:
    schema = json.loads(files("testbed.bench.grading").joinpath("grade.schema.json").read_text())
    for story in (Story(path).good("pass").bad("fail"), Story(path, unplaced="nowhere")):
        jsonschema.validate(json.loads(to_json(whole(story))), schema)
