"""Fragments make up the same datagram in whatever order they come, and however often.

A datagram in four fragments, the first of which has its UDP header and nothing else, is sent in
each of the 24 orders; in each of them again, every fragment but the one that completes it twice;
and among the fragments of others that have its identification, but another sender or protocol. One
comes in as many fragments as it has room for. Each is answered once, with its payload byte for byte
(RFC 791 3.2: what belongs together has the same identification, source, destination and protocol).
The UDP service of the host echoes what it gets.
"""

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

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
    match,
    seconds,
)

SERVICE = 40301
PORTS = 41000
ENDS = (8, 520, 1024, 1201)
"""Where the fragments end; together they are an odd number of bytes, and fit one packet."""
SOON = seconds(3)
SMALLEST = (*range(8, ENDS[-1], 8), ENDS[-1])
"""Where the smallest fragments end that there can be (RFC 791 3.2)."""


@dataclass(frozen=True)
class Case:
    """One datagram, known by its source port, and the order in which its fragments come."""

    port: int
    order: tuple[int, ...]
    packet: IPv4Packet

    def __str__(self) -> str:
        return f"fragments in the order {', '.join(str(each + 1) for each in self.order)}"

    @property
    def pieces(self) -> list[IPv4Packet]:
        """The fragments, as they come."""
        return [cut(self.packet)[index] for index in self.order]


def cut(packet: IPv4Packet, ends: Sequence[int] = ENDS) -> list[IPv4Packet]:
    """``packet`` in fragments, four where nothing else is said."""
    return [
        replace(packet, offset=start, mf=end != ends[-1], payload=packet.payload[start:end])
        for start, end in itertools.pairwise((0, *ends))
    ]


def stream(port: int) -> bytes:
    """What the datagram of ``port`` carries."""
    return hashlib.shake_128(port.to_bytes(8, "big")).digest(ENDS[-1] - 8)


def orders() -> Iterator[tuple[int, ...]]:
    """Every order; and with duplicates, some at once and some later, but for the last to come."""
    for order in itertools.permutations(range(4)):
        yield order
        a, b, c, last = order
        yield a, a, b, a, c, b, c, last


@pytest.mark.behaviour("FR-03", clause="RFC 791 3.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "needs order",
    faults.python_stack(defects.fragments.NEEDS_ORDER),
    caught="in the order 1, 2, 4, 3: no answer",
)
@drill(
    "counts duplicates",
    faults.python_stack(defects.fragments.COUNTS_DUPLICATES),
    caught="in the order 1, 1, 2, 1, 3, 2, 3, 4: no answer",
)
@drill(
    "takes no fragment of 8 bytes",
    faults.nft(
        "type filter hook prerouting priority -450;",
        "ip frag-off & 0x2000 != 0 ip length < 68 drop",
    ),
    caught="in the order 1, 2, 3, 4: no answer",
)
def test_any_order_and_duplicates_give_the_same_datagram(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.host("dut")
    peer, host = net["peer"], net["dut"]
    dut.set_sysctl("net.ipv4.ipfrag_time", "2")  # what is left over is gone when the next one runs
    dut.udp_serve(SERVICE)
    cases = []
    for port, order in enumerate(orders(), PORTS):
        header = IPv4Packet(peer.ip, host.ip, ident=port)
        cases.append(Case(port, order, enclose(header, UdpDatagram(port, SERVICE, stream(port)))))
    with bench.capture("peer--dut") as seen:
        for case in cases:
            send(bench, case.pieces)
        await_echoes(bench, seen, len(cases))
    for case in cases:
        judge(seen, case.port, str(case))


@pytest.mark.behaviour("FR-03", clause="RFC 791 2.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "goes by the identification alone",
    faults.python_stack(defects.fragments.IDENT_ALONE),
    caught="no answer",
)
@drill(
    "puts the protocols together",
    faults.nft(
        "type filter hook prerouting priority -450;",
        "ip protocol icmp ip frag-off & 0x3fff != 0 @nh,72,8 set 17",
    ),
    caught="a ping in fragments of the same number: 0 replies",
)
def test_fragments_of_different_datagrams_stay_apart(bench: Bench) -> None:
    """Datagrams of one identification, from two senders and by two protocols, come interleaved.

    So do two of one sender that differ in the identification alone. All are answered (RFC 791 2.3).
    """
    net, dut = bench.bring_up_network(), bench.host("dut")
    peer, host = net["peer"], net["dut"]
    other = next(ip for ip in peer.address.network.hosts() if ip not in (peer.ip, host.ip))
    net.station("peer").answer_for.add(other)
    dut.set_sysctl("net.ipv4.ipfrag_time", "2")
    dut.udp_serve(SERVICE)
    header = IPv4Packet(peer.ip, host.ip, ident=PORTS)
    mixed = [
        enclose(header, UdpDatagram(PORTS, SERVICE, stream(PORTS))),
        enclose(replace(header, src=other), UdpDatagram(PORTS + 1, SERVICE, stream(PORTS + 1))),
        enclose(header, EchoRequest(PORTS, 1, stream(PORTS + 2))),
        enclose(
            replace(header, ident=PORTS + 3), UdpDatagram(PORTS + 3, SERVICE, stream(PORTS + 3))
        ),
    ]
    with bench.capture("peer--dut") as seen:
        for pieces in zip(*map(cut, mixed), strict=True):
            send(bench, pieces)
        await_echoes(bench, seen, 3)
    judge(seen, PORTS, "among fragments of others")
    judge(seen, PORTS + 1, "of another sender's")
    judge(seen, PORTS + 3, "of another identification")
    replies = seen.at("peer--dut").all(match.icmpv4(type=0, ident=PORTS, data=stream(PORTS + 2)))
    if len(replies) != 1:
        raise ExpectationFailed(
            f"peer--dut: a ping in fragments of the same number: {len(replies)} replies with its "
            "data, expected 1"
        )


@pytest.mark.behaviour("FR-03", clause="RFC 791 3.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "eight fragments at most",
    faults.python_stack(defects.fragments.EIGHT_AT_MOST),
    caught="in 151 fragments, every second one first: no answer",
)
def test_a_datagram_may_come_in_many_fragments(bench: Bench) -> None:
    """The smallest fragments, the first, the third and so on before all others."""
    net, dut = bench.bring_up_network(), bench.host("dut")
    peer, host = net["peer"], net["dut"]
    dut.set_sysctl("net.ipv4.ipfrag_time", "2")
    dut.udp_serve(SERVICE)
    header = IPv4Packet(peer.ip, host.ip, ident=PORTS)
    pieces = cut(enclose(header, UdpDatagram(PORTS, SERVICE, stream(PORTS))), SMALLEST)
    with bench.capture("peer--dut") as seen:
        send(bench, [*pieces[::2], *pieces[1::2]])
        await_echoes(bench, seen, 1)
    judge(seen, PORTS, f"in {len(pieces)} fragments, every second one first")


def send(bench: Bench, pieces: Sequence[IPv4Packet]) -> None:
    """Hand the host packets, as they are."""
    net = bench.bring_up_network()
    for piece in pieces:
        bench.nic("peer").inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), piece))


def await_echoes(bench: Bench, seen: Capture, count: int) -> None:
    """Wait for so many answers, but no longer than they may take: judge() tells what is missing."""
    echo = match.udp(src_port=SERVICE)
    with suppress(ExpectationFailed):
        bench.wait_until(lambda: len(seen.at("peer--dut").all(echo)) >= count, SOON)


def judge(seen: Capture, port: int, what: str) -> None:
    """The datagram from ``port`` was answered once, with what it carried."""
    mine = match.udp(src_port=SERVICE, dst_port=port)
    answers = seen.at("peer--dut").all(mine)
    if not answers:
        raise ExpectationFailed(f"peer--dut: {what}: no answer, expected the datagram's echo")
    payload = getattr(dissect(answers[0].data).udp, "payload", b"")
    if payload != stream(port):
        same = sum(
            1
            for _ in itertools.takewhile(
                lambda pair: pair[0] == pair[1], zip(payload, stream(port), strict=False)
            )
        )
        raise ExpectationFailed(
            f"peer--dut: {what}: #{answers[0].number} has {len(payload)} bytes, the datagram had "
            f"{ENDS[-1] - 8}; they differ from byte {same} on"
        )
    seen.at("peer--dut").expect_count(mine & match.udp(bad_checksum=False), 1)
