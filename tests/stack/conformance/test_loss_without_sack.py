"""Loss recovery without SACK: RFC 6298, 5681, 3042 and 6582 to the segment."""

from __future__ import annotations

import pytest
from conformance import opened, rfc
from script import Script

from testbed.stack.config import StackConfig
from testbed.stack.sockets import constants as c
from testbed.stack.tcp.connection import Connection
from testbed.timing import milliseconds


def conn(s: Script) -> Connection:
    return s.stack.tcp.connections[0]


def sends(s: Script, first: int, last: int, *, push: bool = False) -> None:
    """Segments of 1000 bytes, the ``first`` to the ``last`` (from 1), go out now."""
    for number in range(first, last + 1):
        start = 1 + 1000 * (number - 1)
        flags = "P." if push and number == last else "."
        s.out(f"{flags} {start}:{start + 1000}(1000) ack 1")
    s.quiet()


def acks(s: Script, number: int, *, after: float = 0, times: int = 1) -> None:
    """All up to segment ``number`` is acknowledged."""
    for _ in range(times):
        s.into(f". 1:1(0) ack {1 + 1000 * number}", after=after)
        after = 0


def writing(segments: int, **tcp: object) -> Script:
    s = opened(rfc(**tcp))
    s.socket.send(bytes(1000 * segments))
    return s


# RFC 6298


def test_the_rto_is_one_second_at_least():
    s = writing(1)
    sends(s, 1, 1, push=True)
    s.out("P. 1:1001(1000) ack 1", after=1)


def test_the_rto_comes_from_the_samples():
    """2.2 and 2.3: R = 0.5 gives 0.5 + 4 * 0.25; then R' = 1.5."""
    s = opened(rtt=0.5)
    assert conn(s).snapshot().rto == 1_500_000_000
    s.socket.send(bytes(1000))
    sends(s, 1, 1, push=True)
    acks(s, 1, after=1.4)
    # RTTVAR = 3/4 * 0.25 + 1/4 * |0.5 - 1.4|, SRTT = 7/8 * 0.5 + 1/8 * 1.4
    assert conn(s).snapshot().rto == pytest.approx(1e9 * (0.6125 + 4 * 0.4125), abs=10)


def test_an_ack_of_new_data_restarts_the_timer():
    """5.3."""
    s = writing(3)
    sends(s, 1, 3, push=True)
    acks(s, 1, after=0.5)
    s.quiet(0.99)
    s.out(". 1001:2001(1000) ack 1", after=0.01)


def test_when_all_is_acknowledged_the_timer_is_off():
    """5.2."""
    s = writing(2)
    sends(s, 1, 2, push=True)
    acks(s, 2, after=0.1)
    s.quiet(100)


def test_duplicates_do_not_restart_the_timer():
    s = writing(2)
    sends(s, 1, 2, push=True)
    acks(s, 0, after=0.5, times=2)
    s.out(". 1:1001(1000) ack 1", after=0.5)


def test_new_data_does_not_restart_the_timer():
    """5.1: only 'if the timer is not running'."""
    s = opened()
    s.socket.setsockopt(c.IPPROTO_TCP, c.TCP_NODELAY, 1)
    s.socket.send(bytes(100))
    s.out("P. 1:101(100) ack 1")
    s.pass_time(0.6)
    s.socket.send(bytes(100))
    s.out("P. 101:201(100) ack 1")
    s.out("P. 1:101(100) ack 1", after=0.4)


def test_the_backed_off_rto_stays_until_a_new_sample():
    """Section 5 and Karn: the ACK of what was resent gives none."""
    s = writing(1)
    sends(s, 1, 1, push=True)
    for wait in (1, 2):
        s.out("P. 1:1001(1000) ack 1", after=wait)
    acks(s, 1, after=0.1)
    s.socket.send(bytes(1000))
    s.out("P. 1001:2001(1000) ack 1")
    s.out("P. 1001:2001(1000) ack 1", after=4)  # 1 s doubled twice
    acks(s, 2, after=0.1)
    s.socket.send(bytes(1000))
    s.out("P. 2001:3001(1000) ack 1")
    acks(s, 3, after=0.1)  # a sample at last
    s.socket.send(bytes(1000))
    s.out("P. 3001:4001(1000) ack 1")
    s.out("P. 3001:4001(1000) ack 1", after=1)


def test_the_rto_is_bounded_by_60_seconds():
    s = writing(1)
    sends(s, 1, 1, push=True)
    for wait in (1, 2, 4, 8, 16, 32, 60, 60):
        s.out("P. 1:1001(1000) ack 1", after=wait)


def test_after_r2_the_user_is_told():
    s = writing(1)
    sends(s, 1, 1, push=True)
    for wait in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        s.out("P. 1:1001(1000) ack 1", after=wait)
    s.quiet(61)
    assert not s.stack.tcp.connections
    with pytest.raises(TimeoutError):
        s.socket.recv(1)


def test_after_a_timeout_slow_start_goes_back():
    """RFC 5681 3.1, 7: cwnd is one segment, then two, then four; ssthresh half of flight."""
    s = writing(20)
    sends(s, 1, 10)
    s.out(". 1:1001(1000) ack 1", after=1)
    s.quiet()
    assert conn(s).snapshot().cwnd == 1000
    assert conn(s).snapshot().ssthresh == 5000
    acks(s, 1, after=0.1)
    sends(s, 2, 3)
    acks(s, 2, after=0.1)
    sends(s, 4, 5)
    acks(s, 3)
    sends(s, 6, 7)
    assert conn(s).snapshot().cwnd == 4000


def test_after_a_timeout_a_cumulative_ack_skips_what_arrived():
    s = writing(10)
    sends(s, 1, 10, push=True)
    s.out(". 1:1001(1000) ack 1", after=1)
    acks(s, 7, after=0.1)
    s.out(". 7001:8001(1000) ack 1")
    s.out(". 8001:9001(1000) ack 1")
    s.quiet()


def test_a_second_timeout_of_the_same_segment_keeps_ssthresh():
    s = writing(10)
    sends(s, 1, 10, push=True)
    s.out(". 1:1001(1000) ack 1", after=1)
    assert conn(s).snapshot().ssthresh == 5000
    s.out(". 1:1001(1000) ack 1", after=2)
    assert conn(s).snapshot().ssthresh == 5000


def test_small_segments_are_resent_one_by_one():
    s = opened()
    s.socket.setsockopt(c.IPPROTO_TCP, c.TCP_NODELAY, 1)
    for start in (1, 101, 201):
        s.socket.send(bytes(100))
        s.out(f"P. {start}:{start + 100}(100) ack 1")
    s.out("P. 1:101(100) ack 1", after=1)
    s.quiet()
    s.into(". 1:1(0) ack 101", after=0.1)
    s.out("P. 101:201(100) ack 1")


def test_f_rto_sends_new_data_first_where_it_is_on():
    """RFC 5682 2.1."""
    s = writing(20, frto=True)
    sends(s, 1, 10)
    s.out(". 1:1001(1000) ack 1", after=1)
    acks(s, 1, after=0.1)
    sends(s, 11, 12)
    acks(s, 2, after=0.1)  # for what was not resent: the timeout was spurious
    assert conn(s).snapshot().cwnd >= 10_000


def test_linux_has_an_rto_of_200_ms_above_the_rtt():
    s = opened(StackConfig.linux().with_(pmtu={"probing": "off"}), rtt=0.05)
    assert conn(s).snapshot().rto == milliseconds(250)


# RFC 5681


def test_the_initial_window_is_ten_segments():
    s = writing(30)
    sends(s, 1, 10)
    s.quiet(0.9)


@pytest.mark.parametrize(("mss", "count"), [(100, 10), (1460, 10), (536, 10)])
def test_the_initial_window_by_mss(mss, count):
    s = opened(options=f"mss {mss}")
    s.socket.send(bytes(50 * mss))
    for number in range(count):
        start = 1 + mss * number
        s.out(f". {start}:{start + mss}({mss}) ack 1")
    s.quiet()


def test_the_initial_window_of_large_segments_is_14600_bytes_or_two_segments():
    for mss, count in ((3000, 4), (8960, 2)):
        s = Script(rfc(), mtu=9000)
        s.connect()
        s.out("S 0:0(0)")
        s.into(f"S. 0:0(0) ack 1 win 65535 <mss {mss}>", after=0.1)
        s.out(". 1:1(0) ack 1")
        s.socket.send(bytes(60_000))
        for number in range(count):
            start = 1 + mss * number
            s.out(f". {start}:{start + mss}({mss}) ack 1")
        s.quiet()


def test_slow_start_adds_one_segment_per_ack():
    s = writing(60)
    sends(s, 1, 10)
    acks(s, 1, after=0.1)
    sends(s, 11, 12)
    acks(s, 3)  # a delayed ACK of two adds one, too
    sends(s, 13, 15)


def test_slow_start_with_rfc_3465_adds_two():
    s = writing(60, abc_limit=2)
    sends(s, 1, 10)
    acks(s, 2, after=0.1)
    sends(s, 11, 14)


def test_two_duplicates_let_one_new_segment_go_each():
    """RFC 3042."""
    s = writing(20)
    sends(s, 1, 10)
    acks(s, 0, after=0.1)
    sends(s, 11, 11)
    acks(s, 0)
    sends(s, 12, 12)


def test_without_limited_transmit_nothing_goes():
    s = writing(20, limited_transmit=False)
    sends(s, 1, 10)
    acks(s, 0, after=0.1, times=2)
    s.quiet(0.5)
    acks(s, 0)
    s.out(". 1:1001(1000) ack 1")


def test_fast_retransmit_and_fast_recovery():
    """3.2: ssthresh = 5, cwnd = 5 + 3; each further duplicate adds one; a full ACK deflates."""
    s = writing(30)
    sends(s, 1, 10)
    acks(s, 0, after=0.1)
    sends(s, 11, 11)
    acks(s, 0)
    sends(s, 12, 12)
    acks(s, 0)
    s.out(". 1:1001(1000) ack 1")
    s.quiet()
    seen = conn(s).snapshot()
    assert (seen.ssthresh, seen.cwnd) == (5000, 8000)  # what limited transmit sent is not counted
    acks(s, 0, times=4)  # cwnd 12: as much is outstanding
    s.quiet()
    acks(s, 0)  # 13
    sends(s, 13, 13)
    acks(s, 12, after=0.1)
    # min(ssthresh, max(FlightSize, SMSS) + SMSS) = 2
    assert conn(s).snapshot().cwnd == 2000
    sends(s, 14, 14)


def test_a_partial_ack_resends_the_next_hole_at_once():
    """RFC 6582 3.2: 1 and 4 of 10 are lost."""
    s = writing(10)
    sends(s, 1, 10, push=True)
    acks(s, 0, after=0.1, times=3)
    s.out(". 1:1001(1000) ack 1")
    acks(s, 0, times=5)
    s.quiet()
    acks(s, 3, after=0.1)
    s.out(". 3001:4001(1000) ack 1")
    s.quiet()
    acks(s, 10, after=0.1)
    s.quiet(10)
    assert conn(s).snapshot().ssthresh == 5000  # one reduction for both


def test_reno_leaves_recovery_on_a_partial_ack():
    """RFC 5681 without RFC 6582: the second loss waits for the timer."""
    s = writing(10, congestion_control="reno")
    sends(s, 1, 10, push=True)
    acks(s, 0, after=0.1, times=3)
    s.out(". 1:1001(1000) ack 1")
    acks(s, 3, after=0.1)
    s.quiet(0.99)
    s.out(". 3001:4001(1000) ack 1", after=0.01)


def test_only_the_first_partial_ack_restarts_the_timer():
    """RFC 6582 3.2 step 3: 'impatient' it is."""
    s = writing(10)
    sends(s, 1, 10, push=True)
    acks(s, 0, after=0.1, times=3)
    s.out(". 1:1001(1000) ack 1")
    acks(s, 3, after=0.4)
    s.out(". 3001:4001(1000) ack 1")
    acks(s, 5, after=0.6)
    s.out(". 5001:6001(1000) ack 1")
    s.quiet(0.39)
    s.out(". 5001:6001(1000) ack 1", after=0.01)


def test_duplicates_of_data_older_than_recover_start_no_second_recovery():
    """RFC 6582 3.2 step 2 and 4.1."""
    s = writing(10)
    sends(s, 1, 10, push=True)
    s.out(". 1:1001(1000) ack 1", after=1)  # a timeout: recover is 10000
    acks(s, 10, after=0.1)
    assert conn(s).snapshot().cwnd == 2000
    s.socket.send(bytes(6000))
    sends(s, 11, 12)
    acks(s, 10, times=3)  # from the ten that arrived after all, and not from a loss
    sends(s, 13, 14)  # limited transmit
    s.quiet(0.5)


def test_a_duplicate_that_moves_the_window_is_none():
    """RFC 5681 2 (e)."""
    s = writing(10)
    sends(s, 1, 10, push=True)
    for win in (60000, 59000, 58000, 57000):
        s.into(f". 1:1(0) ack 1 win {win}")
    s.quiet(0.5)


def test_a_duplicate_with_data_is_none():
    """RFC 5681 2 (b)."""
    s = writing(10)
    sends(s, 1, 10, push=True)
    for start in (1, 11, 21, 31):
        s.into(f"P. {start}:{start + 10}(10) ack 1")
    s.quiet(0.05)


def test_without_outstanding_data_there_are_no_duplicates():
    """RFC 5681 2 (a)."""
    s = opened()
    acks(s, 0, times=5)
    s.quiet(1)


def test_congestion_avoidance_adds_a_segment_per_window():
    s = writing(10)
    sends(s, 1, 10, push=True)
    acks(s, 0, after=0.1, times=3)
    s.out(". 1:1001(1000) ack 1")
    acks(s, 10, after=0.1)
    s.socket.send(bytes(60_000))
    sends(s, 11, 12)  # FlightSize was 0: max(0, 1) + 1 = 2
    acks(s, 11, after=0.1)
    sends(s, 13, 14)
    acks(s, 12)
    sends(s, 15, 16)
    acks(s, 13)
    sends(s, 17, 18)  # 5 segments, as ssthresh is: congestion avoidance
    for number in range(14, 18):
        acks(s, number, after=0.1 if number == 14 else 0)
        sends(s, number + 5, number + 5)
    acks(s, 18)  # the fifth of a window of five
    sends(s, 23, 24)


def test_after_an_idle_rto_the_window_is_the_initial_one():
    """RFC 5681 4.1."""
    s = writing(60)
    sends(s, 1, 10)
    at, sent = 0, 10
    while sent < 60:
        at += 1
        acks(s, at, after=0.1 if at == 1 else 0)
        sent = min(60, sent + 2)
        while s.sent:
            s.sent.popleft()
    acks(s, 60, after=0.1)
    assert conn(s).snapshot().cwnd > 20_000
    s.pass_time(1.5)
    s.socket.send(bytes(40_000))
    sends(s, 61, 70)


def test_within_the_rto_the_window_stays():
    s = writing(30)
    sends(s, 1, 10)
    for at in range(1, 11):
        acks(s, at, after=0.1 if at == 1 else 0)
        s.sent.clear()
    acks(s, 30, after=0.1)
    cwnd = conn(s).snapshot().cwnd // 1000
    assert cwnd >= 20
    s.pass_time(0.9)
    s.socket.send(bytes(60_000))
    sends(s, 31, 30 + cwnd)


def test_a_smaller_receive_window_bounds_what_goes():
    s = opened(win=3500)
    s.socket.send(bytes(10_000))
    sends(s, 1, 3)
    s.into(". 1:1(0) ack 1001 win 3500", after=0.1)
    sends(s, 4, 4)
    s.into(". 1:1(0) ack 4001 win 2000", after=0.1)
    sends(s, 5, 6)


def test_a_window_that_shrinks_over_what_is_sent_is_borne():
    """RFC 9293 3.8.6: SND.UNA + SND.WND may lie below SND.NXT."""
    s = opened(win=5000)
    s.socket.send(bytes(10_000))
    sends(s, 1, 5)
    s.into(". 1:1(0) ack 1001 win 1000", after=0.1)
    s.quiet(0.5)
    s.into(". 1:1(0) ack 5001 win 2000")
    sends(s, 6, 7)
