"""A stack that speaks to itself, and what its events and snapshots tell."""

from __future__ import annotations

from tcp_wire import HOST, PEER, Wire

from testbed.stack.refusals import Refused
from testbed.stack.tcp.notices import ConnectionFailed, SegmentResent, StateChanged
from testbed.stack.tcp.reasons import Reason
from testbed.stack.tcp.states import State


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
