"""A router tells the sender of a packet that must not be fragmented how large it may be.

A packet with DF set that is larger than the next hop's MTU is dropped, and its sender gets one
ICMP 3/4, from the address of the port it came in on, with that MTU and the packet's header and
first 8 bytes (RFC 1191 4, RFC 1812 4.2.2.7 and 4.3.2.4). A packet of exactly the MTU passes
untouched, and a large one without DF is fragmented and nobody is told.
"""

import pytest

from testbed import (
    Bench,
    EthFrame,
    IPv4Packet,
    Topology,
    UdpDatagram,
    compose,
    dissect,
    drill,
    faults,
    match,
)

MTUS = (1300, 576)
IP_AND_UDP = 28


def packet(bench: Bench, length: int, ident: int, *, df: bool) -> bytes:
    """A UDP packet of ``length`` bytes, IP header included, from a to b, as a whole frame."""
    net = bench.bring_up_network()
    a, b = net["a"], net["b"]
    payload = bytes(i % 251 for i in range(length - IP_AND_UDP))
    return compose(
        EthFrame(a.gateway_mac, a.mac),
        IPv4Packet(a.ip, b.ip, ident=ident, df=df),
        UdpDatagram(4000, 4001, payload),
    )


@pytest.mark.behaviour("PM-01", clause="RFC 1191 4")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "MTU field 0",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type destination-unreachable icmp code 4 icmp mtu set 0",
    ),
    caught="a--dut: expect 1 of",
)
@drill(
    "wrong MTU",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type destination-unreachable icmp code 4 icmp mtu set 1400",
    ),
    caught="a--dut: expect 1 of",
)
@drill(
    "fragments it anyway",
    faults.nft(
        "type filter hook prerouting priority -400;", "ip frag-off 0x4000 ip frag-off set 0"
    ),
    caught="expect none|expect 1 of",
)
@drill(
    "drops it in silence",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type destination-unreachable icmp code 4 drop",
    ),
    caught="a--dut: expect 1 of",
)
def test_sender_is_told_the_next_hops_mtu(bench: Bench) -> None:
    net, router, a = bench.bring_up_network(), bench.router("dut"), bench.nic("a")
    ingress = net.at("dut", "a--dut").ip
    for mtu in MTUS:
        router.set_mtu(bench.port("dut", toward="b"), mtu)
        fits, too_long, divisible = (
            packet(bench, mtu, 1, df=True),
            packet(bench, mtu + 1, 2, df=True),
            packet(bench, mtu + 1, 3, df=False),
        )
        with bench.capture() as seen:
            a.inject(fits, too_long, divisible)
            seen.settle()

        here, there = seen.at("a--dut"), seen.at("b--dut")
        told = match.icmpv4(
            type=3, code=4, next_hop_mtu=mtu, quoting=too_long[14:], bad_checksum=False
        )
        here.expect_count(told & match.ipv4(src=ingress, dst=net["a"].ip, bad_checksum=False), 1)
        here.expect_count(match.icmpv4(), 1)
        there.expect_none(match.ipv4(ident=2))
        whole = there.expect_count(match.ipv4(ident=1, df=True, fragment=False, length=mtu), 1)
        arrived = dissect(whole[0].data)
        assert arrived.ipv4 is not None
        assert arrived.ipv4.payload == fits[34:]
        there.expect_at_least(match.ipv4(ident=3, fragment=True, shorter_than=mtu + 1), 2)
