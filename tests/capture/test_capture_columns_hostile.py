"""Captures that were made to do harm: an error with its offset or columns, and an end to it."""

import gzip
import random
import struct

import numpy as np
import pytest
import zstandard

from testbed.capture.columns import datagrams, group, group_flows, read_columns, read_headers
from testbed.capture.columns.grouping import first_alike
from testbed.capture.tcp import analyse
from testbed.errors import WireError

FRAME = bytes.fromhex("0200000000020200000000010800")
TCP = struct.pack(">HHIIBBHHH", 1000, 80, 5, 7, 0x80, 0x10, 900, 0, 0) + bytes.fromhex(
    "0101050a0000000900000011"
)
WORDS = (0, 1, 4, 8, 11, 12, 13, 28, 32, 0x7FFFFFFF, 1 << 31, 0xFFFFFFFF, 0xFFFFFFFC, 262_145)


def ipv4(payload, protocol, fragment=0):
    head = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), 7, fragment, 64, protocol, 0)
    return head + bytes.fromhex("0a0000010a000002") + payload


def ipv6(payload, following):
    head = struct.pack(">IHBB", 6 << 28, len(payload), following, 64)
    return head + bytes(15) + b"\1" + bytes(15) + b"\2" + payload


FRAMES = [
    FRAME + ipv4(TCP + b"data", 6),
    FRAME + ipv4(TCP, 6, 0x2000),
    FRAME + ipv4(b"rest of it", 6, 4),
    FRAME + ipv4(ipv4(TCP, 6), 4),
    FRAME + ipv4(bytes.fromhex("2000080000000005") + ipv4(bytes(8), 17), 47),
    FRAME[:12] + bytes.fromhex("8100002a86dd") + ipv6(bytes.fromhex("3c00000000000000") + TCP, 0),
    FRAME[:12] + bytes.fromhex("86dd") + ipv6(bytes.fromhex("0600000100000007") + TCP, 44),
    FRAME[:12] + bytes.fromhex("0806") + bytes(46),
]


def pcap(frames, order="<", magic=0xA1B2C3D4, link=1):
    out = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 262144, link)]
    for n, each in enumerate(frames):
        out += (struct.pack(order + "IIII", 1_700_000_000, n, len(each), len(each)), each)
    return b"".join(out)


def block(order, kind, body):
    body += bytes(-len(body) % 4)
    size = struct.pack(order + "I", len(body) + 12)
    return struct.pack(order + "I", kind) + size + body + size


def section(order="<", interfaces=1):
    head = block(order, 0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1))
    return head + block(order, 1, struct.pack(order + "HHI", 1, 0, 96)) * interfaces


def pcapng(frames, order="<"):
    out = section(order)
    for n, each in enumerate(frames):
        size = len(each)
        if n % 5 == 4:
            out += block(order, 3, struct.pack(order + "I", size) + each)
        else:
            out += block(order, 6, struct.pack(order + "IIIII", 0, 5, n, size, size) + each)
    return out


def mutated(luck):
    """A capture with some damage, of the kinds that readers have tripped over."""
    frames = luck.choices(FRAMES, k=luck.randint(1, 30))
    order = luck.choice("<>")
    data = bytearray(
        luck.choice((pcap(frames, order), pcapng(frames, order), pcap(frames, order, link=276)))
    )
    for _ in range(luck.randint(0, 8)):
        at = luck.randrange(len(data) - 8)
        kind = luck.randrange(5)
        if kind == 0:
            data[at] = luck.choice((0, 1, 4, 0x45, 0x7F, 0xFF, luck.randrange(256)))
        elif kind == 1:
            at &= ~3
            data[at : at + 4] = struct.pack(order + "I", luck.choice((*WORDS, len(data) - at)))
        elif kind == 2:
            del data[at : at + luck.choice((1, 2, 4, 16))]
        elif kind == 3:
            data[at:at] = luck.choice((bytes(4), b"\xff" * 8, data[max(0, at - 50) : at]))
        else:
            data[at:at] = luck.choice((pcap([]), section(order), block(order, 5, bytes(9))))
    if luck.random() < 0.2:
        del data[luck.randrange(8, len(data)) :]
    if luck.random() < 0.1:
        data = bytearray(luck.choice((gzip.compress, zstandard.compress))(bytes(data)))
        data[luck.randrange(len(data))] ^= 1 << luck.randrange(8)
    return bytes(data)


@pytest.mark.parametrize("seed", range(4))
def test_damaged_captures_are_read_to_the_end_or_refused(seed):
    luck = random.Random(seed)  # noqa: S311 - repeatable on purpose
    read = 0
    for _ in range(300):
        data = mutated(luck)
        try:
            columns = read_columns(data, lenient=True, limit=1 << 22)
        except WireError:
            continue
        read += 1
        assert (columns.captured >= 0).all()
        assert (columns.length >= 0).all()
        assert (columns.offset + columns.captured <= len(columns.data)).all()
        headers = read_headers(columns)
        assert ((headers.room >= 0) & (headers.room <= columns.captured)).all()
        group_flows(headers)
        datagrams(headers)
        for connection in analyse(columns, headers, apart=luck.random() < 0.5):
            assert connection.counts() is not None
            assert connection.stalls is not None
    assert read > 150


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (section() + struct.pack("<II", 6, 0) + bytes(99), "byte 52: .* cannot be 0 bytes"),
        (section() + struct.pack("<II", 6, 30) + bytes(99), "byte 52: .* cannot be 30 bytes"),
        (section() + block("<", 6, bytes(20))[:-4] + bytes(4), "byte 76: the lengths .* disagree"),
        (section() + block("<", 6, struct.pack("<IIIII", 1, 0, 0, 0, 0)), "byte 48: interface 1"),
        (section() + block("<", 6, struct.pack("<IIIII", 0, 0, 0, 9, 9)), "byte 48: a packet is"),
        (section() + block("<", 1, bytes(4)), "byte 48: an interface description is cut short"),
        (pcap([]) + struct.pack("<iiii", 0, 0, -1, 0), "byte 24: a packet of 4294967295 bytes"),
        (gzip.compress(pcap(FRAMES))[:40] + bytes(99), "byte 0: cannot be unpacked"),
        (b"\x28\xb5\x2f\xfd" + b"\xff" * 50, "byte 0: cannot be unpacked"),
    ],
)
def test_what_is_wrong_is_told_with_its_offset(data, message):
    with pytest.raises(WireError, match=message):
        read_columns(data)


def test_a_block_longer_than_the_file_is_where_it_was_cut_short():
    data = section() + struct.pack("<Ii", 6, -4) + bytes(99)
    assert read_columns(data).truncated == len(section())


def test_options_without_end_are_refused():
    endless = struct.pack("<HHI", 1, 0, 0) + struct.pack("<HH", 7, 0) * 100_000
    data = section() + block("<", 1, endless)
    with pytest.raises(WireError, match="more than 1024 options"):
        read_columns(data)


def test_a_file_of_nothing_but_empty_gzip_members_ends():
    with pytest.raises(WireError, match="empty"):
        read_columns(gzip.compress(b"") * 50_000)


def test_every_packet_may_be_of_an_interface_of_its_own():
    count = 20_000
    packets = (block("<", 6, struct.pack("<IIIII", n, 0, n, 4, 4) + b"abcd") for n in range(count))
    columns = read_columns(section("<", count) + b"".join(packets))
    assert columns.source.tolist() == list(range(count))
    assert (columns.time == np.arange(count) * 1000).all()


def test_keys_that_fall_into_one_slot_are_told_apart():
    # Multiples of 2**63 leave one bit of any odd multiplier's product.
    one = np.arange(4000) % 50
    other = np.left_shift(np.arange(4000) % 3, 63, dtype=np.int64)
    wanted = [
        int(np.flatnonzero((one == a) & (other == b))[0]) for a, b in zip(one, other, strict=True)
    ]
    assert first_alike((one, other)).tolist() == wanted
    assert len(group((one, other), np.arange(4000))) == 100


def test_a_segment_of_nothing_but_nops_and_another_of_holes_only_do_no_harm():
    nops = FRAME + ipv4(TCP[:12] + b"\xf0" + TCP[13:20] + b"\1" * 40, 6)
    forward = [
        FRAME + ipv4(TCP[:4] + struct.pack(">I", n * 10) + TCP[8:] + b"x", 6) for n in range(3000)
    ]
    analysis = analyse(read_columns(pcap([nops] * 3000 + forward)))
    assert analysis[0].counts()["lost_segment"] == 2999


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_a_packed_file_that_is_cut_short_says_so_wherever_the_cut_is(pack):
    frames = [bytes([n]) * 60 for n in range(200)] * 20
    packed = pack(pcap(frames)) + pack(pcap(frames))
    assert len(read_columns(packed)) == 8000
    for size in range(len(packed) - 200, len(packed)):
        columns = read_columns(packed[:size], lenient=True)
        assert columns.truncated is not None
        assert len(columns) >= 4000


def test_frames_that_a_zstd_file_has_for_others_are_skipped():
    note = struct.pack("<II", 0x184D2A53, 5) + b"notes"
    packed = note + zstandard.compress(pcap(FRAMES)) + note + zstandard.compress(pcap(FRAMES))
    assert len(read_columns(packed)) == 2 * len(FRAMES)
