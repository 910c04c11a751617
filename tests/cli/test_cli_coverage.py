"""``testbed plans list --coverage``: the catalogue, and what there is of each row."""

from __future__ import annotations

import re

import pytest
from plan_runs import Done, Sandbox

from testbed.bench.grading.catalogue import CATALOGUE

BENCH = """\
bench: tiny
lab: sim
controller:
  nics: {o: {}}
hosts:
  h1: {platform: sim_host, ports: [eth1]}
cables:
  - [controller:o, h1:eth1]
"""

PLAN = '''
@pytest.mark.behaviour("UD-02")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
def test_host(bench: Bench) -> None:
    """A plan that a bench with a host can run."""
    bench.wait_until(lambda: True, seconds(1))


@pytest.mark.behaviour("SW-01")
@pytest.mark.topology(Topology.star("dut", "a", "b"))
def test_switch(bench: Bench) -> None:
    """A plan that it cannot run."""


@pytest.mark.behaviour("UD-03")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
def test_skips(bench: Bench) -> None:
    """A plan that finds out when it runs."""
    raise Unsupported("the moon is full")
'''


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    made = Sandbox(tmp_path_factory.mktemp("coverage"))
    made.write("tiny.yaml", BENCH)
    made.plan("test_mine", PLAN)
    return made


def covered(place: Sandbox) -> Done:
    done = place.testbed("plans", "list", "--coverage", "--bench", "tiny.yaml")
    assert done.code == 0, done.text
    return done


def row(done: Done, name: str) -> list[str]:
    """The cells of a row, without those of a bench's second line."""
    (line,) = done.lines(rf"^│ {name} ")
    return [cell.strip() for cell in line.strip("│").split("│")]


@pytest.fixture(scope="module")
def before(place) -> Done:
    return covered(place)


@pytest.fixture(scope="module")
def after(place, before) -> Done:
    rows = ("-b", "UD", "-b", "SW-01")
    done = place.testbed("plans", "grade", "--bench", "tiny.yaml", "--jobs", "1", *rows)
    assert done.code == 1, done.text
    return covered(place)


def test_every_row_of_the_catalogue_has_its_line(before) -> None:
    found = [
        match[1] for line in before.lines("^│") if (match := re.match(r"│ (\w\w-\d\d) ", line))
    ]
    assert found == [each.id for each in CATALOGUE]
    assert f"the catalogue: {len(CATALOGUE)} rows, 3 with plans" in before


def test_plans_and_where_they_run(before) -> None:
    assert row(before, "UD-02")[2:4] == ["1", "yes"]
    assert row(before, "SW-01")[2:4] == [
        "1",
        "no: bench tiny has nowhere to put dut:switch a:nic b:nic",
    ]
    assert row(before, "TC-01")[2:4] == ["0", "-"]


def test_what_was_not_graded_is_told(before) -> None:
    assert row(before, "UD-02")[-1] == "not graded"
    assert "not graded yet: testbed plans grade" in before


def test_what_the_last_grade_caught(after) -> None:
    named, defects, caught = row(after, "UD-02")[-3:]
    assert named == "1"
    assert caught == f"0 of {defects}"
    assert row(after, "TC-01")[-1] == "not graded"
    assert re.search(r"graded \d+ (s|ms|min) ago|graded 0 s ago", after.text)


def test_what_a_plan_found_out_when_it_ran(after) -> None:
    assert row(after, "UD-03")[3] == "no: the moon is full"
