"""No two datagrams that may be fragmented have the same identification.

"Sources emitting non-atomic datagrams MUST NOT repeat IPv4 ID values within one MDL for a given
source address/destination address/protocol tuple" (RFC 6864 4.3); a datagram is atomic if it has
DF and is no fragment, and the lifetime MDL is two minutes. The host answers ``identifications``
pings (1000; numbers taken by chance would repeat, with certainty for all purposes) and a few dozen
datagrams that leave in fragments, all within seconds. Fragments of one datagram have one number.
"""

from collections import Counter
from contextlib import suppress
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    EchoRequest,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Matcher,
    Topology,
    UdpDatagram,
    WireError,
    compose,
    defects,
    drill,
    enclose,
    faults,
    fragment,
    match,
    reassemble,
    seconds,
)

SERVICE = 40701
PORT = 41700
LARGE = bytes(at * 7 % 251 for at in range(2400))
DATAGRAMS = 40
BURST = 50
"""Pings under way at a time: no more than any queue holds."""
SOON = seconds(5)
PROTOCOLS = {1: "ICMP", 17: "UDP"}


@pytest.mark.behaviour("FR-07", clause="RFC 6864 4.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "constant identification",
    faults.python_stack(defects.datagrams.CONSTANT_ID),
    caught="identification 0x0000 was given to [0-9]+ datagrams",
)
@drill(
    "constant identification of all that is sent",
    faults.nft("type filter hook output priority 0;", "ip id set 0x0bad"),
    caught="identification 0x0bad was given to [0-9]+ datagrams",
)
@drill(
    "identification by chance",
    faults.python_stack(defects.datagrams.RANDOM_ID),
    caught="was given to [23] datagrams of ICMP",
)
@drill(
    "counts in a byte",
    faults.python_stack(defects.datagrams.EIGHT_BIT_ID),
    caught="was given to [2-9] datagrams of ICMP",
)
@drill(
    "counts in steps that come round",
    faults.nft("type filter hook output priority 0;", "ip id set ip id & 0x00ff"),
    caught="was given to [0-9]+ datagrams",
)
def test_no_identification_comes_twice(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.host("dut")
    dut.udp_serve(SERVICE)
    pings = int(bench.tolerance("identifications", 1000))
    there = IPv4Packet(net["peer"].ip, net["dut"].ip)
    reply, echo = match.icmpv4(type=0), match.udp(src_port=SERVICE)
    with bench.capture("peer--dut") as seen:
        for sequence in range(1, pings + 1):
            send(bench, enclose(there, EchoRequest(PORT, sequence, b"id?")))
            if sequence % BURST == 0 or sequence == pings:
                await_all(bench, seen, reply, sequence)
        for number in range(DATAGRAMS):
            datagram = enclose(there, UdpDatagram(PORT, SERVICE, LARGE))
            send(bench, *fragment(replace(datagram, ident=number + 1), 1400))
            await_all(bench, seen, echo, number + 1)
        seen.settle()
    view = seen.at("peer--dut")
    view.expect_count(reply, pings)
    view.expect_count(echo, DATAGRAMS)
    from_host = match.ipv4(src=net["dut"].ip)
    packets = [frame.ipv4 for frame in view.all(from_host)]
    judge(packets)


def judge(packets: list[IPv4Packet]) -> None:
    """Each identification was one datagram's."""
    given: Counter[tuple[IPv4Address, int, int]] = Counter()
    fragments: dict[tuple[int, int], list[IPv4Packet]] = {}
    for packet in packets:
        cut_up = packet.mf or packet.offset > 0
        if not packet.offset and (cut_up or not packet.df):
            given[packet.dst, packet.protocol, packet.ident] += 1
        if cut_up:
            fragments.setdefault((packet.protocol, packet.ident), []).append(packet)
    for (_, protocol, ident), count in given.most_common(1):
        if count > 1:
            twice = sum(each > 1 for each in given.values())
            raise ExpectationFailed(
                f"peer--dut: identification {ident:#06x} was given to {count} datagrams of "
                f"{PROTOCOLS.get(protocol, protocol)}, and {twice - 1} others to more than one; "
                "expected each to come once"
            )
    for (_, ident), pieces in fragments.items():
        try:
            reassemble(pieces)
        except WireError as error:
            raise ExpectationFailed(
                f"peer--dut: the fragments with identification {ident:#06x} are no datagram: "
                f"{error}"
            ) from None


def send(bench: Bench, *packets: IPv4Packet) -> None:
    """Hand the host packets, as they are."""
    net = bench.bring_up_network()
    for each in packets:
        bench.nic("peer").inject(compose(EthFrame(net["dut"].mac, net["peer"].mac), each))


def await_all(bench: Bench, seen: Capture, matcher: Matcher, count: int) -> None:
    """Wait for so many answers; what is missing is told by the count of all of them."""
    with suppress(ExpectationFailed):
        bench.wait_until(
            lambda: len(seen.at("peer--dut").all(matcher)) >= count, SOON, "the answers"
        )
