"""A packet whose header is wrong in one field is dropped in silence.

Version 4, header length 5 to 15 words and within the packet, total length no less than the header
and no more than what came, header checksum right (RFC 1812 5.2.2, RFC 1122 3.2.1): a packet that
fails one of them is neither forwarded nor taken nor answered. The checksum is the header's alone:
a packet that is broken further in is forwarded as it is. Good packets pass before and after.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    EchoRequest,
    EthFrame,
    IPv4Packet,
    Topology,
    UdpDatagram,
    compose,
    drill,
    faults,
    match,
    patched,
)

MARK = b"IP-03 "
GOOD, BAD = 0x600D, 0x0BAD
IPV4 = 0x0800
NOP = b"\x01"


def summed(packet: bytes, covered: int = 20) -> bytes:
    """``packet`` with the header checksum that is right for its first ``covered`` bytes."""
    bare = patched(packet, {10: b"\0\0"})
    total = sum(int.from_bytes(bare[at : at + 2], "big") for at in range(0, covered, 2))
    return patched(bare, {10: (~(total % 0xFFFF) & 0xFFFF).to_bytes(2, "big")})


def damaged(good: IPv4Packet) -> Iterator[bytes]:
    """``good``, which has no options, with one field wrong and the checksum right for the rest."""
    whole = good.emit()
    for version in (*range(4), *range(5, 16)):
        yield summed(patched(whole, {0: version << 4 | 5}))
    for words in range(5):
        short = patched(whole, {0: 0x40 | words})
        yield summed(short)  # for who reads 20 bytes whatever the field says
        yield summed(short, words * 4) if words == 4 else short
    for words in (6, 15):  # of which a part or all is beyond the total length
        long = patched(whole, {0: 0x40 | words, 2: (words * 4 - 1).to_bytes(2, "big")})
        yield summed(long.ljust(words * 4, b"\0"), words * 4)
    for length in (0, 1, 19, len(whole) + 60, 0xFFFF):
        yield summed(patched(whole, {2: length.to_bytes(2, "big")}))
    full = replace(good, payload=good.payload.ljust(64, b"."))  # needs no padding to be a frame
    for more in (1, 4):  # 4: for who counts the frame's check sequence in
        length = full.total_length + more
        yield summed(patched(full.emit(), {2: length.to_bytes(2, "big")}))
    for form in (good, replace(good, options=NOP * 4), replace(full, mf=True)):
        right = int.from_bytes(form.emit()[10:12], "big")
        for wrong in (right ^ 0x0001, right ^ 0x8000, right ^ 0xFFFF, 0x0000, 0xFFFF):
            yield form.emit(checksum=wrong)


def sound(there: IPv4Packet) -> Iterator[IPv4Packet]:
    """``there`` in forms that look odd and are good."""
    yield there
    yield replace(there, payload=b"")
    yield replace(there, options=NOP * 4)
    yield replace(there, options=NOP * 40)
    bad_udp = UdpDatagram(40003, 40303, there.payload).emit(there.src, there.dst, checksum=0xBAD)
    yield replace(there, protocol=17, payload=bad_udp)


def echo(bench: Bench, ident: int) -> IPv4Packet:
    """An echo request for the router itself."""
    net = bench.bring_up_network()
    packet = IPv4Packet(net["a"].ip, net.at("dut", "a--dut").ip, ident=ident)
    return IPv4Packet.parse(compose(packet, EchoRequest(ident, 0, MARK)))


def mends_on_arrival(bench: Bench) -> None:
    """Put the checksum right that the plan has sent as zero: the stack then takes the packet."""
    right = int.from_bytes(echo(bench, BAD).emit()[10:12], "big")
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        f"ip id {BAD} icmp type echo-request @nh,80,16 0 @nh,80,16 set {right}",
        family="netdev",
    )(bench)


@pytest.mark.behaviour("IP-03", clause="RFC 1812 5.2.2")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "forwards a bad checksum",
    # The checksum is updated for the new TTL, as it would be, and is as wrong as it was.
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        'ip id 0x0bad ip checksum 0x0000 ip ttl set 63 fwd to "{b}"',
        family="netdev",
    ),
    caught="b--dut: expect none",
)
@drill(
    "forwards more than it has",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        'ip id 0x0bad ip length 65535 ip ttl set 63 fwd to "{b}"',
        family="netdev",
    ),
    caught="b--dut: expect none",
)
@drill("takes a bad checksum for its own", mends_on_arrival, caught="a--dut: expect 2 of icmpv4")
def test_bad_headers_are_dropped_in_silence(bench: Bench) -> None:
    net = bench.bring_up_network()
    a, b, dut = net["a"], net["b"], net.at("dut", "a--dut")
    good = list(sound(IPv4Packet(a.ip, b.ip, ident=GOOD, payload=MARK)))
    good_frames = [
        compose(EthFrame(dut.mac, a.mac), packet) for packet in (*good, echo(bench, GOOD))
    ]
    bad = IPv4Packet(a.ip, b.ip, ident=BAD, payload=MARK + b"bad")
    bad_frames = [
        compose(EthFrame(dut.mac, a.mac, IPV4), packet)
        for packet in (*damaged(bad), *damaged(echo(bench, BAD)))
    ]

    with bench.capture() as seen:
        bench.nic("a").inject(*good_frames, *bad_frames, *good_frames)
        seen.settle()

    at_a, at_b = seen.at("a--dut"), seen.at("b--dut")
    at_b.expect_none(match.containing(MARK + b"bad"))
    for packet in good:
        came = match.ipv4(ttl=63, options=packet.options, payload=packet.payload)
        at_b.expect_count(came & match.ipv4(ident=GOOD, bad_checksum=False), 2)
    at_b.expect_count(match.ipv4(src=a.ip), 2 * len(good))
    at_a.expect_count(match.icmpv4(type=0, ident=GOOD, data=MARK, bad_checksum=False), 2)
    at_a.expect_count(match.icmpv4() | match.containing(MARK), 2)
