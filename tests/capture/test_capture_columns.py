"""Captures as columns: every kind of file, held to tshark, and to harm."""

import gzip
import io
import random
import shutil
import struct
import subprocess
import zlib

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.capture.columns import datagrams, group, group_flows, read_columns, read_headers
from testbed.capture.columns.lanes import Chain, walk
from testbed.errors import WireError

needs_tshark = pytest.mark.skipif(not shutil.which("tshark"), reason="no tshark")

ETHERNET = bytes.fromhex("020000000002020000000001")
A, B = bytes([10, 0, 0, 1]), bytes([10, 0, 0, 2])


def ipv4(payload, protocol=17, *, ident=1, fragment=0, src=A, dst=B):
    total = 20 + len(payload)
    head = struct.pack(">BBHHHBBH", 0x45, 0, total, ident, fragment, 64, protocol, 0)
    return head + src + dst + payload


def udp(sport, dport, data=b"x"):
    return struct.pack(">HHHH", sport, dport, 8 + len(data), 0) + data


def frame(packet, kind=0x0800, tags=b""):
    return ETHERNET + tags + struct.pack(">H", kind) + packet


FRAMES = [frame(ipv4(udp(1000 + n, 53, bytes(n)))) for n in range(50)]


def pcap(frames, order="<", magic=0xA1B2C3D4, link=1, start=1_700_000_000):
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for n, each in enumerate(frames):
        out += (struct.pack(order + "IIII", start + n, n * 7, len(each), len(each) + 4), each)
    return b"".join(out)


def block(order, kind, body):
    body += bytes(-len(body) % 4)
    size = len(body) + 12
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def pcapng(frames, order="<", resolution=None):
    out = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    for link in (1, 1):
        option = b"" if resolution is None else struct.pack(order + "HHB3x", 9, 1, resolution)
        out += block(order, 1, struct.pack(order + "HHI", link, 0, 0) + option)
    for n, each in enumerate(frames):
        time = 1_700_000_000_000_000 + n
        head = (n % 2, time >> 32, time & 0xFFFFFFFF, len(each), len(each))
        out += block(order, 6, struct.pack(order + "IIIII", *head) + each)
    return out


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(("magic", "tick"), [(0xA1B2C3D4, 1000), (0xA1B23C4D, 1)])
def test_a_pcap_of_either_order_and_resolution_gives_its_packets(order, magic, tick):
    columns = read_columns(pcap(FRAMES, order, magic))
    assert [columns.packet(row) for row in range(len(columns))] == FRAMES
    assert columns.time[3] == 1_700_000_003 * 10**9 + 21 * tick
    assert columns.length[3] == columns.captured[3] + 4
    assert columns.sources[0].tick == tick


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize(
    ("resolution", "time"),
    [
        (None, 1_700_000_000_000_003_000),
        (9, 1_700_000_000_000_003),
        (12, 1_700_000_000_000),
        (0x80 | 20, (1_700_000_000_000_003 * 10**9) >> 20),
    ],
)
def test_a_pcapng_of_any_resolution_gives_its_packets(order, resolution, time):
    columns = read_columns(pcapng(FRAMES, order, resolution))
    assert [columns.packet(row) for row in range(len(columns))] == FRAMES
    assert columns.time[3] == time
    assert columns.source.tolist() == [0, 1] * 25


def test_joined_files_and_sections_follow_each_other():
    data = pcap(FRAMES[:3]) + pcap(FRAMES[3:5], ">")
    assert len(read_columns(data)) == 5
    columns = read_columns(pcapng(FRAMES[:3]) + pcapng(FRAMES[3:7], ">"))
    assert columns.source.tolist() == [0, 1, 0, 2, 3, 2, 3]
    assert [source.section for source in columns.sources] == [0, 0, 1, 1]


@pytest.mark.parametrize("data", [pcap(FRAMES), pcapng(FRAMES)])
def test_a_file_cut_short_anywhere_gives_what_is_whole(data):
    for size in range(28, len(data), 13):
        columns = read_columns(data[:size], lenient=True)
        assert [columns.packet(row) for row in range(len(columns))] == FRAMES[: len(columns)]
        assert columns.truncated is None or columns.truncated <= size


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_compressed_captures_are_unpacked(pack):
    assert len(read_columns(pack(pcap(FRAMES)) + pack(pcap(FRAMES)))) == 100


def test_a_gzip_cut_short_gives_what_is_there():
    data = gzip.compress(pcap(FRAMES * 100), compresslevel=0)
    columns = read_columns(data[: len(data) // 2])
    assert 2000 < len(columns) < 5000
    assert columns.truncated is not None


@pytest.mark.parametrize("pack", [zlib.compress, zstandard.compress])
def test_a_bomb_stops_at_the_limit(pack):
    if pack is zlib.compress:
        buffer = io.BytesIO()
        with gzip.GzipFile(fileobj=buffer, mode="wb", compresslevel=9) as stream:
            stream.write(bytes(50_000_000))
        data = buffer.getvalue()
    else:
        data = pack(bytes(50_000_000))
    with pytest.raises(WireError, match="more than 1000000 bytes"):
        read_columns(data, limit=1_000_000)


def test_what_is_no_capture_is_told_with_its_offset():
    with pytest.raises(WireError, match="byte 0: neither"):
        read_columns(b"hello, world" * 10)
    with pytest.raises(WireError, match="empty"):
        read_columns(b"")
    with pytest.raises(WireError, match=r"byte \d+: a packet of 4294967295 bytes"):
        read_columns(pcap(FRAMES) + struct.pack("<IIII", 0, 0, 0xFFFFFFFF, 0) + bytes(99))
    good = pcapng(FRAMES)
    with pytest.raises(WireError, match=rf"byte {len(good) + 4}: a block cannot be 13"):
        read_columns(good + struct.pack("<II", 6, 13) + bytes(20))
    with pytest.raises(WireError, match="interface 9 is not described"):
        read_columns(good + block("<", 6, struct.pack("<IIIII", 9, 0, 0, 0, 0)))
    lenient = read_columns(good + struct.pack("<II", 6, 13) + bytes(20), lenient=True)
    assert (len(lenient), lenient.fault.offset) == (50, len(good) + 4)


def test_lanes_are_exact_even_where_payload_looks_like_records():
    # The payload of every packet is itself a pcap, of records that look good.
    decoy = pcap(FRAMES[:9])[24:]
    luck = random.Random(3)  # noqa: S311 - repeatable on purpose
    frames = [decoy[luck.randrange(200) :] * luck.randint(1, 4) for _ in range(8000)]
    data = pcap(frames)
    assert len(data) > 5_000_000
    columns = read_columns(data)
    offsets, at = [], 24
    for each in frames:
        offsets.append(at + 16)
        at += 16 + len(each)
    assert columns.offset.tolist() == offsets


def test_the_walk_of_lanes_equals_single_steps():
    luck = random.Random(5)  # noqa: S311 - repeatable on purpose
    sizes = [luck.choice((16, 40, 900, 1516)) for _ in range(30000)]
    data = bytearray()
    for size in sizes:
        data += struct.pack("<I", size) + luck.randbytes(size - 4)
    words = np.ndarray((len(data) - 3,), "<u4", buffer=data, strides=(1,))

    def steps(at):
        return np.maximum(16, words[at].astype(np.int64))

    def likely(rows):
        return rows[:, 2:-13] == 0

    whole = np.frombuffer(data, np.uint8)
    chain = Chain(whole, 16, lambda at: int(steps(at)), steps, lambda at: words[at] < 1600, likely)
    found = np.concatenate([part for part, _ in walk(chain, 0, len(data))])
    assert found.tolist() == np.concatenate(([0], np.cumsum(sizes)[:-1])).tolist()


def test_header_fields_are_read_through_tags_tunnels_and_extensions():
    inner = ipv4(udp(7, 8))
    six = struct.pack(">IHBB", 6 << 28, 8 + len(udp(3, 4)), 0, 9) + bytes(15) + b"\1" + bytes(15)
    six += b"\2" + struct.pack(">BB6x", 17, 0) + udp(3, 4)
    frames = [
        frame(inner),
        frame(inner, tags=bytes.fromhex("8100002a88a80007")),
        frame(b"\x11\x00\x00\x01\x00\x22\x00\x21" + inner, 0x8864),
        frame(b"\x00\x01\x01\x40" + inner, 0x8847),
        frame(ipv4(inner, 4)),
        frame(ipv4(b"\x20\x00\x08\x00\x00\x00\x00\x05" + inner, 47)),
        frame(six, 0x86DD),
        frame(b"\0" * 46, 0x0806),
        frame(inner)[:30],
    ]
    headers = read_headers(read_columns(pcap(frames)))
    assert headers.sport.tolist() == [7, 7, 7, 7, 7, 7, 3, 0, 0]
    assert headers.dport.tolist() == [8, 8, 8, 8, 8, 8, 4, 0, 0]
    assert headers.version.tolist() == [4] * 6 + [6, 0, 0]
    assert headers.vlan.tolist()[:2] == [-1, 42]
    assert str(headers.addresses.address(int(headers.src[6]))) == "::1"
    assert str(headers.addresses.address(int(headers.dst[0]))) == "10.0.0.2"


def test_flows_hold_both_directions_in_the_order_they_began():
    there, back = ipv4(udp(9, 8)), ipv4(udp(8, 9), src=B, dst=A)
    frames = [frame(each) for each in (there, ipv4(udp(1, 2)), back, there, ipv4(udp(1, 2), 6))]
    flows = group_flows(read_headers(read_columns(pcap(frames))))
    assert [flows.rows(flow).tolist() for flow in range(len(flows))] == [[0, 2, 3], [1], [4]]


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-(2**62), 2**62)), max_size=60))
@settings(max_examples=100, deadline=None)
def test_groups_are_those_of_a_dict(pairs):
    keys = tuple(np.array([pair[n] for pair in pairs], np.int64) for n in (0, 1))
    flows = group(keys, np.arange(len(pairs)))
    wanted = {}
    for row, pair in enumerate(pairs):
        wanted.setdefault(pair, []).append(row)
    assert [flows.rows(flow).tolist() for flow in range(len(flows))] == list(wanted.values())


def test_fragments_are_grouped_in_any_order_and_the_hole_is_told():
    data = bytes(range(48))
    parts = [
        frame(ipv4(data[0:16], ident=5, fragment=0x2000)),
        frame(ipv4(data[32:48], ident=5, fragment=4)),
        frame(ipv4(data[16:32], ident=5, fragment=0x2002)),
        frame(ipv4(data[0:16], ident=6, fragment=0x2000)),
    ]
    found = datagrams(read_headers(read_columns(pcap(parts))))
    assert [(each.rows, each.length, each.complete) for each in found] == [
        ((0, 2, 1), 48, True),
        ((3,), 16, False),
    ]


@needs_tshark
@pytest.mark.parametrize("make", [pcap, pcapng])
@pytest.mark.parametrize("order", "<>")
def test_tshark_reads_the_same(tmp_path, make, order):
    file = tmp_path / "capture"
    file.write_bytes(make(FRAMES, order))
    names = ("frame.time_epoch", "frame.cap_len", "frame.len", "ip.src", "udp.srcport")
    fields = [word for name in names for word in ("-e", name)]
    shown = subprocess.run(
        ["tshark", "-n", "-r", file, "-T", "fields", *fields],
        capture_output=True,
        text=True,
        check=True,
    )
    columns = read_columns(file.read_bytes())
    headers = read_headers(columns)
    assert [line.split("\t") for line in shown.stdout.splitlines()] == [
        [
            f"{columns.time[row] // 10**9}.{columns.time[row] % 10**9:09}",
            str(columns.captured[row]),
            str(columns.length[row]),
            str(headers.addresses.address(int(headers.src[row]))),
            str(headers.sport[row]),
        ]
        for row in range(len(columns))
    ]


@pytest.mark.parametrize("seed", range(8))
def test_mutated_captures_give_columns_or_an_error_and_nothing_else(seed):
    luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
    bases = [pcap(FRAMES), pcapng(FRAMES), gzip.compress(pcap(FRAMES)), pcap(FRAMES, ">", link=113)]
    for _ in range(150):
        data = bytearray(luck.choice(bases))
        for _ in range(luck.randint(1, 12)):
            at = luck.randrange(len(data))
            data[at] = luck.choice((0, 1, 4, 0x45, 0x7F, 0xFF, luck.randrange(256)))
        if luck.random() < 0.3:
            del data[luck.randrange(len(data)) :]
        if luck.random() < 0.2:
            data += luck.choice(bases)
        try:
            columns = read_columns(bytes(data), lenient=luck.random() < 0.7, limit=1 << 24)
        except WireError:
            continue
        assert ((columns.offset + columns.captured) <= len(columns.data)).all()
        headers = read_headers(columns)
        group_flows(headers)
        datagrams(headers)


def test_records_that_no_lane_can_be_guessed_in_are_walked_one_by_one():
    data = pcap([]) + bytes(16) * 300_000
    columns = read_columns(data)
    assert len(columns) == 300_000
    assert (np.diff(columns.offset) == 16).all()


def test_files_of_nothing_but_sections_end():
    with pytest.raises(WireError, match="more than 16384 sections"):
        read_columns(pcap([]) * 20_000)
