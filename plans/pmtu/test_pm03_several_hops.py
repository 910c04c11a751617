"""A path with several narrow links is found out one link at a time.

Each router whose next hop is narrower than the packet answers once, with that hop's MTU, from the
address of the port it came in on: a sender that obeys ends at the smallest of all, its packets
arrive whole, and one byte more is refused by the same router again (RFC 1191 2 and 3). Who has
forgotten what it was told, and sends too much again, is told again, of each of the links.
"""

from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Capture,
    DestinationUnreachable,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    Matcher,
    Topology,
    TracedFrame,
    UdpDatagram,
    compose,
    defects,
    drill,
    faults,
    match,
    milliseconds,
)

LESS_AT_FIRST, LESS_IN_ALL = 100, 220
"""By how many bytes the path is narrower behind the first router, and behind the second."""

IP_AND_UDP = 28
BODY = bytes(at * 7 % 251 for at in range(1500))


def narrow(bench: Bench, widest: int, first: str = "dut") -> tuple[int, int]:
    """Make the path narrower at each router, from ``first`` on; the MTUs behind them."""
    middle, least = widest - LESS_AT_FIRST, widest - LESS_IN_ALL
    near, far = bench.router(first), bench.router("far")
    near.set_mtu(bench.port(first, toward="far"), middle)
    far.set_mtu(bench.port("far", toward=first), middle)
    far.set_mtu(bench.port("far", toward="b"), least)
    return middle, least


def told(router: IPv4Address, mtu: int, about: Matcher | bytes) -> Matcher:
    """The message of a router that the next hop carries no more than ``mtu``."""
    header = match.ipv4(src=router, ttl=range(32, 256), fragment=False, bad_checksum=False)
    return header & match.icmpv4(
        type=3, code=4, next_hop_mtu=mtu, quoting=about, bad_checksum=False
    )


def next_hop_mtu(answer: TracedFrame) -> int:
    """The MTU that an ICMP 3/4 names."""
    message = answer.icmpv4
    if not isinstance(message, DestinationUnreachable):
        raise ExpectationFailed(f"#{answer.number} is no ICMP 3/4")
    return message.next_hop_mtu


@pytest.mark.behaviour("PM-03", clause="RFC 1191 3")
@pytest.mark.topology(Topology.chain("a:nic", "dut:router", "far:router", "b:nic"))
@drill(
    "stops at the first",
    faults.nft(
        "type filter hook forward priority 0;",
        "icmp type destination-unreachable icmp code 4 drop",
    ),
    caught="a--dut: expect 1 of .*did not come",
)
@drill(
    "the second router is silent",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type destination-unreachable icmp code 4 drop",
        role="far",
    ),
    caught="a--dut: expect 1 of .*did not come",
)
@drill(
    "the second router names another MTU",
    faults.nft(
        "type filter hook output priority 0;",
        "icmp type destination-unreachable icmp code 4 icmp mtu set 1000",
        role="far",
    ),
    caught="icmpv4.next_hop_mtu 1000, wanted",
)
@drill(
    "the first router names its own MTU for the second",
    faults.nft(
        "type filter hook forward priority 0;",
        "icmp type destination-unreachable icmp code 4 icmp mtu set 1400",
    ),
    caught="icmpv4.next_hop_mtu 1400, wanted",
)
def test_sender_converges_on_the_smallest_link(bench: Bench) -> None:
    net, nic = bench.bring_up_network(), bench.nic("a")
    a, b = net["a"], net["b"]
    near, far = net.at("dut", "a--dut").ip, net.at("far", "dut--far").ip
    middle, least = narrow(bench, nic.mtu)

    def send(length: int) -> tuple[IPv4Packet, Capture]:
        there = IPv4Packet(a.ip, b.ip, ident=length, df=True)
        probe = compose(there, UdpDatagram(4000, 4001, BODY[: length - IP_AND_UDP]))
        packet = IPv4Packet.parse(probe)
        with bench.capture() as seen:
            nic.inject(compose(EthFrame(a.gateway_mac, a.mac), packet))
            seen.settle()
        return packet, seen

    length = nic.mtu
    for router, mtu in ((near, middle), (far, least)):
        packet, seen = send(length)
        message = match.eth(dst=a.mac) & match.ipv4(dst=a.ip) & told(router, mtu, packet.emit())
        answer = seen.at("a--dut").expect_count(message, 1)[0]
        seen.at("a--dut").expect_count(match.icmpv4(), 1)
        seen.at("far--b").expect_none(match.ipv4())
        length = next_hop_mtu(answer)

    packet, seen = send(length)
    whole = match.ipv4(df=True, fragment=False, payload=packet.payload, bad_checksum=False)
    seen.at("far--b").expect_count(match.ipv4(src=a.ip, dst=b.ip, ttl=62) & whole, 1)
    seen.at("far--b").expect_count(match.ipv4(), 1)
    seen.at("a--dut").expect_none(match.icmpv4())

    packet, seen = send(length + 1)
    seen.at("a--dut").expect_count(told(far, least, packet.emit()), 1)
    seen.at("far--b").expect_none(match.ipv4())

    for length, router, mtu in ((nic.mtu - 1, near, middle), (middle - 1, far, least)):
        packet, seen = send(length)
        seen.at("a--dut").expect_count(told(router, mtu, packet.emit()), 1)
        seen.at("far--b").expect_none(match.ipv4())


@pytest.mark.behaviour("PM-03", clause="RFC 1191 3")
@pytest.mark.topology(Topology.chain("dut:host", "near:router", "far:router", "b:nic"))
@drill(
    "stops at the first",
    faults.nft(
        "type filter hook forward priority 0;",
        "icmp type destination-unreachable icmp code 4 drop",
        role="near",
    ),
    caught="dut holds a path MTU of",
)
@drill(
    "listens once",
    faults.python_stack(defects.pmtu.LISTENS_ONCE),
    caught="dut holds a path MTU of",
)
@drill(
    "host pays no heed",
    faults.nft(
        "type filter hook input priority 0;",
        "icmp type destination-unreachable icmp code 4 drop",
    ),
    caught="dut holds a path MTU of None",
)
def test_host_converges_on_the_smallest_link(bench: Bench) -> None:
    """A host learns the smallest link of a path, one router at a time.

    After each packet that was too large it holds the MTU that the router named, and one that fits
    the last of them arrives whole (RFC 1191 3).
    """
    net, host = bench.bring_up_network(), bench.host("dut")
    b = net["b"]
    widest = host.mtu(bench.port("dut", toward="near"))
    steps = (widest, *narrow(bench, widest, "near"))
    with bench.capture() as seen:
        for length, learned in zip(steps, (*steps[1:], steps[-1]), strict=True):
            payload = BODY[: length - IP_AND_UDP]
            host.udp_ask(str(b.ip), 4003, payload, df=True, within=milliseconds(500))
            held = host.path_mtu(b.ip)
            if held != learned:
                raise ExpectationFailed(
                    f"dut holds a path MTU of {held} after it sent {length} bytes, wanted {learned}"
                )
    arrived = match.ipv4(src=net["dut"].ip, df=True, fragment=False, length=steps[-1])
    seen.at("far--b").expect_count(arrived & match.udp(dst_port=4003, bad_checksum=False), 1)
    seen.at("far--b").expect_count(match.udp(dst_port=4003), 1)
