"""A flood of SYNs: bounded memory, and cookies for real clients (RFC 4987)."""

from __future__ import annotations

import pytest
from tcp_wire import ALL_OPTIONS, Wire

from testbed.stack.tcp.notices import CookieAccepted, SynDropped
from testbed.timing import seconds
from testbed.wire import MSS, SackPermitted, Timestamps, WindowScale


def flood(wire, count):
    for port in range(10_000, 10_000 + count):
        wire.say("S", 0, 0, src_port=port)


def test_beyond_the_backlog_nothing_is_held_and_a_client_still_connects():
    wire = Wire(timestamps=True, sack=True, window_scaling=True)
    listener = wire.stack.tcp.listen(80, wire.now, backlog=10)
    flood(wire, 1000)
    assert listener.half_open == 10
    assert len(wire.stack.tcp.connections) == 10
    wire.take()
    wire.say("S", 0, 0, options=(MSS(1300), SackPermitted(), Timestamps(7), WindowScale(9)))
    answer = wire.one()
    assert answer.flags == "SA"
    wire.iss = answer.segment.seq
    wire.say("PA", 1, 1, b"hello", options=(Timestamps(8, answer.stamp.value),), window=100)
    connection = listener.accept(wire.now)
    assert connection.receive(100, wire.now) == b"hello"
    seen = connection.snapshot()
    assert (seen.peer_mss, seen.sack, seen.timestamps, seen.send_scale) == (1300, True, True, 9)
    assert seen.snd_wnd == 100 << 9
    assert wire.stack.events.of(CookieAccepted)


def test_without_timestamps_a_cookie_keeps_the_mss_only():
    wire = Wire(timestamps=True, sack=True, window_scaling=True, syn_cookies="always")
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0, options=(MSS(1460), SackPermitted(), WindowScale(9)))
    answer = wire.one()
    assert answer.segment.options == (MSS(1460),)
    wire.iss = answer.segment.seq
    wire.say("A", 1, 1, window=5000)
    seen = listener.accept(wire.now).snapshot()
    assert (seen.sack, seen.timestamps, seen.send_scale, seen.snd_wnd) == (False, False, None, 5000)


@pytest.mark.parametrize("wrong", ["ack", "seq", "old"])
def test_a_forged_or_stale_cookie_is_reset(wrong):
    wire = Wire(syn_cookies="always")
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("S", 0, 0)
    answer = wire.one()
    wire.iss = answer.segment.seq
    if wrong == "old":
        wire.now += seconds(200)
    wire.say("A", 2 if wrong == "seq" else 1, 5 if wrong == "ack" else 1)
    assert wire.one().flags == "R"
    assert not listener.readable


def test_without_cookies_a_full_backlog_drops_syns():
    wire = Wire(syn_cookies="off")
    listener = wire.stack.tcp.listen(80, wire.now, backlog=2)
    flood(wire, 5)
    assert len(wire.take()) == 2
    assert len(wire.stack.events.of(SynDropped)) == 3
    assert listener.half_open == 2


def test_an_ack_from_nowhere_is_no_cookie_while_the_queue_has_room():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now)
    wire.say("A", 1, 1)
    assert wire.one().flags == "R"
    assert not listener.readable


def test_a_full_accept_queue_takes_no_more_connections():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now, backlog=1)
    wire.say("S", 0, 0, src_port=6001, options=ALL_OPTIONS[:1])
    wire.say("A", 1, 1, src_port=6001)
    wire.take()
    wire.say("S", 0, 0, src_port=6002)
    assert wire.take() == []
    listener.accept(wire.now)
    wire.say("S", 0, 0, src_port=6002)
    assert wire.one().flags == "SA"


def test_half_open_connections_of_a_flood_are_released_in_time():
    wire = Wire()
    listener = wire.stack.tcp.listen(80, wire.now, backlog=100)
    flood(wire, 100)
    wire.run(200_000)
    assert listener.half_open == 0
    assert wire.stack.poll_timeout() is None
