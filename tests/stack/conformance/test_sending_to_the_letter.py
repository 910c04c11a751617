"""The sender: Nagle, silly windows, zero windows, keepalive, user time-outs, PSH."""

from __future__ import annotations

import pytest
from conformance import accepted, opened, rfc
from script import Script

from testbed.stack.sockets import constants as c
from testbed.timing import milliseconds, seconds


def sets(s: Script, name: int, value: int) -> None:
    s.socket.setsockopt(c.IPPROTO_TCP, name, value)


# Nagle (RFC 9293 3.7.4)


def test_small_writes_wait_for_what_is_outstanding():
    s = opened()
    s.socket.send(bytes(1))
    s.out("P. 1:2(1) ack 1")
    for _ in range(5):
        s.socket.send(bytes(1))
    s.quiet(0.5)
    s.into(". 1:1(0) ack 2")
    s.out("P. 2:7(5) ack 1")


def test_a_full_segment_does_not_wait():
    s = opened()
    s.socket.send(bytes(1))
    s.out("P. 1:2(1) ack 1")
    s.socket.send(bytes(999))
    s.quiet()
    s.socket.send(bytes(500))
    s.out(". 2:1002(1000) ack 1")
    s.quiet(0.5)


def test_the_small_end_of_a_large_write_waits_by_the_rfc():
    s = opened()
    s.socket.send(bytes(2500))
    s.out(". 1:1001(1000) ack 1")
    s.out(". 1001:2001(1000) ack 1")
    s.quiet(0.5)
    s.into(". 1:1(0) ack 1001")
    s.quiet()
    s.into(". 1:1(0) ack 2001")
    s.out("P. 2001:2501(500) ack 1")


def test_the_small_end_of_a_large_write_goes_at_once_by_minshall():
    s = opened(rfc(minshall=True))
    s.socket.send(bytes(2500))
    s.out(". 1:1001(1000) ack 1")
    s.out(". 1001:2001(1000) ack 1")
    s.out("P. 2001:2501(500) ack 1")
    s.socket.send(bytes(10))
    s.quiet(0.05)  # a small one is outstanding now
    s.into(". 1:1(0) ack 2501")
    s.out("P. 2501:2511(10) ack 1")


def test_nodelay_sends_everything_at_once():
    s = opened()
    sets(s, c.TCP_NODELAY, 1)
    for start in (1, 2, 3):
        s.socket.send(bytes(1))
        s.out(f"P. {start}:{start + 1}(1) ack 1")


def test_setting_nodelay_lets_go_what_waits():
    s = opened()
    s.socket.send(bytes(1))
    s.out("P. 1:2(1) ack 1")
    s.socket.send(bytes(10))
    s.quiet()
    sets(s, c.TCP_NODELAY, 1)
    s.out("P. 2:12(10) ack 1")


def test_a_cork_holds_back_until_a_segment_is_full_or_200_ms_are_over():
    s = opened()
    sets(s, c.TCP_CORK, 1)
    s.socket.send(bytes(600))
    s.quiet(0.1)
    s.socket.send(bytes(600))
    s.out(". 1:1001(1000) ack 1")
    s.quiet(0.05)
    sets(s, c.TCP_CORK, 0)
    s.into(". 1:1(0) ack 1001")
    s.out("P. 1001:1201(200) ack 1")


def test_msg_more_holds_back():
    s = opened()
    s.socket.send(bytes(10), c.MSG_MORE)
    s.quiet(0.1)
    s.socket.send(bytes(10))
    s.out("P. 1:21(20) ack 1")


def test_push_marks_the_last_segment_of_a_write():
    s = opened()
    s.socket.send(bytes(3000))
    s.out(". 1:1001(1000) ack 1")
    s.out(". 1001:2001(1000) ack 1")
    s.out("P. 2001:3001(1000) ack 1")


# Silly windows (RFC 9293 3.8.6.2.1)


def test_small_windows_are_not_filled_at_once():
    """Not before half of the largest window, or the override time-out."""
    s = opened(win=4000)
    s.socket.send(bytes(4000))
    for start in (1, 1001, 2001):
        s.out(f". {start}:{start + 1000}(1000) ack 1")
    s.out("P. 3001:4001(1000) ack 1")
    s.into(". 1:1(0) ack 4001 win 500")
    s.socket.send(bytes(3000))
    s.quiet(0.19)
    s.out(". 4001:4501(500) ack 1", after=0.01)


def test_half_of_the_largest_window_is_enough():
    s = opened(win=800)
    s.socket.send(bytes(800))
    s.out("P. 1:801(800) ack 1")
    s.socket.send(bytes(3000))
    s.into(". 1:1(0) ack 801 win 400", after=0.1)
    s.out(". 801:1201(400) ack 1")


def test_the_end_of_the_data_goes_if_the_window_takes_it():
    s = opened(win=4000)
    s.into(". 1:1(0) ack 1 win 300")
    s.socket.send(bytes(300))
    s.out("P. 1:301(300) ack 1")


# Zero windows (RFC 9293 3.8.6.1)


def test_the_first_probe_comes_after_the_rto_then_they_back_off():
    s = opened(win=0)
    s.socket.send(bytes(3000))
    for wait in (1, 2, 4, 8, 16, 32, 60, 60):
        s.out(". 1:2(1) ack 1", after=wait)
        s.into(". 1:1(0) ack 1 win 0")


def test_probes_go_on_as_long_as_they_are_acknowledged():
    s = opened(win=0)
    s.socket.send(bytes(3000))
    for wait in (1, 2, 4, 8, 16, 32, *(60,) * 30):
        s.out(". 1:2(1) ack 1", after=wait)
        s.into(". 1:1(0) ack 1 win 0")
    assert s.stack.tcp.connections


def test_probes_without_data_go_on_as_well():
    """As Linux sends them, numbered SND.UNA-1."""
    s = opened(rfc(persist_data=False), win=0)
    s.socket.send(bytes(3000))
    for wait in (1, 2, 4, 8, 16, 32, *(60,) * 30):
        s.out(". 0:0(0) ack 1", after=wait)
        s.into(". 1:1(0) ack 1 win 0")
    s.into(". 1:1(0) ack 1 win 1000", after=1)
    s.out(". 1:1001(1000) ack 1")


def test_probes_that_nobody_answers_end_by_r2():
    s = opened(win=0)
    s.socket.send(bytes(3000))
    for wait in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        s.out(". 1:2(1) ack 1", after=wait)
    s.quiet(100)
    assert not s.stack.tcp.connections


def test_a_probe_that_is_taken_moves_on():
    s = opened(win=0)
    s.socket.send(bytes(3000))
    s.out(". 1:2(1) ack 1", after=1)
    s.into(". 1:1(0) ack 2 win 0", after=0.1)
    s.out(". 2:3(1) ack 1", after=1.9)


def test_an_open_window_is_filled_at_once():
    s = opened(win=0)
    s.socket.send(bytes(3000))
    s.out(". 1:2(1) ack 1", after=1)
    s.into(". 1:1(0) ack 1 win 2000", after=0.5)
    s.out(". 1:1001(1000) ack 1")
    s.out(". 1001:2001(1000) ack 1")
    s.quiet()


def test_an_open_window_with_the_probe_taken():
    s = opened(win=0)
    s.socket.send(bytes(3000))
    s.out(". 1:2(1) ack 1", after=1)
    s.into(". 1:1(0) ack 2 win 2000", after=0.5)
    s.out(". 2:1002(1000) ack 1")
    s.out(". 1002:2002(1000) ack 1")
    s.quiet()


def test_a_window_that_closes_once_all_is_acknowledged():
    s = opened()
    s.socket.send(bytes(1000))
    s.out("P. 1:1001(1000) ack 1")
    s.into(". 1:1(0) ack 1001 win 0", after=0.1)
    s.quiet(100)  # nothing waits: no probes
    s.socket.send(bytes(10))
    s.out(". 1001:1002(1) ack 1", after=1)


def test_a_fin_alone_is_a_probe_too():
    s = opened(win=0)
    s.socket.close()
    s.out("F. 1:1(0) ack 1", after=1)
    s.out("F. 1:1(0) ack 1", after=2)
    s.into(". 1:1(0) ack 2 win 0")
    s.quiet(100)


def test_data_in_flight_when_the_window_closes_is_resent_by_the_timer():
    s = opened(win=2000)
    s.socket.send(bytes(4000))
    s.out(". 1:1001(1000) ack 1")
    s.out(". 1001:2001(1000) ack 1")
    s.into(". 1:1(0) ack 1001 win 0", after=0.1)
    s.out(". 1001:2001(1000) ack 1", after=1)


def test_a_user_timeout_bounds_the_probing():
    s = opened(rfc(user_timeout=seconds(10)), win=0)
    s.socket.send(bytes(10))
    for wait in (1, 2, 4):
        s.out(". 1:2(1) ack 1", after=wait)
    s.quiet(8.1)
    assert not s.stack.tcp.connections


# User time-out (RFC 9293 3.8.3, RFC 5482)


def test_the_user_timeout_counts_from_the_first_transmission():
    s = opened()
    sets(s, c.TCP_USER_TIMEOUT, 5000)
    s.socket.send(bytes(10))
    s.out("P. 1:11(10) ack 1")
    s.out("P. 1:11(10) ack 1", after=1)
    s.out("P. 1:11(10) ack 1", after=2)
    s.quiet(1.99)
    assert s.stack.tcp.connections
    s.quiet(0.02)
    assert not s.stack.tcp.connections
    with pytest.raises(TimeoutError):
        s.socket.recv(1)


# Keepalive (RFC 9293 3.8.4)


def keeping(**tcp: object) -> Script:
    s = opened(rfc(**tcp))
    s.socket.setsockopt(c.SOL_SOCKET, c.SO_KEEPALIVE, 1)
    return s


def test_keepalive_is_off_unless_asked_for():
    s = opened()
    s.quiet(100_000)


def test_keepalive_begins_after_two_hours():
    s = keeping()
    s.out(". 0:0(0) ack 1", after=7200)
    for _ in range(9):
        s.out(". 0:0(0) ack 1", after=75)
    s.out("R 1:1(0)", after=75)
    assert not s.stack.tcp.connections
    with pytest.raises(TimeoutError):
        s.socket.recv(1)


def test_an_answer_restarts_the_two_hours():
    s = keeping()
    s.out(". 0:0(0) ack 1", after=7200)
    s.into(". 1:1(0) ack 1", after=0.1)
    s.out(". 0:0(0) ack 1", after=7200)


def test_keepalive_by_the_sockets_settings():
    s = opened()
    s.socket.setsockopt(c.SOL_SOCKET, c.SO_KEEPALIVE, 1)
    sets(s, c.TCP_KEEPIDLE, 10)
    sets(s, c.TCP_KEEPINTVL, 3)
    sets(s, c.TCP_KEEPCNT, 2)
    s.out(". 0:0(0) ack 1", after=10)
    s.out(". 0:0(0) ack 1", after=3)
    s.out("R 1:1(0)", after=3)


def test_no_keepalive_while_data_is_outstanding():
    s = keeping(keepalive_idle=milliseconds(500))
    s.socket.send(bytes(10))
    s.out("P. 1:11(10) ack 1")
    s.out("P. 1:11(10) ack 1", after=1)


def test_the_peers_keepalive_is_answered():
    s = accepted()
    s.into(". 0:0(0) ack 1")
    s.out(". 1:1(0) ack 1")
    s.into("P. 0:1(1) ack 1")  # with an octet of garbage
    s.out(". 1:1(0) ack 1")
