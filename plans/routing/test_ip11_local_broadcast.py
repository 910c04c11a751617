"""A broadcast for the sender's own network never crosses a router.

255.255.255.255, the broadcast address of each subnet of the link and 0.0.0.0 go no further than the
link they were sent on, in a broadcast frame or handed to the router, even where a default route
would take them: datagrams to whatever port, pings and all else (RFC 1812 4.2.2.11, 5.3.5.1; RFC
1122 3.2.1.3). A packet for somebody far away that came in a broadcast frame is not forwarded either
(RFC 1812 5.3.4). No error is sent about any of them.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

import pytest

from testbed import (
    Bench,
    EchoRequest,
    EthFrame,
    IPv4Packet,
    MacAddr,
    Topology,
    UdpDatagram,
    compose,
    drill,
    enclose,
    faults,
    match,
)

MARK, PING = b"IP-11 ", b"ping 11 "
"""The second is in what a router may answer, but not pass on."""
ERRORS = match.icmpv4(type={3, 4, 5, 11, 12})
LIMITED, UNSPECIFIED = IPv4Address("255.255.255.255"), IPv4Address(0)
EVERYWHERE = IPv4Network("0.0.0.0/0")
HELPED = (37, 49, 53, 67, 68, 69, 137, 138)
"""Ports whose broadcasts routers pass on where they are told to help, and some without."""
ANOTHER = IPv4Interface("198.51.100.11/24")
"""One more address of the router on a's link, of another subnet."""
FAR = IPv4Address("203.0.113.11")


def datagrams(src: IPv4Address, dst: IPv4Address) -> Iterator[IPv4Packet]:
    """Packets that a router may be tempted to pass on: of services that broadcast, and others."""
    for port in (*HELPED, 7, 9, 520, 40411):
        yield enclose(IPv4Packet(src, dst), UdpDatagram(port, port, MARK))
    yield IPv4Packet(src, dst, ttl=255, payload=MARK)
    yield enclose(IPv4Packet(src, dst), EchoRequest(11, 11, PING))


def takes_it_for_a_host(bench: Bench) -> None:
    """Forget that the address is a broadcast address; it is not there to undo when addresses go."""
    broadcast = bench.bring_up_network()["a"].address.network.broadcast_address
    bench.sabotage("dut").run(f"ip route del table local broadcast {broadcast}")


@pytest.mark.behaviour("IP-11", clause="RFC 1812 5.3.5.1")
@pytest.mark.topology(Topology.star("dut:router", "a", "b", "c"))
@drill(
    "leaks the limited broadcast",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        'ip daddr 255.255.255.255 udp dport 137 dup to "{c}"',
        family="netdev",
    ),
    caught="c--dut: expect none",
)
@drill(
    "leaks the subnet's broadcast",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        'ip daddr 198.18.0.255 ip ttl 64 ip ttl set 63 dup to "{b}"',
        family="netdev",
    ),
    caught="b--dut: expect none",
)
@drill(
    "takes the subnet's broadcast address for a host's",
    takes_it_for_a_host,
    caught="expect none: containing",
)
@drill(
    "forwards what came in a broadcast frame",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        "ip daddr 203.0.113.11 meta pkttype set host",
        family="netdev",
    ),
    caught=r"b--dut: expect none: .*\n.*> 203\.0\.113\.11",
)
def test_local_broadcasts_stay_on_their_link(bench: Bench) -> None:
    net = bench.bring_up_network()
    a, b, c = net["a"], net["b"], net["c"]
    bench.router("dut").add_address(bench.port("dut", toward="a"), ANOTHER)
    bench.router("dut").add_route(EVERYWHERE, b.ip)
    owns = a.address.network.broadcast_address, ANOTHER.network.broadcast_address
    local = [
        packet
        for source in (a.ip, UNSPECIFIED)  # which is how a DHCP client sends
        for address in (LIMITED, *owns, UNSPECIFIED)
        for packet in datagrams(source, address)
    ]
    far = IPv4Packet(a.ip, FAR, payload=MARK)

    with bench.capture() as seen:
        for dst in (MacAddr.BROADCAST, a.gateway_mac):
            for packet in local:
                bench.nic("a").inject(compose(EthFrame(dst, a.mac), packet, pad=True))
        for packet in (far, replace(far, dst=c.ip)):
            frame = compose(EthFrame(MacAddr.BROADCAST, a.mac), packet, pad=True)
            control = replace(packet, payload=b"for one")
            bench.nic("a").inject(frame, compose(EthFrame(a.gateway_mac, a.mac), control, pad=True))
        seen.settle()

    for leaf in ("a", "b", "c"):
        seen.at(f"{leaf}--dut").expect_none(match.containing(MARK) | ERRORS)
    for leaf in ("b", "c"):
        seen.at(f"{leaf}--dut").expect_none(match.containing(PING))
    # To ask who has a broadcast address is to take it for a host's.
    for leaf in ("a", "b", "c"):
        seen.at(f"{leaf}--dut").expect_none(match.arp(target_ip=set(owns)))
    seen.at("b--dut").expect_count(match.ipv4(src=a.ip, dst=FAR, payload=b"for one"), 1)
    seen.at("c--dut").expect_count(match.ipv4(src=a.ip, dst=c.ip, payload=b"for one"), 1)
