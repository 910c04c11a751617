"""A drill is caught by the expectation it names, and by nothing else."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.root

PLANS = """
def broken(bench: Bench) -> None:
    bench.sabotage("dut").run("ip link set p2 down", undo=("ip link set p2 up",))

def harmless(bench: Bench) -> None:
    bench.sabotage("dut").run("true", undo=("true",))

def delivers(bench: Bench) -> None:
    up = [bench.device("dut").port_is_up(bench.port("dut", toward=leaf)) for leaf in "ab"]
    if not all(up):
        raise ExpectationFailed("b--dut: a port is down")

@STAR
@drill("port down", broken, caught="a port is down")
def test_caught(bench: Bench) -> None:
    delivers(bench)

@STAR
@drill("nothing", harmless, caught="a port is down")
def test_missed(bench: Bench) -> None:
    delivers(bench)

@STAR
@drill("another", broken, caught="out of coffee")
def test_other_reason(bench: Bench) -> None:
    delivers(bench)

@STAR
@drill("port down", broken, caught=r"assert .*False")
def test_caught_by_assert(bench: Bench) -> None:
    assert bench.device("dut").port_is_up(bench.port("dut", toward="b"))

@STAR
@drill("port down", broken, caught="a port is down")
def test_rig_fails(bench: Bench) -> None:
    raise BenchError("the rig is wrong")

@STAR
@drill("for another platform", {"openvswitch": broken}, caught="x")
def test_not_for_this_device(bench: Bench) -> None:
    delivers(bench)

@STAR
def test_without_a_drill(bench: Bench) -> None:
    delivers(bench)
"""


@pytest.fixture(scope="module")
def drilled(sandbox):
    plan = sandbox.plan("test_drills", PLANS)
    return sandbox.testbed("drill", plan, "--bench", "small.yaml")


def test_verdicts(sandbox, drilled) -> None:
    assert sandbox.verdicts() == {
        "test_caught[sw-port down]": "drill-caught",
        "test_missed[sw-nothing]": "drill-missed",
        "test_other_reason[sw-another]": "drill-missed",
        "test_caught_by_assert[sw-port down]": "drill-caught",
        "test_rig_fails[sw-port down]": "error",
        "test_not_for_this_device[no bench]": "skip",
        "test_without_a_drill[no bench]": "skip",
    }
    assert drilled.code == 1, drilled.text


def test_reasons(sandbox, drilled) -> None:
    plans = sandbox.plans()
    assert "passes on a device with this defect" in plans["test_missed[sw-nothing]"].reason
    other = plans["test_other_reason[sw-another]"]
    assert "another reason than /out of coffee/" in other.reason
    assert plans["test_caught[sw-port down]"].reason == "b--dut: a port is down"
    assert plans["test_caught[sw-port down]"].changes[0].undone_at


def test_captures_are_kept_of_what_went_wrong(sandbox, drilled) -> None:
    kept = {name.partition("[")[0] for name, plan in sandbox.plans().items() if plan.artifacts}
    assert kept == {"test_missed", "test_other_reason", "test_rig_fails"}


def test_everything_was_put_back(sandbox, drilled) -> None:
    assert sandbox.report().restored


NONSENSE = {
    '@drill("x", {"openvswich": print}, caught="y")': "no platform openvswich",
    '@pytest.mark.drill("x")': "write drills with testbed.drill",
    '@drill("x", print, caught="(")': "is no regular expression",
}


def test_drills_that_make_no_sense(sandbox) -> None:
    body = "def test_it(bench: Bench) -> None:\n    pass\n"
    plans = [
        sandbox.plan(f"test_nonsense{number}", f"@STAR\n{mark}\n{body}")
        for number, mark in enumerate(NONSENSE)
    ]
    done = sandbox.testbed("drill", *plans, "--bench", "small.yaml")
    assert done.code == 2, done.text
    for number, message in enumerate(NONSENSE.values()):
        assert message in done.text.split(f"test_nonsense{number}.py", 1)[1]
