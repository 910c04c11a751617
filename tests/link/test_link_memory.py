import pytest

from testbed.errors import LinkError
from testbed.link import memory_pair
from testbed.timing import Instant, ManualClock, milliseconds
from testbed.wire.frame import Direction, Frame

FRAME = bytes.fromhex("020000000002 020000000001 88b5") + bytes(46)


def test_a_frame_arrives_at_once_and_both_ends_see_it():
    clock = ManualClock()
    a, b = memory_pair("a", "b", clock)
    a.send(FRAME)
    clock.advance(milliseconds(1))
    b.send(FRAME[::-1])
    assert a.receive() == [
        Frame(FRAME, Instant(0), Direction.OUT),
        Frame(FRAME[::-1], Instant(1_000_000), Direction.IN),
    ]
    assert [frame.direction for frame in b.receive()] == [Direction.IN, Direction.OUT]
    assert b.receive() == []
    assert a.fileno() == -1


def test_limits_are_those_of_a_nic():
    a, _ = memory_pair("a", "b", ManualClock(), mtu=100)
    tagged = FRAME[:12] + bytes.fromhex("81000001") + b"\x88\xb5" + bytes(100)
    a.send(tagged)
    with pytest.raises(LinkError, match="119 bytes cannot be sent: expected 14 to 118"):
        a.send(tagged + b"\0")
    with pytest.raises(LinkError, match="13 bytes"):
        a.send(bytes(13))


def test_what_finds_no_room_is_counted():
    a, b = memory_pair("a", "b", ManualClock(), capacity=3)
    for _ in range(3):
        a.send(FRAME)
    a.receive()
    a.send(FRAME)
    assert (a.dropped(), b.dropped()) == (0, 1)
    assert len(b.receive()) == 3


def test_unplugged_says_so_until_forgiven():
    a, b = memory_pair("a", "b", ManualClock())
    b.unplug()
    assert not a.link_is_up()
    for port in (a, b):
        with pytest.raises(LinkError, match="lost its link"):
            port.check_alive()
        with pytest.raises(LinkError, match="the link is down"):
            port.send(FRAME)
    a.plug()
    assert a.link_is_up()
    with pytest.raises(LinkError, match="it is back now"):
        b.check_alive()
    b.forgive()
    b.check_alive()
    a.send(FRAME)
    assert len(b.receive()) == 1


def test_closed_port_keeps_nothing():
    a, b = memory_pair("a", "b", ManualClock())
    b.close()
    b.close()
    a.send(FRAME)
    assert b.receive() == []
    with pytest.raises(LinkError):
        b.send(FRAME)
