"""The FRR driver translates, clamps and watches next hops, seen by the packets that leave."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from devices_gear import ROUTER_PORTS

from testbed.devices import NatEntry
from testbed.errors import PlanError
from testbed.timing import milliseconds, seconds
from testbed.wire import (
    MSS,
    EthFrame,
    IPv4Packet,
    MacAddr,
    TcpFlags,
    TcpSegment,
    UdpDatagram,
    compose,
    dissect,
)

pytestmark = pytest.mark.root

TESTER = MacAddr("02:00:00:00:00:01")
NEAR, FAR = IPv4Interface("10.1.0.254/24"), IPv4Interface("10.2.0.254/24")
INSIDE, SERVER = IPv4Address("10.1.0.1"), IPv4Address("10.2.0.9")


@pytest.fixture
def router(net, driver):
    """A router between an inside at eth1 and an outside at eth2."""
    made = driver(net.spaces["r1"], ROUTER_PORTS)
    made.add_address("eth1", NEAR)
    made.add_address("eth2", FAR)
    made.add_arp("eth1", INSIDE, TESTER)
    made.add_arp("eth1", INSIDE + 1, TESTER)
    made.add_arp("eth2", SERVER, TESTER)
    return made


def datagram(router, marker: bytes, src: IPv4Address = INSIDE) -> bytes:
    """A datagram from inside to the server's port 53."""
    frame = EthFrame(router.mac("eth1"), TESTER)
    return compose(frame, IPv4Packet(src, SERVER), UdpDatagram(5000, 53, marker), pad=True)


def answer(router, marker: bytes, port: int = 5000) -> bytes:
    """A datagram from the server to the router's own address outside."""
    frame = EthFrame(router.mac("eth2"), TESTER)
    return compose(frame, IPv4Packet(SERVER, FAR.ip), UdpDatagram(53, port, marker), pad=True)


def test_sources_are_translated_and_answers_find_their_way(net, router):
    router.set_nat("eth2")
    assert "nat = eth2" in router.read_config()
    net.wires["eth1"].send(datagram(router, b"ask"))
    assert dissect(net.wires["eth2"].heard(b"ask")).ipv4.src == FAR.ip
    assert router.nat_table() == (NatEntry("udp", INSIDE, 5000, FAR.ip, 5000),)
    net.wires["eth2"].send(answer(router, b"told"))
    assert dissect(net.wires["eth1"].heard(b"told")).ipv4.dst == INSIDE
    frame = EthFrame(router.mac("eth2"), TESTER)
    stray = compose(frame, IPv4Packet(SERVER, INSIDE), UdpDatagram(1, 1, b"stray"), pad=True)
    net.wires["eth2"].send(stray)
    assert net.wires["eth1"].heard(b"stray", within=0.2) is None


def test_two_hosts_have_two_ports_outside(net, router):
    router.set_nat("eth2")
    for host in (INSIDE, INSIDE + 1):
        net.wires["eth1"].send(datagram(router, b"from each", src=host))
        assert net.wires["eth2"].heard(b"from each")
    first, second = router.nat_table()
    assert (first.inside, second.inside) == (INSIDE, INSIDE + 1)
    assert first.outside_port != second.outside_port


def test_mappings_are_gone_when_translation_is_set_or_taken_back(net, router, journal):
    router.set_nat("eth2")
    net.wires["eth1"].send(datagram(router, b"before"))
    assert net.wires["eth2"].heard(b"before")
    router.set_nat(None)
    assert router.nat_table() == ()
    assert net.spaces["r1"].sh("nft list ruleset") == ""
    net.wires["eth1"].send(datagram(router, b"plain"))
    assert dissect(net.wires["eth2"].heard(b"plain")).ipv4.src == INSIDE


def test_an_idle_mapping_is_kept_as_long_as_was_said(net, router):
    router.set_nat_lifetime("udp", seconds(1))
    router.set_nat("eth2")
    assert "sysctl net/netfilter/nf_conntrack_udp_timeout_stream = 1\n" in router.read_config()
    net.wires["eth1"].send(datagram(router, b"ask"))
    assert net.wires["eth2"].heard(b"ask")
    assert router.nat_table()
    assert net.wires["eth2"].heard(b"nothing", within=1.2) is None
    assert router.nat_table() == ()
    with pytest.raises(PlanError, match="whole seconds"):
        router.set_nat_lifetime("tcp", milliseconds(1500))
    with pytest.raises(PlanError, match="tcp, udp, icmp"):
        router.set_nat_lifetime("sctp", seconds(1))


def announced(router, net, wire: str, mss: int) -> int:
    """The MSS that comes out of a SYN that came in by eth1 or eth2 with ``mss``."""
    inward = wire == "eth2"
    ends = (SERVER, INSIDE) if inward else (INSIDE, SERVER)
    syn = TcpSegment(4000, mss, flags=TcpFlags.SYN, options=(MSS(mss),), payload=b"clamp me")
    net.wires[wire].send(
        compose(EthFrame(router.mac(wire), TESTER), replace(IPv4Packet(*ends), ttl=9), syn)
    )
    out = net.wires["eth1" if inward else "eth2"].heard(b"clamp me")
    return dissect(out).tcp.option(MSS).value


def test_the_mss_is_clamped_in_both_directions_and_never_raised(net, router):
    router.set_mtu("eth2", 1400)
    assert announced(router, net, "eth1", 1460) == 1460
    router.set_mss_clamp("eth2", on=True)
    assert "mss clamp = eth2" in router.read_config()
    assert announced(router, net, "eth1", 1460) == 1360
    assert announced(router, net, "eth1", 1359) == 1359
    assert announced(router, net, "eth2", 1460) == 1360
    router.set_mss_clamp("eth3", on=True)
    router.set_mss_clamp("eth2", on=False)
    assert "mss clamp = eth3" in router.read_config()
    assert announced(router, net, "eth1", 1460) == 1460


def test_a_dead_next_hop_is_passed_over_once_tracking_is_on(net, router):
    router.set_next_hop_tracking(on=True)
    assert "sysctl net/ipv4/fib_multipath_use_neigh = 1" in router.read_config()
    prefix, live, dead = IPv4Network("10.9.0.0/24"), SERVER, IPv4Address("10.2.0.66")
    router.add_route(prefix, live)
    router.add_route(prefix, dead)
    net.spaces["r1"].sh(f"ip neigh replace {dead} dev eth2 nud failed")
    frame = EthFrame(router.mac("eth1"), TESTER)
    for host in range(1, 33):
        packet = IPv4Packet(INSIDE, prefix[host], payload=b"to %03d" % host)
        net.wires["eth1"].send(compose(frame, packet, pad=True))
        assert net.wires["eth2"].heard(b"to %03d" % host)


def test_undoing_all_of_it_twice_is_no_failure(router, journal):
    mark = len(journal.changes)
    before = router.read_config()
    router.set_nat("eth2")
    router.set_nat_lifetime("icmp", seconds(7))
    router.set_mss_clamp("eth1", on=True)
    router.set_next_hop_tracking(on=True)
    for _ in range(2):
        for change in reversed(journal.changes[mark:]):
            router.undo(change.undo)
        assert router.read_config() == before
