"""Recorders on real (veth) interfaces: every frame as it was, counted to the frame, or told of."""

import gc
import os
import shutil
import socket
import struct
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from bpf_objects import descriptors, held, left_of
from netns import Namespace, sh
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1AD, Dot1Q, Ether
from scapy.packet import Raw

from testbed.capture.columns import Columns, read_columns
from testbed.errors import LinkError, PlanError
from testbed.link.ebpf import R0, R2, R3, Assembler, can_load, can_run_live, function_number
from testbed.link.ebpf.syscall import Command, address, bpf, pinned
from testbed.link.netlink import RouteNetlink
from testbed.link.recorder import Limits, Wish, as_filter
from testbed.link.recorder.batch import Batch, build_blocks
from testbed.link.recorder.choosing import open_recorder, prospects
from testbed.link.recorder.recorder import Recorder
from testbed.link.recorder.store import FileStore, Store
from testbed.link.recorder.xdp import merge
from testbed.link.streams import Blend, Frames, Increment, Job, Pace
from testbed.link.streams.job import Outlet
from testbed.link.streams.packets import PacketSender
from testbed.link.streams.xdp import XdpSender
from testbed.timing import milliseconds
from testbed.wire.pcapng import packet_block

WITHIN = 10.0
needs_bpf = pytest.mark.skipif(not can_load().works, reason=can_load().why)
needs_live = pytest.mark.skipif(not can_run_live().works, reason=can_run_live().why)
needs_tshark = pytest.mark.skipif(not shutil.which("tshark"), reason="tshark is not installed")

HEAD = bytes.fromhex("02000000000b02000000000a88b5")
ENGINES = [pytest.param("XDP", marks=needs_bpf), "TPACKET_V3"]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return request.param


@contextmanager
def recording(interface: str, engine: str, **wish: object) -> Iterator[Recorder]:
    """A recorder that works in one way, until the end of the block; it can be read after that."""
    recorder = open_recorder(Wish(**wish), interface, in_kernel=engine == "XDP")
    assert recorder.engine == engine, recorder.why
    try:
        yield recorder
    finally:
        finish(recorder)


class Read:
    """What a store held before it was closed."""

    def __init__(self, store: Store) -> None:
        self.size = store.size
        self.forgotten = getattr(store, "forgotten", 0)
        self._data = store.read()
        store.close()

    def read(self) -> object:
        return self._data


def finish(recorder: Recorder) -> None:
    recorder.stop()
    recorder.store = Read(recorder.store)


def await_that(condition: object) -> None:
    deadline = time.monotonic() + WITHIN
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def received(interface: str) -> int:
    with RouteNetlink() as route:
        return route.traffic(socket.if_nametoindex(interface)).received


def send(interface: str, *frames: bytes, far: str = "vb") -> None:
    """Send frames one by one; returns when they have arrived."""
    due = received(far) + len(frames)
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as packets:
        packets.bind((interface, 0))
        for frame in frames:
            packets.send(frame)
    await_that(lambda: received(far) >= due)


def stream(
    interface: str, count: int, *, kind: type = PacketSender, size: int = 60, pps=None
) -> int:
    """Send numbered frames at a rate; how many left."""
    numbered = Frames(HEAD.ljust(size, b"\0"), vary={"payload[0:8]": Increment()})
    sender = kind(Job(Blend([numbered]), Pace(pps), count=count), Outlet.find(interface))
    sender.start()
    await_that(lambda: sender.done)
    sender.stop()
    return sender.sent


def columns(recorder: Recorder) -> Columns:
    read = read_columns(recorder.store.read())
    assert read.fault is None
    assert read.truncated is None
    assert (np.diff(read.time) >= 0).all()
    return read


def packets(recorder: Recorder) -> list[bytes]:
    read = columns(recorder)
    return [read.packet(row) for row in range(len(read))]


SIZES = (
    14,
    15,
    20,
    31,
    32,
    33,
    59,
    60,
    61,
    63,
    64,
    65,
    66,
    90,
    127,
    128,
    129,
    255,
    1000,
    1513,
    1514,
)


def test_frames_are_recorded_as_they_were(engine: str, veth: tuple[str, str]) -> None:
    frames = [(HEAD + bytes(range(256)) * 6)[:size] for size in SIZES]
    with recording(veth[1], engine) as recorder:
        before = time.time_ns()
        send(veth[0], *frames)
        after = time.time_ns()
    assert packets(recorder) == frames
    read = columns(recorder)
    assert read.length.tolist() == list(SIZES)
    assert before <= read.time[0] <= read.time[-1] <= after
    assert read.sources[0].name == veth[1]
    assert (recorder.frames, recorder.lost, recorder.overruns, recorder.ended_by) == (21, 0, [], "")
    assert recorder.passed == 21


def test_what_this_machine_sends_is_not_recorded(engine: str, veth: tuple[str, str]) -> None:
    with recording(veth[1], engine) as recorder:
        send(veth[1], HEAD + bytes(50), far=veth[0])
        send(veth[0], HEAD + bytes(46))
    assert packets(recorder) == [HEAD + bytes(46)]


def test_tags_are_where_they_were_on_the_wire(engine: str, veth: tuple[str, str]) -> None:
    inner = IP(src="10.0.0.1", dst="10.0.0.2") / UDP(dport=53) / Raw(b"x" * 30)
    plain = Ether(dst="02:00:00:00:00:0b", src="02:00:00:00:00:0a")
    frames = [
        bytes(plain / Dot1Q(vlan=5, prio=3) / inner),
        bytes(plain / inner),
        bytes(plain / Dot1AD(vlan=100) / Dot1Q(vlan=7) / inner),
        bytes(plain / Dot1Q(vlan=0, prio=7) / inner),
    ]
    with recording(veth[1], engine) as recorder:
        send(veth[0], *frames)
    assert packets(recorder) == frames
    with recording(veth[1], engine, snap=40) as cut:
        send(veth[0], *frames)
    assert packets(cut) == [each[:40] for each in frames]
    assert columns(cut).length.tolist() == [len(each) for each in frames]
    for wanted, which in ({"vlan.id": 5}, [0]), ({"udp.dst_port": 53}, [1]):
        with recording(veth[1], engine, wanted=as_filter(wanted)) as some:
            send(veth[0], *frames)
        assert packets(some) == [frames[n] for n in which]


@contextmanager
def tagging(interface: str, vlan: int) -> Iterator[None]:
    """The kernel tags what leaves by the interface, as a bridge does: beside the frame."""
    push, classifier, egress = 18, 3, 47  # linux/bpf.h: skb_vlan_push, SCHED_CLS, TCX_EGRESS
    asm = Assembler().mov(R2, socket.htons(0x8100)).mov(R3, vlan).call(push)
    code, licence = pinned(asm.mov(R0, -1).exit().assemble()), pinned(b"GPL\0")
    attributes = struct.pack("=IIQQ", classifier, len(code) // 8, address(code), address(licence))
    program = bpf(Command.PROG_LOAD, pinned(attributes.ljust(144, b"\0")))
    attributes = struct.pack("=4I", program, socket.if_nametoindex(interface), egress, 0)
    link = bpf(Command.LINK_CREATE, pinned(attributes.ljust(64, b"\0")))
    try:
        yield
    finally:
        os.close(link)
        os.close(program)


@needs_bpf
def test_tags_beside_the_frame_are_put_into_it(engine: str, veth: tuple[str, str]) -> None:
    if engine == "XDP" and function_number("bpf_xdp_metadata_rx_vlan_tag") is None:
        pytest.skip("this kernel does not tell programs of tags beside frames")
    plain = [HEAD + bytes([number]) * size for number, size in enumerate((1, 46, 47, 500, 1500))]
    tagged = [each[:12] + b"\x81\x00\x00\x07" + each[12:] for each in plain]
    double = HEAD[:12] + b"\x81\x00\x00\x05" + HEAD[12:] + bytes(50)
    with recording(veth[1], engine) as recorder, tagging(veth[0], 7):
        send(veth[0], *plain, double)
    assert packets(recorder) == [*tagged, double[:12] + b"\x81\x00\x00\x07" + double[12:]]
    for wanted, found in ({"vlan.id": 7}, tagged), ({"eth.type": 0x88B5}, []):
        with recording(veth[1], engine, wanted=as_filter(wanted)) as some, tagging(veth[0], 7):
            send(veth[0], *plain)
        assert packets(some) == found
    # What goes on to the kernel is as it was: the tag is beside the frame again.
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as heard:
        heard.bind((veth[1], 3))
        heard.settimeout(WITHIN)
        heard.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
        with recording(veth[1], engine), tagging(veth[0], 7):
            send(veth[0], plain[2])
            data, [(_, _, notes)], _, _ = heard.recvmsg(2048, 256)
    status, *_, tag, kind = struct.unpack("=IIIHHHH", notes)
    assert (data, status & 0x50, tag, kind) == (plain[2], 0x50, 7, 0x8100)


def test_long_frames_are_recorded_whole_or_up_to_the_snap_length(
    engine: str, netns: Namespace
) -> None:
    near, far = netns.veth("va", "vb", mtu=9000)
    frame = HEAD + os.urandom(9000)
    for snap, size in (65535, len(frame)), (5000, 5000), (100, 100):
        with recording(far, engine, snap=snap) as recorder:
            send(near, frame)
        assert packets(recorder) == [frame[:size]]
        assert columns(recorder).length.tolist() == [len(frame)]


@needs_live
@pytest.mark.parametrize("size", [60, 1514])
def test_counts_agree_with_the_kernels_to_the_frame(
    engine: str, size: int, veth: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "all.pcapng"
    count, pps = (200_000, None) if engine == "XDP" else (20_000, 50_000)
    kind = XdpSender if engine == "XDP" else PacketSender
    before = received(veth[1])
    with recording(veth[1], engine, path=path, take=True) as recorder:
        sent = stream(veth[0], count, kind=kind, size=size, pps=pps)
        await_that(lambda: received(veth[1]) - before >= sent)
    assert recorder.frames + recorder.lost == sent == count == recorder.passed
    assert received(veth[1]) - before == sent
    read = columns(recorder)
    assert len(read) == recorder.frames
    rows = read.offset[:, None] + np.arange(14, 22)
    numbers = read.data[rows].copy().view(">u8")[:, 0]
    assert (np.diff(numbers.astype(np.int64)) > 0).all()
    if not recorder.lost:
        assert numbers.tolist() == list(range(count))
    told = subprocess.run(
        ["tcpdump", "-r", str(path), "--count"], capture_output=True, text=True, check=True
    )
    assert f"{recorder.frames} packets" in told.stdout


class Gate:
    """A store that holds the recorder up until it is opened."""

    def __init__(self) -> None:
        self.inner = FileStore()
        self.shut = threading.Event()
        self.open = threading.Event()
        self.open.set()

    @property
    def size(self) -> int:
        return self.inner.size

    def write(self, data: bytes | memoryview) -> None:
        if not self.open.is_set():
            self.shut.set()
        assert self.open.wait(WITHIN)
        self.inner.write(data)

    def read(self) -> object:
        return self.inner.read()

    def close(self) -> None:
        self.inner.close()


@needs_tshark
def test_what_the_ring_had_no_room_for_is_told_of_where_it_is_missing(
    engine: str, veth: tuple[str, str], tmp_path: Path
) -> None:
    gate = Gate()
    with recording(veth[1], engine, ring=2 << 20) as recorder:
        gate.write(recorder.store.read()[:])
        recorder.store.close()
        recorder.store = gate
        gate.open.clear()
        began = time.time_ns()
        send(veth[0], HEAD + b"first")
        await_that(gate.shut.is_set)
        stream(veth[0], 20_000)
        gate.open.set()
        await_that(lambda: recorder.frames and recorder.idle)
        send(veth[0], HEAD + b"last")
        ended = time.time_ns()
    lost = recorder.lost
    assert lost > 5000
    assert recorder.frames + lost == 20_002
    [overrun] = recorder.overruns
    assert overrun.lost == lost
    assert began < overrun.after < overrun.before < ended
    read = columns(recorder)
    assert len(read) == recorder.frames
    row = int(np.searchsorted(read.time, overrun.before))
    # Where the next frame came on another CPU, the loss was told of before it came.
    assert read.time[row - 1] == overrun.after
    assert read.time[row] == overrun.before or engine == "XDP"
    assert read.packet(len(read) - 1) == HEAD + b"last"
    path = tmp_path / "lossy.pcapng"
    path.write_bytes(recorder.store.read()[:])
    fields = ["-T", "fields", "-e", "frame.number", "-e", "frame.comment", "-e", "frame.drop_count"]
    done = subprocess.run(
        ["tshark", "-r", str(path), "-Y", "frame.comment", *fields],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip().split("\t") == [str(row + 1), str(overrun), str(lost)]


def test_what_was_lost_behind_the_last_frame_is_told_of_at_the_end(
    engine: str, veth: tuple[str, str], tmp_path: Path
) -> None:
    gate = Gate()
    with recording(veth[1], engine, ring=2 << 20) as recorder:
        recorder.store.close()
        recorder.store = gate
        gate.open.clear()
        send(veth[0], HEAD + b"first")
        await_that(gate.shut.is_set)
        threading.Timer(0.2, gate.open.set).start()
        stream(veth[0], 20_000)
    assert recorder.frames + recorder.lost == 20_001
    assert sum(each.lost for each in recorder.overruns) == recorder.lost
    assert str(recorder.overruns[-1]).encode() in recorder.store.read()[-300:]


def test_it_ends_with_the_frame_that_was_waited_for(engine: str, veth: tuple[str, str]) -> None:
    frames = [HEAD + bytes([number]) * 50 for number in range(20)]
    until = as_filter({"frame[14:16]": bytes([7, 7])})
    with recording(veth[1], engine, until=until) as recorder:
        send(veth[0], *frames)
        assert recorder.wait(WITHIN)
        send(veth[0], *frames)
    assert packets(recorder) == frames[:8]
    assert recorder.ended_by == "match"


def test_it_ends_with_its_count_its_size_or_its_time(engine: str, veth: tuple[str, str]) -> None:
    frames = [HEAD + bytes([number]) * 50 for number in range(20)]
    for limits, most in (Limits(count=5), 5), (Limits(size=1000), 7):
        with recording(veth[1], engine, limits=limits) as recorder:
            send(veth[0], *frames)
            assert recorder.wait(WITHIN)
            size = recorder.store.size
        assert recorder.ended_by == ("count" if limits.count else "size")
        assert size <= (limits.size or size)
        found = packets(recorder)
        assert found == frames[: len(found)]
        assert abs(len(found) - most) < 1 + (limits.size is not None) * 3
    with recording(veth[1], engine, limits=Limits(duration=milliseconds(20))) as recorder:
        assert recorder.wait(WITHIN)
    assert (recorder.ended_by, recorder.frames) == ("duration", 0)
    assert time.time_ns() - recorder.began >= 20_000_000


def test_only_what_is_wanted_is_recorded(engine: str, veth: tuple[str, str]) -> None:
    frames = [HEAD + bytes([number % 3]) * 60 for number in range(30)]
    wanted = as_filter({"frame[14:15]": b"\2"})
    with recording(veth[1], engine, wanted=wanted, snap=30) as recorder:
        send(veth[0], *frames)
    assert packets(recorder) == [each[:30] for each in frames if each[14] == 2]
    assert recorder.lost == 0


@needs_bpf
@pytest.mark.parametrize("take", [False, True])
def test_the_kernel_gets_the_frames_unless_they_are_taken(
    take: bool, veth: tuple[str, str]
) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x88B5)) as heard:
        heard.bind((veth[1], 0x88B5))
        heard.settimeout(WITHIN)
        wanted = as_filter({"frame[14:15]": b"\1"})
        with recording(veth[1], "XDP", take=take, wanted=wanted) as recorder:
            send(veth[0], HEAD + b"\1" * 46, HEAD + b"\2" * 46)
            found = [heard.recv(2048)[14] for _ in range(2 - take)]
    assert found == [1, 2][take:]
    assert recorder.frames == 1
    assert recorder.passed == 2


@needs_bpf
def test_frames_of_several_cpus_are_in_the_order_of_time(veth: tuple[str, str]) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("one CPU")
    with recording(veth[1], "XDP") as recorder:
        try:
            for number in range(120):
                os.sched_setaffinity(0, {allowed[number // 3 % 2]})
                send(veth[0], HEAD + number.to_bytes(2, "big") + bytes(46 + number % 5))
        finally:
            os.sched_setaffinity(0, allowed)
        cpus = recorder._engine.cpus
    assert cpus == 2
    assert [int.from_bytes(each[14:16], "big") for each in packets(recorder)] == list(range(120))


@needs_bpf
def test_several_cpus_at_once_are_recorded_to_the_frame(veth: tuple[str, str]) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    if len(allowed) < 2:
        pytest.skip("one CPU")
    count = 20_000
    with recording(veth[1], "XDP", take=True) as recorder:
        senders = []
        for flow, cpu in enumerate(allowed[:2]):
            os.sched_setaffinity(0, {cpu})  # threads inherit it
            frames = Frames(HEAD + bytes([flow]) + bytes(59), vary={"payload[10:18]": Increment()})
            job = Job(Blend([frames]), Pace(20_000), count=count)
            senders.append(PacketSender(job, Outlet.find(veth[0])))
            senders[-1].start()
        os.sched_setaffinity(0, allowed)
        await_that(lambda: all(sender.done for sender in senders))
        for sender in senders:
            sender.stop()
        await_that(lambda: received(veth[1]) == 2 * count)
    found = packets(recorder)
    assert len(found) + recorder.lost == 2 * count == recorder.passed
    for flow in range(2):
        numbers = [int.from_bytes(each[24:32], "big") for each in found if each[14] == flow]
        assert numbers == sorted(set(numbers))
        assert recorder.lost or numbers == list(range(count))


def test_a_ring_goes_round_many_times_and_no_frame_is_touched(
    engine: str, veth: tuple[str, str]
) -> None:
    sizes = (60, 61, 700, 1514, 333, 62, 1000)
    vary = {"payload[0:8]": Increment()}
    flows = [Frames(HEAD + os.urandom(size - 14), vary=vary) for size in sizes]
    blend = Blend(flows)
    count = 14_000
    with recording(veth[1], engine, ring=2 << 20) as recorder:
        sender = PacketSender(Job(blend, Pace(20_000), count=count), Outlet.find(veth[0]))
        sender.start()
        await_that(lambda: sender.done)
        sender.stop()
    expected = [blend.frame(number, 0) for number in range(count)]
    if recorder.lost:  # a busy machine: what is there is right all the same
        assert recorder.frames + recorder.lost == count
        assert set(packets(recorder)) <= set(expected)
    else:
        assert packets(recorder) == expected


def test_blocks_made_by_numpy_are_those_made_one_by_one() -> None:
    chance = np.random.default_rng(4)
    memory = chance.integers(0, 256, 1 << 16, np.uint8)
    kept = chance.integers(14, 120, 500)
    taken = chance.integers(0, len(memory) - 200, 500)
    times = chance.integers(0, 1 << 62, 500)
    batch = build_blocks(memory, taken, kept, kept + 5, times)
    made = [
        packet_block(0, int(at), memory[begin : begin + size].tobytes(), int(size) + 5)
        for begin, size, at in zip(taken, kept, times, strict=True)
    ]
    assert batch.data.tobytes() == b"".join(made)
    assert [batch.begin(row + 1) - batch.begin(row) for row in range(500)] == list(map(len, made))
    assert batch.time(7) == times[7]


def blocks(times: list[int], sizes: list[int], mark: int) -> Batch:
    kept = np.array(sizes)
    memory = np.full(sum(sizes), mark, np.uint8)
    return build_blocks(memory, np.cumsum(kept) - kept, kept, kept, np.array(times))


def test_rings_are_merged_with_what_is_known_of_their_frames() -> None:
    one, two = blocks([10, 30, 50], [5, 6, 7], 1), blocks([20, 30, 40], [60, 61, 5], 2)
    one.losses, two.losses = [(1, 9)], [(0, 3), (2, 4)]
    one.matched, two.matched = np.array([False, False, True]), np.array([True, False, False])
    merged = merge([one, two])
    assert [merged.time(row) for row in range(6)] == [10, 20, 30, 30, 40, 50]
    assert [int(merged.data[merged.begin(row) + 28]) for row in range(6)] == [1, 2, 1, 2, 2, 1]
    assert merged.losses == [(1, 3), (2, 9), (4, 4)]
    assert merged.matched.tolist() == [False, True, False, False, False, True]
    assert len(merged.data) == len(one.data) + len(two.data)


def test_the_latest_part_is_kept(engine: str, veth: tuple[str, str]) -> None:
    frames = [HEAD + number.to_bytes(2, "big") + bytes(44) for number in range(500)]
    with recording(veth[1], engine, keep=5000) as recorder:
        for at in range(0, 500, 10):
            send(veth[0], *frames[at : at + 10])
            await_that(lambda: recorder.frames == at + 10)  # noqa: B023 - asked at once
    found = packets(recorder)
    assert found == frames[-len(found) :]
    assert 5000 // 92 <= len(found) <= 5000 // 92 + 20
    assert recorder.frames == 500
    assert recorder.store.forgotten > 0


def test_a_full_disk_ends_the_recording_with_an_error(engine: str, veth: tuple[str, str]) -> None:
    class Full(FileStore):
        def write(self, data: bytes | memoryview) -> None:
            raise LinkError("memory: cannot record more: No space left on device")

    recorder = open_recorder(Wish(), veth[1], in_kernel=engine == "XDP")
    recorder.store.close()
    recorder.store = Full()
    send(veth[0], HEAD + bytes(46))
    assert recorder.wait(WITHIN)
    with pytest.raises(LinkError, match="No space left"):
        recorder.stop()
    recorder.store.close()
    with pytest.raises(PlanError, match="cannot record there"):
        open_recorder(Wish(path=Path("/nowhere/file")), veth[1])


def test_a_link_that_went_down_is_told_of(engine: str, veth: tuple[str, str]) -> None:
    with recording(veth[1], engine) as recorder:
        send(veth[0], HEAD + bytes(46))
        sh("ip", "link", "set", veth[0], "down")
        sh("ip", "link", "set", veth[0], "up")
    assert "lost its link" in recorder.fault
    assert recorder.frames == 1


def test_an_interface_that_is_taken_away_ends_it_in_words(
    engine: str, veth: tuple[str, str]
) -> None:
    with recording(veth[1], engine) as recorder:
        send(veth[0], HEAD + bytes(46))
        await_that(lambda: recorder.frames == 1)
        sh("ip", "link", "del", veth[0])
    assert "is gone" in recorder.fault
    assert len(packets(recorder)) == 1


@needs_bpf
def test_a_second_recorder_falls_back_and_says_why(veth: tuple[str, str]) -> None:
    first = open_recorder(Wish(), veth[1])
    second = open_recorder(Wish(), veth[1])
    send(veth[0], HEAD + bytes(46))
    finish(first)
    finish(second)
    assert (first.engine, first.why) == ("XDP", "the fastest, and it works here")
    assert second.engine == "TPACKET_V3"
    assert second.why.startswith("not XDP: ")
    assert "another program is attached there already" in second.why
    assert packets(first) == packets(second) == [HEAD + bytes(46)]
    assert [name for name, _, _ in prospects()] == ["XDP", "TPACKET_V3"]


def test_what_makes_no_sense_is_refused(netns: Namespace) -> None:
    with pytest.raises(LinkError, match="no network interface 'nil0'"):
        open_recorder(Wish(), "nil0")
    if Path("/dev/net/tun").exists():
        sh("ip", "tuntap", "add", "tun0", "mode", "tun")
        with pytest.raises(LinkError, match="tun0 is no Ethernet interface"):
            open_recorder(Wish(), "tun0")
    for wish in {"snap": 5}, {"ring": 5}, {"keep": 5, "path": Path("x")}, {"keep": 0}:
        with pytest.raises(PlanError):
            Wish(**wish)
    for limit in "count", "size", "duration":
        with pytest.raises(PlanError, match=f"with a {limit} of 0"):
            Limits(**{limit: 0})


def test_starting_and_stopping_leaves_nothing(engine: str, veth: tuple[str, str]) -> None:
    def cycle() -> None:
        recorder = open_recorder(Wish(ring=1 << 20), veth[1], in_kernel=engine == "XDP")
        known.update(held())
        recorder.stop()
        recorder.store.close()

    known: set[tuple[str, int]] = set()
    cycle()
    gc.collect()
    before, threads = len(descriptors()), threading.active_count()
    for _ in range(200):
        cycle()
    gc.collect()
    assert (len(descriptors()), threading.active_count()) == (before, threads)
    assert not left_of(known)
    if engine == "XDP":
        assert len(known) > 600
    assert "prog" not in sh("ip", "-d", "link", "show", veth[1])
    assert "promiscuity 0" in sh("ip", "-d", "link", "show", veth[1])


def test_a_killed_recorder_leaves_a_file_and_nothing_else(
    engine: str, veth: tuple[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "killed.pcapng"
    script = f"""
        import sys, time
        from pathlib import Path
        from testbed.link.recorder import Wish
        from testbed.link.recorder.choosing import open_recorder
        recorder = open_recorder(
            Wish(path=Path({str(path)!r})), {veth[1]!r}, in_kernel={engine == "XDP"}
        )
        print(recorder.engine, flush=True)
        while recorder.frames < 50:
            time.sleep(0.001)
        print("some", flush=True)
        sys.stdin.read()
    """
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout.readline().decode().strip() == engine
    send(veth[0], *[HEAD + bytes([number]) * 46 for number in range(50)])
    assert child.stdout.readline() == b"some\n"
    objects = held(child.pid)
    child.kill()
    child.communicate()
    assert not left_of(objects)
    assert (engine == "XDP") == bool(objects)
    assert "prog" not in sh("ip", "-d", "link", "show", veth[1])
    assert len(read_columns(path.read_bytes())) == 50
    with recording(veth[1], engine) as recorder:
        send(veth[0], HEAD + bytes(46))
    assert recorder.frames == 1
