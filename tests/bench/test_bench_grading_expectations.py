"""A plan's expectations are read from its source: each place at which it could fail a device."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.bench.grading.expectations import Expectation, expectations_of

PLAN = """\
import pytest
from testbed import ExpectationFailed

@pytest.fixture
def ready(bench):
    assert bench.is_up

def test_all(bench, ready):
    seen = bench.capture()
    seen.at("a--dut").expect_count(
        frames,
        1,
    )
    bench.device("dut").wait_learned(STATION)
    expect_answer(seen, 1)
    expect_answer(seen, 2)
    expect_once(seen)
    Judge().weigh(seen)
    if not seen:
        pytest.fail("nothing came")

def expect_answer(seen, number):
    if number not in seen:
        raise ExpectationFailed(
            f"no answer "
            f"to {number}"
        )

def expect_once(seen):
    seen.expect_none(frames)

class Judge:
    def weigh(self, seen):
        flaw = found(seen)
        if flaw:
            raise flaw

def found(seen):
    return ExpectationFailed("odd") if seen else None

def test_another(bench):
    bench.wait_until(lambda: True, 1)
    raise BenchError("no expectation")

def test_nothing(bench):
    bench.log("hello")
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("plans") / "test_plan.py"
    path.write_text(PLAN)
    return path


def texts(expectations: tuple[Expectation, ...]) -> list[str]:
    return [one.text for one in expectations]


def test_calls_assertions_and_what_raises_expectation_failed(plan) -> None:
    assert texts(expectations_of(plan, "test_all")) == [
        "assert bench.is_up",
        "seen.at('a--dut').expect_count(frames, 1)",
        "bench.device('dut').wait_learned(STATION)",
        "expect_answer(seen, 1)",
        "expect_answer(seen, 2)",
        "pytest.fail('nothing came')",
        "raise ExpectationFailed(f'no answer to {number}')",
        "seen.expect_none(frames)",
        "raise flaw",
    ]


def test_lines_are_those_of_the_whole_call(plan) -> None:
    lines = PLAN.splitlines()
    counted = expectations_of(plan, "test_all")[1]
    assert "expect_count(" in lines[counted.line - 1]
    assert lines[counted.end - 1].strip() == ")"


def test_a_plan_has_its_own_expectations_and_no_other_plans(plan) -> None:
    assert texts(expectations_of(plan, "test_another")) == ["bench.wait_until(lambda: True, 1)"]


def test_a_plan_that_expects_nothing_has_none(plan) -> None:
    assert expectations_of(plan, "test_nothing") == ()


def test_long_ones_are_cut(tmp_path) -> None:
    path = tmp_path / "long.py"
    path.write_text(f"def test_long(seen):\n    seen.expect({'a' * 200})\n")
    (one,) = expectations_of(path, "test_long")
    assert len(one.text) == 100
    assert one.text.endswith("...")
