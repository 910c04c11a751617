"""Ladder diagrams: frames joined to ways, judged rows kept, long runs collapsed."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from testbed.capture import match
from testbed.capture.diagram import ladder
from testbed.capture.recording import Point
from testbed.capture.trace import Trace
from testbed.errors import ExpectationFailed
from testbed.timing import Instant, seconds
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpPacket
from testbed.wire.compose import compose
from testbed.wire.ethernet import EthFrame, VlanTag
from testbed.wire.frame import Direction, Frame
from testbed.wire.icmpv4 import EchoRequest
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.udp import UdpDatagram

A, B, R = (MacAddr(f"02:00:00:00:00:0{digit}") for digit in "abc")
IP_A, IP_B = IPv4Address("10.0.1.1"), IPv4Address("10.0.2.2")
IN, OUT = Direction.IN, Direction.OUT
T0 = 1_700_000_000_000_000_000


def at(offset: int, data: bytes, direction: Direction = IN) -> Frame:
    return Frame(data, Instant(T0 + offset), direction)


def datagram(ident: int, ttl: int = 64, src: MacAddr = A, dst: MacAddr = R, port: int = 7) -> bytes:
    return compose(
        EthFrame(dst, src), IPv4Packet(IP_A, IP_B, ttl=ttl, ident=ident), UdpDatagram(1, port)
    )


def own(data: bytes) -> str | None:
    return f"canary {data[-1]} from a" if data.startswith(b"canary") else None


def trace(**points: list[Frame]) -> Trace:
    made = Trace(points, recognise=own)
    made.start = Instant(T0)
    for point, frames in points.items():
        made.add(point, frames)
    return made


def arrows(made: Trace) -> list[tuple[str, str, int, int]]:
    """Source, target, offset and number of each row."""
    return [(row.source, row.target, row.time_ns - T0, row.number) for row in ladder(made).rows]


def test_a_routed_packet_is_an_arrow_from_point_to_point():
    made = trace(near=[at(0, datagram(5), OUT)], far=[at(40, datagram(5, 63, R, B))])
    assert arrows(made) == [("near", "far", 40, 2)]
    (row,) = ladder(made).rows
    assert row.label == "IP 10.0.1.1.1 > 10.0.2.2.7 UDP length 0"


def test_a_flood_goes_from_one_point_to_several_whatever_its_tags_and_padding():
    plain = EthFrame(MacAddr.BROADCAST, A, payload=b"hello")
    tagged = EthFrame(MacAddr.BROADCAST, A, payload=b"hello", tags=(VlanTag(5),))
    made = trace(
        a=[at(0, plain.emit(), OUT)], b=[at(3, tagged.emit())], c=[at(4, plain.emit(pad=True))]
    )
    assert arrows(made) == [("a", "b", 3, 2), ("a", "c", 4, 3)]


def test_a_frame_through_a_fault_box_is_a_chain():
    made = trace(
        x1=[at(0, datagram(5))],
        x2=[at(5, datagram(5), OUT)],
        far=[at(9, datagram(5, 63, R, B))],
    )
    assert arrows(made) == [("", "x1", 0, 1), ("x1", "x2", 5, 2), ("x2", "far", 9, 3)]


def test_what_was_sent_and_came_nowhere_goes_to_the_device():
    assert arrows(trace(a=[at(0, datagram(5), OUT)])) == [("a", "", 0, 1)]


def test_a_frame_that_comes_again_to_a_point_comes_from_the_device():
    made = trace(a=[at(0, datagram(5), OUT)], b=[at(3, datagram(5)), at(9, datagram(5))])
    assert arrows(made) == [("a", "b", 3, 2), ("", "b", 9, 3)]


def test_a_frame_that_comes_much_later_is_another():
    made = trace(a=[at(0, datagram(5), OUT)], b=[at(seconds(2), datagram(5))])
    assert arrows(made) == [("a", "", 0, 1), ("", "b", seconds(2), 2)]


def test_packets_with_different_idents_are_different():
    made = trace(a=[at(0, datagram(5), OUT)], b=[at(3, datagram(6))])
    assert arrows(made) == [("a", "", 0, 1), ("", "b", 3, 2)]


def test_judged_frames_are_noted_and_failures_highlighted():
    made = trace(a=[at(0, datagram(5)), at(1, datagram(6, port=8))])
    made.at("a").expect(match.udp())
    made.at("a").expect(match.udp(dst_port=8))
    with pytest.raises(ExpectationFailed):
        made.at("a").expect_none(match.udp(dst_port=7))
    failed, passed = ladder(made).rows
    assert (failed.highlight, failed.note) == (
        True,
        "pass: expect udp(); fail: expect none: udp(dst_port=7)",
    )
    assert (passed.highlight, passed.note) == (False, "pass: expect udp(dst_port=8)")


def test_a_sent_frame_that_was_judged_has_a_row_of_its_own():
    made = trace(a=[at(0, datagram(5), OUT)], b=[at(3, datagram(5))])
    made.at("a").sent.expect(match.udp())
    assert arrows(made) == [("a", "", 0, 1), ("a", "b", 3, 2)]


def test_the_benchs_own_frames_are_told_once():
    made = trace(a=[at(0, b"canary\1"), at(1, b"canary\2"), at(5, datagram(1)), at(9, b"canary\3")])
    assert [(row.kind, row.label, row.count) for row in ladder(made).rows] == [
        ("infrastructure", "the bench's own: canary", 2),
        ("frame", "IP 10.0.1.1.1 > 10.0.2.2.7 UDP length 0", 1),
        ("infrastructure", "canary 3 from a", 1),
    ]


def test_marks_are_notes_where_they_are_asked_for():
    made = trace(a=[at(0, datagram(1)), at(20, datagram(2))])
    made.mark(Instant(T0 + 10), "config: mtu 1280", "a")
    assert [row.kind for row in ladder(made).rows] == ["frame", "frame"]
    rows = ladder(made, marks=True).rows
    assert [row.kind for row in rows] == ["frame", "note", "frame"]
    assert (rows[1].label, rows[1].target) == ("config: mtu 1280", "a")


def test_columns_are_the_points():
    made = Trace([Point("a--dut", "NIC a")])
    (column,) = ladder(made).columns
    assert (column.key, column.title, column.subtitle) == ("a--dut", "a--dut", "NIC a")


def test_a_long_run_is_told_once_but_for_its_ends_and_what_was_judged():
    made = trace(a=[at(n, datagram(n)) for n in range(1300)])
    made.at("a").expect(match.ipv4(ident=700))
    rows = ladder(made).rows
    assert [(row.number, row.count) for row in rows] == [
        *[(1, 1), (2, 1), (3, 1), (4, 695), (699, 1), (700, 1)],
        (701, 1),
        *[(702, 1), (703, 1), (704, 1), (705, 594), (1299, 1), (1300, 1)],
    ]
    assert (rows[3].kind, rows[3].time_ns - T0, rows[3].until - T0) == ("run", 3, 697)
    assert (rows[3].source, rows[3].target) == ("", "a")


def test_a_count_of_many_frames_notes_the_first_ones():
    made = trace(a=[at(n, datagram(n)) for n in range(100)])
    made.at("a").expect_at_least(match.udp(), 100)
    rows = ladder(made).rows
    assert sum(1 for row in rows if row.note) == 12
    assert sum(row.count for row in rows) == 100


def test_the_two_directions_of_a_bulk_transfer_are_one_run():
    frames = []
    for n in range(50):
        there = TcpSegment(4000, 80, n * 100, 1, TcpFlags.ACK, payload=bytes(100))
        back = TcpSegment(80, 4000, 1, n * 100 + 100, TcpFlags.ACK)
        frames += [
            at(2 * n, compose(EthFrame(B, A), IPv4Packet(IP_A, IP_B, ident=n), there), OUT),
            at(2 * n + 1, compose(EthFrame(A, B), IPv4Packet(IP_B, IP_A, ident=n), back)),
        ]
    end = TcpSegment(4000, 80, 5000, 1, TcpFlags.ACK | TcpFlags.FIN)
    frames.append(at(999, compose(EthFrame(B, A), IPv4Packet(IP_A, IP_B), end), OUT))
    rows = ladder(trace(a=frames)).rows
    assert [(row.count, row.source, row.target) for row in rows if row.kind == "run"] == [
        (95, "", "")
    ]
    assert "FIN" in rows[-1].label


def test_rows_beyond_the_limit_are_counted_but_judged_ones_stay():
    frames = [
        at(n, compose(EthFrame(B, A), IPv4Packet(IP_A, IP_B, ident=n), EchoRequest(1, n)))
        if n % 2
        else at(n, compose(EthFrame(B, A), ArpPacket.request(A, IP_A, IP_B)))
        for n in range(100)
    ]
    made = trace(a=frames)
    made.at("a").expect(match.icmpv4(seq=71))
    drawn = ladder(made, limit=10)
    assert [row.number for row in drawn.rows] == [*range(1, 11), 72]
    assert drawn.omitted == 89


def test_only_what_is_asked_for_is_drawn():
    made = trace(a=[at(0, datagram(1)), at(1, datagram(2, port=9))])
    wanted = match.udp(dst_port=9)
    rows = ladder(made, keep=lambda traced: wanted(traced.data)).rows
    assert [row.number for row in rows] == [2]


def test_any_bytes_can_be_drawn():
    made = trace(a=[at(0, b""), at(1, b"\0" * 13), at(2, datagram(1)[:20])])
    assert all("malformed" in row.label for row in ladder(made).rows)
