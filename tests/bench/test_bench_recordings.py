"""``nic.record(...)``: the same words on a simulated cable, in virtual time, and on a real NIC."""

from pathlib import Path

import numpy as np
import pytest
from nic_pair import Pair
from plan_runs import Sandbox, need_root_and
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from testbed import ExpectationFailed, PlanError, Unsupported, match, milliseconds, seconds
from testbed.errors import CaptureError
from testbed.link.recorder import Overrun
from testbed.timing import Instant

ROOT = Path(__file__).parents[2]
PLAIN = bytes.fromhex("02000000000b02000000000a88b5") + bytes(46)
UDP_FRAME = Ether(dst="02:00:00:00:00:0b", src="02:00:00:00:00:0a") / IP(
    src="198.18.0.1", dst="198.18.0.2"
) / UDP() / Raw(b"x" * 40)  # fmt: skip


@pytest.fixture
def pair() -> Pair:
    return Pair()


def feed(pair: Pair, count: int = 20, frame: object = UDP_FRAME) -> None:
    pair.a.stream(frame, pps=1000, count=count).start().wait()
    pair.settle()


def test_what_comes_is_recorded_with_its_time(pair: Pair) -> None:
    with pair.b.record() as recording:
        feed(pair)
    assert recording.expect_count(20) == recording.expect_count(range(10, 21)) == 20
    assert (recording.engine, recording.why) == ("frame by frame", "it keeps the lab's own time")
    assert str(recording.clock).startswith("the loop: ")
    assert set(np.diff(recording.columns.time).tolist()) == {1_000_000}
    assert [recording.columns.packet(row) for row in range(20)] == pair.frames
    first, *_ = recording.seen.expect_count(match.udp(), 20)
    assert first.data == bytes(UDP_FRAME)
    recording.seen.expect_none(match.tcp())
    assert (recording.lost, recording.losses, recording.ended_by) == (0, "", "")


def test_too_few_or_too_many_frames_are_a_failure(pair: Pair) -> None:
    with pair.b.record() as recording:
        feed(pair)
        with pytest.raises(CaptureError, match="the recording is not over"):
            recording.expect_count(20)
        with pytest.raises(ExpectationFailed, match="expect 19 frames: 20 came"):
            recording.expect_count(19)
    with pytest.raises(ExpectationFailed, match="expect 21 to 30 frames: 20 came"):
        recording.expect_count(range(21, 31))


def test_only_what_is_wanted_is_recorded_and_proves_nothing_of_others(pair: Pair) -> None:
    with pair.b.record({"udp.dst_port": 53}) as recording:
        feed(pair)
        feed(pair, frame=PLAIN)
    recording.expect_count(20)
    with pytest.raises(
        CaptureError, match=r"only frames of its filter were recorded: udp.dst_port"
    ):
        recording.seen.expect_none(match.tcp())
    with pair.b.record({"udp.dst_port": 54}) as recording:
        feed(pair)
    recording.expect_count(0)


@pytest.mark.parametrize(
    ("limit", "ended_by", "count"),
    [
        ({"until": {"udp.dst_port": 53}}, "match", 1),
        ({"count": 7}, "count", 7),
        ({"size": 1000}, "size", 7),
        ({"duration": milliseconds(10)}, "duration", 10),
    ],
)
def test_it_ends_by_itself(pair: Pair, limit: dict, ended_by: str, count: int) -> None:
    with pair.b.record(**limit) as recording:
        pair.a.stream(UDP_FRAME, pps=1000, count=20).start()
        assert recording.wait(seconds(1)) == recording.frames
    assert recording.ended_by == ended_by
    assert abs(recording.frames - count) <= (ended_by in ("size", "duration"))
    if ended_by != "duration":
        with pytest.raises(CaptureError, match=f"over when its {ended_by} was reached"):
            recording.seen.expect_none(match.tcp())


def test_waiting_for_an_end_that_does_not_come_is_an_error(pair: Pair) -> None:
    with pair.b.record(count=5) as recording:
        feed(pair, 3)
        with pytest.raises(CaptureError, match="did not end within 1 s: it has 3 frames"):
            recording.wait(seconds(1))


def test_a_file_has_what_the_recording_has(pair: Pair, tmp_path: Path) -> None:
    path = tmp_path / "some.pcapng"
    with pair.b.record(path=path, snap=40) as recording:
        feed(pair)
    assert recording.path == path
    assert recording.pcapng[:] == path.read_bytes()
    assert recording.columns.captured.tolist() == [40] * 20
    assert set(recording.columns.length.tolist()) == {len(UDP_FRAME)}
    with pytest.raises(CaptureError, match="cut short by the snap length"):
        recording.seen.expect_none(match.tcp())


def test_the_latest_part_is_kept(pair: Pair) -> None:
    with pair.b.record(keep=1000) as recording:
        feed(pair, 50)
    recording.expect_count(50)
    assert 5 < len(recording.columns) < 15
    assert recording.seen.frames[-1].data == pair.frames[-1]
    with pytest.raises(CaptureError, match="only the latest part is kept"):
        recording.seen.expect_none(match.tcp())


def lose(recording: object, count: int) -> None:
    overrun = Overrun(count, Instant(5_000_000), Instant(7_001_000), "the recorder's ring was full")
    recording._recorder.overruns.append(overrun)


LOST = "3 frames were lost between 0.005000 and 0.007001: the recorder's ring was full"


def record_with_a_loss(pair: Pair, then: type[Exception] | None = None) -> None:
    with pair.b.record() as recording:
        feed(pair)
        lose(recording, 3)
        if then is not None:
            raise then


def test_a_recording_that_is_not_whole_is_an_error(pair: Pair) -> None:
    with pytest.raises(CaptureError, match=f"b: the recording is not whole: {LOST}"):
        record_with_a_loss(pair)
    assert pair.b.end_recordings() == [f"b: {LOST}"]


def test_an_error_of_the_plan_is_not_hidden_by_a_loss(pair: Pair) -> None:
    with pytest.raises(ZeroDivisionError):
        record_with_a_loss(pair, ZeroDivisionError)
    assert pair.b.end_recordings() == [f"b: {LOST}"]


def test_a_plan_may_do_with_a_lossy_recording_but_proves_nothing_by_it(pair: Pair) -> None:
    with pair.b.record(lossy=True) as recording:
        feed(pair)
        lose(recording, 3)
    recording.seen.expect_at_least(match.udp(), 20)
    for judged in (
        lambda: recording.expect_count(20),
        lambda: recording.expect_count(23),
        lambda: recording.seen.expect_none(match.tcp()),
        lambda: recording.seen.expect(match.tcp()),
    ):
        with pytest.raises(CaptureError, match="not lossless: 3 frames were lost"):
            judged()


def test_what_makes_no_sense_is_refused(pair: Pair, monkeypatch, tmp_path: Path) -> None:
    with pair.b.record() as recording:
        pass
    with pytest.raises(PlanError, match="made once"):
        recording.start()
    with pytest.raises(PlanError, match="was not begun"):
        _ = pair.b.record().frames
    with pytest.raises(PlanError, match=r"no filter knows 'udp.port'"):
        pair.b.record({"udp.port": 5})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unsupported, match="it is not installed"):
        pair.b.record("udp port 5354")


def test_the_end_of_a_plan_ends_its_recordings(pair: Pair) -> None:
    recording = pair.b.record().start()
    unused = pair.b.record()
    feed(pair)
    assert pair.b.end_recordings() == []
    assert not unused.begun
    feed(pair)
    recording.expect_count(20)


PLAN = """
from testbed import Increment, seconds

VARY = {"payload[0:8]": Increment()}


@STAR
def test_record(bench: Bench) -> None:
    a, b = bench.nic("a"), bench.nic("b")
    b.inject(EthFrame(dst=MacAddr.BROADCAST, src=b.mac))
    frame = EthFrame(b.mac, STATION, payload=bytes(50))
    ours = {"eth.src": STATION}
    for take in (False, True):
        with b.record(ours, take=take) as recording, bench.capture("dut--b") as capture:
            a.stream(frame, vary=VARY, pps=2000, count=500).start().wait()
            capture.settle()
        recording.expect_count(500)
        columns = recording.columns
        numbers = [columns.packet(row)[14:22] for row in range(len(columns))]
        assert numbers == [number.to_bytes(8, "big") for number in range(500)]
        assert recording.engine and recording.why and recording.clock.name
    with b.record(until=ours) as one:
        a.inject(frame)
        assert one.wait(seconds(5)) >= 1
    with b.record() as all_of_it, bench.capture("dut--b") as capture:
        a.inject(frame, frame)
        capture.settle()
    all_of_it.seen.expect_count(match.eth(src=STATION), 2)
    all_of_it.seen.expect_none(match.tcp())
    assert abs(all_of_it.seen.frames[0].at - bench.loop.wall_now()) < seconds(60)
"""


@pytest.mark.parametrize("lab", ["sim", pytest.param("virtual", marks=pytest.mark.root)])
def test_a_plan_records_on_every_lab(lab: str, tmp_path: Path) -> None:
    if lab == "virtual":
        need_root_and("linux_bridge")
    sandbox = Sandbox(tmp_path)
    bench = str(ROOT / "inventory" / "sim.yaml") if lab == "sim" else "small.yaml"
    plan = sandbox.plan("test_records", PLAN)
    done = sandbox.testbed("run", plan, "--bench", bench, "--no-prove")
    assert done.code == 0, done.text
