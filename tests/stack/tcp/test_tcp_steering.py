"""What a plan makes a connection do, one line each."""

from __future__ import annotations

from tcp_wire import PEER_ISN, Wire

from testbed.stack.tcp.states import State
from testbed.timing import milliseconds
from testbed.wire import MSS, SackPermitted, TcpFlags
from testbed.wire.tcp_options import UnknownOption

SACK = (MSS(1460), SackPermitted())


def test_the_next_acks_are_withheld_and_then_go_again():
    wire = Wire(delayed_ack=False)
    c = wire.connect()
    c.steer.withhold_acks(2)
    for at in range(3):
        wire.say("PA", 1 + at, 1, b"x")
    assert wire.one().brief() == "A 1:1 4"


def test_all_acks_are_withheld_until_given_back():
    wire = Wire(delayed_ack=False)
    c = wire.connect()
    c.steer.withhold_acks()
    for at in range(5):
        wire.say("PA", 1 + at, 1, b"x")
    assert wire.run(10_000) == []
    c.steer.withhold_acks(0)
    wire.say("PA", 6, 1, b"x")
    assert wire.one().brief() == "A 1:1 7"


def test_acks_come_late():
    wire = Wire(delayed_ack=False)
    c = wire.connect()
    c.steer.delay_acks(milliseconds(700))
    wire.say("PA", 1, 1, b"x")
    wire.run(100)
    wire.say("PA", 2, 1, b"x")
    heard = wire.one(2000)
    assert (heard.at, heard.brief()) == (700, "A 1:1 3")
    wire.say("PA", 3, 1, b"x")
    assert wire.one(2000).at == 2100 + 700


def test_an_ack_can_be_sent_or_forged():
    wire = Wire(sack=True)
    c = wire.connect(options=SACK)
    wire.say("PA", 1, 1, b"x")
    c.steer.ack_now(wire.now)
    assert wire.one().brief() == "A 1:1 2"
    c.steer.forge_ack(wire.now, ack=PEER_ISN + 1000, sack=[(PEER_ISN + 5, PEER_ISN + 9)])
    heard = wire.take()[0]
    assert (heard.ack, heard.sack) == (1000, [(5, 9)])


def test_the_window_shrinks_closes_and_comes_back():
    wire = Wire()
    c = wire.connect()
    c.steer.window(100, wire.now)
    assert wire.one().window == 100
    c.steer.window(0, wire.now)
    assert wire.one().window == 0
    wire.say("PA", 1, 1, b"data")
    assert wire.one().brief() == "A 1:1 1"
    c.steer.window(None, wire.now)
    assert wire.one().window == 65535
    wire.say("PA", 1, 1, b"data")
    assert c.receive(10, wire.now) == b"data"


def test_sack_blocks_are_invented():
    wire = Wire(sack=True)
    c = wire.connect(options=SACK)
    c.steer.sack_blocks([(PEER_ISN + 100, PEER_ISN + 200)])
    wire.say("PA", 1, 1, b"x")
    assert wire.one(200).sack == [(100, 200)]
    c.steer.sack_blocks(None)
    wire.say("PA", 2, 1, b"x")
    assert wire.one(200).sack == []


def test_any_segment_goes_out_with_right_values_where_none_are_given():
    wire = Wire()
    c = wire.connect()
    c.steer.send(wire.now, TcpFlags.ACK | TcpFlags.PSH, b"by hand")
    assert wire.one().brief() == "PA 1:8 1"
    c.steer.send(
        wire.now,
        TcpFlags.FIN | TcpFlags.URG | TcpFlags.ACK,
        b"odd",
        seq=wire.iss + 500,
        ack=PEER_ISN + 77,
        window=9,
        urgent=3,
        options=(UnknownOption(200, b"ab"),),
    )
    heard = wire.one()
    assert (heard.brief(), heard.window, heard.urgent) == ("FUA 500:503 77", 9, 3)
    assert heard.segment.options == (UnknownOption(200, b"ab"),)
    c.send(b"regular", wire.now)
    assert wire.one().brief() == "PA 1:8 1"


def test_segments_are_ignored():
    wire = Wire()
    c = wire.connect()
    c.steer.ignore(lambda segment: segment.payload == b"bad")
    wire.say("PA", 1, 1, b"bad")
    assert wire.run(1000) == []
    c.steer.ignore(None)
    wire.say("PA", 1, 1, b"bad")
    assert c.unread == 3


def test_a_mute_connection_says_nothing_until_it_may():
    wire = Wire()
    c = wire.connect()
    c.steer.mute()
    c.send(b"x", wire.now)
    wire.say("PA", 1, 1, b"data")
    assert wire.run(900) == []
    c.steer.mute(on=False)
    assert [each.brief() for each in wire.run(200)] == ["PA 1:2 5"]
    assert c.state is State.ESTABLISHED


def test_given_back_the_connection_goes_by_itself():
    wire = Wire(delayed_ack=False)
    c = wire.connect()
    c.steer.withhold_acks()
    c.steer.window(10)
    c.steer.give_back()
    wire.say("PA", 1, 1, b"x")
    assert wire.one().window == 65535
