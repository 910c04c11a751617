"""A router cuts a packet that is too long for the next hop into lawful fragments.

Every fragment fits the MTU, carries the packet's id, protocol, addresses and DSCP and a right
checksum; all but the last carry a multiple of 8 bytes and MF; offsets follow on without hole or
overlap, and what they carry is the packet (RFC 791 3.2, RFC 1812 4.2.2.7). The TTL is that of one
hop on. A packet of exactly the MTU stays whole.
"""

from collections.abc import Iterator

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

MTUS = (1280, 576)
LENGTH = 1500
IDENT = 0x4652
TTL = 61
EXPEDITED = 0xB8
FIRST_END = (1280 - 20) // 8
"""Where the second fragment begins at an MTU of 1280, in units of 8 bytes; for the drills."""


def original(bench: Bench, length: int) -> IPv4Packet:
    """A UDP packet of ``length`` bytes from a to b, every byte of which can be told apart."""
    net = bench.bring_up_network()
    there = IPv4Packet(net["a"].ip, net["b"].ip, ident=IDENT, ttl=TTL, tos=EXPEDITED)
    data = bytes(i % 251 for i in range(length - 28))
    return IPv4Packet.parse(compose(there, UdpDatagram(4000, 4001, data)))


def faults_of(fragment: IPv4Packet, mtu: int, *, last: bool) -> Iterator[str]:
    """What is unlawful about one fragment."""
    if fragment.total_length > mtu:
        yield f"it is {fragment.total_length} bytes long, the MTU is {mtu}"
    if not last and len(fragment.payload) % 8:
        yield f"it carries {len(fragment.payload)} bytes, no multiple of 8"
    wanted = {"mf": not last, "ttl": TTL - 1, "tos": EXPEDITED, "df": False}
    for field, value in wanted.items():
        if getattr(fragment, field) != value:
            yield f"{field} is {getattr(fragment, field)}, wanted {value}"


def judge(fragments: list[IPv4Packet], packet: IPv4Packet, mtu: int) -> None:
    """Hold every fragment, and all of them together, against ``packet``."""
    ordered = sorted(fragments, key=lambda fragment: fragment.offset)
    wrong = [
        f"fragment at {fragment.offset}: {fault}"
        for fragment in ordered
        for fault in faults_of(fragment, mtu, last=fragment is ordered[-1])
    ]
    if len(ordered) < 2:
        wrong.append(f"{len(ordered)} fragments came, wanted 2 at least")
    try:
        if reassemble(ordered).payload != packet.payload:
            wrong.append("together they carry other bytes than the packet did")
    except WireError as error:
        wrong.append(f"together they make no packet: {error}")
    if wrong:
        raise ExpectationFailed(f"fragments at MTU {mtu} are unlawful", "\n".join(wrong))


@pytest.mark.behaviour("FR-01", clause="RFC 791 3.2")
@pytest.mark.topology(Topology.star("dut:router", "a", "b"))
@drill(
    "offset off by 8",
    faults.nft(
        "type filter hook egress device {b} priority 0;",
        f"ip frag-off {FIRST_END} ip frag-off set {FIRST_END + 1}",
        family="netdev",
    ),
    caught="unlawful",
)
@drill(
    "MF on the last",
    faults.nft(
        "type filter hook egress device {b} priority 0;",
        f"ip frag-off {FIRST_END} ip frag-off set {0x2000 | FIRST_END}",
        family="netdev",
    ),
    caught="unlawful",
)
@drill(
    "another id on the last",
    faults.nft(
        "type filter hook egress device {b} priority 0;",
        f"ip frag-off {FIRST_END} ip id set 7",
        family="netdev",
    ),
    caught="unlawful|expect none",
)
@drill(
    "loses the last",
    faults.nft(
        "type filter hook egress device {b} priority 0;",
        f"ip frag-off {FIRST_END} drop",
        family="netdev",
    ),
    caught="unlawful",
)
def test_fragments_are_lawful_and_whole(bench: Bench) -> None:
    net, router = bench.bring_up_network(), bench.router("dut")
    a, b = net["a"], net["b"]
    for mtu in MTUS:
        router.set_mtu(bench.port("dut", toward="b"), mtu)
        long, fitting = original(bench, LENGTH), original(bench, mtu)
        frame = EthFrame(a.gateway_mac, a.mac)
        with bench.capture() as seen:
            bench.nic("a").inject(compose(frame, long))
            seen.settle()
        there = seen.at("b--dut")
        ours = match.ipv4(src=a.ip, dst=b.ip, protocol="udp")
        found = there.expect_at_least(ours & match.ipv4(ident=IDENT, bad_checksum=False), 1)
        there.expect_none(ours & ~match.ipv4(ident=IDENT, bad_checksum=False))
        judge([IPv4Packet.parse(hit.data[14:]) for hit in found], long, mtu)
        seen.at("a--dut").expect_none(match.icmpv4())

        with bench.capture() as seen:
            bench.nic("a").inject(compose(frame, fitting))
            seen.settle()
        seen.at("b--dut").expect_count(ours & match.ipv4(fragment=False, length=mtu), 1)
        seen.at("b--dut").expect_count(ours, 1)
