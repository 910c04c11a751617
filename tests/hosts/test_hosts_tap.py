import pytest

from testbed.errors import LinkError
from testbed.hosts import RealLoop, Tap
from testbed.link import memory_pair
from testbed.link.afpacket import AfPacketPort
from testbed.timing import milliseconds, seconds
from testbed.wire.frame import Direction

HEAD = bytes.fromhex("020000000002 020000000001 88b5")


@pytest.fixture
def loop():
    loop = RealLoop()
    yield loop
    loop.close()


@pytest.fixture
def joined(loop):
    a, b = memory_pair("a", "b", loop)
    return Tap(a, loop), Tap(b, loop)


def data(frames):
    return [frame.data for frame in frames]


def test_every_subscriber_hears_every_frame_until_it_closes(joined):
    a, b = joined
    first, second = [], []
    one = b.subscribe(first.append)
    b.subscribe(second.append)
    a.send(HEAD + b"1")
    b.pump()
    one.close()
    one.close()
    a.send(HEAD + b"2")
    b.pump()
    assert data(first) == [HEAD + b"1"]
    assert data(second) == [HEAD + b"1", HEAD + b"2"]


def test_the_sender_hears_what_it_sent(joined):
    a, _ = joined
    heard = []
    a.subscribe(heard.append)
    a.send(HEAD)
    a.pump()
    assert [(f.data, f.direction) for f in heard] == [(HEAD, Direction.OUT)]


def test_the_loop_pumps_memory_ports_too(joined, loop):
    a, b = joined
    heard = []
    b.subscribe(heard.append)
    a.send(HEAD)
    assert heard == []
    assert loop.run_until(lambda: bool(heard), seconds(1))


def test_one_that_fails_takes_no_frame_from_the_others(joined):
    a, b = joined
    heard = []

    def broken(frame):
        raise LinkError(f"cannot bear {frame.data[14:]!r}")

    b.subscribe(broken)
    b.subscribe(heard.append)
    for n in (b"1", b"2"):
        a.send(HEAD + n)
    with pytest.raises(LinkError, match="cannot bear b'1'"):
        b.pump()
    assert data(heard) == [HEAD + b"1", HEAD + b"2"]


def test_an_interrupt_keeps_the_frames_that_were_not_handed_out(joined):
    a, b = joined
    heard = []

    def interrupted(frame):
        if not heard:
            heard.append(frame)
            raise KeyboardInterrupt
        heard.append(frame)

    b.subscribe(interrupted)
    for n in (b"1", b"2"):
        a.send(HEAD + n)
    with pytest.raises(KeyboardInterrupt):
        b.pump()
    b.pump()
    assert data(heard) == [HEAD + b"1", HEAD + b"2"]


def test_a_subscriber_may_close_another_while_a_frame_is_handed_out(joined):
    a, b = joined
    heard = []
    b.subscribe(lambda frame: later.close())
    later = b.subscribe(heard.append)
    a.send(HEAD)
    b.pump()
    assert heard == []


def test_a_subscriber_may_send(joined):
    a, b = joined
    b.subscribe(lambda f: b.send(f.data + b"!") if f.direction is Direction.IN else None)
    heard = []
    a.subscribe(heard.append)
    a.send(HEAD)
    b.pump()
    a.pump()
    assert data(heard) == [HEAD, HEAD + b"!"]


def test_a_closed_tap_is_out_of_the_loop(joined, loop):
    a, b = joined
    heard = []
    b.subscribe(heard.append)
    a.send(HEAD)
    b.close()
    b.close()
    loop.run_until(lambda: False, milliseconds(1))
    assert heard == []


@pytest.mark.root
def test_the_loop_hands_out_frames_of_a_real_nic(veth, loop):
    a, b = (Tap(AfPacketPort(name, name), loop) for name in veth)
    heard = []
    b.subscribe(heard.append)
    sent = [HEAD + n.to_bytes(2, "big") for n in range(500)]
    for frame in sent:
        a.send(frame)
    assert loop.run_until(lambda: len(heard) >= len(sent), seconds(5))
    assert data(heard) == sent
    a.send(HEAD)
    b.pump()  # at once, without the loop
    assert heard[-1].data == HEAD
    a.close()
    b.close()
    loop.run_until(lambda: False, milliseconds(1))
