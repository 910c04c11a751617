"""Benchmarks of devices run only where they are asked for, and their options are read as such."""

from __future__ import annotations

from pathlib import Path

import pytest
from plan_runs import ROOT, Sandbox

SIM = f"--bench={ROOT / 'inventory/sim.yaml'}"

PLAN = """
from testbed import Trials


@STAR
@pytest.mark.performance
def test_benchmark(trials: Trials) -> None:
    trials.throughput("a", "b")


@STAR
def test_other(bench: Bench) -> None:
    bench.nic("a").inject(HELLO)
"""


@pytest.fixture
def sim(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def test_benchmarks_are_told_as_not_run(sim) -> None:
    done = sim.testbed("run", SIM, sim.plan("test_left", PLAN))
    assert done.code == 0, done.text
    assert "a benchmark of a device, not run without --performance" in done
    assert sorted(sim.verdicts().values()) == ["pass", "skip"]
    assert not list(sim.path.glob("reports/*/benchmarks.json"))


def test_benchmarks_run_when_asked_for_and_show_their_table(sim) -> None:
    options = ("--performance", "--trial-duration=0.001", "--frame-size=256", "--frame-size=64")
    done = sim.testbed("run", SIM, *options, sim.plan("test_asked", PLAN))
    assert done.code == 0, done.text
    assert "Throughput of sw1 (RFC 2544 26.1)" in done
    assert "trials of 1 ms, where RFC 2544 24 asks for 60 s" in done
    assert "no frames of 128, 512, 1024, 1280, 1518 bytes (RFC 2544 9.1)" in done
    assert "256 bytes: trial 1 at 452,899 frames/s" in done, "progress is told while it runs"
    (result,) = sim.plans()["test_benchmark[sw1]"].benchmarks
    assert [row[0] for row in result.rows] == [256, 64]
    assert len(list(sim.path.glob("reports/*/benchmarks.json"))) == 1


def test_plain_pytest_runs_them_as_well(sim) -> None:
    options = ("--bench-performance", "--bench-trial-duration=0.001", "--bench-frame-size=64")
    done = sim.pytest(SIM, *options, sim.plan("test_plain", PLAN))
    assert done.code == 0, done.text
    assert sorted(sim.verdicts().values()) == ["pass", "pass"]


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--frame-size=20", "frames of 20 bytes: expected 64 to 9018"),
        ("--trial-duration=0", "0"),
        ("--trials=0", "0"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused(sim, option, words) -> None:
    done = sim.testbed("run", SIM, "--performance", option, sim.plan("test_odd", PLAN))
    assert done.code == 2, done.text
    assert words in done


def test_the_shipped_benchmarks_are_left_out_of_a_common_run(sim) -> None:
    done = sim.testbed("run", SIM, str(ROOT / "plans/performance"))
    assert done.code == 4, done.text  # nothing was to be run
