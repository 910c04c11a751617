"""A filter on a router is not got past by cutting the TCP header up.

The router is to let no connection to one port in. A SYN whose header is split over fragments, so
that none of them shows what a filter looks for, one whose flags a second fragment overwrites, and
one whose port a tiny second fragment at the start overwrites are kept out like a whole one: the
filter drops them, or puts them together before it looks (RFC 1858 3 and 4, RFC 3128). What counts
is what a host behind it could make of the fragments that get through, if it put the first or the
last byte that came for each place. Whatever is let in arrives whole: SYNs to other ports, also in
large fragments, and segments of connections that exist.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    TcpFlags,
    TcpSegment,
    Topology,
    TracedFrame,
    WireError,
    compose,
    drill,
    enclose,
    faults,
    match,
    reassemble,
)

CLOSED, OPEN = 23, 80
SOURCE = 4606
BODY = bytes(at * 7 % 251 for at in range(2000))
HEADER = 20


@pytest.mark.behaviour("FR-06", clause="RFC 1858 3, RFC 3128")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "filter passed",
    # What connection tracking does not look at it does not put together either.
    faults.nft("type filter hook prerouting priority -450;", "ip frag-off & 0x3fff != 0 notrack"),
    caught="b--dut: a SYN to port 23 got through: its header in fragments",
)
@drill(
    "filter passed by overlaps",
    faults.nft(
        "type filter hook prerouting priority -450;",
        "ip frag-off & 0x3fff != 0 ip length >= 40 notrack",
        "ip frag-off & 0x1fff != 0 notrack",
    ),
    caught="b--dut: a SYN to port 23 got through: .* overwrite",
)
@drill(
    "lets no fragment through",
    faults.nft("type filter hook prerouting priority -450;", "ip frag-off & 0x3fff != 0 drop"),
    caught="did not come through whole",
)
@drill(
    "filters nothing",
    faults.nft("type filter hook prerouting priority -450;", "tcp dport 23 tcp dport set 24"),
    caught="b--dut: expect none",
)
def test_filter_is_not_got_past_by_fragments(bench: Bench) -> None:
    net, nic = bench.bring_up_network(), bench.nic("a")
    bench.router("dut").set_connection_filter(CLOSED)
    there = IPv4Packet(net["a"].ip, net["b"].ip, 6)
    bad, good = list(attacks(there)), list(legitimate(there))
    with bench.capture() as seen:
        for ident, (_, pieces) in enumerate((*bad, *good), 0x0600):
            for piece in pieces:
                packet = replace(piece, ident=ident)
                nic.inject(compose(EthFrame(net["a"].gateway_mac, net["a"].mac), packet))
        seen.settle()
    at_b = seen.at("b--dut")
    for ident, (what, _) in enumerate(bad, 0x0600):
        came = at_b.all(match.ipv4(src=there.src, ident=ident))
        if opens(came):
            raise ExpectationFailed(
                f"b--dut: a SYN to port {CLOSED} got through: {what} (#{came[0].number})"
            )
    whole = match.tcp(src_port=SOURCE, has="SYN") & match.ipv4(src=there.src, fragment=False)
    at_b.expect_none(whole & match.tcp(dst_port=range(CLOSED, CLOSED + 2)))
    for ident, (what, pieces) in enumerate(good, 0x0600 + len(bad)):
        sent = reassemble(pieces).payload
        came = at_b.all(match.ipv4(src=there.src, ident=ident))
        try:
            arrived = reassemble(frame.ipv4 for frame in came).payload
        except WireError as error:
            raise ExpectationFailed(f"b--dut: {what} did not come through whole: {error}") from None
        if arrived != sent:
            raise ExpectationFailed(f"b--dut: {what} came through altered")


def attacks(there: IPv4Packet) -> Iterator[tuple[str, list[IPv4Packet]]]:
    """What each does, and the fragments: SYNs to the closed port in disguise."""
    syn = segment(there, CLOSED, TcpFlags.SYN)
    ack = segment(there, CLOSED, TcpFlags.ACK)
    other = segment(there, OPEN, TcpFlags.SYN)
    yield "whole", [replace(there, payload=syn)]
    yield "its header in fragments of 8 bytes", cut(there, syn, 8, 16)
    yield "its header in fragments, flags in the second", cut(there, syn, 8)
    yield "its header in fragments, flags in the first", cut(there, syn, 16)
    yield "its header in fragments, the last one first", cut(there, syn, 8)[::-1]
    yield (
        "its flags in a second fragment that overwrite those of the first",
        [piece(there, 0, ack[:HEADER] + bytes(4)), piece(there, 8, syn[8:], mf=False)],
    )
    yield (
        "its flags in a second fragment, of three, that overwrite those of the first",
        [
            piece(there, 0, ack[:HEADER] + bytes(4)),
            piece(there, 8, syn[8:HEADER] + bytes(4)),
            piece(there, 24, b"more", mf=False),
        ],
    )
    yield (
        "its port in a tiny fragment at the start that overwrite those of the first",
        [
            piece(there, 0, other[:HEADER] + bytes(4)),
            piece(there, 0, syn[:8]),
            piece(there, 24, b"more", mf=False),
        ],
    )
    large = segment(there, CLOSED, TcpFlags.SYN, BODY[:60])
    yield "its header whole in a fragment", cut(there, large, 24)
    options = replace(there, options=b"\x01" * 12)  # no part of the TCP header
    yield "its header in fragments, behind options", cut(options, syn, 8)


def legitimate(there: IPv4Packet) -> Iterator[tuple[str, list[IPv4Packet]]]:
    """What is to pass."""
    yield "a SYN to an open port", [replace(there, payload=segment(there, OPEN, TcpFlags.SYN))]
    large = segment(there, OPEN, TcpFlags.SYN, BODY)
    yield "a SYN to an open port in large fragments", cut(there, large, 800, 1600)
    data = segment(there, CLOSED, TcpFlags.ACK, BODY)
    yield "a segment of a connection in large fragments", cut(there, data, 800, 1600)


def segment(there: IPv4Packet, port: int, flags: TcpFlags, payload: bytes = b"evil") -> bytes:
    """A TCP segment to ``port``."""
    made = TcpSegment(SOURCE, port, seq=1, ack=0, flags=flags, window=4096, payload=payload)
    return enclose(there, made).payload


def cut(there: IPv4Packet, data: bytes, *ends: int) -> list[IPv4Packet]:
    """``data`` in fragments that end at ``ends``."""
    marks = (0, *ends, len(data))
    return [
        piece(there, start, data[start:end], mf=end != len(data))
        for start, end in itertools.pairwise(marks)
    ]


def piece(there: IPv4Packet, offset: int, payload: bytes, *, mf: bool = True) -> IPv4Packet:
    """One fragment."""
    return replace(there, offset=offset, mf=mf, payload=payload)


def opens(frames: tuple[TracedFrame, ...]) -> bool:
    """Whether a host could make a SYN to the closed port of these fragments."""
    first, last = dict[int, int](), dict[int, int]()
    for frame in frames:
        for at, byte in enumerate(frame.ipv4.payload, frame.ipv4.offset):
            first.setdefault(at, byte)
            last[at] = byte
    for made in (first, last):
        if not all(at in made for at in range(HEADER)):
            continue
        header = bytes(made[at] for at in range(HEADER))
        flags = TcpFlags(header[13] & 0x3F)
        if int.from_bytes(header[2:4], "big") == CLOSED and flags == TcpFlags.SYN:
            return True
    return False
