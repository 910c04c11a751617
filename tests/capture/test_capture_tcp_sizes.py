"""When segments became smaller, and why: routers' messages, black holes, and neither."""

import struct

import pytest
from tcp_captures import Seg, down, frame_of, opened, up

from testbed.capture.columns import read_columns
from testbed.capture.tcp import analyse

MSS = bytes([2, 4, 5, 180])


def capture(*steps):
    """A pcap of segments and whole frames, each a segment or a wait and a frame."""
    out, now = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)], 10**18
    for step in steps:
        wait, frame = (step.wait, frame_of(step)) if isinstance(step, Seg) else step
        now += round(wait * 1e9)
        out += (struct.pack("<IIII", now // 10**9, now % 10**9, len(frame), len(frame)), frame)
    return b"".join(out)


def too_big(segment, mtu):
    """What a router says of a segment (RFC 1191), with eight bytes of it."""
    quoted = frame_of(segment)[14:42]
    icmp = struct.pack(">BBHHH", 3, 4, 0, 0, mtu) + quoted
    ip = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(icmp), 0, 0, 64, 1, 0)
    ip += bytes([10, 0, 9, 9]) + quoted[12:16]
    return 0.01, bytes.fromhex("0200000000010200000000020800") + ip + icmp


def too_big6(segment, mtu):
    """The same for IPv6 (RFC 4443 3.2)."""
    quoted = in_ipv6(frame_of(segment))[14:]
    icmp = struct.pack(">BBHI", 2, 0, 0, mtu) + quoted[:80]
    ip = struct.pack(">IHBB", 6 << 28, len(icmp), 58, 64) + bytes(15) + b"\x99" + quoted[8:24]
    return 0.01, bytes.fromhex("02000000000102000000000286dd") + ip + icmp


def in_ipv6(frame):
    source, target, tcp = frame[26:30], frame[30:34], frame[34:]
    ip = struct.pack(">IHBB", 6 << 28, len(tcp), 6, 64)
    ip += bytes(12) + source + bytes(12) + target
    return frame[:12] + b"\x86\xdd" + ip + tcp


def changes(data):
    (connection,) = analyse(read_columns(data))
    up_changes, down_changes = connection.size_changes
    assert not down_changes
    return [(each.before, each.after, each.reason, each.mtu) for each in up_changes]


def ups(first, *sizes, wait=0.01):
    sends = []
    for size in sizes:
        sends.append(up(first, size, wait=wait))
        first += size
    return sends


FULL = ups(1001, 1460, 1460)
AGAIN = ups(1001, 1360, 1360, 200)


def test_a_router_s_message_is_why_segments_are_smaller():
    data = capture(*opened(MSS, MSS), *FULL, too_big(FULL[0], 1400), *AGAIN, down(3921))
    assert changes(data) == [(1460, 1360, "too big", 1400)]


def test_the_same_in_ipv6():
    steps = [*opened(MSS, MSS), *FULL, too_big6(FULL[0], 1420), *AGAIN, down(3921)]
    frames = [
        (each.wait, in_ipv6(frame_of(each))) if isinstance(each, Seg) else each for each in steps
    ]
    assert changes(capture(*frames)) == [(1460, 1360, "too big", 1420)]


@pytest.mark.parametrize("mtu", [1500, 700])
def test_a_message_that_changes_nothing_is_not_why(mtu):
    on = ups(3921, 1460, 1460)
    data = capture(*opened(MSS, MSS), *FULL, too_big(FULL[0], mtu), *on)
    assert changes(data) == []


def test_a_message_about_another_connection_is_not_why():
    other = up(1001, 1460)
    frame = bytearray(too_big(other, 1400)[1])
    frame[-8:-6] = b"\x12\x34"
    data = capture(*opened(MSS, MSS), *FULL, (0.01, bytes(frame)), *AGAIN)
    assert changes(data) == [(1460, 1360, "cut up", None)]


def test_what_goes_again_in_pieces_tells_of_a_black_hole_and_what_is_larger_later_of_its_end():
    pieces = ups(1001, *[1024] * 12, wait=0.5)
    larger = ups(1001 + 12 * 1024, 1280, 1280)
    data = capture(*opened(MSS, MSS), *FULL, *pieces, *larger)
    assert changes(data) == [(1460, 1024, "cut up", None), (1024, 1280, "larger", None)]


def test_a_sender_that_has_less_to_send_changes_nothing():
    data = capture(*opened(MSS, MSS), *ups(1001, 1460, 1460, 300, 300, 300))
    assert changes(data) == []


def test_what_a_nic_is_to_cut_does_not_count():
    data = capture(*opened(MSS, MSS), *ups(1001, 14600, 1460), *ups(1001, 1460, 1460))
    assert changes(data) == []
