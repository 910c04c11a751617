"""``testbed plans diff``: what it tells, and what it ends with."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from plan_runs import ROOT, Sandbox

from testbed.cli.exits import Exit
from testbed.report.records import DeviceRecord, JudgementRecord, PlanRecord, RunRecord
from testbed.report.serial import to_json

SIM = str(ROOT / "inventory" / "sim.yaml")
PLAN = "plans/switching/test_x.py::test_x"
ONE = JudgementRecord(text="expect 1 of eth()", point="a--dut", frames=(3,), source="x.py:9")
CASE = PlanRecord(
    nodeid=f"{PLAN}[sw1]",
    verdict="pass",
    behaviour="SW-99",
    mapping={"dut": "sw1"},
    judgements=(ONE,),
)


def run(bench: str, platform: str, *plans: PlanRecord) -> RunRecord:
    return RunRecord(
        run_id="1",
        bench=bench,
        lab=bench,
        started=0,
        ended=1,
        plans=plans,
        devices=(DeviceRecord(name="sw1", platform=platform),),
    )


@pytest.fixture
def place(tmp_path) -> Sandbox:
    made = Sandbox(tmp_path)
    made.write("sim.json", to_json(run("sim", "sim_switch", CASE)))
    twice = replace(CASE, judgements=(replace(ONE, frames=(3, 4)),))
    made.write("alike.json", to_json(run("rack", "openvswitch", CASE)))
    made.write("apart.json", to_json(run("rack", "openvswitch", twice)))
    skipped = replace(CASE, verdict="skip", reason="no cable")
    made.write("skipped.json", to_json(run("rack", "openvswitch", skipped)))
    return made


def diff(place: Sandbox, real: str, *more: str):
    return place.call("plans", "diff", "--runs", "sim.json", f"{real}.json", *more)


def test_runs_that_do_not_part(place):
    done = diff(place, "alike")
    assert done.code == 0
    assert "sim and rack: 1 case and 1 expectation compared, 0 cases not; 0 differences" in done


def test_a_difference_that_nobody_explains(place):
    done = diff(place, "apart")
    assert done.code == Exit.FAILED
    assert "not explained: 1" in done
    (line,) = done.lines("openvswitch")
    for told in ("SW-99", "sw1", "a--dut: expect 1 of eth()", "1 frame", "2 frames", "x.py:9"):
        assert told in line


def test_a_difference_that_is_explained(place):
    place.write(
        "plans/differences.yaml",
        "- plan: plans/switching/test_x.py\n  why: this switch stutters\n",
    )
    done = diff(place, "apart")
    assert done.code == 0
    assert "explained: 1" in done
    assert "this switch stutters" in done


def test_an_explanation_that_is_needed_no_more(place):
    place.write("known.yaml", "- plan: plans/switching/*\n  why: this switch stutters\n")
    done = diff(place, "alike", "--known", "known.yaml")
    assert done.code == 0
    assert "known.yaml:1: explains nothing any more: plans/switching/* on *" in done
    assert "1 explanation stale" in done


def test_a_file_of_explanations_that_is_not_there(place):
    done = diff(place, "alike", "--known", "nowhere.yaml")
    assert done.code == Exit.USAGE
    assert "nowhere.yaml" in done


def test_what_could_not_run_is_told_and_is_no_difference(place):
    done = diff(place, "skipped")
    assert done.code == Exit.NOTHING
    assert "not compared: 1 case: rack: no cable" in done


def test_json_has_all_of_it(place):
    diff(place, "apart", "--json", "diff.json")
    document = json.loads((place.path / "diff.json").read_text())
    assert document["format"] == "testbed-diff/1"
    assert (document["model"], document["real"]) == ("sim", "rack")
    assert document["cases"] == [{"plan": PLAN, "platform": "openvswitch", "device": "sw1"}]
    (found,) = document["not_explained"]
    assert found["kind"] == "frames"
    assert document["explained"] == document["stale"] == document["not_compared"] == []


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--bench", SIM),
        ("--bench", SIM, "--bench", SIM, "--bench", SIM),
        ("--bench", SIM, "--runs", "sim.json", "alike.json"),
    ],
)
def test_it_takes_two_benches_or_two_runs(place, arguments):
    done = place.call("plans", "diff", *arguments)
    assert done.code == Exit.USAGE
    assert "Name two benches" in done


def test_a_bench_that_cannot_be_run_on_is_told(place):
    place.write("broken.yaml", "bench: broken\n")
    place.call("plans", "new", "mine")
    done = place.testbed("plans", "diff", "--bench", SIM, "--bench", "broken.yaml", "plans")
    assert done.code == Exit.RIG
    assert "no run on broken.yaml" in done


def test_plans_run_on_both_benches(place):
    place.call("plans", "new", "mine")
    done = place.testbed(
        "plans", "diff", "--bench", SIM, "--bench", SIM, "plans", "--artifacts", "kept"
    )
    assert done.code == 0, done.text
    assert "sim and sim: 1 case and 3 expectations compared" in done
    assert len(list((place.path / "kept").glob("*/*/report.html"))) == 2
