"""Benchmarks in virtual time, where every answer is known in advance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from plan_runs import ROOT, Sandbox

BENCH = """\
bench: even
lab: sim
controller:
  nics: {a: {}, b: {}, c: {}, d: {}}
devices:
  sw: {platform: sim_switch, ports: [p1, p2, p3, p4]}
cables:
  - {ends: [controller:a, sw:p1], speed: 100M, delay: 500ns}
  - {ends: [controller:b, sw:p2], speed: 100M, delay: 500ns}
  - {ends: [controller:c, sw:p3], speed: 100M, delay: 500ns}
  - {ends: [controller:d, sw:p4], speed: 100M, delay: 500ns}
"""

DEVICES = """
from testbed import Trials
from testbed.sim.switch.defects.speed import BLOCKS_HEAD_OF_LINE, LISTENS_AFTER_RESET
from testbed.sim.switch.fabric import Fabric
from testbed.stack.variants import Defect
from testbed.timing import Duration, Instant, microseconds

PAIR = pytest.mark.topology(Topology.star("dut", "a", "b"))
STAR = pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))


def wrong(part):
    return Defect("test", "MY-1", "For a test.", {Fabric: part})


class Engine(Fabric):
    '''50,000 frames a second, and what waits longer than ``patience`` is lost.'''

    patience = Duration(0)
    free = Instant(0)

    def store(self, port, frame, now):
        start = max(self.free, now)
        if start - now <= self.patience:
            self.free = start + 20_000
            self.place(Instant(start + self.latency), port, frame)


class Buffered(Engine):
    patience = microseconds(1000)


class Deaf(Engine):
    deaf = Instant(0)

    def store(self, port, frame, now):
        if now < self.deaf or now < self.free:
            self.deaf = now + 1_000_000
        else:
            super().store(port, frame, now)


class Queues(Fabric):
    '''A queue for each exit at 100 Mbit/s, and room for a few frames in it.'''

    free = {}

    def store(self, port, frame, now):
        start = max(self.free.get(port, now), now)
        if start - now <= 50_000:
            self.free[port] = start + (len(frame) + 24) * 80
            self.place(Instant(start + self.latency), port, frame)

"""


class Rig(Sandbox):
    """Plans of DEVICES on a switch with four ports of 100 Mbit/s."""

    def measure(self, body: str) -> str:
        """Write a plan, whose name this process has not met, and its bench; the plan's path."""
        self.write("even.yaml", BENCH)
        return self.plan(f"test_{self.path.name}", DEVICES + body)

    def trial(self, body: str, *options: str, duration: str = "0.02") -> list[dict]:
        plan = self.measure(body)
        arguments = ["--bench=even.yaml", "--performance", f"--trial-duration={duration}"]
        done = self.call("run", *arguments, *options, plan)
        assert done.code == 0, done.text
        return self.results()

    def results(self) -> list[dict]:
        """The benchmarks of the last run."""
        (found,) = (self.path / "reports").glob("*/benchmarks.json")
        return json.loads(found.read_text())["benchmarks"]


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path)


def test_a_switch_with_no_limit_forwards_at_the_line_rate_exactly(rig) -> None:
    (result,) = rig.trial(
        "@PAIR\n@pytest.mark.performance\ndef test_it(trials: Trials) -> None:\n"
        "    trials.throughput('a', 'b')\n",
        duration="0.002",
    )
    assert {row["bytes"]: row["fps"] for row in result["rows"]} == {
        # RFC 2544 9.1's sizes at 100 Mbit/s: 8 bytes of preamble and 12 of gap for each frame.
        size: round(100_000_000 / 8 / (size + 20)) for size in (64, 128, 256, 512, 1024, 1280, 1518)
    }  # fmt: skip
    assert {row["remark"] for row in result["rows"]} == {"line rate"}
    assert {row["share"] for row in result["rows"]} == {100.0}
    assert {row["trials"] for row in result["rows"]} == {1}
    assert result["departures"] == ["trials of 2 ms, where RFC 2544 24 asks for 60 s"]


def test_a_slower_switch_is_found_to_within_the_resolution(rig) -> None:
    (result,) = rig.trial(
        "@PAIR\n@pytest.mark.performance\ndef test_it(bench: Bench, trials: Trials) -> None:\n"
        "    bench.spoil('dut', wrong(Engine))\n    trials.throughput('a', 'b')\n",
        "--frame-size=64",
        "--frame-size=128",
    )
    assert [row["bytes"] for row in result["rows"]] == [64, 128]
    for row in result["rows"]:
        assert 49_500 <= row["fps"] <= 50_000
        assert row["remark"] == ""
        assert row["trials"] <= 10


def test_loss_is_what_the_engine_cannot_take(rig) -> None:
    (result,) = rig.trial(
        "@PAIR\n@pytest.mark.performance\ndef test_it(bench: Bench, trials: Trials) -> None:\n"
        "    bench.spoil('dut', wrong(Engine))\n    trials.frame_loss('a', 'b')\n",
        "--frame-size=64",
    )
    loads = [row["load"] for row in result["rows"]]
    assert loads == [100, 90, 80, 70, 60, 50, 40, 30, 20]
    assert [row["lost"] for row in result["rows"][-2:]] == [0, 0]
    assert all(row["lost"] for row in result["rows"][:-2])
    # At 6.72 us a frame, each third one finds the engine free, 20.16 us after the last.
    assert result["rows"][0]["loss"] == pytest.approx(200 / 3, abs=0.1)


def test_the_longest_burst_is_what_the_buffer_holds(rig) -> None:
    (result,) = rig.trial(
        "@PAIR\n@pytest.mark.performance\ndef test_it(bench: Bench, trials: Trials) -> None:\n"
        "    bench.spoil('dut', wrong(Buffered))\n    trials.back_to_back('a', 'b')\n",
        "--frame-size=64",
    )
    (row,) = result["rows"]
    # Frame n waits n times 20 - 6.72 us, and 1 ms at most.
    longest = 1_000_000 // (20_000 - 6_720) + 1
    assert longest - 2 <= row["frames"] <= longest
    assert row["asked"] == 2976


def test_latency_is_the_time_on_both_lines_and_in_the_switch(rig) -> None:
    (result,) = rig.trial(
        "@PAIR\n@pytest.mark.performance\ndef test_it(trials: Trials) -> None:\n"
        "    for each in trials.latency('a', 'b'):\n"
        "        assert len(each.tagged) == 3\n",
        "--trials=3",
        "--frame-size=64",
        "--frame-size=1518",
        duration="0.005",
    )
    for row in result["rows"]:
        wire = (row["bytes"] + 20) * 0.08
        # Two lines, 4 us in the fabric, and 0.5 us on each cable.
        assert row["least"] == pytest.approx(2 * wire + 4 + 2 * 0.5, abs=0.01)
        # The tagged frame may have met one of the stream at the door.
        assert row["least"] <= row["latency"] <= row["least"] + wire + 0.1


def test_an_outage_after_a_reset_is_measured(rig) -> None:
    (result,) = rig.trial(
        "@PAIR\n@pytest.mark.performance\ndef test_it(bench: Bench, trials: Trials) -> None:\n"
        "    bench.spoil('dut', LISTENS_AFTER_RESET)\n    trials.reset('a', 'b')\n",
        "--frame-size=64",
    )
    (row,) = result["rows"]
    assert 3.0 <= row["seconds"] <= 3.1
    assert row["lost"] == round(row["seconds"] * row["fps"])


def test_a_switch_that_stays_deaf_has_not_recovered(rig) -> None:
    (result,) = rig.trial(
        "@PAIR\n@pytest.mark.performance\ndef test_it(bench: Bench, trials: Trials) -> None:\n"
        "    bench.spoil('dut', wrong(Deaf))\n    trials.recovery('a', 'b')\n",
        "--frame-size=64",
        duration="0.005",
    )
    (row,) = result["rows"]
    assert row["seconds"] == 0.005
    assert "not recovered" in row["remark"]


def test_a_switch_recovers_as_soon_as_its_queue_is_empty(rig) -> None:
    (result,) = rig.trial(
        "@PAIR\n@pytest.mark.performance\ndef test_it(bench: Bench, trials: Trials) -> None:\n"
        "    bench.spoil('dut', wrong(Buffered))\n    trials.recovery('a', 'b')\n",
        "--frame-size=64",
    )
    (row,) = result["rows"]
    # What is lost at the end of the overload shows once the queue of 1 ms has passed.
    assert 0.001 <= row["seconds"] <= 0.0013
    assert row["remark"] == ""


def test_the_head_of_the_line_is_told_from_a_queue_for_each_port(rig) -> None:
    blocked, queued = rig.trial(
        "@STAR\n@pytest.mark.performance\n"
        "@pytest.mark.parametrize('what', [BLOCKS_HEAD_OF_LINE, wrong(Queues)], ids='ab')\n"
        "def test_it(bench: Bench, trials: Trials, what) -> None:\n"
        "    bench.spoil('dut', what)\n    trials.congestion()\n",
        "--frame-size=64",
        duration="0.005",
    )
    (row,) = blocked["rows"]
    assert row["remark"] == "head of line blocked"
    assert row["uncongested"] > 1
    (row,) = queued["rows"]
    assert row["remark"] == "no head of line blocked, no back pressure"
    assert row["uncongested"] == 0
    # Half more than the line has: a third is lost, less what the queue holds.
    assert 30 < row["congested"] < 100 / 3


def test_a_mesh_and_broadcasts_have_all_that_the_lines_carry(rig) -> None:
    mesh, half, broadcast = rig.trial(
        "@STAR\n@pytest.mark.performance\ndef test_it(trials: Trials) -> None:\n"
        "    trials.forwarding('full')\n    trials.forwarding('partial')\n"
        "    trials.broadcast('a')\n",
        "--frame-size=128",
        duration="0.002",
    )
    line = 100_000_000 / 8 / 148
    for result, sources in ((mesh, 4), (half, 2)):
        (row,) = result["rows"]
        assert row["full"] == pytest.approx(sources * line, abs=1)
        assert (row["most_at"], row["remark"]) == (100, "line rate")
    (row,) = broadcast["rows"]
    assert row["fps"] == round(line)
    assert row["least"] >= 2 * 148 * 0.08 + 4


def test_what_a_small_table_holds_is_among_the_results(tmp_path) -> None:
    rig = Rig(tmp_path)
    bench = ROOT / "inventory/sim.yaml"
    done = rig.call("run", f"--bench={bench}", "-b", "SW-11", str(ROOT / "plans/switching"))
    assert done.code == 0, done.text
    (result,) = rig.results()
    assert result["clause"] == "RFC 2889 5.7"
    assert result["rows"] == [{"addresses": 1024, "stated": 1024, "remark": "one more is flooded"}]


def test_a_switch_below_what_is_stated_fails(rig) -> None:
    plan = rig.measure(
        "@PAIR\n@pytest.mark.performance(minimum={'throughput': 0.9, 'latency': 1})\n"
        "def test_it(bench: Bench, trials: Trials) -> None:\n"
        "    bench.spoil('dut', wrong(Engine))\n"
        "    for each in trials.throughput('a', 'b'):\n"
        "        trials.expect_at_least('throughput', each.share, f'{each.size} bytes')\n"
        "@PAIR\n@pytest.mark.performance(minimum={'latency': 1})\n"
        "def test_late(trials: Trials) -> None:\n"
        "    trials.expect_at_most('latency', 1.5, 'a frame')\n",
    )
    done = rig.call("run", "--bench=even.yaml", "--performance", "--frame-size=64", plan)
    assert done.code == 1, done.text
    assert "sw: 64 bytes: throughput is 0.3" in done.text
    assert "stated is 0.9 at least" in done.text
    assert "sw: a frame: latency is 1.5, stated is 1 at most" in done.text
    assert set(rig.verdicts().values()) == {"fail"}


def test_the_testers_limit_is_no_verdict_on_the_device(rig) -> None:
    plan = rig.measure(
        "@PAIR\n@pytest.mark.performance(minimum={'throughput_fps': 5e9})\n"
        "def test_it(trials: Trials) -> None:\n"
        '    at = "at the tester\'s limit"\n'
        "    trials.expect_at_least('throughput_fps', 1e6, '64 bytes', remark=at)\n",
    )
    rig.call("run", "--bench=even.yaml", "--performance", plan)
    (found,) = rig.plans().values()
    assert found.verdict == "skip"
    assert "the tester ends at 1e+06" in found.reason


@pytest.mark.parametrize(
    ("mark", "words"),
    [
        ("(minimum={'speed': 1})", "no speed; there are throughput,"),
        ("(minimum=5)", "expected what the device must reach"),
        ("('fast')", "expected what the device must reach"),
    ],
)
def test_a_minimum_that_makes_no_sense_is_the_authors_mistake(rig, mark, words) -> None:
    body = f"@PAIR\n@pytest.mark.performance{mark}\ndef test_it(trials: Trials) -> None: ...\n"
    plan = rig.measure(body)
    done = rig.call("run", "--bench=even.yaml", "--performance", plan)
    assert done.code == 2, done.text
    assert words in done.text
