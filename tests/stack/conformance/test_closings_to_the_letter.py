"""Closing: RFC 9293 figures 12 and 13, half-close, TIME-WAIT, aborts."""

from __future__ import annotations

import struct

import pytest
from conformance import accepted, at, opened, rfc
from script import Script

from testbed.stack.config import StackConfig
from testbed.stack.sockets import constants as c
from testbed.stack.tcp.states import State
from testbed.timing import seconds


def state(s: Script) -> State:
    held = s.stack.tcp.connections
    return held[0].state if held else State.CLOSED


def linger(s: Script, span: int) -> None:
    s.socket.setsockopt(c.SOL_SOCKET, c.SO_LINGER, struct.pack("ii", 1, span))


def test_figure_12_normal_close():
    s = opened()
    s.socket.close()
    s.out("F. 1:1(0) ack 1 win 65535")
    assert state(s) is State.FIN_WAIT_1
    s.into(". 1:1(0) ack 2", after=0.1)
    assert state(s) is State.FIN_WAIT_2
    s.into("F. 1:1(0) ack 2", after=0.1)
    s.out(". 2:2(0) ack 2")
    assert state(s) is State.TIME_WAIT
    s.quiet(239.99)
    assert state(s) is State.TIME_WAIT
    s.quiet(0.02)
    assert state(s) is State.CLOSED


def test_figure_12_the_passive_side():
    s = accepted()
    s.into("F. 1:1(0) ack 1")
    s.out(". 1:1(0) ack 2")
    assert state(s) is State.CLOSE_WAIT
    s.quiet(10)
    s.socket.close()
    s.out("F. 1:1(0) ack 2")
    assert state(s) is State.LAST_ACK
    s.into(". 2:2(0) ack 2", after=0.1)
    assert state(s) is State.CLOSED
    s.quiet(10)


def test_figure_13_simultaneous_close():
    s = opened()
    s.socket.close()
    s.out("F. 1:1(0) ack 1")
    s.into("F. 1:1(0) ack 1")
    s.out(". 2:2(0) ack 2")
    assert state(s) is State.CLOSING
    s.into(". 2:2(0) ack 2")
    assert state(s) is State.TIME_WAIT
    s.quiet(241)
    assert state(s) is State.CLOSED


def test_a_fin_that_acknowledges_ours_leads_to_time_wait_at_once():
    s = opened()
    s.socket.close()
    s.out("F. 1:1(0) ack 1")
    s.into("F. 1:1(0) ack 2", after=0.1)
    s.out(". 2:2(0) ack 2")
    assert state(s) is State.TIME_WAIT


def test_the_fin_goes_with_the_last_data():
    s = opened(win=2500)
    s.socket.send(bytes(3000))
    s.out(". 1:1001(1000) ack 1")
    s.out(". 1001:2001(1000) ack 1")
    s.socket.close()
    s.quiet()
    s.into(". 1:1(0) ack 2001 win 2500", after=0.1)
    s.out("FP. 2001:3001(1000) ack 1")
    s.into(". 1:1(0) ack 3002 win 2500", after=0.1)
    assert state(s) is State.FIN_WAIT_2


def test_a_fin_is_not_held_back_by_nagle():
    s = opened()
    s.socket.send(bytes(10))
    s.out("P. 1:11(10) ack 1")
    s.socket.send(bytes(10))
    s.quiet()
    s.socket.close()
    s.out("FP. 11:21(10) ack 1")


def test_a_fin_without_data_goes_though_data_is_outstanding():
    s = opened()
    s.socket.send(bytes(10))
    s.out("P. 1:11(10) ack 1")
    s.socket.close()
    s.out("F. 11:11(0) ack 1")


def test_the_fin_waits_for_room_in_the_window():
    s = opened(win=1000)
    s.socket.send(bytes(1000))
    s.out("P. 1:1001(1000) ack 1")
    s.socket.close()
    s.quiet(0.5)
    s.into(". 1:1(0) ack 1001 win 1000")
    s.out("F. 1001:1001(0) ack 1")


def test_a_lost_fin_is_resent_with_back_off():
    s = opened()
    s.socket.close()
    for wait in (0, 1, 2, 4, 8):
        s.out("F. 1:1(0) ack 1", after=wait)


def test_lost_data_with_a_fin_is_resent_with_it():
    s = opened()
    s.socket.send(bytes(10))
    s.out("P. 1:11(10) ack 1")
    s.socket.send(bytes(10))
    s.socket.close()
    s.out("FP. 11:21(10) ack 1")
    s.out("P. 1:11(10) ack 1", after=1)
    s.into(". 1:1(0) ack 11", after=0.1)
    s.out("FP. 11:21(10) ack 1")


def test_after_a_half_close_data_is_still_received_and_acknowledged():
    s = opened()
    s.socket.shutdown(c.SHUT_WR)
    s.out("F. 1:1(0) ack 1")
    s.into(". 1:1(0) ack 2")
    s.into("P. 1:1001(1000) ack 2")
    s.into("P. 1001:2001(1000) ack 2")
    s.out(". 2:2(0) ack 2001")
    assert s.socket.recv(5000) == bytes(2000)
    with pytest.raises(BrokenPipeError):
        s.socket.send(b"x")
    s.into("F. 2001:2001(0) ack 2")
    s.out(". 2:2(0) ack 2002")
    assert state(s) is State.TIME_WAIT
    assert s.socket.recv(1) == b""


def test_after_the_peers_half_close_data_is_still_sent():
    s = accepted()
    s.into("F. 1:1(0) ack 1")
    s.out(". 1:1(0) ack 2")
    assert s.socket.recv(1) == b""
    s.socket.send(bytes(1500))
    s.out(". 1:1001(1000) ack 2")
    s.quiet()
    s.into(". 2:2(0) ack 1001", after=0.1)
    s.out("P. 1001:1501(500) ack 2")
    s.socket.close()
    s.out("F. 1501:1501(0) ack 2")
    s.into(". 2:2(0) ack 1502")
    assert state(s) is State.CLOSED


def test_text_and_fin_in_fin_wait_1_and_2_are_taken():
    s = opened()
    s.socket.shutdown(c.SHUT_WR)
    s.out("F. 1:1(0) ack 1")
    s.into("P. 1:11(10) ack 1")
    s.out(". 2:2(0) ack 11", after=0.1)
    s.into("FP. 11:21(10) ack 2")
    s.out(". 2:2(0) ack 22")
    assert state(s) is State.TIME_WAIT
    assert s.socket.recv(100) == bytes(20)


def test_a_fin_behind_a_hole_counts_once_the_hole_is_filled():
    s = accepted()
    s.into("F. 11:11(0) ack 1")
    s.out(". 1:1(0) ack 1")
    assert state(s) is State.ESTABLISHED
    s.into("P. 1:11(10) ack 1")
    s.out(". 1:1(0) ack 12")
    assert state(s) is State.CLOSE_WAIT


def test_a_fin_beyond_the_window_is_not_taken():
    s = Script(rfc(receive_buffer=1000))
    s.listen()
    s.into("S 0:0(0) win 5000 <mss 1000>")
    s.out("S. 0:0(0) ack 1 win 1000")
    s.into(". 1:1(0) ack 1")
    s.accept()
    s.into("FP. 1:1001(1000) ack 1")
    s.out(". 1:1(0) ack 1001 win 0")
    assert state(s) is State.ESTABLISHED
    s.into("F. 1001:1001(0) ack 1", after=1)
    s.out(". 1:1(0) ack 1001 win 0")
    assert s.socket.recv(5000) == bytes(1000)
    s.out(". 1:1(0) ack 1001 win 1000")
    s.into("F. 1001:1001(0) ack 1", after=1)
    s.out(". 1:1(0) ack 1002")
    assert state(s) is State.CLOSE_WAIT


# TIME-WAIT


def test_time_wait_acknowledges_old_segments():
    here = at(State.TIME_WAIT)
    here.s.into("P. 0:1(1) ack 1")
    here.ack()


@pytest.mark.parametrize("number", [2, 3, 100, 70_000, 2_000_000_000])
def test_a_syn_beyond_the_old_connection_reopens_it(number):
    """RFC 9293 MAY-2, for what was not opened by this side or was: numbers decide."""
    s = accepted()
    s.socket.close()
    s.out("F. 1:1(0) ack 1")
    s.into("F. 1:1(0) ack 2")
    s.out(". 2:2(0) ack 2")
    if number == 2:
        s.into("S 2:2(0) win 5000 <mss 1000>")
        s.out(". 2:2(0) ack 2")  # not beyond
        return
    old = s.iss
    s.iss = None
    s.into(f"S {number}:{number}(0) win 5000 <mss 1000>")
    new = s.out(f"S. 0:0(0) ack {number + 1}")
    assert 2 < (new.seq - old) % (1 << 32) < 1 << 31  # beyond the old connection's numbers


def stamped(**tcp: object) -> Script:
    """In TIME-WAIT; the peer's last timestamp was 100, its last number 2."""
    s = Script(rfc(timestamps=True, timestamp_offset=0, **tcp))
    s.listen()
    s.into("S 0:0(0) win 5000 <mss 1000,TS val 100 ecr 0>")
    s.out("S. 0:0(0) ack 1")
    s.into(". 1:1(0) ack 1 win 5000 <TS val 100 ecr 1000000>")
    s.accept().close()
    s.out("F. 1:1(0) ack 1")
    s.into("F. 1:1(0) ack 2 win 5000 <TS val 100 ecr 1000000>")
    s.out(". 2:2(0) ack 2")
    return s


@pytest.mark.parametrize(
    ("syn", "reopens"),
    [
        ("S 1:1(0) win 5000 <mss 1000,TS val 101 ecr 0>", True),  # later timestamp
        ("S 9:9(0) win 5000 <mss 1000,TS val 100 ecr 0>", True),  # same, but a later number
        ("S 1:1(0) win 5000 <mss 1000,TS val 100 ecr 0>", False),
        ("S 9:9(0) win 5000 <mss 1000,TS val 99 ecr 0>", False),
        ("S 9:9(0) win 5000 <mss 1000>", True),  # none now: the number decides
        ("S 1:1(0) win 5000 <mss 1000>", False),
    ],
)
def test_rfc_6191_with_timestamps(syn, reopens):
    s = stamped()
    if reopens:
        s.iss = None
        s.into(syn, after=1)
        s.out(f"S. 0:0(0) ack {int(syn.split(':')[0][2:]) + 1}")
    else:
        s.into(syn, after=1)
        s.out(". 2:2(0) ack 2")
        s.quiet()


def test_rfc_6191_timestamps_where_there_were_none_are_trusted():
    s = Script(rfc(timestamps=True, timestamp_offset=0))
    s.listen()
    s.into("S 0:0(0) win 5000 <mss 1000>")
    s.out("S. 0:0(0) ack 1")
    s.into(". 1:1(0) ack 1 win 5000")
    s.accept().close()
    s.out("F. 1:1(0) ack 1")
    s.into("F. 1:1(0) ack 2 win 5000")
    s.out(". 2:2(0) ack 2")
    s.iss = None
    s.into("S 1:1(0) win 5000 <mss 1000,TS val 5 ecr 0>", after=1)
    s.out("S. 0:0(0) ack 2")


def test_without_reuse_a_syn_is_challenged():
    s = stamped(time_wait_reuse=False)
    s.into("S 9:9(0) win 5000 <mss 1000,TS val 200 ecr 0>", after=1)
    s.out(". 2:2(0) ack 2")


def test_on_linux_a_reset_ends_time_wait_which_lasts_a_minute():
    here = at(State.TIME_WAIT, StackConfig.linux())
    here.s.into("R 2:2(0)")
    here.s.quiet()
    assert here.now is State.CLOSED
    here = at(State.TIME_WAIT, StackConfig.linux())
    here.s.quiet(59.9)
    assert here.now is State.TIME_WAIT
    here.s.quiet(0.2)
    assert here.now is State.CLOSED


# Aborts


def test_a_close_with_unread_data_resets():
    """RFC 9293 3.6.1, RFC 2525 2.17."""
    s = opened()
    s.into("P. 1:11(10) ack 1")
    s.socket.close()
    s.out("R 1:1(0) win 0")
    s.quiet(100)
    assert state(s) is State.CLOSED


def test_data_that_comes_after_a_close_resets():
    s = opened()
    s.socket.close()
    s.out("F. 1:1(0) ack 1")
    s.into(". 1:1(0) ack 2", after=0.1)
    s.into("P. 1:11(10) ack 2", after=0.1)
    s.out("R 2:2(0)")
    assert state(s) is State.CLOSED


def test_data_before_a_half_close_is_no_reason_to_reset():
    s = opened()
    s.socket.shutdown(c.SHUT_RDWR)
    s.out("F. 1:1(0) ack 1")
    s.into("P. 1:11(10) ack 2", after=0.1)
    s.out(". 2:2(0) ack 11", after=0.1)


@pytest.mark.parametrize("where", [State.ESTABLISHED, State.CLOSE_WAIT], ids=str)
def test_lingering_for_nothing_resets(where):
    here = at(where)
    linger(here.s, 0)
    here.s.socket.close()
    here.s.out("R 1:1(0) win 0")
    here.s.quiet(100)
    assert here.now is State.CLOSED


def test_a_reset_forgets_what_was_not_sent():
    s = opened(win=1000)
    s.socket.send(bytes(3000))
    s.out(". 1:1001(1000) ack 1")
    linger(s, 0)
    s.socket.close()
    s.out("R 1001:1001(0)")
    s.quiet(100)


@pytest.mark.parametrize(
    ("where", "error"),
    [(State.ESTABLISHED, ConnectionResetError), (State.CLOSE_WAIT, BrokenPipeError)],
    ids=str,
)
def test_the_user_hears_of_a_reset(where, error):
    here = at(where)
    here.s.into(f"R {here.peer}:{here.peer}(0)")
    with pytest.raises(error):
        here.s.socket.send(b"x")


def test_what_came_before_a_reset_can_be_read():
    """As on Linux, whether or not connect() was called again to learn that it worked."""
    s = opened()
    s.into("P. 1:11(10) ack 1")
    s.into("R 11:11(0)")
    assert s.socket.recv(100) == bytes(10)
    with pytest.raises(ConnectionResetError):
        s.socket.recv(100)
    assert s.socket.recv(100) == b""


def test_fin_wait_2_lasts_for_ever_by_the_rfc():
    here = at(State.FIN_WAIT_2)
    here.s.quiet(100_000)
    assert here.now is State.FIN_WAIT_2


def test_fin_wait_2_lasts_a_minute_on_linux_once_closed():
    here = at(State.FIN_WAIT_2, StackConfig.linux())
    here.s.quiet(59.9)
    assert here.now is State.FIN_WAIT_2
    here.s.quiet(0.2)
    assert here.now is State.CLOSED


def test_the_last_fin_is_given_up_in_time():
    here = at(State.LAST_ACK)
    for wait in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        here.s.out("F. 1:1(0) ack 2", after=wait)
    here.s.quiet(61)
    assert here.now is State.CLOSED


def test_a_user_timeout_ends_a_close_too():
    s = opened(rfc(user_timeout=seconds(5)))
    s.socket.close()
    s.out("F. 1:1(0) ack 1")
    s.out("F. 1:1(0) ack 1", after=1)
    s.out("F. 1:1(0) ack 1", after=2)
    s.quiet(2)
    assert state(s) is State.CLOSED
