"""Fragments cross a router as they are; only their destination puts them together.

Fragments that fit the next hop arrive one for one, in whatever order they came, none waited for,
none merged. Where the next hop is narrower they are cut again, and what arrives is still the whole
payload (RFC 791 2.3 and 3.2, RFC 1812 5.2.1.2: a router must not reassemble).
"""

import pytest

from testbed import (
    Bench,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Topology,
    UdpDatagram,
    WireError,
    compose,
    drill,
    faults,
    match,
    reassemble,
)

TTL = 61
NARROW = 576
CUTS = (0, 512, 1512, 2200)
"""Where the fragments begin, in bytes of payload: unequal, so that a merged set shows."""


def pieces(bench: Bench, ident: int) -> list[IPv4Packet]:
    """A datagram from a to b in fragments of our own making."""
    net = bench.bring_up_network()
    there = IPv4Packet(net["a"].ip, net["b"].ip, ident=ident, ttl=TTL)
    whole = IPv4Packet.parse(compose(there, UdpDatagram(4000, 4001, bytes(range(250)) * 11)))
    ends = [*CUTS[1:], len(whole.payload)]
    return [
        IPv4Packet(
            whole.src,
            whole.dst,
            protocol=whole.protocol,
            payload=whole.payload[start:end],
            ttl=TTL,
            ident=ident,
            mf=end != ends[-1],
            offset=start,
        )
        for start, end in zip(CUTS, ends, strict=True)
    ]


@pytest.mark.behaviour("FR-02", clause="RFC 791 3.2")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "router drops later fragments",
    faults.nft("type filter hook forward priority 0;", "ip frag-off & 0x1fff != 0 drop"),
    caught="b--dut: expect 1 of",
)
@drill(
    "router reassembles",
    # A rule that looks at connections makes the kernel put fragments together first.
    faults.nft("type filter hook prerouting priority 0;", "ct state new accept"),
    caught="b--dut: expect",
)
def test_fragments_pass_as_they_are_or_are_cut_again(bench: Bench) -> None:
    net, router, a = bench.bring_up_network(), bench.router("dut"), bench.nic("a")
    frame = EthFrame(net["a"].gateway_mac, net["a"].mac)

    for ident, order in ((1, (0, 1, 2, 3)), (2, (3, 1, 0, 2))):
        sent = pieces(bench, ident)
        with bench.capture() as seen:
            for index in order:
                a.inject(compose(frame, sent[index]))
            seen.settle()
        there = seen.at("b--dut")
        each = [
            match.ipv4(
                ident=ident,
                offset=piece.offset,
                mf=piece.mf,
                ttl=TTL - 1,
                payload=piece.payload,
                bad_checksum=False,
            )
            for piece in sent
        ]
        for one in each:
            there.expect_count(one, 1)
        there.expect_count(match.ipv4(ident=ident), len(sent))
        there.expect_sequence(*(each[index] for index in order))

    lone = pieces(bench, 3)[1]  # the rest never comes, and is not waited for
    with bench.capture() as seen:
        a.inject(compose(frame, lone))
        seen.settle()
    seen.at("b--dut").expect_count(match.ipv4(ident=3, payload=lone.payload), 1)

    router.set_mtu(bench.port("dut", toward="b"), NARROW)
    sent = pieces(bench, 4)
    with bench.capture() as seen:
        a.inject(*(compose(frame, piece) for piece in sent))
        seen.settle()
    there = seen.at("b--dut")
    found = there.expect_at_least(match.ipv4(ident=4, bad_checksum=False), len(sent) + 1)
    there.expect_none(match.ipv4(ident=4, longer_than=NARROW))
    there.expect_none(match.ipv4(ident=4, bad_checksum=True))
    try:
        whole = reassemble([IPv4Packet.parse(hit.data[14:]) for hit in found])
    except WireError as error:
        raise ExpectationFailed(
            f"what arrives over a hop of {NARROW} is no packet: {error}"
        ) from error
    if whole.payload != reassemble(sent).payload:
        raise ExpectationFailed(f"over a hop of {NARROW} the payload arrives changed")
