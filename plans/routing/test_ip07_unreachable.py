"""Who cannot deliver a packet says so to its sender, once, and says why.

No route: ICMP 3/0. No answer to ARP on the last link: 3/1, in the bench's tolerance
(``host_unreachable``, seconds). For the router itself, a protocol that it does not speak: 3/2; a
port at which nobody listens: 3/3. Each quotes the packet (RFC 792, RFC 1812 4.3.3.1, 5.2.7.1). None
is sent about an ICMP error, a broadcast or multicast (of either layer), a later fragment, or a
packet whose source is no single host (RFC 1122 3.2.2, RFC 1812 4.3.2.7).
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    EthFrame,
    IPv4Packet,
    MacAddr,
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
    seconds,
)

MARK = b"IP-07 "
NO_NETWORK = IPv4Address("203.0.113.77")
PORT = 40407
UNREACHABLE = 3
NETWORK, HOST, PROTOCOL, PORT_CLOSED = range(4)
ANYWHERE, ALL_HOSTS = IPv4Address("255.255.255.255"), IPv4Address("224.0.0.1")
QUOTED = IPv4Packet(NO_NETWORK, IPv4Address("198.18.0.10"), payload=MARK + b"quoted").emit()
NO_SINGLE_HOST = (IPv4Address(0), IPv4Address("127.0.0.1"), IPv4Address("224.0.0.5"), ANYWHERE)


def strangers(bench: Bench) -> Iterator[IPv4Address]:
    """Ever more senders on a's link: a router may limit how much it tells one host."""
    station = bench.bring_up_network().station("a")
    for number in itertools.count(1):
        station.answer_for.add(station.address + number)
        yield station.address + number


def to_port(packet: IPv4Packet) -> IPv4Packet:
    """A datagram in ``packet`` for a port at which nobody listens."""
    return enclose(packet, UdpDatagram(40007, PORT, MARK))


def reported(lost: Callable[[], IPv4Packet]) -> Iterator[IPv4Packet]:
    """Lost packets of whose end the sender must be told."""
    yield lost()
    yield replace(lost(), options=b"\x01" * 4)
    yield replace(lost(), mf=True, payload=MARK.ljust(64))
    yield enclose(lost(), UdpDatagram(40007, PORT, MARK * 100))
    yield enclose(lost(), TcpSegment(40007, PORT, payload=MARK))
    yield enclose(lost(), EchoRequest(7, 7, MARK))
    yield enclose(lost(), EchoReply(7, 7, MARK))


def unreported(lost: Callable[[], IPv4Packet]) -> Iterator[IPv4Packet]:
    """Lost packets of whose end nobody may be told."""
    for error in (
        DestinationUnreachable(1, QUOTED),
        TimeExceeded(0, QUOTED),
        Redirect(1, NO_NETWORK, QUOTED),
        ParameterProblem(1, QUOTED),
    ):
        yield enclose(lost(), error)
    yield replace(lost(), offset=8)
    yield replace(lost(), offset=8, mf=True, payload=MARK.ljust(64))
    for nobody in NO_SINGLE_HOST:
        yield replace(lost(), src=nobody)


def told(bench: Bench, code: int, about: IPv4Packet) -> Matcher:
    """The message that the sender of a packet must get about it."""
    net = bench.bring_up_network()
    dut = net.at("dut", "a--dut")
    header = match.ipv4(src=dut.ip, dst=about.src, fragment=False, bad_checksum=False)
    message = match.icmpv4(type=UNREACHABLE, code=code, quoting=about.emit(), bad_checksum=False)
    return match.eth(src=dut.mac, dst=net["a"].mac) & header & message


@pytest.mark.behaviour("IP-07", clause="RFC 1122 3.2.2")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "error about an error",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        "icmp type time-exceeded reject with icmp type net-unreachable",
        family="netdev",
    ),
    caught=r"came\n(.*\n)*.*unreachable, about ICMP",
)
@drill(
    "error about a broadcast",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        f"ip daddr {ANYWHERE} udp dport {PORT} reject with icmp type port-unreachable",
        family="netdev",
    ),
    caught=r"came\n(.*\n)*.*unreachable, about UDP .* > 255\.255\.255\.255",
)
@drill(
    "error about a later fragment",
    faults.nft(
        "type filter hook ingress device {a} priority 0;",
        f"ip daddr {NO_NETWORK} ip frag-off & 0x1fff != 0 ip frag-off set 0",
        family="netdev",
    ),
    caught=r"a--dut: expect 17 of icmpv4\(\): 19 came",
)
@drill(
    "silent",
    faults.nft("type filter hook output priority 0;", "icmp type destination-unreachable drop"),
    caught="type=3, code=0.*did not come",
)
@drill(
    "tells a wrong reason",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type destination-unreachable icmp code host-unreachable icmp code set 0",
    ),
    caught="icmpv4.code 0, wanted 1",
)
def test_what_cannot_be_delivered_is_reported_once(bench: Bench) -> None:
    net, nic, senders = bench.bring_up_network(), bench.nic("a"), strangers(bench)
    a, dut = net["a"], net.at("dut", "a--dut")
    absent = net["b"].address.network.broadcast_address - 1

    def to(address: IPv4Address) -> Callable[[], IPv4Packet]:
        return lambda: IPv4Packet(next(senders), address, payload=MARK)

    late = [(HOST, packet) for packet in reported(to(absent))]
    soon = [(NETWORK, packet) for packet in reported(to(NO_NETWORK))]
    soon += [(PROTOCOL, to(dut.ip)()), (PORT_CLOSED, to_port(to(dut.ip)()))]
    silent = [*unreported(to(absent)), *unreported(to(NO_NETWORK)), *unreported(to(dut.ip))]
    everybody = (ANYWHERE, a.address.network.broadcast_address, ALL_HOSTS)
    to_all = [to_port(to(address)()) for address in everybody]
    by_broadcast = [*to_all, to_port(to(dut.ip)()), *(to(ip)() for ip in (absent, NO_NETWORK))]

    with bench.capture() as seen:
        for packet in (*(packet for _, packet in (*late, *soon)), *silent, *to_all):
            nic.inject(compose(EthFrame(dut.mac, a.mac), packet, pad=True))
        for packet in by_broadcast:
            nic.inject(compose(EthFrame(MacAddr.BROADCAST, a.mac), packet, pad=True))
        seen.settle()
        for code, packet in soon:
            seen.at("a--dut").expect(told(bench, code, packet))
        within = seconds(bench.tolerance("host_unreachable", 5.0))
        for code, packet in late:
            seen.wait_for("a--dut", told(bench, code, packet), within)
        # It goes on to be told: whoever sends after that has the same right to know.
        late.append((HOST, to(absent)()))
        nic.inject(compose(EthFrame(dut.mac, a.mac), late[-1][1], pad=True))
        seen.wait_for("a--dut", told(bench, HOST, late[-1][1]), within)
        seen.settle()

    for code, packet in (*late, *soon):
        seen.at("a--dut").expect_count(told(bench, code, packet), 1)
    seen.at("a--dut").expect_count(match.icmpv4(), len(late) + len(soon))
    seen.at("b--dut").expect_at_least(match.arp(op="request", target_ip=absent), 1)
    seen.at("b--dut").expect_none(match.ipv4())
