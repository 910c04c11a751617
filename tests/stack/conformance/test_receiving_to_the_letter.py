"""The receiver: delayed ACKs, SACK and DSACK blocks, windows, urgent data."""

from __future__ import annotations

import pytest
from conformance import accepted, opened, rfc
from script import Script

from testbed.stack.config import StackConfig
from testbed.stack.sockets import constants as c
from testbed.timing import milliseconds


def sacking(options: str = "mss 1000,sackOK", **tcp: object) -> Script:
    return accepted(rfc(sack=True, **tcp), options)


def gives(s: Script, start: int, size: int, *, flags: str = ".", after: float = 0) -> None:
    s.into(f"{flags} {start}:{start + size}({size}) ack 1", after=after)


# Delayed ACKs (RFC 9293 3.8.6.3, RFC 5681 4.2)


def test_one_segment_is_acknowledged_after_the_delay():
    s = accepted()
    gives(s, 1, 1000)
    s.out(". 1:1(0) ack 1001", after=0.1)


@pytest.mark.parametrize("size", [1000, 1460])
def test_the_second_full_segment_is_acknowledged_at_once(size):
    s = accepted()
    for start in range(1, 10 * size, 2 * size):
        gives(s, start, size, after=0.01)
        s.quiet()
        gives(s, start + size, size)
        s.out(f". 1:1(0) ack {start + 2 * size}")


def test_the_delay_is_a_setting_below_500_ms():
    s = accepted(rfc(delayed_ack_timeout=milliseconds(400)))
    gives(s, 1, 1000)
    s.out(". 1:1(0) ack 1001", after=0.4)


def test_without_delay_every_segment_is_acknowledged():
    s = accepted(rfc(delayed_ack=False))
    for start in (1, 101, 201):
        gives(s, start, 100)
        s.out(f". 1:1(0) ack {start + 100}")


def test_with_quickack_too():
    s = accepted()
    s.socket.setsockopt(c.IPPROTO_TCP, c.TCP_QUICKACK, 1)
    gives(s, 1, 100)
    s.out(". 1:1(0) ack 101")


def test_data_that_is_sent_carries_the_ack():
    s = accepted()
    gives(s, 1, 100)
    s.socket.send(bytes(50))
    s.out("P. 1:51(50) ack 101")
    s.quiet(0.5)


def test_the_delay_runs_from_the_first_segment():
    s = accepted()
    gives(s, 1, 100)
    gives(s, 101, 100, after=0.06)
    s.out(". 1:1(0) ack 201", after=0.04)


def test_small_segments_are_acknowledged_by_the_timer():
    s = accepted()
    gives(s, 1, 10)
    gives(s, 11, 10)
    gives(s, 21, 10)
    s.out(". 1:1(0) ack 31", after=0.1)


def test_a_fin_is_acknowledged_at_once():
    s = accepted()
    gives(s, 1, 100, flags="FP.")
    s.out(". 1:1(0) ack 102")


def test_out_of_order_and_hole_filling_segments_are_acknowledged_at_once():
    """RFC 5681 4.2."""
    s = accepted()
    gives(s, 1001, 1000)
    s.out(". 1:1(0) ack 1")
    gives(s, 2001, 1000)
    s.out(". 1:1(0) ack 1")
    gives(s, 1, 500)  # in order, the hole is not filled
    s.out(". 1:1(0) ack 501")
    gives(s, 501, 500)
    s.out(". 1:1(0) ack 3001")
    gives(s, 3001, 1000)
    s.out(". 1:1(0) ack 4001", after=0.1)


def test_what_comes_twice_is_acknowledged_at_once():
    s = accepted()
    gives(s, 1, 1000)
    gives(s, 1, 1000)
    s.out(". 1:1(0) ack 1001")
    assert s.socket.recv(5000) == bytes(1000)


def test_a_segment_known_in_part_is_taken_as_far_as_it_is_new():
    s = accepted()
    gives(s, 1, 1000)
    gives(s, 501, 1000)
    s.out(". 1:1(0) ack 1501")
    assert s.socket.recv(5000) == bytes(1500)


def test_linux_acknowledges_the_first_segments_at_once():
    s = accepted(StackConfig.linux())
    gives(s, 1, 1000)
    s.out(". 1:1(0) ack 1001")


# RFC 2018 4


def test_blocks_report_what_came_latest_first():
    s = sacking()
    s_out = [
        (2001, "2001:3001"),
        (4001, "4001:5001 2001:3001"),
        (6001, "6001:7001 4001:5001 2001:3001"),
        (8001, "8001:9001 6001:7001 4001:5001 2001:3001"),
        (10001, "10001:11001 8001:9001 6001:7001 4001:5001"),
        (3001, "2001:5001 10001:11001 8001:9001 6001:7001"),
    ]
    for start, blocks in s_out:
        gives(s, start, 1000)
        s.out(f". 1:1(0) ack 1 win 65535 <sack {blocks}>")
    gives(s, 1, 1000)
    s.out(". 1:1(0) ack 1001 win 65535 <sack 2001:5001 10001:11001 8001:9001 6001:7001>")
    gives(s, 1001, 1000)
    s.out(". 1:1(0) ack 5001 win 65535 <sack 10001:11001 8001:9001 6001:7001>")


def test_beside_timestamps_three_blocks_fit():
    s = Script(rfc(sack=True, timestamps=True, timestamp_offset=0))
    s.listen()
    s.into("S 0:0(0) win 65535 <mss 1000,sackOK,TS val 1 ecr 0>")
    s.out("S. 0:0(0) ack 1")
    s.into(". 1:1(0) ack 1 win 65535 <TS val 1 ecr 1000000>")
    s.accept()
    told = []
    for start in (2001, 4001, 6001, 8001):
        told.insert(0, f"{start}:{start + 1000}")
        s.into(f". {start}:{start + 1000}(1000) ack 1 win 65535 <TS val 2 ecr 1000000>")
        s.out(
            f". 1:1(0) ack 1 win 65535 <TS val 1000000 ecr 1,sack {' '.join(told[:3])}>"
        )  # TS.Recent stays: the segments lie beyond Last.ACK.sent


def test_data_that_is_sent_carries_blocks_and_is_shorter_for_it():
    s = sacking()
    gives(s, 2001, 1000)
    s.out(". 1:1(0) ack 1 win 65535 <sack 2001:3001>")
    s.socket.send(bytes(1500))
    s.out(". 1:989(988) ack 1 win 65535 <sack 2001:3001>")


def test_without_agreement_nothing_is_reported():
    s = accepted(rfc(sack=True), "mss 1000")
    gives(s, 2001, 1000)
    s.out(". 1:1(0) ack 1 win 65535 <>")


# RFC 2883


def test_a_full_duplicate_below_the_ack():
    s = sacking()
    gives(s, 1, 1000)
    gives(s, 1001, 1000)
    s.out(". 1:1(0) ack 2001")
    gives(s, 1, 1000)
    s.out(". 1:1(0) ack 2001 win 65535 <sack 1:1001>")
    gives(s, 2001, 1000)
    s.out(". 1:1(0) ack 3001 win 65535 <>", after=0.1)  # reported once


def test_a_duplicate_above_the_ack_is_followed_by_its_block():
    """RFC 2883 4.1.2 and 4.2: the second block is the one that holds the first."""
    s = sacking()
    gives(s, 1001, 1000)
    s.out(". 1:1(0) ack 1 win 65535 <sack 1001:2001>")
    gives(s, 2001, 1000)
    s.out(". 1:1(0) ack 1 win 65535 <sack 1001:3001>")
    gives(s, 5001, 1000)
    s.out(". 1:1(0) ack 1 win 65535 <sack 5001:6001 1001:3001>")
    gives(s, 1001, 1000)
    s.out(". 1:1(0) ack 1 win 65535 <sack 1001:2001 1001:3001 5001:6001>")


def test_a_partial_duplicate_is_reported_as_far_as_it_is_one():
    s = sacking()
    gives(s, 1, 1000)
    gives(s, 501, 1000)
    s.out(". 1:1(0) ack 1501 win 65535 <sack 501:1001>")


def test_a_duplicate_found_while_a_hole_is_filled():
    s = sacking()
    gives(s, 1001, 500)
    s.out(". 1:1(0) ack 1 win 65535 <sack 1001:1501>")
    gives(s, 1, 2000)
    s.out(". 1:1(0) ack 2001 win 65535 <sack 1001:1501>")


def test_without_dsack_duplicates_are_not_reported():
    s = sacking(dsack=False)
    gives(s, 1, 1000)
    gives(s, 1, 1000)
    s.out(". 1:1(0) ack 1001 win 65535 <>")


# Windows (RFC 9293 3.8.6)


def small(size: int = 4000, **tcp: object) -> Script:
    return accepted(rfc(receive_buffer=size, **tcp))


def test_the_window_closes_as_the_buffer_fills():
    s = small()
    gives(s, 1, 1000)
    gives(s, 1001, 1000)
    s.out(". 1:1(0) ack 2001 win 2000")
    gives(s, 2001, 1000)
    gives(s, 3001, 1000)
    s.out(". 1:1(0) ack 4001 win 0")


def test_small_reads_open_no_closed_window():
    """3.8.6.2.2: not before min(BUFF/2, MSS)."""
    s = small()
    for start in (1, 1001, 2001, 3001):
        gives(s, start, 1000)
    s.out(". 1:1(0) ack 2001")
    s.out(". 1:1(0) ack 4001 win 0")
    s.socket.recv(999)
    s.quiet(10)
    s.socket.recv(1)
    s.out(". 1:1(0) ack 4001 win 1000")  # Eff.snd.MSS


def test_half_of_a_tiny_buffer_is_enough():
    s = small(1200)
    gives(s, 1, 1000)
    gives(s, 1001, 200)
    s.out(". 1:1(0) ack 1201 win 0", after=0.1)
    s.socket.recv(599)
    s.quiet(10)
    s.socket.recv(1)
    s.out(". 1:1(0) ack 1201 win 600")


def test_the_right_edge_never_moves_left():
    s = small()
    gives(s, 1, 1000)
    s.socket.setsockopt(c.SOL_SOCKET, c.SO_RCVBUF, 2000)
    gives(s, 1001, 1000)
    s.out(". 1:1(0) ack 2001 win 2000")


def test_a_probe_of_a_closed_window_is_acknowledged_and_not_taken():
    s = small(1000)
    gives(s, 1, 1000)
    s.pass_time(0.1)
    s.sent.clear()
    for wait in (1, 2, 4):
        gives(s, 1001, 1, after=wait)
        s.out(". 1:1(0) ack 1001 win 0")
    s.socket.recv(1000)
    s.out(". 1:1(0) ack 1001 win 1000")
    gives(s, 1001, 1)
    s.out(". 1:1(0) ack 1002", after=0.1)


def test_an_ack_in_a_segment_beyond_a_closed_window_counts():
    """3.10.7.4: 'special allowance should be made to accept valid ACKs, URGs, and RSTs'."""
    s = small(1000)
    gives(s, 1, 1000)
    s.socket.send(bytes(10))
    s.out("P. 1:11(10) ack 1001 win 0")
    s.into("P. 1001:1002(1) ack 11")
    s.out(". 11:11(0) ack 1001 win 0")
    s.quiet(10)  # nothing is resent


def test_a_reset_is_heard_through_a_closed_window():
    s = small(1000)
    gives(s, 1, 1000)
    s.out(". 1:1(0) ack 1001 win 0", after=0.1)
    s.into("R 1001:1001(0)")
    assert not s.stack.tcp.connections


def test_what_reaches_beyond_the_window_is_cut():
    s = small(1500)
    gives(s, 1, 1000)
    gives(s, 1001, 1000)
    s.out(". 1:1(0) ack 1501 win 0")


def test_windows_are_told_in_units_of_the_shift():
    s = Script(rfc(window_scaling=True, receive_buffer=100_001))
    s.listen()
    s.into("S 0:0(0) win 65535 <mss 1000,wscale 0>")
    s.out("S. 0:0(0) ack 1 win 65535 <mss 1460,wscale 1>")
    s.into(". 1:1(0) ack 1")
    s.accept()
    gives(s, 1, 1000)
    gives(s, 1001, 1001)
    # 100001 - 2001 = 98000
    s.out(". 1:1(0) ack 2002 win 49000")


# Urgent data (RFC 9293 3.8.5, RFC 6093)


def test_the_urgent_byte_is_the_one_before_the_pointer():
    s = accepted()
    s.into("PU. 1:11(10) ack 1 win 65535 urg 5")
    assert s.socket.recv(1, c.MSG_OOB) == b"\0"
    assert s.socket.recv(100) == bytes(4)
    assert s.socket.sockatmark()
    assert s.socket.recv(100) == bytes(5)  # the urgent one is passed over


def test_urgent_data_is_sent_with_the_pointer_behind_it():
    s = opened()
    s.socket.send(b"abc", c.MSG_OOB)
    s.out("PU. 1:4(3) ack 1 win 65535 urg 3")
    s.into(". 1:1(0) ack 4")
    s.socket.send(b"def")
    s.out("P. 4:7(3) ack 1 win 65535 urg 0")


def test_urgent_data_behind_a_closed_window_is_announced():
    s = opened(win=0)
    s.socket.send(b"abc", c.MSG_OOB)
    s.out("U. 1:1(0) ack 1 win 65535 urg 3")
