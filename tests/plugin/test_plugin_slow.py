"""Plans that take minutes are left out, with the reason, unless they are asked for."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.root

PLAN = """
@STAR
@pytest.mark.slow("a timer of three minutes")
@drill("fails", lambda bench: None, caught="at last")
def test_slow(bench: Bench) -> None:
    raise ExpectationFailed("at last")

@STAR
def test_quick(bench: Bench) -> None:
    bench.nic("a").inject(HELLO)
"""


def test_slow_plans_are_told_as_not_run(sandbox) -> None:
    plan = sandbox.plan("test_times", PLAN)
    done = sandbox.testbed("run", "--bench=small.yaml", "--no-prove", plan)
    assert done.code == 0, done.text
    assert "slow, not run without --slow: a timer of three minutes" in done


def test_slow_plans_run_when_asked_for(sandbox) -> None:
    plan = sandbox.plan("test_times", PLAN)
    done = sandbox.testbed("run", "--bench=small.yaml", "--no-prove", "--slow", plan)
    assert done.code == 1, done.text
    assert "at last" in done


def test_slow_drills_run_when_asked_for(sandbox) -> None:
    plan = sandbox.plan("test_times", PLAN)
    quick = sandbox.testbed("drill", "--bench=small.yaml", plan, "-k", "slow")
    assert "a timer of three minutes" in quick
    slow = sandbox.testbed("drill", "--bench=small.yaml", plan, "-k", "slow", "--slow")
    assert slow.code == 0, slow.text


def test_a_slow_plan_says_why(sandbox) -> None:
    bare = PLAN.replace('slow("a timer of three minutes")', "slow")
    done = sandbox.testbed("run", "--bench=small.yaml", sandbox.plan("test_bare", bare))
    assert done.code == 2, done.text
    assert "slow(...): say why" in done
