"""A packet whose TTL runs out is dropped, and the router that dropped it tells the sender.

TTL 1, or 0, at a router: nothing goes on, and one ICMP 11/0 comes back, from the address that the
router has where the packet came in, quoting header and 8 bytes at the least (RFC 792, RFC 1812
5.3.1). So TTL 1, 2, 3... lists every hop. There is none about an ICMP error or a later fragment
(RFC 1122 3.2.2), and what is for the router itself needs no TTL to be taken (RFC 1122 3.2.1.7).
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    EthFrame,
    IPv4Packet,
    Matcher,
    ParameterProblem,
    Redirect,
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

MARK = b"IP-05 "
NOP = b"\x01"
EXCEEDED = 11
TRACEROUTE = 33434
"""The port from which traceroute counts its probes."""


def reported(spent: IPv4Packet) -> Iterator[IPv4Packet]:
    """``spent`` in forms of which the sender must be told."""
    yield spent
    yield replace(spent, ttl=0)
    yield replace(spent, options=NOP * 8)
    yield replace(spent, payload=(MARK * 200)[:1100], tos=0xB8)
    yield replace(spent, df=True)
    yield replace(spent, mf=True, payload=MARK.ljust(64))
    yield enclose(spent, TcpSegment(40005, 40405, payload=MARK))
    yield enclose(spent, EchoRequest(5, 5, MARK))
    yield enclose(spent, EchoReply(5, 5, MARK))


def unreported(spent: IPv4Packet) -> Iterator[IPv4Packet]:
    """``spent`` in forms of which nobody may be told."""
    yield replace(spent, offset=8)
    yield replace(spent, offset=8, mf=True, payload=MARK.ljust(64))
    yield enclose(spent, TimeExceeded(0, replace(spent, src=spent.dst, dst=spent.src).emit()))
    quoted = replace(spent, src=spent.dst, dst=spent.src).emit()
    for error in (
        DestinationUnreachable(3, quoted),
        Redirect(1, spent.src, quoted),
        ParameterProblem(1, quoted),
    ):
        yield enclose(spent, error)


def told(bench: Bench, by: str, link: str, about: IPv4Packet) -> Matcher:
    """The message that router ``by`` must send about what came in by ``link``, as a gets it."""
    net = bench.bring_up_network()
    a, reporter = net["a"], net.at(by, link)
    message = match.icmpv4(type=EXCEEDED, code=0, quoting=about.emit(), bad_checksum=False)
    # With the TTL of what it is about, as old routers had it, it would not get far.
    far = match.ipv4(ttl=range(32, 256))
    header = far & match.ipv4(src=reporter.ip, dst=a.ip, fragment=False, bad_checksum=False)
    return match.eth(src=a.gateway_mac, dst=a.mac) & header & message


@pytest.mark.behaviour("IP-05", clause="RFC 1812 5.3.1")
@pytest.mark.topology(Topology.chain("a:nic", "dut:router", "next:router", "b:nic"))
@drill(
    "silent drop",
    faults.nft("type filter hook output priority 0;", "icmp type time-exceeded drop"),
    caught="type=11.*: it did not come",
)
@drill(
    "forwards TTL 0",
    faults.all_of(
        faults.nft("type filter hook prerouting priority 0;", "ip ttl 1 ip ttl set 2"),
        faults.nft(
            "type filter hook egress device {next} priority 0;",
            "ip ttl 1 ip ttl set 0",
            family="netdev",
        ),
    ),
    caught=r"ipv4.src \S+, wanted",
)
@drill(
    "quotes another packet",
    # The quotation's first bytes are the message's second eight.
    faults.nft(
        "type filter hook output priority 0;", "icmp type time-exceeded @th,96,16 set 0xffff"
    ),
    caught="quoted byte 4",
)
@drill(
    "reports from another address",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type time-exceeded ip saddr set 192.0.2.1",
    ),
    caught="ipv4.src 192.0.2.1, wanted",
)
@drill(
    "reports later fragments",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        "ip ttl 1 ip frag-off & 0x1fff != 0 ip frag-off set 0",
        family="netdev",
    ),
    caught="a--dut: expect .* of icmpv4",
)
def test_spent_packets_are_reported_hop_by_hop(bench: Bench) -> None:
    net = bench.bring_up_network()
    a, b, dut, following = net["a"], net["b"], net.at("dut", "a--dut"), net.at("next", "next--b")
    spent = IPv4Packet(a.ip, b.ip, ttl=1, payload=MARK)
    # What is for the next router itself has to get there first.
    to_next = replace(spent, dst=net.at("next", "dut--next").ip)
    forms = [*reported(spent), to_next]
    loud = [replace(form, ident=number) for number, form in enumerate(forms, 1)]
    hush = [replace(form, ident=0xFFFF - n) for n, form in enumerate(unreported(spent))]
    probes = [
        enclose(replace(spent, ttl=ttl, ident=0x700 + ttl), UdpDatagram(40005, TRACEROUTE + ttl))
        for ttl in (1, 2, 3)
    ]
    ping = enclose(IPv4Packet(a.ip, dut.ip, ttl=1), EchoRequest(0x505, 1, MARK))

    with bench.capture() as seen:
        for packet in (*loud, *hush, *probes, ping):
            bench.nic("a").inject(compose(EthFrame(dut.mac, a.mac), packet, pad=True))
        seen.settle()

    at_a, at_b = seen.at("a--dut"), seen.at("next--b")
    at_b.expect_none(match.containing(MARK) | match.ipv4(ttl=0))
    for packet in (*loud, probes[0]):
        at_a.expect_count(told(bench, "dut", "a--dut", about=packet), 1)
    at_a.expect_count(told(bench, "next", "dut--next", about=probes[1]), 1)
    arrived = match.ipv4(src=a.ip, dst=b.ip, ttl=1, ident=probes[2].ident, bad_checksum=False)
    at_b.expect_count(match.eth(src=following.mac, dst=b.mac) & arrived, 1)
    at_a.expect_count(match.icmpv4(type=0, ident=0x505, data=MARK), 1)
    at_a.expect_count(match.icmpv4(), len(loud) + len(probes))
    at_b.expect_count(match.ipv4(), 1)
