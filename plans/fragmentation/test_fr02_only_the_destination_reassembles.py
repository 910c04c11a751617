"""Fragments are put together at their destination and by nobody on the way.

Fragments that fit every link cross routers one by one, each as it is but for its TTL: in any order,
twice, and also when the rest never comes. Those that are too long for a link are cut up further, MF
and offsets counted in the original packet, and what arrives makes up its payload (RFC 791 3.2,
RFC 1812 5.2.6: a router must not reassemble what it forwards).
"""

from dataclasses import replace

import pytest

from testbed import (
    Bench,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    MacAddr,
    Matcher,
    Topology,
    UdpDatagram,
    WireError,
    compose,
    drill,
    faults,
    fragment,
    match,
    reassemble,
    seconds,
)

PAYLOAD = bytes(at * 7 % 251 for at in range(4000))
CUTS = (8, 480, 640, 1280, 1288, 1960, 2600, 3200, 3840)
"""Where fragments end that fit every link: unequal, so that a set that was merged shows."""

FIRST_LINK, SECOND_LINK, LARGE = 1100, 700, 1280
"""Bytes: the MTU behind each router, and that of fragments that fit neither."""


def cut(packet: IPv4Packet) -> list[IPv4Packet]:
    """``packet`` in fragments of our own making."""
    ends = (*CUTS, len(packet.payload))
    return [
        replace(packet, offset=start, mf=end != ends[-1], payload=packet.payload[start:end])
        for start, end in zip((0, *CUTS), ends, strict=True)
    ]


def two_hops_on(piece: IPv4Packet, src: MacAddr, dst: MacAddr) -> Matcher:
    """``piece`` behind two routers."""
    return match.eth(src=src, dst=dst) & match.ipv4(
        src=piece.src,
        dst=piece.dst,
        protocol=piece.protocol,
        ttl=piece.ttl - 2,
        ident=piece.ident,
        df=piece.df,
        mf=piece.mf,
        offset=piece.offset,
        payload=piece.payload,
        bad_checksum=False,
    )


@pytest.mark.behaviour("FR-02", clause="RFC 791 3.2")
@pytest.mark.topology(Topology.chain("a:nic", "dut:router", "next:router", "b:nic"))
@drill(
    "drops later fragments",
    faults.nft("type filter hook forward priority 0;", "ip frag-off & 0x1fff != 0 drop"),
    caught="next--b: expect 1 of .*ident=3.*offset=8.*did not come",
)
@drill(
    "reassembles on the way",
    # Connection tracking puts fragments together before it looks at them.
    faults.nft("type filter hook prerouting priority 0;", "ct state new accept"),
    caught="next--b: expect 1 of .*ident=3.*did not come",
)
@drill(
    "loses MF where it cuts a fragment up",
    faults.nft(
        "type filter hook egress device {next} priority 0;",
        "ip frag-off 0x2087 ip frag-off set 0x0087",
        family="netdev",
    ),
    caught="the fragment at 1080 has no MF, yet others follow",
)
def test_routers_leave_fragments_apart(bench: Bench) -> None:
    net = bench.bring_up_network()
    a, b, last = net["a"], net["b"], net.at("next", "next--b")
    bench.router("dut").set_mtu(bench.port("dut", toward="next"), FIRST_LINK)
    bench.router("next").set_mtu(bench.port("next", toward="b"), SECOND_LINK)
    there = IPv4Packet(a.ip, b.ip, payload=PAYLOAD)
    backwards = cut(replace(there, ident=1))[::-1]
    doubled = cut(replace(there, ident=2))
    torn = cut(replace(there, ident=3))[1:-1]
    marked = [replace(piece, df=True) for piece in cut(replace(there, ident=7))]
    ends_long = LARGE // 8 * 8 - 24 + 1201  # whose last fragment is too long, too
    large = [
        replace(there, ident=4),
        replace(there, ident=5, payload=PAYLOAD[: LARGE - 20]),
        replace(there, ident=6, payload=PAYLOAD[:ends_long]),
    ]

    with bench.capture() as seen:
        for piece in (*backwards, *doubled, *doubled, *torn, *marked):
            bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), piece))
        for packet in large:
            for piece in fragment(packet, LARGE):
                bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), piece))
        seen.settle()

    at_b = seen.at("next--b")
    for pieces, copies in ((torn, 1), (backwards, 1), (doubled, 2), (marked, 1)):
        each = [two_hops_on(piece, last.mac, b.mac) for piece in pieces]
        for one in each:
            at_b.expect_count(one, copies)
        at_b.expect_sequence(*each)
        at_b.expect_count(match.ipv4(ident=pieces[0].ident), copies * len(pieces))
    for packet in large:
        same = match.ipv4(src=a.ip, dst=b.ip, ident=packet.ident, ttl=packet.ttl - 2)
        frames = at_b.expect_count(same & match.ipv4(bad_checksum=False), range(2, 99))
        at_b.expect_none(match.ipv4(ident=packet.ident, longer_than=SECOND_LINK))
        try:
            arrived = reassemble(frame.ipv4 for frame in frames)
        except WireError as error:
            raise ExpectationFailed(f"next--b: what arrived is no packet: {error}") from None
        if arrived.payload != packet.payload:
            raise ExpectationFailed("next--b: what arrived makes up another packet")
    seen.at("a--dut").expect_none(match.ipv4())


@pytest.mark.behaviour("FR-02", clause="RFC 1122 3.3.2")
@pytest.mark.topology(Topology.chain("a:nic", "dut:router", "h:host"))
@drill(
    "drops later fragments",
    faults.all_of(
        faults.nft("type filter hook forward priority 0;", "ip frag-off & 0x1fff != 0 drop"),
        # What the host waits for in vain is over when the drill is, not half a minute later.
        faults.sysctl("net.ipv4.ipfrag_time", "1", role="h"),
    ),
    caught="h received",
)
@drill(
    "host takes no fragments",
    faults.nft(
        "type filter hook prerouting priority 0;", "ip frag-off & 0x3fff != 0 drop", role="h"
    ),
    caught="h received",
)
def test_host_gets_the_datagram_whole(bench: Bench) -> None:
    """A host hands up a datagram whole that reached it in fragments, the last one first.

    What arrives is one datagram, byte for byte (RFC 1122 3.3.2).
    """
    net, host = bench.bring_up_network(), bench.host("h")
    a, h = net["a"], net["h"]
    host.udp_serve(40102)
    packet = IPv4Packet.parse(
        compose(IPv4Packet(a.ip, h.ip, ident=1), UdpDatagram(40002, 40102, PAYLOAD))
    )
    for piece in fragment(packet, bench.nic("a").mtu)[::-1]:
        bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), piece))
    received = host.udp_received(40102, within=seconds(2))
    if [datagram.payload for datagram in received] != [PAYLOAD]:
        sizes = [len(datagram.payload) for datagram in received]
        raise ExpectationFailed(f"h received datagrams of {sizes} bytes, sent one of 4000")
