"""What is said to everybody on a link stays on that link.

255.255.255.255, the subnet's own broadcast address and anything that came as a link-layer
broadcast never cross a router, and no error is sent about them (RFC 1812 4.2.2.11, 5.3.4, 5.3.5.1;
RFC 1122 3.2.2). An ordinary packet sent between them does cross.
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    EthFrame,
    IPv4Packet,
    MacAddr,
    Topology,
    UdpDatagram,
    compose,
    drill,
    faults,
    match,
)

LIMITED = IPv4Address("255.255.255.255")
MARK = b"IP-11 local "


@pytest.mark.behaviour("IP-11", clause="RFC 1812 5.3.5.1")
@pytest.mark.topology(Topology.star("dut:router", "a", "b", "c"))
@drill(
    "leaks the limited broadcast",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        "ip daddr 255.255.255.255 dup to {b}",
        family="netdev",
    ),
    caught="b--dut: expect none",
)
@drill(
    "forwards what came as a link-layer broadcast",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        "meta pkttype broadcast udp dport 4011 meta pkttype set host",
        family="netdev",
    ),
    caught="b--dut: expect none",
)
def test_broadcasts_of_a_link_stay_there(bench: Bench) -> None:
    net = bench.bring_up_network()
    a, b = net["a"], net["b"]
    own = a.address.network.broadcast_address
    sources = {"its own": a.ip, "none yet": IPv4Address("0.0.0.0")}  # noqa: S104 - as DHCP sends
    local = [
        compose(
            EthFrame(mac, a.mac),
            IPv4Packet(source, target, ttl=9),
            UdpDatagram(4010, 4011, MARK + f"{mac} {target} {source}".encode()),
        )
        for mac in (MacAddr.BROADCAST, a.gateway_mac)
        for target in (LIMITED, own)
        for source in sources.values()
    ]
    disguised = compose(
        EthFrame(MacAddr.BROADCAST, a.mac),
        IPv4Packet(a.ip, b.ip, ttl=9),
        UdpDatagram(4010, 4011, MARK + b"for one, sent to all"),
    )
    ordinary = compose(
        EthFrame(a.gateway_mac, a.mac),
        IPv4Packet(a.ip, b.ip, ttl=9),
        UdpDatagram(4010, 4012, b"IP-11 ordinary"),
    )
    with bench.capture() as seen:
        bench.nic("a").inject(*local, disguised, ordinary)
        seen.settle()

    for leaf in ("b", "c"):
        seen.at(f"{leaf}--dut").expect_none(match.containing(MARK))
    seen.at("b--dut").expect_count(match.udp(dst_port=4012, payload=b"IP-11 ordinary"), 1)
    seen.at("a--dut").expect_none(match.icmpv4() | match.containing(MARK))
