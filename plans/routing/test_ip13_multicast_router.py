"""Datagrams to 224.0.0.0/24 never cross a router, whatever their TTL.

"Multicast routers should not forward any multicast datagram with destination addresses in this
range, regardless of its TTL" (RFC 1112 appendix I; RFC 5771 4). Nor does a default route take them
anywhere, or a frame to the router's own MAC address. No error is sent about any of them (RFC 1122
3.2.2).
"""

from ipaddress import IPv4Address, IPv4Network

import pytest

from testbed import (
    Bench,
    EthFrame,
    IPv4Packet,
    Topology,
    UdpDatagram,
    compose,
    drill,
    faults,
    match,
    subnets,
)

MARK = b"IP-13 "
LOCAL = tuple(IPv4Address(f"224.0.0.{number}") for number in (1, 2, 5, 9, 100, 251, 252, 255))
"""All systems, all routers, OSPF, RIP, mDNS, LLMNR, and two that nobody was given."""
EVERYWHERE = IPv4Network("0.0.0.0/0")
TABLE = "netdev testbed_fault"


@pytest.mark.behaviour("IP-13", clause="RFC 1112 I, RFC 5771 4")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "forwards link-local groups",
    faults.shell(
        f"nft add table {TABLE}",
        f"nft 'add chain {TABLE} in {{{{ type filter hook ingress device {{a}} priority 0; }}}}'",
        f"nft add rule {TABLE} in ip daddr 224.0.0.0/24 dup to {{b}}",
        undo=(f"nft delete table {TABLE} 2>/dev/null || true",),
    ),
    caught=r"b--dut: expect none: .*came",
)
@drill(
    "forwards what comes to its own MAC address",
    faults.nft(
        "type nat hook prerouting priority -100;",
        "ip daddr 224.0.0.0/24 dnat to 198.18.1.10",
    ),
    caught=r"b--dut: expect none: .*came",
)
def test_link_local_groups_never_cross_a_router(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.router("dut")
    a, b = net["a"], net["b"]
    dut.add_route(EVERYWHERE, b.ip)
    with bench.capture() as seen:
        for count, group in enumerate(LOCAL):
            for mac in (subnets.multicast_mac(group), a.gateway_mac):
                packet = IPv4Packet(a.ip, group, ttl=255 - 127 * (count % 2))
                datagram = UdpDatagram(4013, 4013, MARK + str(group).encode())
                bench.nic("a").inject(compose(EthFrame(mac, a.mac), packet, datagram, pad=True))
        control = IPv4Packet(a.ip, b.ip)
        datagram = UdpDatagram(4013, 4013, b"to one host")
        bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), control, datagram, pad=True))
        seen.settle()
    seen.at("b--dut").expect_count(match.udp(payload=b"to one host"), 1)
    seen.at("b--dut").expect_none(match.containing(MARK))
    seen.at("a--dut").expect_none(match.containing(MARK))
    seen.at("a--dut").expect_none(match.icmpv4())
