from ipaddress import IPv4Address, IPv4Interface

import pytest
from netns import sh

from testbed.errors import BenchError, PlanError
from testbed.hosts import RealLoop, Station, Tap
from testbed.link import memory_pair
from testbed.link.afpacket import AfPacketPort
from testbed.link.claim import claim
from testbed.timing import milliseconds, seconds
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpOp, ArpPacket
from testbed.wire.ethernet import EtherType, EthFrame
from testbed.wire.frame import Direction

NET = "192.0.2.{}/24"


@pytest.fixture
def loop():
    loop = RealLoop()
    yield loop
    loop.close()


@pytest.fixture
def pair(loop):
    a, b = (Tap(port, loop) for port in memory_pair("a", "b", loop))
    first = Station(a, IPv4Interface(NET.format(1)), IPv4Address("192.0.2.2"), loop)
    second = Station(b, IPv4Interface(NET.format(2)), None, loop)
    return first, second


def ip(n):
    return IPv4Address(f"192.0.2.{n}")


def test_each_finds_the_other(pair):
    first, second = pair
    assert first.resolve(ip(2), seconds(1)) == second.mac
    assert second.resolve(ip(1), seconds(1)) == first.mac


def test_a_far_address_is_reached_by_the_gateway(pair):
    first, second = pair
    assert first.resolve(IPv4Address("198.51.100.9"), seconds(1)) == second.mac
    with pytest.raises(PlanError, match=r"b \(192.0.2.2/24\) cannot reach 198.51.100.9: it has no"):
        second.resolve(IPv4Address("198.51.100.9"), seconds(1))


def test_nobody_answers_for_an_address_that_nobody_has(pair):
    with pytest.raises(BenchError, match=r"a \(192.0.2.1/24\) asked who has 192.0.2.77 and nobody"):
        pair[0].resolve(ip(77), milliseconds(5))


def test_silence_can_be_chosen_and_other_addresses_too(pair):
    first, second = pair
    second.answer_for.add(ip(50))
    assert first.resolve(ip(50), seconds(1)) == second.mac
    second.answer_arp = False
    for n in (2, 50):
        with pytest.raises(BenchError):
            first.resolve(ip(n), milliseconds(5))
    second.answer_arp = True
    second.close()
    with pytest.raises(BenchError):
        first.resolve(ip(2), milliseconds(5))


def test_a_mac_of_its_own(loop):
    a, b = (Tap(port, loop) for port in memory_pair("a", "b", loop))
    mac = MacAddr("02:00:00:00:00:99")
    first = Station(a, IPv4Interface(NET.format(1)), None, loop)
    Station(b, IPv4Interface(NET.format(2)), None, loop, mac=mac)
    heard = []
    a.subscribe(heard.append)
    assert first.resolve(ip(2), seconds(1)) == mac
    assert [f.data[6:12] for f in heard if f.direction is Direction.IN] == [mac.packed]


def test_what_it_sends_is_padded_and_well_formed(pair, loop):
    first, second = pair
    heard = []
    second.tap.subscribe(heard.append)
    first.announce()
    second.tap.pump()
    (frame,) = heard
    assert len(frame.data) == 60
    packet = ArpPacket.parse(EthFrame.parse(frame.data).payload)
    assert packet.is_announcement
    assert packet.sender_ip == ip(1)
    assert frame.data[:6] == b"\xff" * 6


@pytest.mark.parametrize(
    ("dst", "op", "target"),
    [
        (MacAddr("02:00:00:00:00:55"), ArpOp.REQUEST, 2),  # unicast to another
        (MacAddr.BROADCAST, ArpOp.REQUEST, 3),  # another's address
        (MacAddr.BROADCAST, ArpOp.REPLY, 2),  # no question
    ],
)
def test_it_answers_no_more_than_it_must(pair, dst, op, target):
    first, second = pair
    heard = []
    first.tap.subscribe(heard.append)
    packet = ArpPacket(op, first.mac, ip(1), MacAddr("00:00:00:00:00:00"), ip(target))
    first.tap.send(EthFrame(dst, first.mac, EtherType.ARP, packet.emit()).emit())
    first.tap.send(EthFrame(MacAddr.BROADCAST, first.mac, EtherType.ARP, b"short").emit())
    second.tap.pump()
    first.tap.pump()
    assert [f for f in heard if f.direction is Direction.IN] == []


def test_a_probe_is_answered(pair):
    """RFC 5227 2.1.1: a probe names no sender IP, and the owner answers it all the same."""
    first, second = pair
    heard = []
    first.tap.subscribe(heard.append)
    probe = ArpPacket.probe(first.mac, ip(2))
    first.tap.send(EthFrame(MacAddr.BROADCAST, first.mac, EtherType.ARP, probe.emit()).emit())
    second.tap.pump()
    first.tap.pump()
    (answer,) = (f for f in heard if f.direction is Direction.IN)
    assert ArpPacket.parse(EthFrame.parse(answer.data).payload).sender_mac == second.mac


def test_a_gateway_elsewhere_is_refused(pair, loop):
    with pytest.raises(PlanError, match=r"gateway 198.51.100.1 is not in 192.0.2.0/24"):
        Station(pair[0].tap, IPv4Interface(NET.format(1)), IPv4Address("198.51.100.1"), loop)


@pytest.mark.root
def test_a_kernel_and_a_station_find_each_other(netns, loop):
    near, far = netns.veth("va", "vb")
    claim(near)
    guest = netns.guest()
    guest.adopt(far, "192.0.2.2/24")
    tap = Tap(AfPacketPort("a", near), loop)
    station = Station(tap, IPv4Interface(NET.format(1)), None, loop)
    link = guest.sh("ip", "-j", "link", "show", far)
    assert str(station.resolve(ip(2), seconds(2))) in link
    guest.sh("ip", "neigh", "flush", "all")
    loop.call(lambda: guest.sh("sh", "-c", "ping -c 1 -W 0.1 192.0.2.1 >&2 || true"))
    assert f"lladdr {station.mac}" in guest.sh("ip", "neigh", "show", "192.0.2.1")
    assert str(station.mac) == str(tap.port.mac)
    assert station.mac.packed.hex(":") in sh("ip", "link", "show", near)
    tap.close()
