"""A stack that speaks to itself, and what its events and snapshots tell."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from pair import Pair
from tcp_wire import HOST, PEER, Wire

from testbed.stack.config import StackConfig
from testbed.stack.refusals import Refused
from testbed.stack.tcp.notices import ConnectionFailed, SegmentResent, StateChanged
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.states import State
from testbed.timing import milliseconds


def test_a_stack_connects_to_itself():
    wire = Wire(isn=None)  # type: ignore[arg-type]
    listener = wire.stack.tcp.listen(80, wire.now)
    client = wire.stack.tcp.connect((HOST, 80), wire.now)
    wire.stack.handle_timeout(wire.now)
    server = listener.accept(wire.now)
    assert (client.state, server.state) == (State.ESTABLISHED, State.ESTABLISHED)
    data = bytes(range(256)) * 1000
    sent, got = 0, b""
    for _ in range(1000):
        sent += client.send(data[sent:], wire.now)
        wire.now += 1_000_000
        wire.stack.handle_timeout(wire.now)
        got += server.receive(1 << 20, wire.now) or b""
        if got == data:
            break
    assert got == data
    client.close(wire.now)
    wire.stack.handle_timeout(wire.now)
    server.close(wire.now)
    wire.stack.handle_timeout(wire.now)
    assert (client.state, server.state) == (State.TIME_WAIT, State.CLOSED)
    assert wire.take() == []


def test_a_socket_connects_to_its_own_port():
    wire = Wire()
    c = wire.stack.tcp.connect((HOST, 80), wire.now, local=(HOST, 80))
    wire.stack.handle_timeout(wire.now)
    assert c.state is State.ESTABLISHED  # a simultaneous open with itself
    c.send(b"echo", wire.now)
    wire.stack.handle_timeout(wire.now)
    assert c.receive(10, wire.now) == b"echo"


def test_nobody_listens_at_ones_own_address():
    wire = Wire(isn=None)  # type: ignore[arg-type]
    c = wire.stack.tcp.connect((HOST, 81), wire.now)
    wire.stack.handle_timeout(wire.now)
    assert isinstance(c.error, Refused)
    assert c.error.errno_name == "ECONNREFUSED"


def test_events_tell_the_story_of_a_connection():
    wire = Wire()
    c = wire.connect()
    c.send(b"x", wire.now)
    wire.run(400_000)
    log = wire.stack.events
    states = [(each.before, each.after) for each in log.of(StateChanged)]
    assert states == [
        (State.CLOSED, State.SYN_SENT),
        (State.SYN_SENT, State.ESTABLISHED),
        (State.ESTABLISHED, State.CLOSED),
    ]
    resent = log.of(SegmentResent)
    assert {(each.seq, each.length, each.reason) for each in resent} == {(1001, 1, Reason.RTO)}
    assert [each.error for each in log.of(ConnectionFailed)] == ["ETIMEDOUT"]
    assert log.of(StateChanged)[0].connection == f"{HOST}:80-{PEER}:5000"


def test_a_snapshot_shows_all_of_a_connection_at_once():
    wire = Wire()
    c = wire.connect()
    c.send(bytes(3000), wire.now)
    wire.say("PA", 1, 1461, b"abc")
    seen = c.snapshot()
    assert (seen.state, seen.iss, seen.irs) == (State.ESTABLISHED, 1000, 3_000_000_000)
    assert (seen.snd_una, seen.snd_nxt, seen.rcv_nxt) == (2461, 3921, 3_000_000_004)
    assert (seen.flight, seen.unsent, seen.unread) == (1460, 80, 3)
    assert seen.cwnd == 14_600  # the user limits it, not the window
    assert seen.retransmissions == ()


@pytest.mark.parametrize("pause", [1500, 2999, 3000, 3001, 7000])
@pytest.mark.parametrize("skew", [0, 1])
def test_two_windows_that_open_at_once_set_both_streams_going(pause, skew):
    tcp = {"receive_buffer": 3000, "send_buffer": 20_000, "congestion_control": "newreno"}
    config = StackConfig.of(tcp=tcp)
    pair = Pair(config, config, delay=milliseconds(5))
    listener = pair.right.tcp.listen(80, pair.now)
    left = pair.left.tcp.connect((IPv4Address("10.0.0.2"), 80), pair.now)
    pair.run(milliseconds(100))
    right = listener.accept(pair.now)
    sides = (left, right)
    for each in sides:
        each.send(bytes(20_000), pair.now)
    pair.run(milliseconds(pause))
    assert all(each.snapshot().snd_wnd == 0 for each in sides)
    got = [0, 0]
    for _ in range(3000):
        for at, each in enumerate(sides):
            got[at] += len(each.receive(3000, pair.now) or b"")
            pair.run(milliseconds(skew))
        pair.run(milliseconds(3))
    assert got == [20_000, 20_000]
    assert len(pair.sent(pair.left)) < 500


def test_probes_that_cross_and_are_both_taken_are_both_heard_of():
    wire = Wire()
    c = wire.connect(window=0)
    c.send(b"abc", wire.now)
    wire.run(1500)  # our probe of one byte is out
    wire.say("A", 1, 1, b"x", window=0)  # the peer's probe comes and is taken
    wire.run(200)
    wire.say("A", 1, 2, window=1000)  # the peer took ours; its number does not count its own yet
    assert wire.take()[0].brief() == "PA 2:4 2"
