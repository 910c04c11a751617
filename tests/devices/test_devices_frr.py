"""The FRR driver on a real FRR, looked at by its own tools and by packets."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest
from devices_gear import ROUTER_PORTS

from testbed.devices import ArpEntry, Route
from testbed.errors import DeviceError, PlanError
from testbed.timing import seconds
from testbed.wire import EthFrame, IPv4Packet, MacAddr, TcpFlags, TcpSegment, compose

pytestmark = pytest.mark.root

SOON = seconds(5)
TESTER = MacAddr("02:00:00:00:00:01")
NEAR, FAR = IPv4Interface("10.1.0.254/24"), IPv4Interface("10.2.0.254/24")
STATION, NEIGHBOUR = IPv4Address("10.1.0.1"), IPv4Address("10.2.0.9")


@pytest.fixture
def router(net, driver):
    return driver(net.spaces["r1"], ROUTER_PORTS)


@pytest.fixture
def ready(router):
    """The router with addresses, and with neighbours that answer to nobody's ARP."""
    router.add_address("eth1", NEAR)
    router.add_address("eth2", FAR)
    router.add_arp("eth1", STATION, TESTER)
    router.add_arp("eth2", NEIGHBOUR, TESTER)
    return router


def packet(router, dst: str, marker: bytes, ttl: int = 9, df: int = 0) -> bytes:
    """A UDP datagram from the tester to ``dst``, in a frame to the router."""
    udp = struct.pack("!HHHH", 1, 9, 8 + len(marker), 0) + marker
    head = struct.pack(
        "!BBHHHBBH4s4s", 0x45, 0, 20 + len(udp), 1, df << 14, ttl, 17, 0,
        STATION.packed, socket.inet_aton(dst),
    )  # fmt: skip
    total = sum(struct.unpack("!10H", head))
    total = (total & 0xFFFF) + (total >> 16)
    head = head[:10] + struct.pack("!H", ~(total + (total >> 16)) & 0xFFFF) + head[12:]
    return router.mac("eth1").packed + TESTER.packed + b"\x08\x00" + head + udp


def test_it_tells_what_it_runs(router):
    assert router.version().startswith("FRRouting")


def test_addresses_are_in_the_kernel_when_the_call_returns(net, router):
    router.add_address("eth1", NEAR)
    assert "10.1.0.254/24" in net.spaces["r1"].sh("ip addr show dev eth1")
    assert router.addresses("eth1") == (NEAR,)
    assert Route(NEAR.network, None, "eth1", 0) in router.routes()
    router.add_address("eth1", IPv4Interface("10.1.1.254/24"))
    assert len(router.addresses("eth1")) == 2


def test_packets_are_forwarded_by_the_routes_that_were_added(net, ready):
    prefix = IPv4Network("10.9.0.0/24")
    ready.add_route(prefix, NEIGHBOUR)
    assert Route(prefix, NEIGHBOUR, "eth2", 1) in ready.routes()
    assert "via 10.2.0.9 dev eth2" in net.spaces["r1"].sh("ip route show 10.9.0.0/24")
    net.wires["eth1"].send(packet(ready, "10.9.0.1", b"forward me"))
    assert net.wires["eth2"].heard(b"forward me")


def test_a_route_of_a_lower_distance_takes_over_when_the_other_loses_its_link(ready):
    prefix, backup = IPv4Network("10.9.0.0/24"), IPv4Address("10.1.0.77")
    ready.add_route(prefix, NEIGHBOUR)
    ready.add_route(prefix, backup, 5)
    assert [r.via for r in ready.routes() if r.prefix == prefix] == [NEIGHBOUR]
    ready.set_port_up("eth2", up=False)
    for _ in range(200):
        if [r.via for r in ready.routes() if r.prefix == prefix] == [backup]:
            break
    assert [r.via for r in ready.routes() if r.prefix == prefix] == [backup]


def test_routes_of_one_distance_share(ready):
    prefix, other = IPv4Network("10.9.0.0/24"), IPv4Address("10.1.0.77")
    ready.add_route(prefix, NEIGHBOUR, 3)
    ready.add_route(prefix, other, 3)
    assert {r.via for r in ready.routes() if r.prefix == prefix} == {NEIGHBOUR, other}


def test_a_route_to_nowhere_is_kept_and_not_used(ready):
    ready.add_route(IPv4Network("10.9.0.0/24"), IPv4Address("172.16.0.1"))
    assert "frr ip route 10.9.0.0/24 172.16.0.1" in ready.read_config()
    assert not [r for r in ready.routes() if r.prefix == IPv4Network("10.9.0.0/24")]
    with pytest.raises(PlanError, match="at most 255"):
        ready.add_route(IPv4Network("10.9.0.0/24"), NEIGHBOUR, 256)


def test_the_mtu_is_set_and_oversize_packets_are_answered_with_it(net, ready):
    ready.set_icmp_rate_limit(on=False)
    ready.set_mtu("eth2", 1280)
    assert ready.mtu("eth2") == 1280
    net.wires["eth1"].send(packet(ready, "10.2.0.9", b"x" * 1300, df=1))
    answer = net.wires["eth1"].heard(b"\x03\x04")
    assert answer is not None
    assert answer[34:36] == b"\x03\x04"  # RFC 792: destination unreachable, fragmentation needed
    assert struct.unpack("!H", answer[40:42]) == (1280,)  # RFC 1191 4: the next hop's MTU
    with pytest.raises(PlanError, match="at least 68 bytes"):
        ready.set_mtu("eth2", 67)


def test_icmp_errors_can_be_swallowed(net, ready):
    ready.set_icmp_rate_limit(on=False)
    before = ready.icmp_counters()["IcmpOutTimeExcds"]
    net.wires["eth1"].send(packet(ready, "10.2.0.9", b"first", ttl=1))
    assert net.wires["eth1"].heard(b"\x0b\x00")
    assert ready.icmp_counters()["IcmpOutTimeExcds"] == before + 1
    ready.set_icmp_errors(on=False)
    assert "icmp type" in net.spaces["r1"].sh("nft list ruleset")
    net.wires["eth1"].send(packet(ready, "10.2.0.9", b"second", ttl=1))
    assert net.wires["eth1"].heard(b"second", within=0.2) is None
    ready.set_icmp_errors(on=True)
    assert net.spaces["r1"].sh("nft list ruleset") == ""


def test_connections_can_be_kept_out(net, ready):
    frame = EthFrame(dst=ready.mac("eth1"), src=TESTER)
    there = IPv4Packet(STATION, NEIGHBOUR)
    syn = compose(frame, there, TcpSegment(4000, 23, seq=0x7E57, flags=TcpFlags.SYN))
    ready.set_connection_filter(23)
    assert "connection filter = 23" in ready.read_config()
    net.wires["eth1"].send(syn)
    assert net.wires["eth2"].heard(b"\x7e\x57", within=0.2) is None
    ready.set_connection_filter(None)
    net.wires["eth1"].send(syn)
    assert net.wires["eth2"].heard(b"\x7e\x57")
    assert net.spaces["r1"].sh("nft list ruleset") == ""


def test_icmp_errors_are_limited_again(net, router):
    router.set_icmp_rate_limit(on=False)
    assert net.spaces["r1"].sh("cat /proc/sys/net/ipv4/icmp_ratelimit") == "0\n"
    router.set_icmp_rate_limit(on=True)
    assert net.spaces["r1"].sh("cat /proc/sys/net/ipv4/icmp_ratemask") == "6168\n"


def test_redirects_are_switched(net, router):
    router.set_redirects(on=False)
    shown = net.spaces["r1"].sh("grep . /proc/sys/net/ipv4/conf/*/send_redirects")
    assert {line.rpartition(":")[2] for line in shown.split() if "/eth" in line} == {"0"}
    router.set_redirects(on=True)
    assert "/conf/all/send_redirects:1" in net.spaces["r1"].sh(
        "grep . /proc/sys/net/ipv4/conf/*/send_redirects"
    )


def test_directed_broadcasts_reach_the_ports_that_allow_them_and_no_others(net, ready):
    send = net.wires["eth1"].send
    send(packet(ready, "10.2.0.255", b"by default"))
    assert net.wires["eth2"].heard(b"by default", within=0.2) is None
    ready.set_directed_broadcast("eth2", on=True)
    send(packet(ready, "10.2.0.255", b"allowed"))
    heard = net.wires["eth2"].heard(b"allowed")
    assert heard is not None
    assert heard[:6] == bytes([255] * 6)
    ready.set_directed_broadcast("eth3", on=True)
    ready.set_directed_broadcast("eth2", on=False)
    assert "directed broadcast = eth3" in ready.read_config()
    send(packet(ready, "10.2.0.255", b"no longer"))
    assert net.wires["eth2"].heard(b"no longer", within=0.2) is None


def test_arp_entries_are_told_added_and_flushed(net, ready):
    assert ArpEntry(STATION, TESTER, "eth1", permanent=True) in ready.arp_table()
    net.spaces["r1"].sh("ip neigh replace 10.1.0.2 lladdr 02:00:00:00:00:02 dev eth1 nud stale")
    assert ArpEntry(IPv4Address("10.1.0.2"), MacAddr("02:00:00:00:00:02"), "eth1") in (
        ready.arp_table()
    )
    ready.flush_arp("eth1")
    assert [row.ip for row in ready.arp_table() if row.port == "eth1"] == [STATION]
    ready.flush_arp()
    ready.add_arp("eth1", STATION, MacAddr("02:00:00:00:00:03"))
    assert "arp eth1 10.1.0.1 = 02:00:00:00:00:03" in ready.read_config()


def test_switching_a_port_off_keeps_the_way_back_to_its_arp_entries(ready, journal):
    before = ready.read_config()
    mark = len(journal.changes)
    ready.set_port_up("eth1", up=False)
    assert "arp eth1" not in ready.read_config()
    ready.undo(journal.changes[mark].undo)
    assert ready.read_config() == before


def test_the_arp_timeout_is_set(net, router):
    router.set_arp_timeout("eth1", seconds(2.5))
    shown = net.spaces["r1"].sh("cat /proc/sys/net/ipv4/neigh/eth1/base_reachable_time_ms")
    assert shown == "2500\n"


def test_a_configuration_is_compared_applied_and_restored(net, router, journal):
    before = router.read_config()
    net.spaces["r1"].sh(
        "vtysh -c 'configure terminal' -c 'interface eth1' -c 'ip address 10.7.0.1/24' "
        "-c 'description to the lab' -c exit -c 'ip route 10.70.0.0/16 10.7.0.2 9' "
        "-c 'ip prefix-list LAB seq 5 permit 10.0.0.0/8'"
    )
    net.spaces["r1"].sh("ip link set eth2 mtu 1300")
    wrong = router.read_config()
    assert "-frr interface eth1 | ip address 10.7.0.1/24" in router.diff_config(before)
    net.spaces["r1"].sh("nft add table ip stray")
    assert "nft table ip stray" in router.read_config()
    router.restore_config(before)
    assert router.read_config() == before
    assert not journal.changes
    router.apply_config(wrong)
    assert router.read_config() == wrong


def test_a_refusal_of_frr_is_told(router, journal):
    before = router.read_config()
    with pytest.raises(DeviceError, match="Unknown command: ip adress"):
        router.apply_config(before + "frr interface eth1 | ip adress 10.0.0.1/24\n")
    assert router.read_config() == before


def test_undoing_twice_is_no_failure(router, journal):
    before = router.read_config()
    router.add_address("eth1", NEAR)
    router.add_address("eth2", FAR)
    router.add_arp("eth2", NEIGHBOUR, TESTER)
    router.add_route(IPv4Network("10.9.0.0/24"), NEIGHBOUR)
    router.set_icmp_errors(on=False)
    router.set_directed_broadcast("eth2", on=True)
    router.set_connection_filter(23)
    router.set_mtu("eth2", 1300)
    for _ in range(2):
        for change in reversed(journal.changes):
            router.undo(change.undo)
        assert router.read_config() == before
