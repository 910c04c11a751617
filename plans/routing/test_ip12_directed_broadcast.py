"""A router drops broadcasts directed at another subnet, unless it was told to deliver them.

By default nothing comes out (RFC 2644 2: the default must be to drop). Switched on for the port of
that subnet, the packet leaves there once, as a link-layer broadcast, one hop older, for every host
(RFC 1812 5.3.5.2). Switched off again, nothing comes out again, and no error is sent about it.
"""

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

TTL = 33


@pytest.mark.behaviour("IP-12", clause="RFC 2644 2")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "on by default",
    faults.all_of(
        faults.sysctl("net.ipv4.conf.all.bc_forwarding", "1"),
        faults.sysctl("net.ipv4.conf.{a}.bc_forwarding", "1"),
    ),
    caught="b--dut: expect none",
)
@drill(
    "never delivers",
    faults.nft("type filter hook postrouting priority 0;", "ip ttl 32 drop"),
    caught="b--dut: expect 1 of",
)
def test_directed_broadcast_is_delivered_only_where_switched_on(bench: Bench) -> None:
    net, router = bench.bring_up_network(), bench.router("dut")
    a, b = net["a"], net["b"]
    target = b.address.network.broadcast_address
    port = bench.port("dut", toward="b")

    def send(ident: int) -> None:
        bench.nic("a").inject(
            compose(
                EthFrame(a.gateway_mac, a.mac),
                IPv4Packet(a.ip, target, ttl=TTL, ident=ident),
                UdpDatagram(4000, 4001, b"to everybody there"),
            )
        )

    for ident, switched_on in ((1, False), (2, True), (3, False)):
        if ident > 1:
            router.set_directed_broadcast(port, switched_on)
        with bench.capture() as seen:
            send(ident)
            seen.settle()
        there, packet = seen.at("b--dut"), match.ipv4(dst=target)
        if switched_on:
            delivered = match.eth(dst=MacAddr.BROADCAST) & match.ipv4(
                src=a.ip, ttl=TTL - 1, ident=ident, bad_checksum=False
            )
            there.expect_count(packet & delivered & match.udp(payload=b"to everybody there"), 1)
            there.expect_count(packet, 1)
        else:
            there.expect_none(packet)
        seen.at("a--dut").expect_none(match.icmpv4())
