"""What a plan does with a Python stack: two of them on one cable in memory, in real time."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from testbed.errors import ExpectationFailed, PlanError
from testbed.hosts import RealLoop, Tap
from testbed.hosts.stack_host import StackHost
from testbed.link import Delay, Drop, Duplicate, Nth, memory_pair
from testbed.stack.config import StackConfig
from testbed.stack.stack import Stack
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.timing import milliseconds, seconds
from testbed.wire import TcpFlags, dissect
from testbed.wire.frame import Direction

ONE, TWO = "10.0.0.1", "10.0.0.2"
SOON = seconds(3)


class Line:
    def __init__(self, loop):
        self.loop = loop
        self.segments = []
        near, far = memory_pair("near", "far", loop)
        self.one = self.host("one", Tap(near, loop), ONE)
        self.two = self.host("two", Tap(far, loop), TWO)
        self.two.wire.tap.subscribe(self.hear)

    def host(self, name, tap, address):
        stack = Stack(StackConfig.linux(), seed=name.encode(), name=name)
        host = StackHost(stack, self.loop, name=name, resolve=self.resolve)
        stack.add_interface("eth0", mac=tap.port.mac, mtu=1500)
        host.attach("eth0", tap)
        host.add_address(f"{address}/24")
        return host

    def resolve(self, to):
        return IPv4Address({"one": ONE, "two": TWO}.get(to, to))

    def hear(self, frame):
        tcp = dissect(frame.data).tcp
        if tcp is not None and frame.direction is Direction.IN:
            self.segments.append(tcp)

    def pair(self, port=80, **options):
        listener = self.two.listen(port)
        ours = self.one.connect("two", port, within=SOON, options=SocketOptions(**options))
        return ours, listener.accept(within=SOON)

    def last(self, condition=lambda tcp: True):
        self.two.wire.tap.pump()
        return [tcp for tcp in self.segments if condition(tcp)][-1]


@pytest.fixture
def line():
    loop = RealLoop()
    line = Line(loop)
    yield line
    line.one.close()
    line.two.close()
    loop.close()


def test_a_connection_carries_bytes_both_ways_and_closes(line):
    ours, theirs = line.pair()
    ours.send(b"question")
    assert theirs.receive(8, within=SOON) == b"question"
    assert theirs.read() is None
    theirs.send(bytes(500_000))
    theirs.close()
    assert ours.receive_all(within=SOON) == bytes(500_000)
    ours.close()
    theirs.wait_for(State.TIME_WAIT, within=SOON)
    ours.wait_for(State.CLOSED, within=SOON)
    assert ours.error is None


def test_what_the_peer_refuses_is_told(line):
    with pytest.raises(ExpectationFailed, match="no connection to two port 81: ECONNREFUSED"):
        line.one.connect("two", 81, within=SOON)
    line.two.stack.answers.arp = False
    line.one.stack.interface("eth0").neighbours.forget()
    with pytest.raises(ExpectationFailed, match=r"no connection to two .* no answer within 50 ms"):
        line.one.connect("two", 81, within=milliseconds(50))


def test_what_cannot_be_asked_for_is_a_plans_mistake(line):
    line.one.listen(80)
    with pytest.raises(PlanError, match="cannot listen on port 80: EADDRINUSE"):
        line.one.listen(80)
    with pytest.raises(PlanError, match=r"cannot connect to 192\.0\.2\.1 port 1: ENETUNREACH"):
        line.one.open("192.0.2.1", 1)


def test_waiting_says_what_is_missing(line):
    ours, theirs = line.pair()
    with pytest.raises(ExpectationFailed, match=r"0 of 5 bytes came within 20 ms"):
        ours.receive(5, within=milliseconds(20))
    theirs.send(b"abc")
    theirs.close()
    with pytest.raises(ExpectationFailed, match=r"ended the stream after 3 bytes of 5"):
        ours.receive(5, within=SOON)
    with pytest.raises(ExpectationFailed, match=r"CLOSE-WAIT\): expected LISTEN within 20 ms"):
        ours.wait_for(State.LISTEN, within=milliseconds(20))


def test_a_reset_is_told_and_remembered(line):
    ours, theirs = line.pair()
    theirs.abort()
    with pytest.raises(ExpectationFailed, match="ECONNRESET"):
        ours.receive(1, within=SOON)
    assert ours.error == "ECONNRESET"
    assert ours.state is State.CLOSED


def test_the_nth_segment_is_lost_and_sent_again(line):
    line.one.outgoing.add(Drop(Nth(2, matching=has_payload)))
    ours, theirs = line.pair()
    ours.send(bytes(20_000))
    assert theirs.receive(20_000, within=SOON) == bytes(20_000)
    assert line.one.outgoing.actions["drop"] == 1
    assert ours.snapshot().retransmission_count >= 1


def test_the_way_in_is_impaired_too(line):
    with line.two.incoming.impaired(
        Duplicate(Nth(1, matching=has_payload)), Delay(milliseconds(5))
    ):
        ours, theirs = line.pair()
        ours.send(b"twice")
        assert theirs.receive(5, within=SOON) == b"twice"
    assert line.two.incoming.actions["duplicate"] == 1


def test_steering_is_on_the_cable_at_once(line):
    ours, theirs = line.pair()
    now = ours.snapshot()
    ours.steer.window(0)
    assert line.last().window == 0
    ours.steer.forge_ack(now.rcv_nxt - 1)
    assert line.last().ack == now.rcv_nxt - 1
    ours.steer.send(TcpFlags.ACK | TcpFlags.PSH, b"by hand", seq=now.snd_nxt)
    sent = line.last()
    assert (sent.payload, sent.seq, sent.ack) == (b"by hand", now.snd_nxt, now.rcv_nxt)
    assert theirs.receive(7, within=SOON) == b"by hand"
    ours.steer.mute()
    ours.send(b"unheard")
    line.one.run_until(lambda: False, milliseconds(20))
    assert line.last(has_bytes).payload == b"by hand"


def test_numbers_are_those_that_a_plan_chose(line):
    line.pair(isn=1000, mss=700, window_scale=5)
    syn = line.last(lambda tcp: tcp.flags == TcpFlags.SYN)
    assert syn.seq == 1000
    assert {700, 5} <= {getattr(o, "value", getattr(o, "shift", None)) for o in syn.options}


def test_a_stopped_clock_stops_one_side(line):
    ours, theirs = line.pair()
    with line.two.stopped():
        ours.send(b"later")
        line.one.run_until(lambda: False, milliseconds(30))
        assert theirs.snapshot().bytes_in == 0
    assert theirs.receive(5, within=SOON) == b"later"


def test_datagrams_and_their_errors(line):
    server, client = line.two.udp(53), line.one.udp()
    assert client.send(b"name?", "two", 53) is None
    asked = server.receive(within=SOON)
    assert (asked.payload, asked.source, asked.source_port) == (
        b"name?",
        IPv4Address(ONE),
        client.port,
    )
    assert client.send(bytes(1473), TWO, 53, df=True) == "EMSGSIZE"
    with pytest.raises(ExpectationFailed, match="no datagram came to port 53 within 10 ms"):
        server.receive(within=milliseconds(10))
    server.close()
    line.two.udp(53)


def test_programs_run_over_its_sockets(line):
    listener = line.two.sockets.stream()
    listener.bind((TWO, 8080))
    listener.listen(1)
    client = line.one.sockets.stream()
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.connect((TWO, 8080))
    served, _ = listener.accept(within=SOON)
    served.send(b"hello")
    client.setblocking(True)
    assert client.recv(10) == b"hello"


def has_bytes(tcp) -> bool:
    return bool(tcp.payload)


def has_payload(frame: bytes) -> bool:
    tcp = dissect(frame).tcp
    return tcp is not None and bool(tcp.payload)
