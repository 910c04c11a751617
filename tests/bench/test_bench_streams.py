"""``nic.stream(...)``: the same words on a simulated cable, in virtual time, and on a real NIC."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from nic_pair import Pair
from plan_runs import Sandbox, need_root_and
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw
from scapy.utils import wrpcap, wrpcapng

from testbed import (
    SENT_AT,
    SEQUENCE,
    Frames,
    Increment,
    Listed,
    PlanError,
    frames_of,
    milliseconds,
    seconds,
    signed,
)
from testbed.errors import LinkError

ROOT = Path(__file__).parents[2]

PLAIN = bytes.fromhex("02000000000b02000000000a88b5") + bytes(46)
UDP_FRAME = Ether(dst="02:00:00:00:00:0b", src="02:00:00:00:00:0a") / IP(
    src="198.18.0.1", dst="198.18.0.2"
) / UDP() / Raw(b"x" * 40)  # fmt: skip


def test_in_virtual_time_a_rate_is_kept_to_the_nanosecond():
    pair = Pair()
    assert pair.a.stream(PLAIN, pps=10_000, count=500).start().wait() == 500
    pair.settle()
    assert len(pair.frames) == 500
    assert pair.gaps == {100_000}


def test_as_fast_as_can_be_is_as_fast_as_the_line_in_virtual_time():
    pair = Pair()
    pair.a.stream(PLAIN, count=1000).start().wait()
    pair.settle()
    # IEEE 802.3: 84 bytes of 80 ns each at 100 Mbit/s.
    assert pair.gaps == {6720}


def test_half_of_the_line_rate_leaves_as_much_silence_as_frames():
    pair = Pair()
    pair.a.stream(PLAIN, line_share=0.5, count=100).start().wait()
    pair.settle()
    assert pair.gaps == {13_440}


def test_a_burst_leaves_together_and_the_gap_keeps_the_rate():
    pair = Pair()
    pair.a.stream(PLAIN, pps=10_000, burst=4, count=100).start().wait()
    pair.settle()
    assert pair.gaps == {6720, 400_000 - 3 * 6720}


def test_every_frame_is_the_one_that_is_defined_with_its_time():
    pair = Pair()
    vary = {"payload[0:8]": SEQUENCE, "payload[8:16]": SENT_AT, "ipv4.src": Increment(count=3)}
    stream = pair.a.stream(UDP_FRAME, vary=vary, pps=1000, count=10).start()
    began = pair.loop.now()
    stream.wait()
    pair.settle()
    assert pair.frames == [stream.blend.frame(n, began + n * 1_000_000) for n in range(10)]
    assert {Ether(frame)[IP].src for frame in pair.frames} == {
        "198.18.0.1", "198.18.0.2", "198.18.0.3",
    }  # fmt: skip


def test_flows_are_mixed_by_their_shares_and_counted():
    pair = Pair()
    big = Frames(PLAIN + bytes(40), share=3, name="big")
    stream = pair.a.stream(big, Frames(PLAIN), pps=1000, count=40).start()
    stream.wait()
    assert stream.sent_by_flow == {"big": 30, "flow 2": 10}
    pair.settle()
    assert sorted(map(len, pair.frames)) == [60] * 10 + [100] * 30


def test_a_stream_lasts_until_its_duration_is_over_or_it_is_stopped():
    pair = Pair()
    assert pair.a.stream(PLAIN, pps=1000, duration=milliseconds(50)).start().wait() == 50
    with pair.a.stream(PLAIN, pps=1000) as stream:
        pair.loop.run_until(lambda: False, seconds(1))
        assert stream.running
        assert stream.sent in (1000, 1001)
    assert not stream.running
    counted = stream.sent
    pair.loop.run_until(lambda: False, seconds(1))
    assert stream.sent == counted
    assert stream.start().sent <= 1
    stream.stop()


def test_the_rate_changes_while_it_runs():
    pair = Pair()
    stream = pair.a.stream(PLAIN, pps=10).start()
    pair.loop.run_until(lambda: False, milliseconds(10))
    stream.set_rate(pps=100_000)
    pair.loop.run_until(lambda: False, milliseconds(10))
    assert 1000 <= stream.sent <= 1002
    stream.set_rate(pps=1)
    pair.loop.run_until(lambda: False, milliseconds(500))
    assert stream.stop() <= 1003
    assert pair.changes == 2


def test_two_streams_run_on_one_nic_at_once():
    pair = Pair()
    one = pair.a.stream(PLAIN, pps=1000, count=100).start()
    two = pair.a.stream(UDP_FRAME, pps=500, count=50).start()
    assert (one.wait(), two.wait()) == (100, 50)
    pair.settle()
    assert len(pair.frames) == 150


def test_the_bench_files_greatest_rate_holds_for_streams():
    pair = Pair(max_rate=1000)
    for rate in ({}, {"pps": 50_000}, {"line_share": 1.0}):
        assert pair.a.stream(PLAIN, **rate).pace.pps == 1000
    assert pair.a.stream(PLAIN, pps=10).pace.pps == 10


@pytest.mark.parametrize(
    ("frame", "vary"),
    [
        (UDP_FRAME, {}),
        (Ether() / IP(dst="198.17.255.250") / UDP(), {"ipv4.dst": Increment(count=10)}),
        (Ether() / IP(dst="1.1.1.1") / UDP(), {"ipv4.dst": Increment()}),
        (Ether() / IP(dst="1.1.1.1") / UDP(), {"frame[32:34]": SEQUENCE}),
        (Ether() / IP(dst="1.1.1.1") / UDP(), {"ipv4.dst": Listed([1, 198 << 24 | 18 << 16 | 9])}),
        (Ether() / ARP(pdst="198.18.5.5"), {}),
    ],
)
def test_no_stream_can_reach_a_management_address(frame, vary):
    pair = Pair(management=("198.18.0.0/16",))
    with pytest.raises(PlanError, match=r"management network 198.18.0.0/16"):
        pair.a.stream(frame, vary=vary)


def test_a_stream_beside_the_management_network_is_sent():
    pair = Pair(management=("198.18.0.0/16",))
    pair.a.stream(Ether() / IP(dst="1.1.1.1"), vary={"ipv4.dst": Listed([1, 0xFFFFFFFF])})
    pair.a.stream(Ether() / IP(dst="198.17.0.0"), vary={"ipv4.dst": Increment(count=65536)})
    pair.a.stream(UDP_FRAME, vary={"ipv4.dst": Increment(0x0A000000, count=65536)})


def test_what_makes_no_sense_is_refused_in_words():
    pair = Pair()
    with pytest.raises(PlanError, match="of frames or of Frames"):
        pair.a.stream(PLAIN, Frames(PLAIN))
    with pytest.raises(PlanError, match="say in each Frames"):
        pair.a.stream(Frames(PLAIN), vary={"eth.src": SEQUENCE})
    with pytest.raises(PlanError, match="given once"):
        pair.a.stream(PLAIN, pps=5, line_share=0.1)
    with pytest.raises(PlanError, match="has no end"):
        pair.a.stream(PLAIN, pps=5).start().wait()
    stream = pair.a.stream(PLAIN, pps=5).start()
    with pytest.raises(PlanError, match="runs already"):
        stream.start()
    with pytest.raises(LinkError, match="sent only 6 frames"):
        pair.a.stream(PLAIN, pps=5, count=100).start().wait(seconds(1))


@pytest.mark.parametrize("name", ["frames.pcap", "frames.pcapng"])
def test_the_frames_of_a_capture_are_sent_in_its_order(name, tmp_path):
    frames = [PLAIN + bytes([n]) * n for n in range(20)]
    write = wrpcapng if name.endswith("ng") else wrpcap
    write(str(tmp_path / name), [Ether(frame) for frame in frames])
    assert frames_of(tmp_path / name) == tuple(frames)
    pair = Pair()
    pair.a.stream(tmp_path / name, vary={"eth.dst": Increment()}, count=40).start().wait()
    pair.settle()
    assert [frame[6:] for frame in pair.frames] == [frame[6:] for frame in frames * 2]
    assert pair.frames[39][5] == 0x0B + 39


def test_a_capture_that_cannot_be_sent_whole_is_refused(tmp_path):
    wrpcap(str(tmp_path / "raw.pcap"), [IP()], linktype=101)
    with pytest.raises(PlanError, match="not of Ethernet frames alone"):
        frames_of(tmp_path / "raw.pcap")
    wrpcap(str(tmp_path / "cut.pcap"), [Ether(PLAIN)], snaplen=20)
    data = (tmp_path / "cut.pcap").read_bytes()
    cut = data[:32] + (20).to_bytes(4, "little") + data[36:40] + data[40:60]
    (tmp_path / "cut.pcap").write_bytes(cut)
    with pytest.raises(PlanError, match="cut by a snap length"):
        frames_of(tmp_path / "cut.pcap")


def test_what_arrives_of_signed_streams_is_counted_in_virtual_time():
    pair = Pair()
    flows = [signed(UDP_FRAME, 3, share=2), signed(PLAIN, 4)]
    with pair.b.tally() as tally, pair.a.stream(*flows, pps=10_000, count=300) as stream:
        stream.wait()
        pair.settle()
    assert (tally.engine, tally.why) == ("frame by frame", "it keeps the lab's own time")
    assert {number: each.received for number, each in tally.streams.items()} == {3: 200, 4: 100}
    assert (tally.received, tally.others) == (300, 0)
    facts = json.loads(json.dumps(tally.as_dict()))
    assert (facts["nic"], facts["streams"]["3"]["received"]) == ("b", 200)
    assert [line.split()[:3] for line in tally.table(most=1).splitlines()] == [
        ["stream", "received", "lost"],
        ["3", "200", "0"],
        ["and", "1", "streams"],
    ]
    times = tally.of(3)
    assert times.least_latency == times.mean_latency == times.most_latency > 0
    assert (times.lost, times.late, times.duplicates, tally.of(9).received) == (0, 0, 0, 0)
    with pytest.raises(PlanError, match="counts once"), tally:
        pass


def test_the_end_of_a_plan_ends_its_streams():
    pair = Pair()
    stream = pair.a.stream(PLAIN, pps=5).start()
    pair.a.end_streams()
    assert not stream.running


def test_a_nic_without_a_link_fails_the_stream():
    pair = Pair()
    stream = pair.a.stream(PLAIN, pps=1000).start()
    pair.loop.run_until(lambda: False, milliseconds(5))
    pair.a.tap.port.set_link(False)
    pair.loop.run_until(lambda: False, milliseconds(5))
    assert not stream.running
    with pytest.raises(LinkError, match="the link is down"):
        stream.stop()


def test_streams_on_the_sim_lab_load_nothing_of_numpy():
    code = (
        "import sys\n"
        "import testbed.bench.nic\n"
        "from testbed import Frames, Increment\n"
        "from testbed.link.streams import Blend\n"
        "Blend([Frames(bytes(60), vary={'eth.src': Increment()})]).frame(5, 0)\n"
        "sys.exit('numpy' in sys.modules or 'ctypes' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


PLAN = """
from testbed import SEQUENCE, Frames, Increment, signed

VARY = {"eth.src": Increment(count=5), "payload[0:8]": SEQUENCE}


@STAR
def test_stream(bench: Bench) -> None:
    a, b = bench.nic("a"), bench.nic("b")
    b.inject(EthFrame(dst=MacAddr.BROADCAST, src=b.mac))
    heard = []
    b.tap.subscribe(lambda frame: heard.append(frame.data))
    frame = EthFrame(b.mac, STATION, payload=bytes(50))
    with bench.capture("dut--b") as capture:
        stream = a.stream(frame, vary=VARY, pps=2000, count=200).start()
        assert stream.wait() == 200
        capture.settle()
    head = b.mac.packed + STATION.packed[:5]
    ours = [data for data in heard if data.startswith(head)]
    assert ours == [stream.blend.frame(n, 0) for n in range(200)]
    assert stream.engine and stream.why
    for captured in (False, True):
        with b.tally(captured=captured) as tally:
            a.stream(signed(frame, 5), pps=5000, count=500).start().wait()
            bench.watch_for(milliseconds(50))
        assert tally.engine and tally.why
        assert tally.clock.startswith(("virtual time", "CLOCK_"))
        assert tally.balance is None or tally.balance.missed == 0
        assert tally.as_dict()["balance"] is None or tally.as_dict()["balance"]["counted"] >= 500
        assert (tally.of(5).received, tally.of(5).lost, tally.of(5).late) == (500, 0, 0)
        assert 0 < tally.of(5).least_latency <= tally.of(5).most_latency < seconds(1)
    forever = a.stream(Frames(frame, vary=VARY), pps=1000).start()
    bench.watch_for(milliseconds(100))
    assert 50 <= forever.sent <= 1000
"""


@pytest.mark.parametrize("lab", ["sim", pytest.param("virtual", marks=pytest.mark.root)])
def test_a_plan_streams_on_every_lab(lab, tmp_path):
    if lab == "virtual":
        need_root_and("linux_bridge")
    sandbox = Sandbox(tmp_path)
    bench = str(ROOT / "inventory" / "sim.yaml") if lab == "sim" else "small.yaml"
    plan = sandbox.plan("test_streams", PLAN)
    done = sandbox.testbed("run", plan, "--bench", bench, "--no-prove")
    assert done.code == 0, done.text
