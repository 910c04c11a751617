"""Expectations: what meets them, what fails them, what proves nothing, and what they say."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.capture import match
from testbed.capture.recording import Judgement, Mark, Proof, Verdict
from testbed.capture.trace import Trace
from testbed.errors import CaptureError, ExpectationFailed, PlanError
from testbed.timing import Instant
from testbed.wire.addresses import MacAddr
from testbed.wire.compose import compose, enclose
from testbed.wire.ethernet import EthFrame
from testbed.wire.frame import Direction, Frame
from testbed.wire.icmpv4 import EchoRequest
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.udp import UdpDatagram

A, B = MacAddr("02:00:00:00:00:0a"), MacAddr("02:00:00:00:00:0b")
IP_A, IP_B = IPv4Address("10.0.1.1"), IPv4Address("10.0.2.2")
T0 = 1_700_000_000_000_000_000
SURE = Proof(alive=True, lossless=True, settled=True)
CANARY = b"canary"


def udp(port: int, ttl: int = 64) -> bytes:
    return compose(EthFrame(B, A), IPv4Packet(IP_A, IP_B, ttl=ttl), UdpDatagram(1, port, b"x"))


def at(microseconds: int, data: bytes, direction: Direction = Direction.IN) -> Frame:
    return Frame(data, Instant(T0 + 1000 * microseconds), direction)


def recognise(data: bytes) -> str | None:
    return "canary 1 from a" if CANARY in data else None


def trace(*frames: Frame, proof: Proof | None = SURE, **more) -> Trace:
    made = Trace(["a--dut", "b--dut"], recognise=recognise, **more)
    made.start = Instant(T0)
    made.add("a--dut", frames)
    if proof:
        made.set_proof("a--dut", proof)
    return made


def details(call, *args) -> str:
    with pytest.raises(ExpectationFailed) as failed:
        call(*args)
    return failed.value.details


def test_frames_of_several_points_are_merged_by_time_and_numbered():
    made = trace(at(5, b"1"), at(9, b"4"))
    made.add("b--dut", [at(5, b"2"), at(5, b"3")])
    assert [(f.number, f.point, f.data) for f in made.frames] == [
        (1, "a--dut", b"1"),
        (2, "b--dut", b"2"),
        (3, "b--dut", b"3"),
        (4, "a--dut", b"4"),
    ]
    assert made.frame(3).data == b"3"


def test_a_number_once_told_stays():
    made = trace(at(5, b"1"))
    assert made.frames[0].number == 1
    made.add("b--dut", [at(1, b"late")])
    assert [(f.number, f.data) for f in made.frames] == [(1, b"1"), (2, b"late")]


@given(
    st.dictionaries(
        st.sampled_from(["p", "q", "r"]), st.lists(st.integers(0, 5), max_size=8), max_size=3
    )
)
def test_merging_keeps_the_order_of_each_point_when_its_times_rise(times):
    made = Trace(["p", "q", "r"])
    for point, instants in times.items():
        made.add(point, [Frame(bytes([n]), Instant(t)) for n, t in enumerate(sorted(instants))])
    frames = made.frames
    assert [f.number for f in frames] == list(range(1, len(frames) + 1))
    assert [(f.at, f.point) for f in frames] == sorted((f.at, f.point) for f in frames)
    for point, instants in times.items():
        mine = [f.data[0] for f in frames if f.point == point]
        assert mine == list(range(len(instants)))


def test_expect_returns_the_first_match_and_records_it():
    made = trace(at(1, udp(7)), at(2, udp(8)), at(3, udp(8)), source=lambda: "plan.py:12")
    assert made.at("a--dut").expect(match.udp(dst_port=8)).number == 2
    assert made.judgements == [
        Judgement("expect udp(dst_port=8)", "a--dut", Verdict.PASS, (2,), "", source="plan.py:12")
    ]
    assert made.comments(2) == ("pass: expect udp(dst_port=8)",)


def test_a_cable_may_be_named_from_either_end():
    made = trace(at(1, udp(7)))
    assert made.at("dut--a").expect(match.any()).number == 1


def test_an_unknown_point_is_the_plans_fault():
    with pytest.raises(PlanError, match="'a--dud'; did you mean a--dut or b--dut"):
        trace().at("a--dud")


def test_a_silent_point_is_said_to_be_silent():
    assert details(trace().at("a--dut").expect, match.any()) == "no frame at all came"


def test_near_misses_come_closest_first_with_the_command_that_opens_them():
    made = trace(
        at(1203, udp(7, ttl=1)),
        at(2000, b"\xff" * 60),
        at(3000, udp(7, ttl=63)),
        at(4000, udp(9, ttl=63)),
    )
    made.path = "/tmp/it's.pcapng"
    wanted = match.ipv4(ttl=62) & match.udp(dst_port=9)
    with pytest.raises(ExpectationFailed) as failed:
        made.at("a--dut").expect(wanted)
    assert failed.value.summary == (
        "a--dut: expect ipv4(ttl=62) & udp(dst_port=9): it did not come"
    )
    lines = failed.value.details.splitlines()
    assert lines[:3] == [
        "4 frames came, the closest first:",
        "#4 a--dut +4.000 ms: ipv4.ttl 63, wanted 62",
        "    tshark -r '/tmp/it'\"'\"'s.pcapng' -Y 'frame.number == 4' -V",
    ]
    assert lines[3] == "#1 a--dut +1.203 ms: ipv4.ttl 1, wanted 62; udp.dst_port 7, wanted 9"
    assert lines[5].startswith("#3")
    assert lines[7].startswith("#2 a--dut +2.000 ms: ipv4 ")


def test_near_misses_that_are_the_same_are_told_once_and_the_rest_counted():
    made = trace(*[at(n, udp(n % 7)) for n in range(1, 71)])
    lines = details(made.at("a--dut").expect, match.udp(dst_port=99)).splitlines()
    assert lines[0] == "70 frames came, the closest first:"
    assert lines[1] == "#1 a--dut +0.001 ms: udp.dst_port 1, wanted 99 (and 9 more like it)"
    assert len(lines) == 1 + 5 + 1
    assert lines[-1] == "and 20 frames further from it"


def test_sent_frames_are_seen_only_when_asked_for():
    made = trace(at(1, udp(7), Direction.OUT), at(2, udp(8)))
    view = made.at("a--dut")
    assert [f.number for f in view.frames] == [2]
    assert [f.number for f in view.sent.frames] == [1]
    assert [f.number for f in view.both.frames] == [1, 2]
    assert [f.number for f in view.sent.received.frames] == [2]
    view.sent.expect(match.udp(dst_port=7))
    assert made.judgements[0].text == "expect udp(dst_port=7) [sent]"


def test_the_benchs_own_frames_meet_no_expectation_but_stay_in_the_trace():
    made = trace(at(1, CANARY))
    made.at("a--dut").expect_none(match.any())
    assert made.frames[0].infrastructure == "canary 1 from a"
    assert made.comments(1) == ("canary 1 from a",)


def test_expect_none_passes_with_proof():
    made = trace(at(1, udp(7)))
    made.at("a--dut").expect_none(match.udp(dst_port=8))
    assert made.judgements[0].verdict is Verdict.PASS


@pytest.mark.parametrize(
    ("proof", "why"),
    [
        (None, "not alive and not lossless and not settled: the capture was never checked"),
        (Proof(False, True, True, ("canary 2 from b did not come",)), "not alive: canary 2 from b"),
        (Proof(True, False, True, ("3 frames dropped",)), "not lossless: 3 frames dropped"),
        (Proof(True, True, False), "not settled: no reason was given"),
    ],
)
def test_an_absence_without_proof_blames_the_rig(proof, why):
    made = trace(at(1, udp(7)), proof=proof)
    view = made.at("a--dut")
    with pytest.raises(CaptureError, match=why):
        view.expect_none(match.udp(dst_port=8))
    with pytest.raises(CaptureError, match=why):
        view.expect_count(match.udp(dst_port=7), 1)
    assert {judgement.verdict for judgement in made.judgements} == {Verdict.UNPROVEN}
    assert why in made.judgements[0].details


def test_a_forbidden_frame_is_a_failure_even_without_proof():
    made = trace(at(1, udp(7)), at(2, udp(7)), proof=None)
    with pytest.raises(ExpectationFailed) as failed:
        made.at("a--dut").expect_none(match.udp(dst_port=7))
    assert failed.value.summary == "a--dut: expect none: udp(dst_port=7): 2 frames came"
    assert failed.value.details.splitlines()[0] == (
        "#1 a--dut +0.001 ms: IP 10.0.1.1.1 > 10.0.2.2.7 UDP length 1"
    )
    assert made.judgements[0].frames == (1, 2)
    assert made.comments(2) == ("fail: expect none: udp(dst_port=7)",)


def test_too_many_is_a_failure_even_without_proof():
    made = trace(*[at(n, udp(7)) for n in range(9)], proof=None)
    text = details(made.at("a--dut").expect_count, match.udp(), range(1, 3))
    assert text.splitlines()[-1] == "and 4 more"
    assert made.judgements[0].text == "expect 1 to 2 of udp()"


def test_a_missing_frame_says_nothing_where_frames_were_lost():
    made = trace(at(1, udp(7)), proof=Proof(True, False, True, ("4 frames dropped",)))
    with pytest.raises(CaptureError, match=r"(?s)4 frames dropped.*udp.dst_port 7, wanted 8"):
        made.at("a--dut").expect(match.udp(dst_port=8))
    made.at("a--dut").expect(match.udp(dst_port=7))


def test_a_missing_frame_is_a_failure_that_mentions_a_dead_capture():
    made = trace(proof=Proof(False, True, False, ("no canary",)))
    text = details(made.at("a--dut").expect, match.any())
    assert text.splitlines()[-1] == "note: the capture is not alive and not settled: no canary"


def test_a_frame_that_was_cut_short_proves_nothing():
    made = trace(Frame(udp(7)[:20], Instant(T0), Direction.IN, 60))
    for judge in (made.at("a--dut").expect_none, made.at("a--dut").expect):
        with pytest.raises(CaptureError, match="not lossless: 1 frame cut short"):
            judge(match.udp(dst_port=7))


def test_counts():
    made = trace(at(1, udp(7)), at(2, udp(8)), at(3, udp(7)))
    view = made.at("a--dut")
    assert [f.number for f in view.expect_count(match.udp(dst_port=7), 2)] == [1, 3]
    assert len(view.expect_count(match.udp(), range(2, 4))) == 3
    assert len(view.expect_count(match.udp(dst_port=9), 0)) == 0
    assert len(view.expect_at_least(match.udp(), 2)) == 3
    assert len(view.all(match.udp(dst_port=8))) == 1
    assert len(made.judgements) == 4
    text = details(view.expect_count, match.udp(dst_port=8), range(2, 4))
    assert "udp.dst_port 7, wanted 8 (and 1 more like it)" in text
    assert text.startswith("1 frame matched\n#2 ")
    assert "no frame at all came" in details(
        made.at("b--dut").expect_at_least, match.udp(dst_port=8), 2
    )


@pytest.mark.parametrize("wanted", [-1, range(0), range(-1, 3), range(5, 1, -1), range(0, 9, 2)])
def test_a_count_that_makes_no_sense_is_the_plans_fault(wanted):
    with pytest.raises(PlanError, match="a number or a rising range"):
        trace().at("a--dut").expect_count(match.any(), wanted)


def test_a_sequence_may_have_frames_between():
    made = trace(*[at(n, udp(port)) for n, port in enumerate([7, 1, 8, 7, 9])])
    ports = [match.udp(dst_port=port) for port in (7, 8, 9)]
    assert [f.number for f in made.at("a--dut").expect_sequence(*ports)] == [1, 3, 5]


def test_a_broken_sequence_tells_the_step_and_what_came_too_early():
    made = trace(*[at(n, udp(port)) for n, port in enumerate([8, 7, 1])])
    text = details(made.at("a--dut").expect_sequence, match.udp(dst_port=7), match.udp(dst_port=8))
    lines = text.splitlines()
    assert lines[0] == "step 1: #2 a--dut +0.001 ms"
    assert lines[1] == "step 2, udp(dst_port=8): never came after that"
    assert lines[2].startswith("too early: #1 a--dut +0.000 ms: IP")
    assert lines[3:] == [
        "1 frame came, the closest first:",
        "#3 a--dut +0.002 ms: udp.dst_port 1, wanted 8",
    ]
    assert made.judgements[0].frames == (2,)


def test_windows_by_frame_mark_and_time():
    made = trace(*[at(n, udp(n)) for n in range(1, 5)])
    made.mark(Instant(T0 + 2500), "change")
    view = made.at("a--dut")
    first, second = view.frames[:2]
    (change,) = made.marks
    assert [f.number for f in view.after(first).frames] == [2, 3, 4]
    assert [f.number for f in view.before(second).frames] == [1]
    assert [f.number for f in view.after(change).frames] == [3, 4]
    assert [f.number for f in view.after(first).before(Instant(T0 + 3000)).frames] == [2]
    view.after(change).before(made.frame(4)).expect(match.udp(dst_port=3))
    assert made.judgements[-1].text == ("expect udp(dst_port=3) [after mark 'change', before #4]")
    assert change == Mark(Instant(T0 + 2500), "change")


def test_a_predicate_that_raises_leaves_no_judgement():
    made = trace(at(1, udp(7)))
    with pytest.raises(PlanError):
        made.at("a--dut").expect(match.where(lambda data: data.no))
    assert made.judgements == []


def test_points_must_be_distinct():
    with pytest.raises(PlanError, match="distinct points"):
        Trace(["a", "a"])


def test_there_is_no_frame_zero():
    with pytest.raises(PlanError, match="no frame #0: the trace holds 1"):
        trace(at(1, udp(7))).frame(0)


def test_a_frame_gives_its_layers_or_fails_by_its_number() -> None:
    trace = trace_of_echo()
    hit = trace.at("a").expect(match.icmpv4())
    assert hit.ipv4.src == IPv4Address("10.0.0.1")
    assert hit.icmpv4 == EchoRequest(1, 2, b"x")
    assert hit.eth.src == MacAddr("02:00:00:00:00:01")
    other = trace.at("a").expect(match.eth(ethertype=0x88B5))
    with pytest.raises(ExpectationFailed, match="#2 at a holds no IPv4 packet"):
        _ = other.ipv4


def trace_of_echo() -> Trace:
    source, target = MacAddr("02:00:00:00:00:01"), MacAddr("02:00:00:00:00:02")
    packet = enclose(
        IPv4Packet(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")), EchoRequest(1, 2, b"x")
    )
    trace = Trace(["a"])
    for frame in (compose(EthFrame(target, source), packet), EthFrame(target, source).emit()):
        trace.add("a", [Frame(frame, Instant(1))])
    return trace
