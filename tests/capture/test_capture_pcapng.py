"""pcapng: what is written is read back, by us and by Wireshark's tools; junk is refused."""

from __future__ import annotations

import io
import shutil
import struct
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.capture.pcapng import Section, write_pcapng
from testbed.capture.pcapng_reader import CaptureFile, read_pcapng
from testbed.capture.recording import Point, Recording, Statistics
from testbed.errors import WireError
from testbed.timing import Instant
from testbed.wire.frame import Direction, Frame

T0 = 1_700_000_000_123_456_789

needs_tshark = pytest.mark.skipif(
    shutil.which("tshark") is None or shutil.which("capinfos") is None,
    reason="tshark and capinfos are not installed (apt install tshark)",
)


def frame(data: bytes, at: int, direction: Direction = Direction.IN) -> Frame:
    return Frame(data, Instant(T0 + at), direction)


def written(recording: Recording, **more) -> bytes:
    stream = io.BytesIO()
    write_pcapng(stream, recording, **more)
    return stream.getvalue()


def read_or_fault(data: bytes) -> CaptureFile | WireError:
    """What the file holds, or the fault, which must say where it is."""
    fault = None
    try:
        return read_pcapng(data)
    except WireError as error:
        fault = error
    assert fault.offset is not None
    assert 0 <= fault.offset <= len(data)
    return fault


def sample() -> Recording:
    recording = Recording([Point("a--dut", "NIC a, veth"), "b--dut"])
    ethernet = bytes.fromhex("ffffffffffff 020000000001 88b5") + bytes(46)
    recording.add("a--dut", [frame(ethernet, 0, Direction.OUT)])
    recording.add("b--dut", [frame(ethernet, 1_001), frame(ethernet + b"odd", 2_000_000_003)])
    recording.mark(Instant(T0 + 1_500), "config: mtu 1280", "b--dut")
    recording.comment(2, "flooded")
    recording.set_statistics("a--dut", Statistics(received=1, dropped=0))
    recording.set_statistics("b--dut", Statistics(received=2, dropped=7))
    return recording


frames = st.builds(
    Frame,
    st.binary(min_size=0, max_size=100),
    st.integers(0, 2**63).map(Instant),
    st.sampled_from(Direction),
)


@given(
    st.lists(st.tuples(st.sampled_from(["p", "q", "r"]), frames), max_size=12),
    st.dictionaries(st.integers(1, 12), st.lists(st.text(min_size=1, max_size=30), max_size=3)),
    st.text(max_size=20),
)
def test_what_is_written_is_read_back(seen, comments, description):
    recording = Recording([Point("p", description), "q", "r"])
    for point, each in seen:
        recording.add(point, [each])
    comments = {n: notes for n, notes in comments.items() if n <= len(seen)}
    back = read_pcapng(written(recording, comments=comments, section=Section("h", "o", "app")))
    assert back.section == Section("h", "o", "app")
    assert [i.name for i in back.interfaces] == ["p", "q", "r"]
    assert back.interfaces[0].description == description
    assert [(back.interfaces[p.interface].name, p.frame) for p in back.packets] == [
        (traced.point, traced.frame) for traced in recording.frames
    ]
    assert [p.comments for p in back.packets] == [
        tuple(comments.get(traced.number, ())) for traced in recording.frames
    ]


def test_marks_become_comments_on_the_next_frame():
    recording = sample()
    recording.mark(Instant(T0 + 9_000_000_000), "end")
    back = read_pcapng(written(recording))
    assert back.packets[1].comments == ("flooded",)
    assert back.packets[2].comments == (
        "+0.002 ms at b--dut: config: mtu 1280",
        "+9.000000 s: end",
    )


def test_marks_of_a_silent_capture_are_kept_in_the_section():
    recording = Recording(["a"])
    recording.mark(Instant(T0), "nothing came")
    assert read_pcapng(written(recording)).section.comments == ("+0.000 ms: nothing came",)


def test_drop_counts_are_per_interface():
    back = read_pcapng(written(sample()))
    assert [i.statistics for i in back.interfaces] == [Statistics(1, 0), Statistics(2, 7)]


def test_a_comment_longer_than_an_option_is_cut_at_a_character():
    recording = sample()
    recording.comment(1, "é" * 40_000)
    (comment,) = read_pcapng(written(recording)).packets[0].comments
    assert comment == "é" * 32_767


def test_a_cut_frame_keeps_its_length_on_the_wire():
    recording = Recording(["a"])
    recording.add("a", [Frame(bytes(60), Instant(5), Direction.IN, 1514)])
    (packet,) = read_pcapng(written(recording)).packets
    assert (len(packet.frame.data), packet.frame.wire_length) == (60, 1514)


@pytest.mark.parametrize("at", [-1, 2**64])
def test_a_time_that_the_format_cannot_hold_is_refused(at):
    recording = Recording(["a"])
    recording.add("a", [Frame(bytes(14), Instant(at))])
    with pytest.raises(WireError, match="times of 0 to"):
        written(recording)


def test_every_truncation_is_refused_or_ends_between_blocks():
    data = written(sample())
    whole = read_pcapng(data)
    for cut in range(len(data)):
        part = read_or_fault(data[:cut])
        if isinstance(part, CaptureFile):
            assert whole.packets[: len(part.packets)] == part.packets


@given(st.binary(max_size=400))
def test_junk_never_crashes(junk):
    head = written(Recording(["a"]))
    for data in (junk, head + junk):
        read_or_fault(data)


@given(st.data())
def test_a_damaged_file_never_crashes(data):
    whole = bytearray(written(sample()))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    read_or_fault(bytes(whole))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not begin with a section header"),
        (b"\xd4\xc3\xb2\xa1" + bytes(20), "does not begin with a section header"),
        (struct.pack("<III", 0x0A0D0D0A, 28, 0) + bytes(16), "no byte-order magic"),
    ],
)
def test_what_is_no_pcapng_is_refused(data, reason):
    with pytest.raises(WireError, match=reason):
        read_pcapng(data)


def test_a_second_section_is_refused():
    data = written(sample())
    with pytest.raises(WireError, match="second section"):
        read_pcapng(data + data)


def test_a_packet_of_an_undescribed_interface_is_refused():
    data = written(Recording([]))
    body = struct.pack("<IIIII", 3, 0, 0, 0, 0)
    block = struct.pack("<II", 6, 32) + body + struct.pack("<I", 32)
    with pytest.raises(WireError, match="interface 3 is not described"):
        read_pcapng(data + block)


def test_big_endian_and_microseconds_are_read():
    section = struct.pack(">IIIHHQI", 0x0A0D0D0A, 28, 0x1A2B3C4D, 1, 0, 2**64 - 1, 28)
    interface = struct.pack(">IIHHII", 1, 20, 1, 0, 0, 20)
    packet = struct.pack(">IIIIIII", 6, 36, 0, 0, 1_000_001, 3, 3) + b"abc\0" + b"\0\0\0\x24"
    (read,) = read_pcapng(section + interface + packet).packets
    assert read.frame == Frame(b"abc", Instant(1_000_001_000))
    assert not read.direction_known


@needs_tshark
def test_wireshark_shows_names_comments_times_and_directions(tmp_path):
    file = tmp_path / "trace.pcapng"
    with file.open("wb") as stream:
        write_pcapng(stream, sample(), section=Section("bench rack7", "Linux", "testbed 0.1.0"))
    columns = [
        "number",
        "interface_name",
        "interface_description",
        "time_epoch",
        "comment",
        "packet_flags_direction",
        "len",
    ]
    fields = [word for column in columns for word in ("-e", f"frame.{column}")]
    shown = subprocess.run(
        ["tshark", "-r", file, "-T", "fields", *fields], capture_output=True, text=True, check=True
    )
    assert [line.split("\t") for line in shown.stdout.splitlines()] == [
        ["1", "a--dut", "NIC a, veth", "1700000000.123456789", "", "0x00000002", "60"],
        ["2", "b--dut", "", "1700000000.123457790", "flooded", "0x00000001", "60"],
        [
            "3",
            "b--dut",
            "",
            "1700000002.123456792",
            "+0.002 ms at b--dut: config: mtu 1280",
            "0x00000001",
            "63",
        ],
    ]


@needs_tshark
def test_capinfos_reads_the_file_without_complaint(tmp_path):
    file = tmp_path / "trace.pcapng"
    with file.open("wb") as stream:
        write_pcapng(stream, sample(), section=Section("bench rack7", "Linux", "testbed 0.1.0"))
    shown = subprocess.run(["capinfos", file], capture_output=True, text=True, check=True)
    assert "Wireshark/... - pcapng" in shown.stdout
    assert "Capture application: testbed 0.1.0" in shown.stdout
    assert "Capture hardware:    bench rack7" in shown.stdout
    assert "Time precision = nanoseconds (9)" in shown.stdout
    assert "Name = a--dut" in shown.stdout
    assert "Number of interfaces in file: 2" in shown.stdout
    assert "Strict time order:   True" in shown.stdout
    assert "cut short" not in shown.stderr


@needs_tshark
def test_a_file_names_the_clock_of_each_interface(tmp_path):
    file, copy = tmp_path / "trace.pcapng", tmp_path / "copy.pcapng"
    clock = "CLOCK_REALTIME: the kernel's software stamp"
    recording = Recording([Point("a--dut", "NIC a", clock), Point("b--dut")])
    recording.add("a--dut", [frame(bytes(60), 0)])
    file.write_bytes(written(recording))
    assert f"Comment = time stamps by {clock}" in subprocess.run(
        ["capinfos", file], capture_output=True, text=True, check=True
    ).stdout.replace("Comment 1 =", "Comment =")
    subprocess.run(["tshark", "-r", file, "-w", copy], capture_output=True, check=True)
    for each in (file, copy):
        assert [i.clock for i in read_pcapng(each.read_bytes()).interfaces] == [clock, ""]


@needs_tshark
def test_what_wireshark_rewrites_is_read_back(tmp_path):
    file, copy = tmp_path / "trace.pcapng", tmp_path / "copy.pcapng"
    with file.open("wb") as stream:
        write_pcapng(stream, sample())
    subprocess.run(["tshark", "-r", file, "-w", copy], capture_output=True, check=True)
    ours, theirs = read_pcapng(file.read_bytes()), read_pcapng(copy.read_bytes())
    assert theirs.packets == ours.packets
    assert [(i.name, i.description) for i in theirs.interfaces] == [
        (i.name, i.description) for i in ours.interfaces
    ]
