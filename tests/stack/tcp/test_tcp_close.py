"""Closing by literal segments: RFC 9293 3.6, 3.10.4, 3.10.5, 3.10.7.4, RFC 1337, RFC 6191."""

from __future__ import annotations

import pytest
from tcp_wire import Wire

from testbed.stack.refusals import Refused
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.timing import Duration, seconds
from testbed.wire import MSS, Timestamps


def test_a_normal_close_goes_through_both_fin_waits_to_time_wait():
    wire = Wire()
    c = wire.connect()
    c.close(wire.now)
    assert wire.one().brief() == "FA 1:1 1"
    assert c.state is State.FIN_WAIT_1
    wire.say("A", 1, 2)
    assert c.state is State.FIN_WAIT_2
    wire.say("FA", 1, 2)
    assert wire.one().brief() == "A 2:2 2"
    assert c.state is State.TIME_WAIT


def test_the_passive_side_goes_through_close_wait_and_last_ack():
    wire = Wire()
    c = wire.connect()
    wire.say("FA", 1, 1)
    assert wire.one().brief() == "A 1:1 2"
    assert c.state is State.CLOSE_WAIT
    assert c.receive(10, wire.now) == b""
    c.close(wire.now)
    assert wire.one().brief() == "FA 1:1 2"
    assert c.state is State.LAST_ACK
    wire.say("A", 2, 2)
    assert c.state is State.CLOSED
    assert wire.take() == []
    assert wire.stack.tcp.connections == ()


def test_a_fin_that_acknowledges_ours_leads_straight_to_time_wait():
    wire = Wire()
    c = wire.connect()
    c.close(wire.now)
    wire.take()
    wire.say("FA", 1, 2)
    assert wire.one().brief() == "A 2:2 2"
    assert c.state is State.TIME_WAIT


def test_a_simultaneous_close_goes_through_closing():
    wire = Wire()
    c = wire.connect()
    c.close(wire.now)
    wire.take()
    wire.say("FA", 1, 1)
    assert wire.one().brief() == "A 2:2 2"
    assert c.state is State.CLOSING
    wire.say("A", 2, 2)
    assert c.state is State.TIME_WAIT


def test_data_and_fin_in_one_segment():
    wire = Wire()
    c = wire.connect()
    c.send(bytes(1000), wire.now)  # outstanding: what follows waits for it (Nagle)
    c.send(b"rest", wire.now)
    wire.take()
    c.close(wire.now)
    assert wire.one().brief() == "FPA 1001:1005 1"


def test_a_half_closed_connection_still_receives():
    wire = Wire()
    c = wire.connect()
    c.shutdown(wire.now)
    wire.take()
    wire.say("A", 1, 2)
    wire.say("PA", 1, 2, b"late news")
    assert c.receive(100, wire.now) == b"late news"
    with pytest.raises(Refused, match="EPIPE"):
        c.send(b"x", wire.now)
    wire.say("FA", 10, 2)
    assert c.state is State.TIME_WAIT
    assert c.receive(100, wire.now) == b""


def test_a_lost_fin_is_resent():
    wire = Wire()
    c = wire.connect()
    c.close(wire.now)
    heard = wire.run(3500)
    assert [(each.at / 1000, each.brief()) for each in heard] == [
        (0, "FA 1:1 1"),
        (1, "FA 1:1 1"),
        (3, "FA 1:1 1"),
    ]


def test_time_wait_lasts_two_msl_and_a_repeated_fin_restarts_it():
    wire = Wire(msl=seconds(30))
    c = wire.connect()
    c.close(wire.now)
    wire.say("FA", 1, 2)
    wire.run(59_000)
    assert c.state is State.TIME_WAIT
    wire.say("FA", 1, 2)
    assert wire.one().brief() == "A 2:2 2"
    wire.run(59_999)
    assert c.state is State.TIME_WAIT
    wire.run(1)
    assert c.state is State.CLOSED
    assert wire.stack.tcp.connections == ()


def test_other_segments_in_time_wait_are_acknowledged_and_restart_nothing():
    wire = Wire(msl=seconds(30))
    c = wire.connect()
    c.close(wire.now)
    wire.say("FA", 1, 2)
    wire.run(30_000)
    wire.say("A", -10, 2, b"old data")
    assert wire.one().brief() == "A 2:2 2"
    wire.run(30_000)
    assert c.state is State.CLOSED


def test_a_reset_does_not_assassinate_time_wait():
    wire = Wire()
    c = wire.connect()
    c.close(wire.now)
    wire.say("FA", 1, 2)
    wire.take()
    wire.say("R", 2)
    assert c.state is State.TIME_WAIT
    assert wire.take() == []


def test_a_reset_ends_time_wait_where_the_settings_say_so():
    wire = Wire(time_wait_ignores_rst=False)
    c = wire.connect()
    c.close(wire.now)
    wire.say("FA", 1, 2)
    wire.say("R", 2)
    assert c.state is State.CLOSED


def test_a_later_syn_ends_time_wait_and_opens_anew():
    wire = Wire()
    c = wire.accept()
    c.close(wire.now)
    wire.say("FA", 1, 2)
    wire.take()
    assert c.state is State.TIME_WAIT
    wire.say("S", 1, 0)  # not beyond the old connection's numbers
    assert wire.one().brief() == "A 2:2 2"
    wire.say("S", 5000, 0, options=(MSS(1460),))
    answer = wire.one()
    assert answer.flags == "SA"
    assert answer.ack == 5001
    assert answer.seq > 2  # RFC 6191: the new ISN is beyond what was used


def test_a_syn_with_a_later_timestamp_ends_time_wait_whatever_its_number():
    wire = Wire(timestamps=True)
    c = wire.accept(stamp=Timestamps(100))
    c.close(wire.now)
    fin = wire.one()
    wire.say("FA", 1, 2, options=(Timestamps(101, fin.stamp.value),))
    wire.take()
    wire.say("S", -1000, 0, options=(Timestamps(90),))
    assert wire.one().brief() == "A 2:2 2"
    wire.say("S", -1000, 0, options=(Timestamps(102),))
    assert wire.one().flags == "SA"


def test_a_time_wait_that_has_too_many_companions_ends_early():
    wire = Wire(time_wait_limit=2)
    listener = wire.stack.tcp.listen(80, wire.now)
    for port in (6001, 6002, 6003):
        wire.say("S", 0, 0, src_port=port)
        wire.say("A", 1, 1, src_port=port)
        listener.accept(wire.now).close(wire.now)
        wire.say("FA", 1, 2, src_port=port)
    waiting = [each.remote[1] for each in wire.stack.tcp.connections]
    assert waiting == [6002, 6003]


def test_an_abort_sends_a_reset_at_snd_nxt():
    wire = Wire()
    c = wire.connect()
    c.send(b"abc", wire.now)
    wire.take()
    c.abort(wire.now)
    assert wire.one().brief() == "R 4:4"
    assert c.state is State.CLOSED
    assert wire.run(10_000) == []


def test_closing_with_unread_data_resets():
    wire = Wire()
    c = wire.connect()
    wire.say("PA", 1, 1, b"nobody reads this")
    wire.take()
    c.close(wire.now)
    assert wire.one().brief() == "R 1:1"


def test_data_that_comes_after_close_is_answered_with_a_reset():
    wire = Wire()
    c = wire.connect()
    c.close(wire.now)
    wire.say("A", 1, 2)
    wire.take()
    wire.say("PA", 1, 2, b"too late")
    assert wire.one().brief() == "R 2:2"
    assert c.state is State.CLOSED


def test_a_linger_time_of_zero_makes_close_an_abort():
    wire = Wire()
    c = wire.connect(chosen=SocketOptions(linger=Duration(0)))
    c.close(wire.now)
    assert wire.one().brief() == "R 1:1"


def test_fin_wait_2_is_bounded_only_where_the_settings_say_so():
    for limit, state in ((None, State.FIN_WAIT_2), (seconds(60), State.CLOSED)):
        wire = Wire(fin_wait2_timeout=limit)
        c = wire.connect()
        c.close(wire.now)
        wire.say("A", 1, 2)
        wire.run(61_000)
        assert c.state is state


def test_a_fin_out_of_order_waits_for_what_lacks():
    wire = Wire(sack=True)
    c = wire.connect()
    wire.say("FPA", 4, 1, b"def")
    assert wire.one().brief() == "A 1:1 1"
    assert c.state is State.ESTABLISHED
    wire.say("A", 1, 1, b"abc")
    assert wire.one().brief() == "A 1:1 8"
    assert c.receive(100, wire.now) == b"abcdef"
    assert c.state is State.CLOSE_WAIT


def test_a_repeated_fin_is_acknowledged_again():
    wire = Wire()
    wire.connect()
    wire.say("FA", 1, 1)
    wire.take()
    wire.say("FA", 1, 1)
    assert wire.one().brief() == "A 1:1 2"


def test_data_may_be_sent_after_the_peer_has_closed():
    wire = Wire()
    c = wire.connect()
    wire.say("FA", 1, 1)
    wire.take()
    c.send(b"still here", wire.now)
    assert wire.one().brief() == "PA 1:11 2"


@pytest.mark.parametrize("state", ["CLOSING", "LAST-ACK"])
def test_a_reset_while_closing_is_no_error(state):
    wire = Wire()
    c = wire.connect()
    if state == "CLOSING":
        c.close(wire.now)
        wire.say("FA", 1, 1)
    else:
        wire.say("FA", 1, 1)
        c.close(wire.now)
    assert str(c.state) == state
    wire.say("R", 2)
    assert c.state is State.CLOSED
    assert c.error is None
