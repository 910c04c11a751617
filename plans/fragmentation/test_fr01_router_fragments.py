"""A router cuts a packet that is too long for the next link into fragments that fit.

Every fragment but the last carries a multiple of 8 bytes, has MF, and begins where the one before
ended; all have the packet's identification, addresses, protocol and DSCP, a TTL one less and a
right checksum; none is longer than the link's MTU, and together they are the packet (RFC 791 3.2,
RFC 1812 4.2.2.7). Options that are marked as copied are in every fragment, the others in the first.
What fits exactly is not cut. The sender hears nothing of it.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Topology,
    compose,
    drill,
    faults,
    match,
)

MTUS = (1400, 577, 100, 68)
"""The room for payload that they leave: no multiple of 8, odd, a multiple of 8, the least.

RFC 791 3.2: "Every internet module must be able to forward a datagram of 68 octets without further
fragmentation."
"""

BODY = bytes(at * 7 % 251 for at in range(1500))
COPIED, NOT_COPIED = b"\x9e\x04ab", b"\x5e\x04cd"
"""RFC 4727's options for experiments: no router has a use for them."""


def oversize(there: IPv4Packet, mtu: int, most: int) -> Iterator[IPv4Packet]:
    """Packets longer than ``mtu``, up to ``most`` bytes."""
    body = bytes(at * 7 % 251 for at in range(most))
    for length in (mtu + 1, mtu + 8, mtu + mtu // 2, most):
        yield replace(there, payload=body[: min(length, most) - 20])
    yield replace(there, tos=0xBA, protocol=17, payload=body[: mtu + 3])
    for protocol in (1, 6, 50):
        yield replace(there, protocol=protocol, payload=body[: mtu + 9])
    yield replace(there, options=COPIED + NOT_COPIED, payload=body[: most - 28])
    # What is a fragment already is cut up further, and MF on its last piece is its own.
    yield replace(there, mf=True, payload=body[: (mtu + 80) // 8 * 8])
    yield replace(there, offset=800, payload=body[: mtu + 5])
    yield replace(there, offset=64_000, payload=body[: mtu + 5])  # near the end of what can be


def faults_in(piece: IPv4Packet, whole: IPv4Packet, mtu: int, *, last: bool) -> Iterator[str]:
    """What is wrong with one fragment of ``whole``."""
    if piece.total_length > mtu:
        yield f"it has {piece.total_length} bytes, the MTU is {mtu}"
    if len(piece.payload) % 8 and not last:
        yield f"it carries {len(piece.payload)} bytes, no multiple of 8, and is not the last"
    if piece.mf != (whole.mf or not last):
        yield f"MF is {piece.mf}"
    if piece.offset == whole.offset:
        if piece.options != whole.options:
            yield f"its options are {piece.options.hex()}, wanted {whole.options.hex()}"
    elif (COPIED in whole.options) != (COPIED in piece.options):
        yield f"its options are {piece.options.hex()}, {COPIED.hex()} is to be copied"
    elif NOT_COPIED in piece.options:
        yield f"its options are {piece.options.hex()}, {NOT_COPIED.hex()} is not to be copied"


def judge(pieces: list[IPv4Packet], whole: IPv4Packet, mtu: int) -> None:
    """Hold every fragment, and all of them together, against ``whole``."""
    wrong: list[str] = []
    end = whole.offset
    for piece in pieces:
        here = f"fragment at {piece.offset}"
        if piece.offset != end:
            wrong.append(f"{here}: the one before ends at {end}")
        end = piece.offset + len(piece.payload)
        last = piece is pieces[-1]
        wrong += [f"{here}: {fault}" for fault in faults_in(piece, whole, mtu, last=last)]
    if b"".join(piece.payload for piece in pieces) != whole.payload:
        wrong.append("together they carry other bytes than the packet did")
    if wrong:
        raise ExpectationFailed(
            f"b--dut: {whole.total_length} bytes at MTU {mtu}: {wrong[0]}", "\n".join(wrong)
        )


def overlong(bench: Bench) -> None:
    """Lock the route's own MTU, which the kernel then goes by."""
    out = bench.bring_up_network().at("dut", "b--dut")
    port = bench.port("dut", toward="b")
    bench.sabotage("dut").run(
        f"ip route change {out.address.network} dev {port} scope link src {out.ip} mtu lock 1500",
    )


@pytest.mark.behaviour("FR-01", clause="RFC 791 3.2")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "offset off by 8",
    faults.nft(
        "type filter hook egress device {b} priority 0;",
        "ip frag-off 172 ip frag-off set 173",
        family="netdev",
    ),
    caught="fragment at 1384: the one before ends at 1376",
)
@drill(
    "MF on the last",
    faults.nft(
        "type filter hook egress device {b} priority 0;",
        "ip frag-off 172 ip frag-off set 0x20ac",
        family="netdev",
    ),
    caught="fragment at 1376: MF is True",
)
@drill(
    "fragments of different packets",
    faults.nft(
        "type filter hook egress device {b} priority 0;",
        "ip frag-off & 0x1fff != 0 ip id set 0x0bad",
        family="netdev",
    ),
    caught="b--dut: expect 2 to .*ident=",
)
@drill("sends more than the MTU", overlong, caught="b--dut: expect 2 to .*ident=")
@drill(
    "drops instead",
    faults.nft(
        "type filter hook prerouting priority 0;", "ip length > 1400 ip frag-off set 0x4000"
    ),
    caught="b--dut: expect 2 to .*ident=",
)
def test_fragments_fit_and_make_up_the_packet(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.router("dut")
    a, b, out = net["a"], net["b"], net.at("dut", "b--dut")
    most = bench.nic("a").mtu
    for mtu in MTUS:
        dut.set_mtu(bench.port("dut", toward="b"), mtu)
        fits = IPv4Packet(a.ip, b.ip, ident=0x0F17, payload=BODY[: mtu - 20])
        there = [
            replace(packet, ident=mtu + number)
            for number, packet in enumerate(oversize(IPv4Packet(a.ip, b.ip), mtu, most))
        ]
        with bench.capture() as seen:
            for packet in (fits, *there):
                bench.nic("a").inject(compose(EthFrame(a.gateway_mac, a.mac), packet))
            seen.settle()

        at_b = seen.at("b--dut")
        frame = match.eth(src=out.mac, dst=b.mac) & match.ipv4(src=a.ip, dst=b.ip)
        uncut = match.ipv4(ident=fits.ident, fragment=False, ttl=63, payload=fits.payload)
        at_b.expect_count(frame & uncut, 1)
        total = 1
        for packet in there:
            same = match.ipv4(
                ident=packet.ident,
                protocol=packet.protocol,
                ttl=packet.ttl - 1,
                dscp=packet.dscp,
                ecn=packet.ecn,
                df=False,
                bad_checksum=False,
            )
            frames = at_b.expect_count(frame & same, range(2, most // 8))
            pieces = sorted((f.ipv4 for f in frames), key=lambda p: p.offset)
            judge(pieces, packet, mtu)
            total += len(pieces)
        at_b.expect_count(match.ipv4(src=a.ip), total)
        seen.at("a--dut").expect_none(match.ipv4())
