"""Good devices come first; defects go where the plan passed; what takes long comes first."""

from __future__ import annotations

from testbed.bench.grading.desk import CaseFound, Collected, Ended, Outcome
from testbed.bench.grading.schedule import Schedule


def good(plan: str, place: str, seed: int = 1) -> CaseFound:
    return CaseFound(f"{plan}[{place}-{seed}]", plan, place, seed)


def bad(plan: str, place: str) -> CaseFound:
    return CaseFound(f"{plan}[{place}-bad]", plan, place, 1, "key", "dut")


def schedule(*cases: CaseFound) -> Schedule:
    return Schedule(Collected((), cases, ()), first_seed=1)


def taken(made: Schedule) -> list[str]:
    found = []
    while (case := made.next()) is not None:
        found.append(case)
    return found


def done(made: Schedule, case: str, ended: Ended, took: float = 0.0) -> None:
    made.done(Outcome(case, ended, seconds=took))


def test_defects_wait_until_the_plan_has_run_on_good_devices() -> None:
    made = schedule(good("p", "sw1"), good("p", "sw1", 2), bad("p", "sw1"))
    assert made.total() == 3
    assert taken(made) == ["p[sw1-1]"]
    assert not made.left
    done(made, "p[sw1-1]", "pass")
    assert made.left
    assert taken(made) == ["p[sw1-2]", "p[sw1-bad]"]


def test_defects_go_to_the_first_place_where_the_plan_passes() -> None:
    places = ("hub", "sw1", "sw2")
    made = schedule(*(good("p", each) for each in places), *(bad("p", each) for each in places))
    assert len(taken(made)) == 3
    done(made, "p[hub-1]", "fail")
    done(made, "p[sw1-1]", "pass")
    done(made, "p[sw2-1]", "pass")
    assert taken(made) == ["p[sw1-bad]"]
    assert made.total() == 3  # the one that is taken is counted again when it is done


def test_defects_of_a_plan_that_passes_nowhere_go_where_it_was_not_skipped() -> None:
    made = schedule(good("p", "hub"), good("p", "sw1"), bad("p", "hub"), bad("p", "sw1"))
    taken(made)
    done(made, "p[hub-1]", "skip")
    done(made, "p[sw1-1]", "error")
    assert taken(made) == ["p[sw1-bad]"]


def test_a_plan_that_is_skipped_everywhere_gets_nothing_more() -> None:
    made = schedule(good("p", "sw1"), good("p", "sw1", 2), bad("p", "sw1"))
    taken(made)
    done(made, "p[sw1-1]", "skip")
    assert taken(made) == []


def test_what_takes_long_comes_first() -> None:
    made = schedule(good("quick", "a"), good("long", "a"), bad("quick", "a"), bad("long", "a"))
    taken(made)
    done(made, "quick[a-1]", "pass", took=0.1)
    done(made, "long[a-1]", "pass", took=5.0)
    assert taken(made) == ["long[a-bad]", "quick[a-bad]"]
