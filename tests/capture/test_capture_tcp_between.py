"""What became of connections between points: lost, late, overtaken, repeated, changed."""

import struct

import pytest
from tcp_captures import Seg, down, frame_of, opened, pcap_of, random_segments, scenes, up

from testbed.capture import Trace
from testbed.capture.columns import read_columns
from testbed.capture.tcp import analyse
from testbed.capture.tcp.between import follow_journeys
from testbed.timing import Instant
from testbed.wire.frame import Frame

MSS = bytes([2, 4, 5, 180])
WAY = [*opened(MSS, MSS), *(up(1001 + 100 * n, wait=0.01) for n in range(6)), down(1601)]
LATE = 5_000_000


def recorded(*steps):
    """A pcap of frames, each with its time in nanoseconds."""
    out = [struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 262144, 1)]
    for at, frame in sorted(steps, key=lambda step: step[0]):
        now = at + 10**18
        out += (struct.pack("<IIII", now // 10**9, now % 10**9, len(frame), len(frame)), frame)
    return list(analyse(read_columns(b"".join(out))))


def timed(segments, late=0):
    """Frames with their times at a point that client's come to ``late`` after the first point."""
    now, steps = 0, []
    for seg in segments:
        now += round(seg.wait * 1e9)
        steps.append([now + (late if seg.side == 0 else -late), frame_of(seg)])
    return steps


def journey(near, far, names=("near", "far")):
    (found,) = follow_journeys({names[0]: recorded(*near), names[1]: recorded(*far)})
    return found


def test_what_both_points_saw_arrived_and_took_its_time():
    found = journey(timed(WAY), timed(WAY, LATE))
    passed, back = found.passages
    assert (found.points, found.offsets) == (("near", "far"), (0, 0))
    assert (passed.way, passed.first, passed.sent, passed.arrived) == ("up", "near", 8, 8)
    assert (back.way, back.first, back.sent, back.arrived) == ("down", "far", 2, 2)
    assert set(passed.delay.tolist()) == set(back.delay.tolist()) == {LATE}
    assert (passed.lost, passed.extra, passed.repeated, passed.overtaken) == ((), (), (), ())
    assert passed.changes == back.changes == ()


def test_the_order_of_the_points_is_found_whatever_order_they_are_named_in():
    assert journey(timed(WAY, LATE), timed(WAY), ("b", "a")).points == ("a", "b")


def test_a_segment_that_one_point_has_not_seen_was_lost_between():
    far = timed(WAY, LATE)
    del far[5]
    again = [*WAY[:-1], up(1201, wait=0.3), WAY[-1]]
    lost = journey(timed(again), [*far, *timed(again, LATE)[9:10]]).passages[0]
    assert (lost.lost, lost.uncaptured, lost.sent, lost.arrived) == ((6,), (), 9, 8)


def test_what_was_acknowledged_and_not_sent_again_was_only_not_captured():
    far = timed(WAY, LATE)
    del far[5]
    passed = journey(timed(WAY), far).passages[0]
    assert passed.lost == passed.uncaptured == (6,)


def test_who_came_behind_a_later_one_was_overtaken_and_what_came_twice_is_told():
    far = timed(WAY, LATE)
    far[4][0] += 15_000_000
    far.append([far[6][0] + 1000, far[6][1]])
    passed = journey(timed(WAY), far).passages[0]
    assert (passed.overtaken, passed.repeated, passed.arrived) == ((6,), (8,), 8)
    assert passed.delay.max() == LATE + 15_000_000


def test_what_is_only_at_the_second_point_came_from_in_between():
    far = [*timed(WAY, LATE), [350_000_000, frame_of(Seg(0, 0, "R", 1601, 0))]]
    near = [*timed(WAY), [400_000_000, frame_of(Seg(0, 1, "A", 5001, 1601, size=5))]]
    passed, back = journey(near, far).passages
    assert len(passed.extra) == 1
    assert len(back.extra) == 0  # the far point had stopped by then


@pytest.mark.parametrize("ahead", [-(10**12), 10**12])
def test_a_clock_that_is_wrong_is_seen_by_the_sum_of_both_ways(ahead):
    far = [[at + ahead, frame] for at, frame in timed(WAY, LATE)]
    found = journey(timed(WAY), far)
    assert found.points == ("near", "far")
    assert found.offsets == (0, ahead)
    assert {*found.passages[0].delay.tolist(), *found.passages[1].delay.tolist()} == {LATE}


def altered(steps, change):
    return [[at, bytes(change(bytearray(frame)))] for at, frame in steps]


def test_a_clamped_mss_and_a_hop_are_told():
    def clamp(frame):
        frame[22] -= 1
        place = frame.find(MSS, 54)
        if place > 0:
            frame[place + 2 : place + 4] = (1400).to_bytes(2, "big")
        return frame

    passed, back = journey(timed(WAY), altered(timed(WAY, LATE), clamp)).passages
    told = {(each.field, each.before, each.after, each.count) for each in passed.changes}
    assert told == {("ttl", "64", "63", 8), ("mss", "1460", "1400", 1)}
    assert {each.field for each in back.changes} == {"ttl", "mss"}


def test_addresses_may_be_translated():
    def translate(frame):
        for place in (26, 30):
            if frame[place : place + 4] == b"\x0a\x00\x00\x01":
                frame[place : place + 4] = b"\xc6\x33\x64\x09"
        return frame

    (change,) = journey(timed(WAY), altered(timed(WAY, LATE), translate)).passages[0].changes
    assert (change.field, change.before) == ("source", "10.0.0.1 port 1000")
    assert change.after == "198.51.100.9 port 1000"


def test_numbers_may_count_from_elsewhere():
    def shift(frame):
        own = 38 if frame[26:30] == b"\x0a\x00\x00\x01" else 42
        number = int.from_bytes(frame[own : own + 4], "big")
        frame[own : own + 4] = (number + 77_000 & 0xFFFFFFFF).to_bytes(4, "big")
        return frame

    passed, back = journey(timed(WAY), altered(timed(WAY, LATE), shift)).passages
    assert (passed.arrived, back.arrived) == (8, 2)
    assert [each.field for each in passed.changes] == ["sequence"]


def test_marks_windows_and_contents_that_differ_are_told():
    def spoil(frame):
        frame[15] |= 0x03
        if len(frame) > 100:
            frame[70] ^= 1
            frame[48:50] = b"\x01\x00"
        return frame

    passed = journey(timed(WAY), altered(timed(WAY, LATE), spoil)).passages[0]
    told = {(each.field, each.before, each.after, each.count) for each in passed.changes}
    assert told == {("ecn", "0", "3", 8), ("window", "1000", "256", 6), ("payload", "", "", 6)}


def test_what_a_nic_cut_arrived_in_pieces():
    near = timed([*WAY[:3], up(1001, 600, wait=0.01), down(1601, wait=0.15)])
    passed = journey(near, timed(WAY, LATE)).passages[0]
    assert (passed.sent, passed.arrived, passed.cut, passed.lost, passed.extra) == (3, 3, 1, (), ())
    back = journey(timed(WAY), timed([*WAY[:3], up(1001, 600, wait=0.06), WAY[-1]], LATE))
    assert (back.passages[0].cut, back.passages[0].lost) == (6, ())


def test_ports_that_are_used_anew_are_connections_of_their_own():
    again = [Seg(9, 0, "S", 90_000, 0), Seg(0.1, 1, "SA", 7, 90_001), Seg(0.1, 0, "A", 90_001, 8)]
    both = [*WAY, *again]
    found = follow_journeys(
        {"near": recorded(*timed(both)), "far": recorded(*timed(both, LATE)[len(WAY) :])}
    )
    assert [each.connections[0].packets for each in found] == [3]


def test_a_plan_asks_what_became_of_connections_between_points():
    trace = Trace(["a--dut", "dut--b"])
    for place, (at, frame) in enumerate(timed(WAY)):
        trace.add("a--dut", [Frame(frame, Instant(at))])
        if place != 5:
            trace.add("dut--b", [Frame(frame, Instant(at + 10))])
    (found,) = trace.journeys()
    assert found.points == ("a--dut", "dut--b")
    assert found.passages[0].lost == (6,)
    assert trace.journeys("a--dut") == ()


def test_segments_of_any_content_do_no_harm():
    for seed in range(40):
        near = list(analyse(read_columns(pcap_of([random_segments(seed, 60), *scenes().values()]))))
        far = list(
            analyse(read_columns(pcap_of([random_segments(seed + 1, 60), *scenes().values()])))
        )
        for found in follow_journeys({"near": near, "far": far}):
            for passage in found.passages:
                assert passage.arrived + len(passage.lost) == passage.sent
