import subprocess

import pytest
from netns import sh

from testbed.errors import LinkError, PlanError
from testbed.hosts import FaultBox, RealLoop, Tap
from testbed.link import Delay, Drop, Duplicate, Hold, MtuHole, Nth, Reorder, memory_pair
from testbed.link.afpacket import AfPacketPort
from testbed.link.claim import claim
from testbed.timing import milliseconds, seconds
from testbed.wire.frame import Direction

HEAD = bytes.fromhex("020000000002 020000000001 88b5")


def frame(n, size=60):
    return HEAD + n.to_bytes(4, "big") + bytes(size - 18)


def numbers(frames):
    return [int.from_bytes(f.data[14:18], "big") for f in frames if f.direction is Direction.IN]


@pytest.fixture
def loop():
    loop = RealLoop()
    yield loop
    loop.close()


class Wire:
    """near -- box -- far, in memory."""

    def __init__(self, loop, far_mtu=1500):
        self.loop = loop
        near, x1 = memory_pair("near", "x1", loop)
        x2, far = memory_pair("x2", "far", loop, mtu=far_mtu)
        self.near, self.far, self.x1, self.x2 = (Tap(p, loop) for p in (near, far, x1, x2))
        self.box = FaultBox("w1", self.x1, self.x2, loop)
        self.box.start()
        self.way = self.box.direction(from_left=True)
        self.heard = []
        self.far.subscribe(self.heard.append)

    def send(self, *sequence):
        for n in sequence:
            self.near.send(frame(n))
        self.settle()

    def settle(self, count=None):
        if count is None:
            for tap in (self.x1, self.x2, self.far, self.near):
                tap.pump()
        else:
            assert self.loop.run_until(lambda: len(self.heard) >= count, seconds(5))


@pytest.fixture
def wire(loop):
    return Wire(loop)


def test_it_is_a_wire_both_ways_and_nothing_goes_round(wire):
    back = []
    wire.near.subscribe(back.append)
    wire.send(1, 2)
    wire.far.send(frame(3))
    for _ in range(5):
        wire.settle()
    assert numbers(wire.heard) == [1, 2]
    assert numbers(back) == [3]
    right, left = wire.box.directions
    assert (right.name, right.received, right.sent) == ("x1>x2", 2, 2)
    assert (left.name, left.received, left.sent) == ("x2>x1", 1, 1)
    wire.box.check_alive()


def test_one_direction_is_impaired_and_the_other_is_not(wire):
    back = []
    wire.near.subscribe(back.append)
    with wire.way.impaired(Drop(Nth(2))):
        wire.send(1, 2, 3)
        for n in (4, 5):
            wire.far.send(frame(n))
        wire.settle()
    wire.send(6)
    assert numbers(wire.heard) == [1, 3, 6]
    assert numbers(back) == [4, 5]
    assert wire.way.stages == ()


def test_events_are_on_the_capture_clock_and_name_the_way(wire):
    before = wire.loop.wall_now()
    wire.way.add(Drop(Nth(1)))
    wire.send(1)
    (event,) = wire.box.events
    assert before <= event.at <= wire.loop.wall_now()
    assert (event.way, event.action, event.frame) == ("x1>x2", "drop", frame(1))
    assert wire.way.actions["drop"] == 1


def test_frames_kept_back_are_sent_when_their_time_comes(wire):
    wire.way.add(Delay(milliseconds(5)))
    wire.send(1, 2)
    assert wire.heard == []
    start = wire.loop.now()
    wire.settle(2)
    assert numbers(wire.heard) == [1, 2]
    assert wire.loop.now() - start < seconds(1)


def test_the_last_frame_is_not_held_for_ever(wire):
    wire.way.add(Reorder(Nth(1), max_hold=milliseconds(5)))
    wire.send(1)
    wire.settle(1)
    assert numbers(wire.heard) == [1]


def test_a_cable_pulled_and_plugged_in_again(wire):
    cable = Hold("queue")
    wire.way.add(cable)
    wire.send(1, 2)
    assert wire.heard == []
    cable.release()
    wire.settle(2)
    wire.send(3)
    assert numbers(wire.heard) == [1, 2, 3]


def test_taking_a_stage_out_lets_its_frames_go(wire):
    slow = Delay(seconds(100))
    wire.way.add(slow)
    wire.send(1)
    wire.way.add(Duplicate())
    wire.way.remove(slow)
    wire.settle()
    assert numbers(wire.heard) == [1, 1]
    with pytest.raises(PlanError, match="Delay is not in this box"):
        wire.way.remove(slow)


def test_an_error_in_the_block_takes_the_stages_out_too(wire):
    with pytest.raises(KeyError), wire.way.impaired(Drop(), Duplicate()):
        raise KeyError
    assert wire.way.stages == ()
    used = Drop()
    wire.box.direction(from_left=False).add(used)
    with pytest.raises(PlanError, match="in a box already"), wire.way.impaired(Delay(1), used):
        pass
    assert wire.way.stages == ()


def test_what_does_not_fit_the_far_nic_is_lost_with_an_event(loop):
    wire = Wire(loop, far_mtu=500)
    wire.near.send(frame(1, 515))
    wire.near.send(frame(2, 514))
    wire.settle()
    assert numbers(wire.heard) == [2]
    (event,) = wire.box.events
    assert event.note == "515 bytes do not fit x2, which takes 514"
    wire.box.check_alive()


def test_stopped_it_passes_nothing(wire):
    wire.way.add(Delay(milliseconds(1)))
    wire.send(1)
    wire.box.stop()
    wire.box.stop()
    wire.send(2)
    wire.loop.run_until(lambda: False, milliseconds(10))
    assert wire.heard == []
    wire.box.start()
    wire.settle(1)
    assert numbers(wire.heard) == [1]


def test_frames_the_rig_lost_are_an_error_of_the_rig(wire):
    wire.x2.port.unplug()
    wire.send(1)
    (event,) = wire.box.events
    assert "the link is down" in event.note
    wire.x2.port.plug()
    wire.x2.port.forgive()
    with pytest.raises(LinkError, match="box w1: 1 frames on the way x1>x2 could not be passed on"):
        wire.box.check_alive()


def test_a_new_record_knows_nothing_of_the_past(wire):
    wire.way.add(Drop(Nth(1)))
    wire.send(1)
    wire.x2.port.unplug()
    wire.send(2)
    wire.x2.port.plug()
    assert (wire.way.received, wire.way.refused, len(wire.box.events)) == (2, 1, 2)
    wire.box.begin()
    wire.box.check_alive()
    assert (wire.way.received, wire.way.refused, wire.box.events) == (0, 0, ())
    wire.send(3)
    assert numbers(wire.heard) == [3]


# ---------------------------------------------------------------- between real kernels


class Hosts:
    """Two kernels, each in its namespace, joined by nothing but the box."""

    def __init__(self, netns, loop, mtu=1500):
        self.loop = loop
        self.guests = []
        taps = []
        for n, (near, far) in enumerate((("x1", "h1"), ("x2", "h2")), start=1):
            netns.veth(near, far, mtu=mtu)
            sh("ethtool", "-K", far, "tx", "off", "gso", "off", "tso", "off")
            claim(near)
            guest = netns.guest()
            guest.adopt(far, f"192.0.2.{n}/24")
            self.guests.append(guest)
            taps.append(Tap(AfPacketPort(near, near), loop))
        self.taps = taps
        self.box = FaultBox("w1", *taps, loop)
        self.box.start()

    def run(self, guest, *argv):
        """Run a command in a guest while the loop keeps turning."""
        return self.loop.call(
            lambda: subprocess.run(
                self.guests[guest].enter(*argv),
                capture_output=True,
                check=False,
                text=True,
                timeout=30,
            )
        )

    def close(self):
        self.box.stop()
        for tap in self.taps:
            tap.close()


@pytest.fixture
def hosts(netns, loop):
    hosts = Hosts(netns, loop)
    yield hosts
    hosts.close()


def is_echo_request(data):
    return data[12:14] == b"\x08\x00" and data[23] == 1 and data[34] == 8


@pytest.mark.root
def test_ping_passes_and_exactly_the_nth_is_lost(hosts):
    ping = ("ping", "-c", "5", "-i", "0.02", "-W", "1", "192.0.2.2")
    assert " 5 received" in hosts.run(0, *ping).stdout
    with hosts.box.direction(from_left=True).impaired(Drop(Nth(3, matching=is_echo_request))):
        output = hosts.run(0, *ping).stdout
    assert " 4 received" in output
    assert "icmp_seq=3" not in output
    assert "icmp_seq=4" in output
    hosts.box.check_alive()


@pytest.mark.root
def test_ping_measures_the_delay(hosts):
    hosts.run(0, "ping", "-c", "1", "192.0.2.2")
    with hosts.box.direction(from_left=False).impaired(Delay(milliseconds(20))):
        output = hosts.run(0, "ping", "-c", "5", "-i", "0.05", "192.0.2.2").stdout
    fastest = float(output.rpartition("= ")[2].split("/")[0])
    assert 20 <= fastest < 30


@pytest.mark.root
def test_mtu_hole_swallows_what_is_large_without_a_word(hosts):
    with hosts.box.direction(from_left=True).impaired(MtuHole(1400)):
        small = hosts.run(0, "ping", "-c", "1", "-W", "0.3", "-M", "do", "-s", "1372", "192.0.2.2")
        large = hosts.run(0, "ping", "-c", "1", "-W", "0.3", "-M", "do", "-s", "1373", "192.0.2.2")
    assert " 1 received" in small.stdout
    assert " 0 received" in large.stdout


@pytest.mark.root
def test_a_tcp_transfer_arrives_whole_through_loss_and_reordering(hosts, tmp_path):
    source, target = tmp_path / "in", tmp_path / "out"
    source.write_bytes(bytes(range(256)) * 4000)
    server = subprocess.Popen(
        hosts.guests[1].enter("socat", "-u", "TCP-LISTEN:7000", f"CREATE:{target}"),
    )
    way = hosts.box.direction(from_left=True)
    try:
        hosts.guests[1].wait_listening(7000)
        segments = lambda data: len(data) > 1000  # noqa: E731 - a predicate in one line
        with way.impaired(
            Drop(Nth(50, 90, 91, matching=segments)), Reorder(Nth(120, matching=segments), 3)
        ):
            hosts.run(0, "socat", "-u", str(source), "TCP:192.0.2.2:7000")
            hosts.loop.call(lambda: server.wait(timeout=20))
    finally:
        server.kill()
        server.wait()
    assert target.read_bytes() == source.read_bytes()
    assert (way.actions["drop"], way.actions["hold"], way.actions["release"]) == (3, 1, 1)
    hosts.box.check_alive()
