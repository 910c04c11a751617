"""A router tells the sender of a packet that must not be fragmented how large it may be.

A packet with DF set that is larger than the next hop's MTU is dropped whole, and its sender gets
one ICMP 3/4, from the address of the port it came in on, with that MTU and the packet's header and
first 8 bytes (RFC 1191 4, RFC 1812 4.2.2.7 and 4.3.2.4). A packet of exactly the MTU passes
untouched, and a large one without DF is fragmented and nobody is told; nor is anybody of an ICMP
error or a later fragment that was too large (RFC 1122 3.2.2).
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    EchoRequest,
    EthFrame,
    IPv4Packet,
    Matcher,
    TcpSegment,
    TimeExceeded,
    Topology,
    UdpDatagram,
    compose,
    drill,
    enclose,
    faults,
    match,
)

MTUS = (1300, 576, 1499, 296, 68)
BODY = bytes(at * 7 % 251 for at in range(1500))
OPTIONS = b"\x01" * 8
IP_HEADER, UDP_HEADERS, TCP_HEADERS = 20, 28, 40


def too_large(there: IPv4Packet, mtu: int, most: int) -> Iterator[IPv4Packet]:
    """Packets over ``mtu`` of whose end the sender must be told."""
    yield enclose(there, UdpDatagram(4000, 4001, BODY[: mtu + 1 - UDP_HEADERS]))
    yield enclose(there, UdpDatagram(4000, 4001, BODY[: most - UDP_HEADERS]))
    yield enclose(there, TcpSegment(4000, 4001, payload=BODY[: mtu + 1 - TCP_HEADERS]))
    yield enclose(there, EchoRequest(4000, 1, BODY[: mtu + 1 - UDP_HEADERS]))
    options = replace(there, options=OPTIONS)
    yield enclose(options, UdpDatagram(4000, 4001, BODY[: mtu + 1 - UDP_HEADERS - len(OPTIONS)]))
    yield replace(there, payload=BODY[: (most - IP_HEADER) // 8 * 8], mf=True)


def too_large_to_tell(there: IPv4Packet, mtu: int) -> Iterator[IPv4Packet]:
    """Packets over ``mtu`` of whose end nobody may be told."""
    yield replace(there, offset=64, payload=BODY[: mtu + 1 - IP_HEADER])
    yield enclose(there, TimeExceeded(0, there.emit() + BODY[: mtu + 1 - UDP_HEADERS - IP_HEADER]))


def told(bench: Bench, mtu: int, about: IPv4Packet) -> Matcher:
    """The message that the sender must get."""
    net = bench.bring_up_network()
    dut = net.at("dut", "a--dut")
    header = match.ipv4(src=dut.ip, dst=about.src, fragment=False, bad_checksum=False)
    header &= match.ipv4(ttl=range(32, 256))  # its sender may be far away
    return (
        match.eth(src=dut.mac, dst=net["a"].mac)
        & header
        & match.icmpv4(type=3, code=4, next_hop_mtu=mtu, quoting=about.emit(), bad_checksum=False)
    )


@pytest.mark.behaviour("PM-01", clause="RFC 1191 4")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "MTU field 0",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type destination-unreachable icmp code 4 icmp mtu set 0",
    ),
    caught="icmpv4.next_hop_mtu 0, wanted 1300",
)
@drill(
    "wrong MTU",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type destination-unreachable icmp code 4 icmp mtu set 1400",
    ),
    caught="icmpv4.next_hop_mtu 1400, wanted 1300",
)
@drill(
    "fragments it anyway",
    faults.nft(
        "type filter hook prerouting priority -400;", "ip frag-off 0x4000 ip frag-off set 0"
    ),
    caught="b--dut: expect none: ",
)
@drill(
    "drops it in silence",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type destination-unreachable icmp code 4 drop",
    ),
    caught="a--dut: expect 1 of .*did not come",
)
@drill(
    "clears DF of what fits",
    faults.nft("type filter hook postrouting priority 0;", "ip frag-off 0x4000 ip frag-off set 0"),
    caught="ipv4.df False, wanted True",
)
def test_sender_is_told_the_next_hops_mtu(bench: Bench) -> None:
    net, router, nic = bench.bring_up_network(), bench.router("dut"), bench.nic("a")
    a, b = net["a"], net["b"]
    there = IPv4Packet(a.ip, b.ip, df=True)
    for mtu in MTUS:
        router.set_mtu(bench.port("dut", toward="b"), mtu)
        loud = [
            replace(packet, ident=number)
            for number, packet in enumerate(too_large(there, mtu, nic.mtu), 0x100)
        ]
        silent = [
            replace(packet, ident=number)
            for number, packet in enumerate(too_large_to_tell(there, mtu), 0x200)
        ]
        fits = enclose(replace(there, ident=1), UdpDatagram(4000, 4001, BODY[: mtu - UDP_HEADERS]))
        divisible = replace(loud[0], ident=2, df=False)
        with bench.capture() as seen:
            for packet in (*loud, *silent, divisible, fits):
                nic.inject(compose(EthFrame(a.gateway_mac, a.mac), packet))
            seen.settle()

        at_a, at_b = seen.at("a--dut"), seen.at("b--dut")
        dropped = {packet.ident for packet in (*loud, *silent)}
        at_b.expect_none(match.ipv4(src=a.ip, ident=dropped))
        for packet in loud:
            at_a.expect_count(told(bench, mtu, about=packet), 1)
        at_a.expect_count(match.icmpv4(), len(loud))
        whole = match.ipv4(df=True, fragment=False, payload=fits.payload, bad_checksum=False)
        at_b.expect_count(match.ipv4(src=a.ip, ident=fits.ident, ttl=63) & whole, 1)
        at_b.expect_count(match.ipv4(src=a.ip, ident=fits.ident), 1)
        at_b.expect_at_least(match.ipv4(ident=divisible.ident, fragment=True, df=False), 2)
