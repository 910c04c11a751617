"""Where a model and the real thing part, and what is known about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from plan_runs import ROOT

from testbed.errors import InventoryError, PlanError
from testbed.report.differences import compare, normalised
from testbed.report.explanations import Explanation, explain, load_explanations
from testbed.report.records import DeviceRecord, JudgementRecord, PlanRecord, RunRecord

PLAN = "plans/switching/test_x.py::test_x"
ONE = JudgementRecord(
    text="expect 1 of eth(dst=02:00:00:00:00:01)", point="a--dut", frames=(3,), source="x.py:9"
)
NONE = JudgementRecord(text="expect none: eth()", point="b--dut", source="x.py:10")


def case(device="sw1", verdict="pass", plan=PLAN, judgements=(ONE, NONE), **more) -> PlanRecord:
    return PlanRecord(
        nodeid=f"{plan}[{device}]",
        verdict=verdict,
        behaviour="SW-99",
        mapping={"dut": device, "a": "a"},
        judgements=tuple(judgements),
        **more,
    )


def run(bench: str, *plans: PlanRecord, **platforms: str) -> RunRecord:
    devices = tuple(DeviceRecord(name=name, platform=of) for name, of in platforms.items())
    return RunRecord(
        run_id="1", bench=bench, lab=bench, started=0, ended=1, plans=plans, devices=devices
    )


def model(*plans: PlanRecord) -> RunRecord:
    return run("sim", *(plans or (case(),)), sw1="sim_switch")


def real(*plans: PlanRecord) -> RunRecord:
    return run("virtual", *plans, sw1="openvswitch", sw2="linux_bridge")


def kinds(comparison) -> list[str]:
    return [difference.kind for difference in comparison.differences]


def test_alike_runs_part_nowhere():
    found = compare(model(), real(case(), case("sw2")))
    assert found.compared == ((PLAN, "openvswitch", "sw1"), (PLAN, "linux_bridge", "sw2"))
    assert found.expectations == 4
    assert found.differences == ()


def test_each_real_device_is_held_against_the_model_of_its_kind():
    wrong = case("sw2", "fail", reason="expect none: 1 frame came\nand so on")
    (found,) = compare(model(), real(case(), wrong)).differences
    assert (found.kind, found.device, found.platform) == ("verdict", "sw2", "linux_bridge")
    assert (found.model, found.real) == ("pass", "fail: expect none: 1 frame came")


def test_a_device_of_the_same_name_is_the_one_to_compare_with():
    routers = (case("r1"), case("r2", "fail"))
    found = compare(run("sim", *routers), run("virtual", case("r2", "fail"), case("r1")))
    assert found.differences == ()


def test_plans_without_a_device_under_test_are_told_apart_by_all_who_take_part():
    hosts = {"client": "h1", "server": "h2"}
    one = replace(case(), mapping=hosts)
    other = replace(case(verdict="error"), mapping=hosts)
    (found,) = compare(run("sim", one), run("virtual", other)).differences
    assert (found.kind, found.device) == ("verdict", "h1-h2")


def test_an_expectation_with_two_verdicts_is_told():
    wrong = replace(ONE, verdict="fail")
    (found,) = compare(model(), real(case(judgements=(wrong, NONE)))).differences
    assert found.kind == "judged"
    assert found.expectation == "a--dut: expect 1 of eth(dst=MAC)"
    assert (found.model, found.real, found.source) == ("pass", "fail", "x.py:9")


def test_another_number_of_deciding_frames_is_told():
    more = replace(ONE, frames=(3, 4))
    (found,) = compare(model(), real(case(judgements=(more, NONE)))).differences
    assert (found.kind, found.model, found.real) == ("frames", "1 frame", "2 frames")


def test_which_frames_they_were_is_nothing():
    later = replace(ONE, frames=(17,))
    assert compare(model(), real(case(judgements=(later, NONE)))).differences == ()


def test_an_expectation_that_one_bench_never_came_to_is_told():
    found = compare(model(), real(case(judgements=(ONE,))))
    assert kinds(found) == ["missing"]
    found = compare(model(), real(case(judgements=(ONE, ONE, NONE))))
    assert kinds(found) == ["extra"]
    assert (found.differences[0].model, found.differences[0].real) == ("once", "2 times")


def test_a_line_that_moved_is_nothing():
    moved = (replace(ONE, source="x.py:19"), replace(NONE, source="x.py:21"))
    assert compare(model(), real(case(judgements=moved))).differences == ()


def test_order_among_different_expectations_is_nothing():
    assert compare(model(), real(case(judgements=(NONE, ONE)))).differences == ()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("eth(src=02:51:14:59:79:5a)", "eth(src=6a:00:00:00:00:09)"),
        ("ipv4(src=198.18.0.1, ttl=63)", "ipv4(src=198.18.7.2, ttl=63)"),
        ("raw(02000000010a0200..., 275 bytes)", "raw(0a000000010b0200..., 275 bytes)"),
        ("tcp(seq=12345, ack=7)", "tcp(seq=99, ack=4294967295)"),
        ("dns(ident=0x72b4)", "dns(ident=0x009f)"),
        ("tcp(src_port=40001)", "tcp(src_port=51235)"),
        ("tcp(src_port=one of 34840, 5101)", "tcp(src_port=one of 5101, 48622)"),
    ],
)
def test_what_a_bench_chooses_for_itself_is_left_out(one, other):
    assert normalised(one) == normalised(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ipv4(ttl=63)", "ipv4(ttl=64)"),
        ("expect 1 of eth()", "expect 2 of eth()"),
        ("raw(0200000001ab, 275 bytes)", "raw(0200000001ab, 276 bytes)"),
        ("tcp(flags=ACK)", "tcp(flags=RST)"),
        ("tcp(src_port=one of 34840, 5101)", "tcp(src_port=one of 34840, 5102)"),
    ],
)
def test_what_a_plan_asks_for_stays(one, other):
    assert normalised(one) != normalised(other)


@pytest.mark.parametrize(
    ("ours", "theirs", "why"),
    [
        ("pass", "skip", "virtual: no VLANs here"),
        ("skip", "pass", "sim: no VLANs here"),
        ("skip", "skip", "virtual: no VLANs here"),
    ],
)
def test_what_cannot_run_on_a_bench_is_not_compared(ours, theirs, why):
    reason = "no VLANs here"
    found = compare(
        model(case(verdict=ours, reason=reason)), real(case(verdict=theirs, reason=reason))
    )
    assert found.compared == found.differences == ()
    assert [each.why for each in found.uncompared] == [why]


def test_a_plan_that_the_model_never_ran_is_not_compared():
    found = compare(model(), real(case(plan="plans/other.py::test_y")))
    assert [each.why for each in found.uncompared] == ["sim did not run it"]


def test_of_several_attempts_the_last_counts_and_drills_do_not():
    found = compare(
        model(),
        real(case(verdict="error"), case(), case(verdict="drill-caught", drill="never learns")),
    )
    assert found.differences == ()


# Explanations


def known(**given) -> Explanation:
    entry = {"plan": "plans/switching/test_x.py", "why": "the data sheet says so"}
    return Explanation.model_validate(entry | given)


FRAMES = compare(model(), real(case(judgements=(replace(ONE, frames=(3, 4)), NONE))))


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"plan": PLAN},
        {"plan": "plans/switching/*"},
        {"platform": "openvswitch"},
        {"platform": "open*"},
        {"expectation": "a--dut: expect 1 of eth(dst=MAC)"},
        {"expectation": "*eth(dst=*"},
        {"differs": ["frames", "judged"]},
    ],
)
def test_an_explanation_that_fits_covers_a_difference(given):
    found = explain(FRAMES, [known(**given)])
    assert (len(found.known), found.unknown, found.stale) == (1, (), ())


@pytest.mark.parametrize(
    "given",
    [
        {"expectation": "b--dut*"},
        {"differs": ["verdict"]},
        {"expectation": "a--dut: expect ? of eth(dst=MAC)"},
    ],
)
def test_an_explanation_of_something_else_is_stale(given):
    found = explain(FRAMES, [known(**given)])
    assert (found.known, len(found.unknown), len(found.stale)) == ((), 1, 1)


@pytest.mark.parametrize("given", [{"plan": "plans/tcp/*"}, {"platform": "frr"}])
def test_an_explanation_of_what_was_not_compared_is_not_stale(given):
    found = explain(FRAMES, [known(**given)])
    assert (len(found.unknown), found.stale) == (1, ())


def test_what_only_some_runs_show_is_never_stale():
    assert explain(FRAMES, [known(differs=["verdict"], sometimes=True)]).stale == ()


def test_the_shipped_explanations_can_be_read():
    shipped = load_explanations(ROOT / "plans" / "differences.yaml")
    assert shipped
    for each in shipped:
        file, _, function = each.plan.partition("::")
        plans = list(ROOT.glob(file))
        assert plans, f"{each.place}: {each.plan}"
        texts = [plan.read_text() for plan in plans]
        assert not function or any(f"def {function}(" in text for text in texts), each.place


def test_brackets_in_texts_of_expectations_mean_themselves():
    listed = replace(ONE, text="expect 1 of [0-9]", frames=(1, 2))
    found = compare(
        model(case(judgements=(replace(listed, frames=(1,)),))), real(case(judgements=(listed,)))
    )
    assert explain(found, [known(expectation="a--dut: expect 1 of [0-9]")]).unknown == ()


def test_a_file_of_explanations(tmp_path):
    path = tmp_path / "known.yaml"
    path.write_text(
        "# what is known\n"
        "- plan: plans/switching/test_x.py\n"
        "  platform: openvswitch\n"
        '  expectation: "a--dut: *"\n'
        "  differs: [frames]\n"
        "  why: >-\n"
        "    it sends\n"
        "    everything twice\n"
        "- plan: plans/tcp/*\n"
        "  why: because of the weather\n"
    )
    first, second = load_explanations(path)
    assert first.why == "it sends everything twice"
    assert (first.place, second.place) == (f"{path}:2", f"{path}:9")
    assert second.platform == second.expectation == "*"


def test_an_empty_list_explains_nothing(tmp_path):
    path = tmp_path / "known.yaml"
    path.write_text("[]  # nothing is known\n")
    assert load_explanations(path) == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("- plan: x\n", r"known.yaml:1: why: Field required"),
        ("- plan: x\n  why: too short\n", r"known.yaml:2: why: .*at least 10"),
        ("- why: a good reason\n", r"known.yaml:1: plan: Field required"),
        ("- plan: x\n  why: a good reason\n  plattform: y\n", r"known.yaml:3: plattform: Extra"),
        ("- plan: x\n  why: a good reason\n  differs: [speed]\n", r"known.yaml:3: differs"),
        ("- just words\n", r"known.yaml:1: expected an explanation"),
        ("plan: x\n", r"known.yaml:1: expected a list"),
        ("- plan: [x\n", r"known.yaml:\d: "),
    ],
)
def test_what_is_wrong_with_a_file_is_told_with_its_line(tmp_path, text, told):
    path = tmp_path / "known.yaml"
    path.write_text(text)
    with pytest.raises(PlanError, match=told):
        load_explanations(path)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InventoryError, match="no such file"):
        load_explanations(tmp_path / "nowhere.yaml")
