import os
import select
import socket
import subprocess
import time
from pathlib import Path

import pytest
from netns import sh
from sniffer import tcpdump

from testbed.errors import LinkError
from testbed.link.afpacket import AfPacketPort
from testbed.link.claim import claim
from testbed.link.nic import wait_for_link
from testbed.timing import seconds
from testbed.wire.frame import Direction

pytestmark = pytest.mark.root

HEAD = bytes.fromhex("020000000002 020000000001 88b5")


def numbered(count, size=60):
    return [HEAD + n.to_bytes(4, "big") + bytes(size - 18) for n in range(count)]


@pytest.fixture
def ports(veth):
    pair = [AfPacketPort(name, interface) for name, interface in zip("ab", veth, strict=True)]
    yield pair
    for port in pair:
        port.close()


def test_tcpdump_sees_exactly_what_is_sent(ports, tmp_path):
    frames = [HEAD + b"x", *numbered(200), HEAD + bytes(1500)]
    with tcpdump("vb", tmp_path / "b.pcap", len(frames)) as seen:
        for frame in frames:
            ports[0].send(frame)
    assert seen.frames == frames


def test_both_ends_see_a_frame_in_its_direction_with_the_kernels_time(ports, tmp_path):
    a, b = ports
    before = time.time_ns()
    with tcpdump("vb", tmp_path / "b.pcap", 50) as witness:
        for frame in numbered(50):
            a.send(frame)
    after = time.time_ns()
    out, into = a.receive(), b.receive()
    assert [frame.data for frame in out] == [frame.data for frame in into] == numbered(50)
    assert {frame.direction for frame in out} == {Direction.OUT}
    assert {frame.direction for frame in into} == {Direction.IN}
    assert all(before <= o.at <= i.at <= after for o, i in zip(out, into, strict=True))
    assert [frame.at for frame in into] == witness.times  # the stamp is the kernel's, to the ns


def test_descriptor_is_readable_while_frames_wait_and_not_after(ports):
    a, b = ports
    poll = select.poll()
    poll.register(b.fileno(), select.POLLIN)
    assert poll.poll(0) == []
    a.send(HEAD)
    assert poll.poll(1000)
    b.receive()
    assert poll.poll(0) == []


def test_it_hears_a_kernels_ping_both_ways(netns):
    a, b = netns.veth("va", "vb")
    guest = netns.guest()
    guest.adopt(b, "192.0.2.2/24")
    sh("ip", "addr", "add", "192.0.2.1/24", "dev", a)
    port = AfPacketPort("a", a)
    sh("ping", "-c", "3", "-i", "0.01", "192.0.2.2")
    frames = [f for f in port.receive() if f.data[12:14] == b"\x08\x00"]
    port.close()
    kinds = [(f.direction, f.data[34]) for f in frames]
    assert kinds == [(Direction.OUT, 8), (Direction.IN, 0)] * 3
    assert [f.at for f in frames] == sorted(f.at for f in frames)


@pytest.mark.parametrize("tag", ["8100 0005", "88a8 e123", "8100 0001 8100 0fff"])
def test_tags_arrive_where_they_were(ports, tag):
    frame = HEAD[:12] + bytes.fromhex(tag) + b"\x88\xb5" + b"payload"
    ports[0].send(frame)
    for port in ports:
        (seen,) = port.receive()
        assert seen.data == frame
        assert seen.wire_length == len(frame)


def test_tagged_frame_may_be_four_bytes_longer(ports):
    a, b = ports
    frame = HEAD[:12] + bytes.fromhex("81000005 88b5") + bytes(1500)
    a.send(frame)
    assert [f.data for f in b.receive()] == [frame]
    with pytest.raises(LinkError, match="1519 bytes is too long: its MTU of 1500 allows 1518"):
        a.send(frame + b"\0")


def test_jumbo_frames_are_whole(netns):
    a, b = (AfPacketPort(n, i) for n, i in zip("ab", netns.veth("va", "vb", mtu=9000), strict=True))
    frame = HEAD + os.urandom(9000)
    a.send(frame)
    (seen,) = b.receive()
    assert seen.data == frame
    a.close()
    b.close()


def test_a_frame_over_the_mtu_is_refused_by_name(ports):
    with pytest.raises(LinkError, match=r"a \(va\): a frame of 1515 bytes is too long.*1514"):
        ports[0].send(HEAD + bytes(1501))
    with pytest.raises(LinkError, match="shorter than an Ethernet header"):
        ports[0].send(b"\0" * 13)
    assert ports[1].receive() == []


def test_mtu_lowered_behind_its_back_is_told_by_the_kernel(ports):
    sh("ip", "link", "set", "va", "mtu", "1000")
    with pytest.raises(LinkError, match="too long"):
        ports[0].send(HEAD + bytes(1400))
    with pytest.raises(LinkError, match="MTU changed from 1500 to 1000"):
        ports[0].check_alive()


def test_frames_lost_for_want_of_a_ring_are_counted(veth):
    a = AfPacketPort("a", veth[0])
    b = AfPacketPort("b", veth[1], ring_size=1 << 16)
    room = b._ring.slots
    for frame in numbered(room + 100):
        a.send(frame)
    assert b.dropped() == 100
    assert b.dropped() == 100  # the kernel forgets at each reading, the port does not
    assert [f.data for f in b.receive()] == numbered(room)
    for frame in numbered(room + 5):
        a.send(frame)
    assert b.dropped() == 105
    assert a.dropped() == 0
    a.close()
    b.close()
    assert b.dropped() == 105


def test_ring_goes_round_many_times(veth):
    a = AfPacketPort("a", veth[0])
    b = AfPacketPort("b", veth[1], ring_size=1 << 16)
    seen = []
    for frame in numbered(1000):
        a.send(frame)
        if len(frame) % 7 == 0 or frame[17] % 9 == 0:
            seen += b.receive()
    seen += b.receive()
    assert [f.data for f in seen] == numbered(1000)
    assert b.dropped() == 0
    a.close()
    b.close()


def test_a_frame_larger_than_a_slot_is_cut_and_says_so(netns):
    a, b = netns.veth("va", "vb")
    guest = netns.guest()
    guest.adopt(b, "192.0.2.2/24")
    sh("ip", "addr", "add", "192.0.2.1/24", "dev", a)
    port = AfPacketPort("a", a)
    # Left alone, both kernels exchange TCP segments of up to 64 KiB: the offloads' lie.
    server = subprocess.Popen(
        guest.enter("socat", "-u", "TCP-LISTEN:7000,reuseaddr", "OPEN:/dev/null"),
        stderr=subprocess.DEVNULL,
    )
    try:
        guest.wait_listening(7000)
        with socket.create_connection(("192.0.2.2", 7000), timeout=10) as link:
            link.sendall(bytes(500_000))
        server.wait(timeout=10)
    finally:
        server.kill()
        server.wait()
    frames = port.receive()
    assert any(f.wire_length > 1514 and len(f.data) < f.wire_length for f in frames)
    assert port.unfinished > 0
    port.close()


def test_claimed_on_both_ends_no_lie_is_left(netns):
    a, b = netns.veth("va", "vb")
    claim(a)
    claim(b)
    guest = netns.guest()
    guest.adopt(b, "192.0.2.2/24")
    sh("ip", "addr", "add", "192.0.2.1/24", "dev", a)
    sh("sysctl", "-qw", f"net.ipv4.conf.{a}.arp_ignore=0")
    guest.sh("sysctl", "-qw", f"net.ipv4.conf.{b}.arp_ignore=0")
    port = AfPacketPort("a", a)
    server = subprocess.Popen(
        guest.enter("socat", "-u", "TCP-LISTEN:7000,reuseaddr", "OPEN:/dev/null"),
        stderr=subprocess.DEVNULL,
    )
    try:
        guest.wait_listening(7000)
        with socket.create_connection(("192.0.2.2", 7000), timeout=10) as link:
            link.sendall(bytes(500_000))
        server.wait(timeout=10)
    finally:
        server.kill()
        server.wait()
    frames = port.receive()
    assert max(f.wire_length for f in frames) == 1514
    assert port.unfinished == 0
    port.close()


def test_link_that_goes_down_is_told_and_does_not_spin(ports):
    a, _ = ports
    assert a.link_is_up()
    sh("ip", "link", "set", "vb", "down")
    assert not a.link_is_up()
    with pytest.raises(LinkError, match="va lost its link while it was in use"):
        a.check_alive()
    with pytest.raises(LinkError, match=r"a \(va\): cannot send 60 bytes: the link is down"):
        a.send(HEAD + bytes(46))
    sh("ip", "link", "set", "va", "down")
    with pytest.raises(LinkError, match="set administratively down"):
        a.check_alive()
    poll = select.poll()
    poll.register(a.fileno(), select.POLLIN)
    assert poll.poll(0)  # the socket's error
    assert a.receive() == []
    assert poll.poll(0) == []


def test_a_blink_of_the_link_is_not_forgotten_unless_forgiven(ports):
    a, b = ports
    for state in ("down", "up", "down", "up"):
        sh("ip", "link", "set", "vb", state)
    wait_for_link("va", seconds(5))
    with pytest.raises(LinkError, match="va lost its link 2 times while it was in use"):
        a.check_alive()
    a.forgive()
    b.forgive()
    a.check_alive()
    a.send(HEAD)
    assert [f.data for f in b.receive()] == [HEAD]


def test_interface_that_is_removed_is_told(ports):
    sh("ip", "link", "del", "va")
    for port, interface in zip(ports, ("va", "vb"), strict=True):
        with pytest.raises(LinkError, match=f"{interface} is gone"):
            port.check_alive()
        with pytest.raises(LinkError, match="the interface is gone"):
            port.send(HEAD)
        assert port.receive() == []
        assert port.dropped() == 0
        assert not port.link_is_up()


def test_opening_needs_a_link(netns):
    netns.veth("va", "vb", up=False)
    with pytest.raises(LinkError, match=r"va is administratively down.*ip link set va up"):
        AfPacketPort("a", "va")
    sh("ip", "link", "set", "va", "up")
    with pytest.raises(LinkError, match=r"va \(veth\) has no link"):
        AfPacketPort("a", "va")
    with pytest.raises(LinkError, match=r"no network interface 'vz'; there are .*va"):
        AfPacketPort("z", "vz")


def test_no_descriptor_is_left_open(veth):
    def descriptors():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    port = AfPacketPort("a", "va")
    port.close()
    port.close()
    assert descriptors() == before
    with pytest.raises(LinkError):
        AfPacketPort("a", "nope")
    with pytest.raises(LinkError, match=r"a receive ring of .* expected"):
        AfPacketPort("a", "va", ring_size=1 << 40)
    assert descriptors() == before


def test_promiscuous_mode_lasts_as_long_as_the_port(veth):
    def promiscuity():
        return "promiscuity 1" in sh("ip", "-d", "link", "show", "va")

    port = AfPacketPort("a", "va")
    assert promiscuity()
    port.close()
    assert not promiscuity()
