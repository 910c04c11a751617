"""``testbed plans grade``, as its users start it: their own plans, defects and bench."""

from __future__ import annotations

import json
import re

import pytest
from plan_runs import Sandbox

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
from testbed import UdpDatagram, compose

PLACE = pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))


def answers(bench, port):
    """What comes back for a datagram to a port where nobody listens."""
    network = bench.bring_up_network()
    peer, dut = network["peer"], network["dut"]
    with bench.capture("peer--dut") as seen:
        bench.nic("peer").inject(
            compose(
                EthFrame(dst=dut.mac, src=peer.mac),
                testbed.IPv4Packet(src=peer.ip, dst=dut.ip),
                UdpDatagram(src_port=4000, dst_port=port, payload=b"hello"),
            )
        )
        bench.watch_for(milliseconds(100))
    return seen.at("peer--dut").all(match.icmpv4(type=3, code=3))


@pytest.mark.behaviour("MY-1")
@PLACE
def test_catches(bench: Bench) -> None:
    """A port that is closed says so."""
    if bench.loop.now() < 0:
        raise ExpectationFailed("time went back")
    if not answers(bench, 5000):
        raise ExpectationFailed("no word of a closed port")


@pytest.mark.behaviour("MY-2")
@PLACE
def test_asserts(bench: Bench) -> None:
    assert answers(bench, 5000)


@pytest.mark.behaviour("MY-3")
@PLACE
def test_crashes(bench: Bench) -> None:
    answers(bench, 5000)[0]
    bench.expect_nothing = None


@pytest.mark.behaviour("MY-4")
@PLACE
def test_hangs(bench: Bench) -> None:
    while not answers(bench, 5000):
        pass
    assert True


@pytest.mark.behaviour("MY-5")
@PLACE
def test_alarms(bench: Bench) -> None:
    assert len(answers(bench, 5000)) == 2


@PLACE
def test_expects_nothing(bench: Bench) -> None:
    answers(bench, 5000)
'''

DEFECTS = """
from testbed.stack.udp import UdpLayer
from testbed.stack.variants import Defect

class _Deaf(UdpLayer):
    __slots__ = ()

    def receive(self, *_args, **_kwargs):
        pass

def deaf(row):
    return Defect("deaf", row, "A host hears no datagrams after an update.", {UdpLayer: _Deaf})

ONE, TWO, THREE, FOUR, FIVE = (deaf(f"MY-{n}") for n in range(1, 6))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    made = Sandbox(tmp_path_factory.mktemp("grades"))
    made.write("tiny.yaml", BENCH)
    made.plan("test_mine", PLAN)
    made.write("mine.py", DEFECTS)
    return made


@pytest.fixture(scope="module")
def graded(place: Sandbox):
    arguments = ("--bench", "tiny.yaml", "--defects", "mine.py", "--limit", "3", "--seeds", "2")
    return place.testbed("plans", "grade", "--plans", "plans", *arguments, "--json", "grade.json")


@pytest.fixture(scope="module")
def found(place: Sandbox, graded) -> dict:
    assert graded.code == 1, graded.text
    return json.loads((place.path / "grade.json").read_text())


def defect(found: dict, row: str) -> dict:
    (one,) = next(each["defects"] for each in found["rows"] if each["id"] == row)
    return one


def plan(found: dict, name: str) -> dict:
    return next(each for each in found["plans"] if each["id"].endswith(f"::{name}"))


def test_a_defect_is_caught_by_an_expectation_and_it_is_told_which(place, graded, found) -> None:
    attempt = defect(found, "MY-1")["attempts"][0]
    decision = attempt["decision"]
    source = (place.path / "plans/test_mine.py").read_text().splitlines()
    assert attempt["verdict"] == "caught"
    assert decision["expectation"] == "no word of a closed port"
    assert "no word of a closed port" in source[decision["line"] - 1]
    assert f"test_mine.py:{decision['line']}" in graded


def test_a_plain_assertion_of_the_plan_catches_too(found) -> None:
    assert defect(found, "MY-2")["verdict"] == "caught"


def test_a_crash_and_a_hang_catch_nothing(found) -> None:
    crash, hang = defect(found, "MY-3"), defect(found, "MY-4")
    assert (crash["verdict"], hang["verdict"]) == ("missed", "missed")
    assert "breaks on it: IndexError" in crash["attempts"][0]["reason"]
    told = hang["attempts"][0]["reason"]
    assert re.fullmatch(r"took longer than 3 s, at plans/test_mine\.py:\d+", told)


def test_a_false_alarm_is_told_and_catches_nothing(graded, found) -> None:
    alarm = plan(found, "test_alarms")
    assert alarm["verdict"] == "false alarm"
    assert "(2 of 2 runs)" in alarm["reason"]
    assert defect(found, "MY-5")["verdict"] == "missed"
    assert re.search(r"test_alarms.*false alarm", graded.text)


def test_plans_that_judge_nothing_are_told(graded, found) -> None:
    remarks = plan(found, "test_expects_nothing")["remarks"]
    assert any("expects nothing" in each for each in remarks)
    assert any("names no row" in each for each in remarks)
    assert "no device can fail it" in graded


def test_what_never_decided_anything_is_told(graded, found) -> None:
    idle = [one for one in plan(found, "test_catches")["expectations"] if not one["decided"]]
    assert [one["text"] for one in idle] == ["raise ExpectationFailed('time went back')"]
    assert re.search(rf"plans/test_mine\.py *│ [\d, ]*\b{idle[0]['line']}\b", graded.text)


def test_good_devices_are_tried_with_every_seed(found) -> None:
    assert [run["seed"] for run in plan(found, "test_catches")["good"]] == [1, 2]
    assert found["seeds"] == [1, 2]


def test_the_summary_counts(graded) -> None:
    assert "2 of 5 defects caught; 2 of 5 of the catalogue's and your own" in graded
    assert "not passed" in graded


def test_a_grade_that_passes(place) -> None:
    arguments = (
        "--bench",
        "tiny.yaml",
        "--defects",
        "mine.py",
        "-b",
        "MY-1",
        "--jobs",
        "1",
        "plans",
    )
    done = place.testbed("plans", "grade", *arguments)
    assert done.code == 0, done.text
    assert "1 of 1 defects caught" in done


def test_nothing_is_left_behind(place, graded) -> None:
    assert not (place.path / "reports").exists()
    assert [path.name for path in place.scratch.iterdir()] == []


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("--bench", "small.yaml"), 2, "only simulated devices can be given defects"),
        (("--bench", "tiny.yaml", "--defects", "none.py"), 2, "cannot be read"),
        (("--bench", "none.yaml"), 2, "none.yaml"),
        (("--bench", "tiny.yaml", "nowhere"), 2, "nowhere"),
        (("--bench", "tiny.yaml", "-b", "XX-9", "plans"), 4, "0 of 0 plans"),
        (("--bench", "tiny.yaml", "--seeds", "0"), 2, "--seeds"),
    ],
)
def test_usage(place, arguments, code, told) -> None:
    done = place.testbed("plans", "grade", *arguments, "--jobs", "1")
    assert done.code == code, done.text
    assert told in done


def test_a_plan_that_cannot_be_read_is_told(place) -> None:
    place.write("broken/test_broken.py", "import nothing_of_that_name\n")
    done = place.testbed("plans", "grade", "--bench", "tiny.yaml", "broken", "--jobs", "1")
    assert done.code == 2, done.text
    assert "broken/test_broken.py cannot be read" in done
    assert "nothing_of_that_name" in done
