"""What a plan ends with decides its verdict, in pytest, in JUnit, in run.json and in exit codes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

pytestmark = pytest.mark.root

PLANS = '''
@STAR
@pytest.mark.behaviour("SW-91", clause="802.1Q 8.8")
def test_passes(bench: Bench) -> None:
    """A broadcast comes out elsewhere."""
    with bench.capture() as seen:
        bench.nic("a").inject(HELLO)
    seen.at("b--dut").expect_count(match.eth(src=STATION), 1)
    bench.log("all is well")

@STAR
def test_expectation_fails(bench: Bench) -> None:
    raise ExpectationFailed("the device is wrong", "a near miss")

@STAR
def test_assert_fails(bench: Bench) -> None:
    assert bench.nic("a").mtu == 1

@STAR
def test_fails_explicitly(bench: Bench) -> None:
    pytest.fail("so it is")

@STAR
def test_rig_is_wrong(bench: Bench) -> None:
    raise BenchError("the rig is wrong")

@STAR
def test_bench_cannot(bench: Bench) -> None:
    raise Unsupported("no such port")

@STAR
def test_plan_makes_no_sense(bench: Bench) -> None:
    bench.nic("nobody")

@STAR
def test_plan_has_a_bug(bench: Bench) -> None:
    None + 1

@STAR
def test_undo_fails(bench: Bench) -> None:
    bench.sabotage("dut").run("true", undo=("grep no such-file",))

@pytest.mark.topology(Topology.star("dut", *"abcdefgh"))
def test_fits_nowhere(bench: Bench) -> None:
    pass

@STAR
@pytest.mark.needs("power")
def test_needs_power(bench: Bench) -> None:
    pass

@STAR
@pytest.mark.xfail(reason="known", strict=True)
def test_fails_as_expected(bench: Bench) -> None:
    raise ExpectationFailed("as ever")

@STAR
@pytest.mark.xfail(reason="known", strict=True)
def test_passes_unexpectedly(bench: Bench) -> None:
    pass

@STAR
@pytest.mark.xfail(reason="known")
def test_expected_failure_hides_no_wrong_rig(bench: Bench) -> None:
    raise BenchError("the rig is wrong")

@STAR
@pytest.mark.skip(reason="not today")
def test_is_skipped(bench: Bench) -> None:
    pass

@pytest.fixture
def early(bench: Bench) -> None:
    raise ExpectationFailed("the device is wrong already")

@STAR
def test_fails_early(early: None) -> None:
    pass

@pytest.fixture
def late(bench: Bench):
    yield
    raise BenchError("the rig is wrong at last")

@STAR
def test_errs_late(late: None) -> None:
    pass

@STAR
def test_fails_and_undo_fails(bench: Bench) -> None:
    bench.sabotage("dut").run("true", undo=("false",))
    raise ExpectationFailed("the device is wrong")

def test_needs_no_bench() -> None:
    pass
'''

EXPECTED = {
    "test_passes[sw]": "pass",
    "test_expectation_fails[sw]": "fail",
    "test_assert_fails[sw]": "fail",
    "test_fails_explicitly[sw]": "fail",
    "test_rig_is_wrong[sw]": "error",
    "test_bench_cannot[sw]": "skip",
    "test_plan_makes_no_sense[sw]": "error",
    "test_plan_has_a_bug[sw]": "error",
    "test_undo_fails[sw]": "error",
    "test_fits_nowhere[no bench]": "skip",
    "test_needs_power[no bench]": "skip",
    "test_fails_as_expected[sw]": "skip",
    "test_passes_unexpectedly[sw]": "fail",
    "test_expected_failure_hides_no_wrong_rig[sw]": "error",
    "test_is_skipped[sw]": "skip",
    "test_fails_early[sw]": "fail",
    "test_errs_late[sw]": "error",
    "test_fails_and_undo_fails[sw]": "fail",
    "test_needs_no_bench": "pass",
}


@pytest.fixture(scope="module")
def plain(sandbox):
    plan = sandbox.plan("test_classes", PLANS)
    junit = ("--junit-xml", "plain.xml", "--bench-artifacts", "plain")
    done = sandbox.pytest(plan, "--bench", "small.yaml", "-rA", *junit)
    junit_file = sandbox.path / "plain.xml"
    return done, sandbox.verdicts("plain"), ET.parse(junit_file)  # noqa: S314


def cases(tree: ET.ElementTree) -> dict[str, list[ET.Element]]:
    found: dict[str, list[ET.Element]] = {}
    for case in tree.iter("testcase"):
        found.setdefault(case.get("name"), []).extend(case)
    return found


def test_verdicts(plain) -> None:
    _, verdicts, _ = plain
    assert verdicts == EXPECTED


def test_junit_counts_alike(plain) -> None:
    _, _, tree = plain
    kinds = {"failure": "fail", "error": "error", "skipped": "skip"}
    told = {}
    for name, parts in cases(tree).items():
        tags = {part.tag for part in parts} & kinds.keys()
        told[name] = {kinds[tag] for tag in tags} or {"pass"}
    assert told.pop("test_fails_and_undo_fails[sw]") == {"fail", "error"}  # both are true
    assert told == {name: {v} for name, v in EXPECTED.items() if name in told}


def test_junit_properties(plain) -> None:
    _, _, tree = plain
    (case,) = (c for c in tree.iter("testcase") if c.get("name") == "test_passes[sw]")
    told = {p.get("name"): p.get("value") for p in case.iter("property")}
    assert told["behaviour"] == "SW-91"
    assert told["clause"] == "802.1Q 8.8"
    assert told["verdict"] == "pass"
    assert told["attempt"] == "1"
    assert told["device.dut"] == "sw"
    assert told["artifact"].startswith("captures/test_classes-test_passes_sw.pcapng")


def test_terminal_tells_failures_from_errors(plain) -> None:
    done, _, _ = plain
    assert done.code == 1, done.text
    assert len(done.lines(r"^FAILED .*test_(expectation|assert|fails|passes_unex)")) >= 5
    assert done.lines(r"^ERROR .*test_rig_is_wrong\[sw\]")
    assert done.lines(r"^ERROR .*test_undo_fails\[sw\]")
    assert done.lines(r"^SKIPPED .*: no such port$")
    assert done.lines(r"^SKIPPED .*: bench small has nowhere to put dut:switch a:nic")
    assert done.lines(r"^SKIPPED .*: .*no power relay")
    assert done.lines(r"^SKIPPED .*test_classes\.py")  # where the plan is, and not the plugin
    assert "/testbed/plugin/" not in done.text
    assert done.lines("^E +TypeError")  # a bug of the plan's author needs its traceback
    assert done.lines("^not put back: sw: .*'grep no such-file' ended with status")


def test_header_names_bench_devices_and_versions(plain) -> None:
    done, _, _ = plain
    assert done.lines(r"^testbed \S+, bench: small \(virtual\): sw \(linux_bridge\)$")
    assert done.lines(r"^bench: sw: bridge of Linux \S+")


def test_testbed_run_judges_alike(sandbox, plain) -> None:
    _, verdicts, _ = plain
    done = sandbox.testbed("run", "plans/test_classes.py", "--bench", "small.yaml")
    assert sandbox.verdicts() == verdicts
    assert done.code == 1, done.text
    assert done.lines(r"the device is wrong$")
    assert done.lines(r"^report: reports/\S+-small/report\.html")
    report = sandbox.report()
    assert not report.restored
    assert any("'false' ended with status 1" in note for note in report.restore_notes)


def test_notes_and_versions_are_in_the_report(sandbox, plain) -> None:
    passed = sandbox.plans("plain")["test_passes[sw]"]
    assert [note.text for note in passed.notes] == ["all is well"]
    (device,) = sandbox.report("plain").devices
    assert device.version.startswith("bridge of Linux")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("bench.nic('nobody')", 2),
        ("bench.sabotage('dut').run('true', undo=('false',))", 3),
    ],
    ids=["author", "not restored"],
)
def test_exit_code_says_whose_fault_it_is(sandbox, body, code) -> None:
    plan = sandbox.plan("test_one", f"@STAR\ndef test_one(bench: Bench) -> None:\n    {body}\n")
    done = sandbox.testbed("run", plan, "--bench", "small.yaml", "--no-prove")
    assert done.code == code, done.text
