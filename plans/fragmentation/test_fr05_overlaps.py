"""Fragments that overlap or end past the packet's end do a host no harm.

What a host makes of an overlap is its own choice, and is told in the report: the bytes that came
first, or last, or one of the mixtures that kernels are known for (Shankar and Paxson 2003, figure
5), or nothing, as Linux since 2018 (RFC 5722 asks it of IPv6). Whatever it is, an answer has as
many bytes as the datagram, and each of them is one that a fragment had in that place. Then come the
attacks of the past: ends past 65535 (ping of death), fragments within fragments (teardrop), two
ends, empty ones, odd ones. None gets an answer that nobody's fragments make up, and after each of
them the host answers an ordinary datagram.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    Capture,
    EchoRequest,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Topology,
    UdpDatagram,
    compose,
    defects,
    dissect,
    drill,
    enclose,
    faults,
    fragment,
    match,
    seconds,
)

SERVICE = 40501
PORT = 41500
SOON = seconds(2)
PINGS = 1280
"""Bytes: the MTU for which long datagrams are cut up."""

SHANKAR_PAXSON = ((0, 3), (4, 2), (6, 3), (1, 4), (6, 3), (9, 3))
"""Fragments 1 to 6 as (start, length) in units of 8 bytes, behind a UDP header of one unit."""

POLICIES = {
    "111442333666": "BSD",
    "144422555666": "BSD-right",
    "111442555666": "Linux before 2018",
    "111422333666": "first",
    "144442555666": "last",
}
"""What is handed up, unit by unit."""

UNITS = 12


@pytest.mark.behaviour("FR-05", clause="RFC 791 3.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "glues overlaps",
    faults.python_stack(defects.fragments.GLUES_OVERLAPS),
    caught="which no fragment had there",
)
@drill(
    "dies of overlaps",
    faults.python_stack(defects.fragments.DIES_OF_OVERLAPS),
    caught="no answer to an ordinary datagram after overlaps",
)
def test_overlaps_are_resolved_by_one_policy_or_discarded(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.host("dut")
    dut.set_sysctl("net.ipv4.ipfrag_time", "1")
    dut.udp_serve(SERVICE)
    there = IPv4Packet(net["peer"].ip, net["dut"].ip, 17, ident=PORT)
    header = UdpDatagram(PORT, SERVICE, bytes(UNITS * 8))
    pieces = [replace(there, mf=True, payload=unsummed(there, header)[:8])]
    for number, (start, length) in enumerate(SHANKAR_PAXSON, 1):
        filler = str(number).encode() * length * 8
        last = start + length == UNITS
        pieces.append(replace(there, offset=8 + start * 8, mf=not last, payload=filler))
    with bench.capture("peer--dut") as seen:
        send(bench, *pieces)
        expect_alive(bench, seen, PORT + 1, "overlaps")
        seen.settle()
    answers = seen.at("peer--dut").all(match.udp(src_port=SERVICE, dst_port=PORT))
    if not answers:
        bench.log("overlapping fragments: the datagram is discarded")
        return
    payload = payload_of(answers[0].data)
    if len(payload) != UNITS * 8:
        raise ExpectationFailed(
            f"peer--dut: #{answers[0].number}: overlapping fragments: the answer has "
            f"{len(payload)} bytes, the datagram {UNITS * 8}"
        )
    for at, byte in enumerate(payload):
        had = {
            ord(str(number))
            for number, (start, length) in enumerate(SHANKAR_PAXSON, 1)
            if start * 8 <= at < (start + length) * 8
        }
        if byte not in had:
            raise ExpectationFailed(
                f"peer--dut: #{answers[0].number}: overlapping fragments: byte {at} is "
                f"{bytes([byte])!r}, which no fragment had there"
            )
    units = payload[::8].decode()
    bench.log(f"overlapping fragments: policy {POLICIES.get(units, 'unknown')}, {units}")


@pytest.mark.behaviour("FR-05", clause="RFC 791 3.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "ping of death",
    faults.python_stack(defects.fragments.DIES_OF_PINGS),
    caught="no answer to an ordinary datagram after a ping of death",
)
@drill(
    "reads past the end",
    faults.python_stack(defects.fragments.READS_PAST_END),
    caught="answer to two ends",
)
def test_malformed_fragments_do_no_harm(bench: Bench) -> None:
    """Fragments that no good sender makes get no answer that they do not make up.

    The host goes on as if nothing had been: it answers an ordinary datagram after each set.
    """
    net, dut = bench.bring_up_network(), bench.host("dut")
    dut.set_sysctl("net.ipv4.ipfrag_time", "1")
    dut.udp_serve(SERVICE)
    there = IPv4Packet(net["peer"].ip, net["dut"].ip, 17)
    for port, (what, pieces, longest) in enumerate(attacks(there), PORT):
        with bench.capture("peer--dut") as seen:
            send(bench, *(replace(piece, ident=port) for piece in pieces))
            expect_alive(bench, seen, port, what)
            seen.settle()
        at_peer = seen.at("peer--dut")
        at_peer.expect_none(match.icmpv4(type=0))
        sent = b"".join(piece.payload[-24:] for piece in pieces)
        for answer in at_peer.all(match.udp(src_port=SERVICE, dst_port=PORT - 1)):
            payload = payload_of(answer.data)
            if len(payload) > longest or not set(payload) <= set(sent):
                raise ExpectationFailed(
                    f"peer--dut: #{answer.number}: answer to {what}: {len(payload)} bytes, "
                    f"{payload[:32]!r}, of which the fragments make up {longest} at most"
                )


def attacks(there: IPv4Packet) -> Iterator[tuple[str, tuple[IPv4Packet, ...], int]]:
    """What it is, the fragments, and how many bytes an answer may have, if there is one."""

    def piece(offset: int, payload: bytes, *, mf: bool = True) -> IPv4Packet:
        return replace(there, offset=offset, mf=mf, payload=payload)

    def head(length: int) -> bytes:
        return unsummed(there, UdpDatagram(PORT - 1, SERVICE, b"A" * length))

    ping = enclose(replace(there, protocol=1), EchoRequest(1, 1, b"P" * 65_480))
    *most, end = fragment(ping, PINGS)
    beyond = replace(end, payload=end.payload + b"P" * 400)
    yield "a ping of death", (*most, beyond), 0
    yield "an end past 65535 alone", (piece(65_528, b"E" * 1400, mf=False),), 0
    yield "a start and an end past 65535", (piece(0, head(24)), piece(65_528, b"E" * 64)), 0
    yield "a teardrop", (piece(0, head(40)), piece(24, b"T" * 4, mf=False)), 40
    yield "a teardrop to the end", (piece(0, head(40)), piece(24, b"T" * 24, mf=False)), 40
    two = (piece(0, head(64)[:24]), piece(24, b"1" * 16, mf=False), piece(24, b"2" * 48, mf=False))
    yield "two ends", two, 0
    yield "an end before the others", (*two[:1], piece(48, b"3" * 24), two[1]), 0
    yield "an empty end", (piece(0, head(24)), piece(32, b"", mf=False)), 24
    yield "an odd length", (piece(0, head(31)[:31]), piece(24, b"O" * 15, mf=False)), 31
    doubled = [piece(0, head(24)[:16]), piece(16, b"D" * 16, mf=False)]
    yield "a datagram in itself", (doubled[0], piece(8, b"D" * 16), doubled[1]), 24


def unsummed(there: IPv4Packet, datagram: UdpDatagram) -> bytes:
    """The datagram without a checksum: what is made of it is to be seen."""
    return datagram.emit(there.src, there.dst, checksum=0)


def payload_of(frame: bytes) -> bytes:
    """What a datagram carries."""
    udp = dissect(frame).udp
    return udp.payload if udp is not None else b""


def send(bench: Bench, *pieces: IPv4Packet) -> None:
    """Hand the host packets, as they are."""
    net = bench.bring_up_network()
    for each in pieces:
        bench.nic("peer").inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), each))


def expect_alive(bench: Bench, seen: Capture, port: int, what: str) -> None:
    """The host answers an ordinary datagram."""
    net = bench.bring_up_network()
    there = IPv4Packet(net["peer"].ip, net["dut"].ip)
    send(bench, enclose(there, UdpDatagram(port, SERVICE, b"well?")))
    answer = match.udp(src_port=SERVICE, dst_port=port, payload=b"well?", bad_checksum=False)
    if not bench.loop.run_until(lambda: bool(seen.at("peer--dut").all(answer)), SOON):
        raise ExpectationFailed(f"peer--dut: no answer to an ordinary datagram after {what}")
