"""Timers of a connection by literal segments: RTO, persist, keepalive, user time-out."""

from __future__ import annotations

import pytest
from tcp_wire import Wire

from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.timing import seconds
from testbed.wire import MSS, SackPermitted


def times(heard):
    return [round(each.at / 1000, 3) for each in heard]


def test_unanswered_data_is_resent_with_doubling_intervals_until_r2():
    wire = Wire()
    c = wire.connect()
    c.send(b"hello", wire.now)
    heard = wire.run(400_000)
    assert times(heard) == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]
    assert {each.brief() for each in heard} == {"PA 1:6 1"}
    assert c.state is State.CLOSED
    assert c.error.errno_name == "ETIMEDOUT"
    assert wire.stack.poll_timeout() is None


def test_the_interval_is_capped():
    wire = Wire(give_up=seconds(1000))
    c = wire.connect()
    c.send(b"hello", wire.now)
    assert times(wire.run(250_000)) == [0, 1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_after_a_timeout_all_is_sent_again_in_order_by_slow_start():
    wire = Wire()
    c = wire.connect(options=(MSS(1000),))
    c.send(bytes(4000), wire.now)
    wire.take()
    assert wire.briefs(1000) == ["A 1:1001 1"]
    assert c.snapshot().cwnd == 1000
    wire.say("A", 1, 1001)
    assert wire.briefs() == ["A 1001:2001 1", "A 2001:3001 1"]


def test_the_third_duplicate_ack_resends_and_two_do_not():
    wire = Wire(limited_transmit=False)
    c = wire.connect(options=(MSS(1000),))
    c.send(bytes(10_000), wire.now)
    wire.take()
    wire.say("A", 1, 1)
    wire.say("A", 1, 1)
    assert wire.take() == []
    wire.say("A", 1, 1)
    assert wire.one().brief() == "A 1:1001 1"


def test_only_the_holes_are_resent_with_sack():
    wire = Wire(sack=True, rack=False, tlp=False)
    c = wire.connect(options=(MSS(1000), SackPermitted()))
    c.send(bytes(10_000), wire.now)
    wire.take()
    have = [(2001, 3001), (4001, 5001), (6001, 7001), (8001, 10_001)]
    resent = []
    for count in range(1, 5):
        wire.say("A", 1, 1001, sack=tuple(reversed(have[:count])))
    resent += wire.briefs()
    wire.say("A", 1, 3001, sack=tuple(have[1:]))
    resent += wire.briefs()
    wire.say("A", 1, 5001, sack=tuple(have[2:]))
    resent += wire.briefs()
    wire.say("A", 1, 7001, sack=tuple(have[3:]))
    resent += wire.briefs()
    wire.say("A", 1, 10_001)
    holes = ["A 1001:2001 1", "A 3001:4001 1", "A 5001:6001 1", "A 7001:8001 1"]
    assert [each for each in resent if each in holes] == resent == holes


def test_a_tail_loss_is_probed_before_the_timeout():
    wire = Wire(sack=True)
    c = wire.start()
    wire.run(100)
    wire.say("SA", 0, 1, options=(MSS(1000), SackPermitted()))
    wire.take()
    c.send(bytes(3000), wire.now)
    wire.take()
    probe = wire.one(900)
    assert probe.brief() == "PA 2001:3001 1"
    # RFC 8985 7.2: 2 * SRTT, in flight more than one segment
    assert probe.at == 100 + 200


# Zero window


def test_a_zero_window_is_probed_from_the_rto_on_with_doubling_intervals():
    wire = Wire()
    c = wire.connect(window=0)
    c.send(b"abc", wire.now)
    heard = wire.run(400_000)
    assert times(heard) == [1, 3, 7, 15, 31, 63, 123, 183, 243]
    assert {each.brief() for each in heard} == {"A 1:2 1"}
    assert c.error.errno_name == "ETIMEDOUT"


def test_a_connection_stays_as_long_as_its_probes_are_answered():
    wire = Wire()
    c = wire.connect(window=0)
    c.send(b"abc", wire.now)
    seen = []
    for _ in range(1000):
        for each in wire.run(1000):
            seen.append(each.at / 1000)
            wire.say("A", 1, 1, window=0)
    assert c.state is State.ESTABLISHED
    assert seen[:8] == [1, 3, 7, 15, 31, 63, 123, 183]  # capped at 60 s


def test_an_open_window_ends_the_probing_and_data_goes_at_once():
    wire = Wire()
    c = wire.connect(window=0)
    c.send(b"abc", wire.now)
    wire.run(1500)
    wire.say("A", 1, 1, window=1000)
    assert wire.one().brief() == "PA 1:4 1"
    wire.say("A", 1, 4, window=1000)
    assert wire.run(100_000) == []
    assert c.unacked == 0


def test_a_probe_whose_byte_was_taken_counts():
    wire = Wire()
    c = wire.connect(window=0)
    c.send(b"abc", wire.now)
    wire.run(1500)
    wire.say("A", 1, 2, window=1000)  # the window update before it was lost
    assert wire.one().brief() == "PA 2:4 1"
    wire.say("A", 1, 4)
    assert c.unacked == 0
    assert wire.run(100_000) == []


def test_a_window_that_closes_in_the_middle_of_data_in_flight():
    wire = Wire()
    c = wire.connect(options=(MSS(1000),), window=3000)
    c.send(bytes(5000), wire.now)
    assert len(wire.take()) == 3
    wire.say("A", 1, 3001, window=0)
    probe = wire.one(1500)
    assert probe.brief() == "A 3001:3002 1"
    wire.say("A", 1, 3001, window=3000)
    assert wire.briefs() == ["A 3001:4001 1", "PA 4001:5001 1"]
    wire.say("A", 1, 5001, window=3000)
    assert c.unacked == 0


def test_a_fin_waits_for_the_window_and_probes_it():
    wire = Wire()
    c = wire.connect(window=0)
    c.shutdown(wire.now)
    assert wire.take() == []
    probe = wire.one(1500)
    assert probe.brief() == "FA 1:1 1"
    wire.say("A", 1, 2, window=0)
    assert c.state is State.FIN_WAIT_2


def test_a_fin_behind_a_window_that_opens():
    wire = Wire()
    c = wire.connect(window=0)
    c.shutdown(wire.now)
    wire.run(1500)
    wire.say("A", 1, 1, window=10)
    assert wire.one().brief() == "FA 1:1 1"
    wire.say("A", 1, 2)
    assert c.state is State.FIN_WAIT_2


# Keepalive


def test_keepalive_is_off_by_default():
    wire = Wire()
    wire.connect()
    assert wire.run(100 * 3600 * 1000) == []


def test_keepalive_probes_after_two_hours_and_gives_up_after_ten_probes():
    wire = Wire()
    c = wire.connect(chosen=SocketOptions(keepalive=True))
    heard = wire.run(4 * 3600 * 1000)
    assert times(heard) == [7200 + 75 * each for each in range(11)]
    assert [each.brief() for each in heard] == ["A 0:0 1"] * 10 + ["R 1:1"]
    assert c.error.errno_name == "ETIMEDOUT"


def test_keepalive_spares_a_live_peer_and_starts_over_with_each_answer():
    wire = Wire()
    chosen = SocketOptions(
        keepalive=True,
        keepalive_idle=seconds(10),
        keepalive_interval=seconds(2),
        keepalive_probes=3,
    )
    c = wire.connect(chosen=chosen)
    assert times(wire.run(12_000)) == [10, 12]
    wire.say("A", 1, 1)
    assert times(wire.run(15_000)) == [22, 24, 26]
    wire.say("A", 1, 1)
    assert c.state is State.ESTABLISHED
    wire.run(9_000)
    wire.say("PA", 1, 1, b"x")
    heard = [each for each in wire.run(9_900) if each.seq == 0]
    assert heard == []


def test_keepalive_can_be_switched_on_later():
    wire = Wire()
    c = wire.connect()
    wire.run(3000)
    c.options.keepalive = True
    c.options.keepalive_idle = seconds(10)
    c.apply(wire.now)
    assert times(wire.run(11_000)) == [10]


# User time-out


@pytest.mark.parametrize("span", [2.5, 40])
def test_the_user_timeout_ends_a_connection_whose_data_stays_unacknowledged(span):
    wire = Wire()
    c = wire.connect(chosen=SocketOptions(user_timeout=seconds(span)))
    wire.run(5000)
    c.send(b"x", wire.now)
    wire.run(span * 1000 - 1)
    assert c.state is State.ESTABLISHED
    wire.run(1)
    assert c.state is State.CLOSED
    assert c.error.errno_name == "ETIMEDOUT"


def test_the_user_timeout_holds_for_the_handshake_too():
    wire = Wire()
    c = wire.start(SocketOptions(user_timeout=seconds(5)))
    assert times(wire.run(20_000)) == [0, 1, 3]
    assert c.error.errno_name == "ETIMEDOUT"


def test_a_peer_that_shuts_its_window_over_data_in_flight_is_probed_for_ever_while_it_answers():
    wire = Wire()
    c = wire.connect(options=(MSS(1000),))
    c.send(bytes(2000), wire.now)
    wire.take()
    wire.say("A", 1, 1, window=0)
    for _ in range(1000):
        for each in wire.run(1000):
            assert each.brief() == "A 1:1001 1"
            wire.say("A", 1, 1, window=0)
    assert c.state is State.ESTABLISHED
    wire.say("A", 1, 1, window=5000)
    assert wire.one().brief() == "A 1:1001 1"  # at once, by slow start
    wire.say("A", 1, 1001)
    assert wire.one().brief() == "PA 1001:2001 1"
    wire.say("A", 1, 2001)
    assert c.unacked == 0
