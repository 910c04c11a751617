"""``nic.replay(...)`` and ``nic.stream_arrays(...)``, in virtual time and on a real NIC."""

import gzip
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from netns import fresh_namespace
from nic_pair import Pair
from plan_runs import Sandbox, need_root_and
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap, wrpcapng

from testbed import PlanError, match, milliseconds, seconds
from testbed.bench.nic import BenchNic
from testbed.bench.progress import watched_by
from testbed.errors import LinkError, TestbedError
from testbed.hosts import RealLoop

ROOT = Path(__file__).parents[2]
BEGAN = 1_700_000_000
TIMES = [0, 0.000_150, 0.000_150, 0.002, 0.500]


def packets(count: int = 5) -> list[Ether]:
    """Frames to and fro, in odd intervals."""
    made = []
    for n in range(count):
        ends = {"src": "10.1.0.1", "dst": "10.2.0.2"}
        head = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b") / IP(**ends)
        inside = UDP(sport=1000, dport=53) if n % 2 else TCP(sport=80, dport=4000)
        packet = head / inside / Raw(bytes([n]) * (n * 40))
        packet.time = BEGAN + TIMES[n % 5]
        made.append(packet)
    return made


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    wrpcap(str(tmp_path / "some.pcap"), packets())
    return tmp_path / "some.pcap"


def bytes_of(frames: list[Ether]) -> list[bytes]:
    return [bytes(frame).ljust(60, b"\0") for frame in frames]


def offsets(pair: Pair) -> list[int]:
    """When frames arrived, after the first; less what longer ones take longer on the cable."""
    heard = [frame for frame in pair.heard if frame.direction.name == "IN"]
    sent = [frame.at - len(frame.data) * 80 for frame in heard]
    return [at - sent[0] for at in sent]


def test_frames_leave_in_the_spacing_of_the_capture(capture: Path):
    pair = Pair()
    replay = pair.a.replay(capture).start()
    assert replay.wait() == 5
    pair.settle()
    assert pair.frames == bytes_of(packets())
    assert offsets(pair) == [0, 150_000, 158_480, 2_000_000, 500_000_000]  # one waits for the line
    assert replay.total == 5
    assert replay.sent_bytes == sum(map(len, pair.frames))


def test_the_spacing_is_scaled_and_gaps_are_cut(capture: Path):
    pair = Pair()
    pair.a.replay(capture, speed=0.5, longest_gap=milliseconds(10)).start().wait()
    pair.settle()
    assert offsets(pair)[3:] == [4_000_000, 14_000_000]


def test_loops_follow_each_other_after_a_mean_gap(capture: Path):
    pair = Pair()
    assert pair.a.replay(capture, loops=3, frames=range(1, 5)).start().wait() == 12
    pair.settle()
    assert pair.frames == bytes_of(packets()[:4]) * 3
    assert offsets(pair)[::4] == [0, 2_666_666, 5_333_332]


def test_at_a_rate_or_at_top_speed_the_files_times_do_not_count(capture: Path):
    pair = Pair()
    pair.a.replay(capture, pps=1000).start().wait()
    pair.settle()
    assert offsets(pair) == [0, 1_000_000, 2_000_000, 3_000_000, 4_000_000]
    fast = Pair()
    fast.a.replay(capture, top_speed=True).start().wait()
    fast.settle()
    gaps = [after.at - before.at for before, after in pairwise(fast.heard[-5:])]
    assert gaps == [(len(frame) + 24) * 80 for frame in fast.frames[1:]]


def test_a_part_of_the_file_is_played(capture: Path):
    for options, expected in (
        ({"frames": range(2, 4)}, packets()[1:3]),
        ({"frames": range(5, 0, -2)}, packets()[4::-2]),
        ({"only": match.tcp()}, packets()[::2]),
        ({"only": match.udp(dst_port=53), "frames": range(3, 6)}, [packets()[3]]),
        ({"only": {"udp.dst_port": 53}, "frames": range(3, 6)}, [packets()[3]]),
    ):
        pair = Pair()
        pair.a.replay(capture, pps=1000, **options).start().wait()
        pair.settle()
        assert pair.frames == bytes_of(expected)


def test_addresses_and_ports_are_rewritten_with_right_checksums(capture: Path):
    pair = Pair()
    words = {"10.1.0.0/16": "198.18.0.0/16", 53: 5353, "eth.dst": "06:00:00:00:00:01"}
    pair.a.replay(capture, top_speed=True, rewrite=words).start().wait()
    pair.settle()
    for data in pair.frames:
        packet = Ether(data)
        assert (packet.dst, packet[IP].src) == ("06:00:00:00:00:01", "198.18.0.1")
        fresh = Ether(data)
        for layer in (IP, UDP, TCP):
            if layer in fresh:
                fresh[layer].delfieldval("chksum")
        assert bytes(fresh) == data
    assert Ether(pair.frames[1])[UDP].dport == 5353


def test_checksums_are_made_right_when_asked(tmp_path: Path):
    wrong = Ether() / IP(src="10.1.0.1", dst="10.2.0.2") / UDP(chksum=0x1111) / Raw(b"x" * 40)
    right = Ether() / IP(src="10.1.0.1", dst="10.2.0.2") / UDP() / Raw(b"x" * 40)
    wrpcap(str(tmp_path / "wrong.pcap"), [wrong])
    pair = Pair()
    pair.a.replay(tmp_path / "wrong.pcap", fix_checksums=True).start().wait()
    pair.settle()
    assert [frame[14:] for frame in pair.frames] == [bytes(right)[14:]]


def test_pcapng_and_packed_captures_are_played(capture: Path, tmp_path: Path):
    wrpcapng(str(tmp_path / "some.pcapng"), packets())
    (tmp_path / "some.pcap.gz").write_bytes(gzip.compress(capture.read_bytes()))
    for name in ("some.pcapng", "some.pcap.gz"):
        pair = Pair()
        pair.a.replay(str(tmp_path / name), pps=1000).start().wait()
        pair.settle()
        assert pair.frames == bytes_of(packets())


def test_the_bench_files_greatest_rate_holds_for_replays(capture: Path):
    pair = Pair(max_rate=1000)
    pair.a.replay(capture).start().wait()
    pair.settle()
    assert offsets(pair) == [0, 1_000_000, 2_000_000, 3_000_000, 500_000_000]
    assert pair.a.replay(capture, top_speed=True).pace.pps == 1000
    assert pair.a.stream_arrays(np.zeros((1, 60), np.uint8)).pace.pps == 1000


def test_no_replay_can_reach_a_management_address(capture: Path):
    pair = Pair(management=("10.2.0.0/24",))
    with pytest.raises(PlanError, match=r"frame 1 is for .* management network 10\.2\.0\.0/24"):
        pair.a.replay(capture).start()
    moved = pair.a.replay(capture, pps=1000, rewrite={"10.2.0.0/24": "10.3.0.0/24"})
    assert moved.start().wait() == 5


def test_arrays_are_sent_row_by_row():
    pair = Pair()
    rows = np.arange(10 * 64, dtype=np.uint32).astype(np.uint8).reshape(10, 64)
    replay = pair.a.stream_arrays(iter([rows[:4], rows[4:]]), pps=1000).start()
    assert replay.total is None
    assert replay.wait(seconds(1)) == 10
    pair.settle()
    assert pair.frames == [row.tobytes() for row in rows]
    assert pair.gaps == {1_000_000}


def test_arrays_without_end_are_sent_until_they_are_stopped():
    def blocks():
        while True:
            yield np.zeros((100, 60), np.uint8)

    pair = Pair()
    with pair.a.stream_arrays(blocks(), pps=1000) as replay:
        pair.loop.run_until(lambda: False, seconds(1))
        replay.set_rate(pps=10)
        pair.loop.run_until(lambda: False, seconds(1))
        assert replay.running
    assert 1009 <= replay.sent <= 1012


def test_what_makes_no_sense_is_refused_in_words(capture: Path):
    pair = Pair()
    with pytest.raises(PlanError, match="a rate or a speed, not both"):
        pair.a.replay(capture, speed=2, pps=10)
    with pytest.raises(PlanError, match="a rate or top speed, not both"):
        pair.a.replay(capture, top_speed=True, pps=10)
    with pytest.raises(PlanError, match=r"has frames 1 to 5, .* got range"):
        pair.a.replay(capture, frames=range(5))
    with pytest.raises(PlanError, match="has frames 1 to 5"):
        pair.a.replay(capture, frames=range(3, 7))
    with pytest.raises(PlanError, match="none of its 5 frames is chosen"):
        pair.a.replay(capture, only=match.arp())
    with pytest.raises(PlanError, match="have no other rate"):
        pair.a.replay(capture).start().set_rate(pps=5)
    with pytest.raises(PlanError, match=r"nil\.pcap cannot be read: No such file"):
        pair.a.replay(capture.with_name("nil.pcap"))
    with pytest.raises(PlanError, match="nobody knows how many"):
        pair.a.stream_arrays(iter([np.zeros((9, 60), np.uint8)]), pps=1).start().wait()
    with pytest.raises(LinkError, match="the replay has sent only 4 frames in its time"):
        pair.a.replay(capture).start().wait(milliseconds(100))


def test_damaged_captures_are_told_with_the_place(capture: Path):
    whole = capture.read_bytes()
    spots = {
        whole[:-3]: rf"ends within a packet, at byte {len(whole) - 16 - 214}: not played",
        whole[:24] + b"\xff" * 16: "byte 24: a packet of 4294967295 bytes",
        b"no capture at all, but long enough to be one": "byte 0: neither a pcap nor a pcapng",
        b"": "byte 0: the file is empty",
        whole[:24]: "none of its 0 frames",
    }
    pair = Pair()
    for data, told in spots.items():
        capture.write_bytes(data)
        with pytest.raises(PlanError, match=told):
            pair.a.replay(capture)


def test_what_cannot_be_sent_is_told_by_its_frame(tmp_path: Path):
    pair = Pair()
    file = tmp_path / "odd.pcap"
    wrpcap(str(file), [IP()], linktype=101)
    with pytest.raises(PlanError, match="frame 1 is no Ethernet frame"):
        pair.a.replay(file)
    frame = bytes(packets()[4])
    wrpcap(str(file), [Ether(frame[:100])])
    data = bytearray(file.read_bytes())
    data[36:40] = len(frame).to_bytes(4, "little")
    file.write_bytes(data)
    with pytest.raises(PlanError, match="frame 1 was cut by a snap length"):
        pair.a.replay(file)
    pair.a.replay(file, fill_cut=True).start().wait()
    pair.settle()
    assert pair.frames == [frame[:100].ljust(len(frame), b"\0")]
    wrpcap(str(file), [Raw(frame[:10])], linktype=1)
    with pytest.raises(PlanError, match="frame 1 is too short for an Ethernet frame"):
        pair.a.replay(file)
    wrpcap(str(file), [Ether(frame), Ether(frame + bytes(1500))])
    with pytest.raises(LinkError, match="frame 2, of 1714 bytes, is too long"):
        pair.a.replay(file).start()


@pytest.mark.parametrize("seed", range(40))
def test_no_damaged_capture_is_a_crash(seed: int, capture: Path):
    chance = np.random.default_rng(seed)
    data = bytearray(capture.read_bytes())
    for _ in range(4):
        data[chance.integers(len(data))] = chance.integers(256)
    capture.write_bytes(data[: chance.integers(len(data))] if seed % 2 else data)
    pair = Pair()
    try:
        replay = pair.a.replay(capture, rewrite={"10.1.0.0/16": "1.1.0.0/16"}, fix_checksums=True)
        replay.start()
    except TestbedError:
        return
    replay.stop()


def test_the_end_of_a_plan_ends_its_replays(capture: Path):
    pair = Pair()
    replay = pair.a.replay(capture).start()
    pair.a.end_streams()
    assert not replay.running


class Heard:
    """Keeps what a watcher is told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int, int]] = []
        self.ends = 0

    def moved(self, what) -> None:
        self.told.append((what.label, what.sent, what.sent_bytes))

    def ended(self, what) -> None:
        self.ends += 1


def test_in_virtual_time_nobody_is_told_of_progress(capture: Path):
    heard = Heard()
    with watched_by(heard):
        Pair().a.replay(capture).start().wait()
    assert heard.told == []


class RealNic:
    """A NIC of the bench on one end of a veth, on a real loop."""

    def __init__(self, interface: str) -> None:
        self.loop = RealLoop()
        port = SimpleNamespace(interface=interface, name=interface, mtu=1500)
        self.nic = BenchNic(
            "a",
            SimpleNamespace(port=port),
            self.loop,
            management=(),
            max_rate=None,
            on_inject=lambda: None,
        )


@pytest.mark.root
def test_in_real_time_watchers_are_told_how_far_it_has_come(capture: Path):
    heard = Heard()
    with fresh_namespace() as namespace, watched_by(heard):
        real = RealNic(namespace.veth("va", "vb")[0])
        replay = real.nic.replay(capture, pps=15).start()
        assert replay.wait() == 5
        stream = real.nic.stream(bytes(packets()[0]), pps=1000, count=200).start()
        assert stream.wait() == 200
        real.loop.close()
    assert heard.ends == 2
    replayed = [told for told in heard.told if told[0] == "a: replay"]
    assert len(replayed) >= 3
    assert sorted(replayed) == replayed
    assert any(0 < sent < 5 and octets >= 60 * sent for _, sent, octets in replayed)
    assert "a: stream" in {label for label, _, _ in heard.told}
    assert stream.engine == replay.engine == "sendmmsg"
    assert stream.behind >= 0


PLAN = """
import numpy as np
from pathlib import Path


@STAR
def test_replay(bench: Bench) -> None:
    a, b = bench.nic("a"), bench.nic("b")
    b.inject(EthFrame(dst=MacAddr.BROADCAST, src=b.mac))
    heard = []
    b.tap.subscribe(lambda frame: heard.append(frame.data))
    replay = a.replay(Path(CAPTURE), rewrite={"eth.dst": b.mac}, loops=2)
    with bench.capture("dut--b") as capture:
        assert replay.start().wait() == 10
        capture.settle()
    ours = [data for data in heard if data[6:12] == bytes.fromhex("02000000000a")]
    assert len(ours) == 10 and ours[:5] == ours[5:]
    assert replay.engine and replay.why
    rows = np.zeros((1000, 60), np.uint8)
    rows[:, :14] = np.frombuffer(b.mac.packed + bytes.fromhex("02000000000c88b5"), np.uint8)
    rows[:, 20] = np.arange(1000) % 256
    with bench.capture("dut--b") as capture:
        assert a.stream_arrays(rows, pps=5000).start().wait() == 1000
        capture.settle()
    ours = [data for data in heard if data[6:12] == bytes.fromhex("02000000000c")]
    assert ours == [row.tobytes() for row in rows]
"""


@pytest.mark.parametrize("lab", ["sim", pytest.param("virtual", marks=pytest.mark.root)])
def test_a_plan_replays_on_every_lab(lab: str, tmp_path: Path, capture: Path):
    if lab == "virtual":
        need_root_and("linux_bridge")
    sandbox = Sandbox(tmp_path)
    bench = str(ROOT / "inventory" / "sim.yaml") if lab == "sim" else "small.yaml"
    plan = sandbox.plan("test_replays", PLAN.replace("CAPTURE", repr(str(capture))))
    done = sandbox.testbed("run", plan, "--bench", bench, "--no-prove")
    assert done.code == 0, done.text
