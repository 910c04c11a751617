"""A path with several narrow links is found out one link at a time.

Each router whose next hop is narrower than the packet answers once, with that hop's MTU: a sender
that obeys ends at the smallest of all, and its packets arrive (RFC 1191 2 and 3).
"""

import pytest

from testbed import (
    Bench,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Topology,
    UdpDatagram,
    compose,
    dissect,
    drill,
    faults,
    match,
)

START = 1500
MIDDLE = 1400
NARROW = 1280
IP_AND_UDP = 28


@pytest.mark.behaviour("PM-03", clause="RFC 1191 3")
@pytest.mark.topology(Topology.chain("a:nic", "near:router", "far:router", "b:nic"))
@drill(
    "stops at the first",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type destination-unreachable icmp code 4 drop",
        role="far",
    ),
    caught="a--near: expect 1 of",
)
@drill(
    "the second router names the first one's MTU",
    faults.nft(
        "type filter hook output priority 0;",
        f"icmp type destination-unreachable icmp code 4 icmp mtu set {MIDDLE}",
        role="far",
    ),
    caught="a--near: expect 1 of",
)
def test_sender_converges_on_the_smallest_link(bench: Bench) -> None:
    net = bench.bring_up_network()
    a, b = net["a"], net["b"]
    near, far = bench.router("near"), bench.router("far")
    near.set_mtu(bench.port("near", toward="far"), MIDDLE)
    far.set_mtu(bench.port("far", toward="near"), MIDDLE)
    far.set_mtu(bench.port("far", toward="b"), NARROW)

    size = START
    steps = (
        (net.at("near", "a--near").ip, MIDDLE),
        (net.at("far", "near--far").ip, NARROW),
    )
    for router, mtu in steps:
        probe = compose(
            EthFrame(a.gateway_mac, a.mac),
            IPv4Packet(a.ip, b.ip, ident=size, df=True),
            UdpDatagram(4000, 4001, bytes(size - IP_AND_UDP)),
        )
        with bench.capture() as seen:
            bench.nic("a").inject(probe)
            seen.settle()
        told = match.icmpv4(type=3, code=4, next_hop_mtu=mtu, quoting=probe[14:])
        answer = seen.at("a--near").expect_count(told & match.ipv4(src=router, dst=a.ip), 1)[0]
        seen.at("a--near").expect_count(match.icmpv4(), 1)
        seen.at("b--far").expect_none(match.ipv4(ident=size))
        size = dissect(answer.data).icmpv4.next_hop_mtu

    if size != NARROW:
        raise ExpectationFailed(f"the path's MTU was told to be {size}, it is {NARROW}")
    last = compose(
        EthFrame(a.gateway_mac, a.mac),
        IPv4Packet(a.ip, b.ip, ident=size, df=True),
        UdpDatagram(4000, 4001, bytes(size - IP_AND_UDP)),
    )
    with bench.capture() as seen:
        bench.nic("a").inject(last)
        seen.settle()
    seen.at("b--far").expect_count(match.ipv4(ident=size, length=size, df=True, fragment=False), 1)
    seen.at("a--near").expect_none(match.icmpv4())
