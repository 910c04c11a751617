"""A broadcast directed at another subnet is dropped, unless the router is told to deliver it.

By default a packet for the broadcast address of a subnet behind the router goes nowhere (RFC 2644
3: forwarding is an option, which must be off by default), be it a datagram, a ping or a fragment.
Switched on for one subnet, it is delivered there as a broadcast frame, so that every host gets it,
once, one hop on and otherwise as it was; other subnets stay closed, and 255.255.255.255 does not
cross. Switched off again, nothing passes.
"""

from collections.abc import Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    EchoRequest,
    EthFrame,
    IPv4Packet,
    MacAddr,
    Matcher,
    Topology,
    UdpDatagram,
    compose,
    drill,
    enclose,
    faults,
    match,
)

MARK = b"IP-12 "
LIMITED = IPv4Address("255.255.255.255")


def forms(there: IPv4Packet) -> Iterator[IPv4Packet]:
    """``there`` as what has been sent to everybody, for good or ill."""
    datagram = enclose(there, UdpDatagram(40012, 40412, MARK))
    large = enclose(there, UdpDatagram(40012, 40412, MARK * 200))
    first = replace(large, mf=True, payload=large.payload[:800])
    later = replace(large, offset=800, payload=large.payload[800:])
    ping, probe = enclose(there, EchoRequest(12, 12, MARK)), replace(there, payload=MARK)
    whole = (datagram, large, ping, probe, datagram)
    yield from (replace(packet, ident=number) for number, packet in enumerate(whole, 0x12))
    yield from (replace(piece, ident=0x1212) for piece in (first, later))


def delivered(packet: IPv4Packet, router: MacAddr) -> Matcher:
    """``packet`` one hop on, as a broadcast of the router's."""
    return match.eth(src=router, dst=MacAddr.BROADCAST) & match.ipv4(
        src=packet.src,
        dst=packet.dst,
        protocol=packet.protocol,
        ttl=packet.ttl - 1,
        ident=packet.ident,
        dscp=packet.dscp,
        mf=packet.mf,
        offset=packet.offset,
        payload=packet.payload,
        bad_checksum=False,
    )


def send(bench: Bench, *packets: IPv4Packet) -> Capture:
    """What comes of ``packets`` from a."""
    a = bench.bring_up_network()["a"]
    with bench.capture() as seen:
        for packet in packets:
            bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), packet, pad=True))
        seen.settle()
    return seen


@pytest.mark.behaviour("IP-12", clause="RFC 2644 3")
@pytest.mark.topology(Topology.star("dut:router", "a", "b", "c"))
@drill(
    "on by default",
    faults.all_of(
        faults.sysctl("net.ipv4.conf.all.bc_forwarding", "1"),
        faults.sysctl("net.ipv4.conf.{a}.bc_forwarding", "1"),
    ),
    caught="b--dut: expect none",
)
@drill(
    "cannot be switched on",
    faults.nft("type filter hook prerouting priority 0;", "fib daddr type broadcast drop"),
    caught="b--dut: expect 1 of",
)
@drill(
    "delivers to one host only",
    faults.nft(
        "type filter hook egress device {b} priority 0;",
        "ether daddr ff:ff:ff:ff:ff:ff ip protocol udp ether daddr set 02:00:00:00:12:01",
        family="netdev",
    ),
    caught="eth.dst 02:00:00:00:12:01, wanted ff:ff:ff:ff:ff:ff",
)
def test_directed_broadcast_passes_only_where_it_is_wanted(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.router("dut")
    a, b, c = net["a"], net["b"], net["c"]
    out = net.at("dut", "b--dut")
    to_b, to_c = (
        list(forms(IPv4Packet(a.ip, end.address.network.broadcast_address, tos=0x20)))
        for end in (b, c)
    )

    closed = send(bench, *to_b, *to_c)
    for leaf in ("a", "b", "c"):
        closed.at(f"{leaf}--dut").expect_none(match.containing(MARK) | match.icmpv4())

    dut.set_directed_broadcast(bench.port("dut", toward="b"), on=True)
    opened = send(bench, *to_b, *to_c, *(replace(each, dst=LIMITED) for each in to_b))
    for packet in to_b:
        opened.at("b--dut").expect_count(delivered(packet, out.mac), 1)
    opened.at("b--dut").expect_count(match.ipv4(src=a.ip), len(to_b))
    for leaf in ("a", "c"):
        opened.at(f"{leaf}--dut").expect_none(match.containing(MARK) | match.icmpv4())

    dut.set_directed_broadcast(bench.port("dut", toward="b"), on=False)
    closed = send(bench, *to_b, *to_c)
    for leaf in ("a", "b", "c"):
        closed.at(f"{leaf}--dut").expect_none(match.containing(MARK) | match.icmpv4())
