"""A router forwards a packet with the changes of one hop and no others.

Both MAC addresses are rewritten, the TTL is one less and the header checksum right; addresses,
identification, flags, DSCP, ECN, options and payload are as they were, and what filled the frame
up is no part of the packet (RFC 1812 5.2.1.2, 5.3.1; options that it does not know: 4.2.2.6). One
copy leaves, by the port of the route. A frame for another MAC address is none of its business.
"""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    EchoReply,
    EchoRequest,
    EthFrame,
    IPv4Packet,
    MacAddr,
    Matcher,
    TcpFlags,
    TcpSegment,
    Topology,
    UdpDatagram,
    compose,
    drill,
    faults,
    match,
)

MARK = b"IP-04 "
JUNK = b"behind the packet's end"
STRANGER = MacAddr("02:00:00:00:04:99")
NOP, END, RFC4727_EXPERIMENT = b"\x01", b"\x00", b"\x5e\x06ab\x0c\x0d"
ROUTER_ALERT = b"\x94\x04\x00\x00"
FLAGS = TcpFlags.SYN | TcpFlags.FIN | TcpFlags.RST | TcpFlags.PSH | TcpFlags.ACK | TcpFlags.URG


def forms(there: IPv4Packet, mtu: int) -> Iterator[IPv4Packet]:
    """``there`` in every form that must pass unharmed."""
    yield there
    for ttl in (2, 3, 65, 128, 255):
        yield replace(there, ttl=ttl)
    for tos in (0xB8, 0x01, 0x02, 0xFF):  # expedited forwarding; ECT(1); ECT(0); all ones
        yield replace(there, tos=tos)
    yield replace(there, df=True)
    yield replace(there, mf=True, payload=MARK + bytes(18))
    yield replace(there, offset=1480, payload=MARK + b"later")
    for options in (NOP * 4, RFC4727_EXPERIMENT + NOP + END, ROUTER_ALERT, NOP * 40):
        yield replace(there, options=options)
    yield replace(there, payload=b"")
    yield replace(there, payload=MARK + b"odd")
    yield replace(there, payload=MARK + bytes(range(256)))
    yield replace(there, payload=(MARK * mtu)[: mtu - 20])
    yield replace(there, protocol=17, payload=MARK + b"of a UDP header, nonsense")
    for inner in (
        UdpDatagram(40004, 40404, MARK),
        TcpSegment(40004, 40404, payload=MARK),
        TcpSegment(40004, 40404, 7, 8, flags=FLAGS, urgent=3, payload=MARK),
        EchoRequest(40004, 4, MARK),
        EchoReply(40004, 4, MARK),
    ):
        yield IPv4Packet.parse(compose(IPv4Packet(there.src, there.dst), inner))
    unsummed = UdpDatagram(40004, 40404, MARK).emit(there.src, there.dst, checksum=0)
    yield replace(there, protocol=17, payload=unsummed)


def summing_to(checksum: int, packet: IPv4Packet) -> IPv4Packet:
    """``packet`` with the id that makes its header's checksum this."""
    without = int.from_bytes(replace(packet, ident=0).emit()[10:12], "big")
    return replace(packet, ident=(without - checksum) % 0xFFFF)


def tricky(there: IPv4Packet) -> Iterator[IPv4Packet]:
    """``there`` with ids that an incremental update of the checksum may get wrong.

    One makes it 0x0000 one hop on (RFC 1624 3: RFC 1141's update gives 0xFFFF); one has a checksum
    to which 0x0100 cannot be added without a carry, which belongs to its other end (RFC 1071 2).
    And an id of 0, which DF allows (RFC 6864 4.1), is an id.
    """
    one_on = summing_to(0, replace(there, ttl=there.ttl - 1))
    yield replace(there, ident=one_on.ident)
    yield summing_to(0xFF80, there)
    yield replace(there, ident=0, df=True)


def one_hop_on(packet: IPv4Packet, src: MacAddr, dst: MacAddr) -> Matcher:
    """``packet`` as the next hop must see it."""
    hop = replace(packet, ttl=packet.ttl - 1)
    return match.eth(src=src, dst=dst) & match.ipv4(
        src=hop.src,
        dst=hop.dst,
        protocol=hop.protocol,
        ttl=hop.ttl,
        ident=hop.ident,
        df=hop.df,
        mf=hop.mf,
        offset=hop.offset,
        dscp=hop.dscp,
        ecn=hop.ecn,
        options=hop.options,
        payload=hop.payload,
        bad_checksum=False,
    )


@pytest.mark.behaviour("IP-04", clause="RFC 1812 5.2.1.2")
@pytest.mark.topology(Topology.star("dut:router", "a", "b", "c"))
@drill(
    "TTL not decremented",
    faults.nft("type filter hook postrouting priority 0;", "ip ttl 63 ip ttl set 64"),
    caught="ipv4.ttl 64, wanted 63",
)
@drill(
    "stale checksum",
    # Back to what it was, checksum and all; then the new TTL alone, written raw.
    faults.nft(
        "type filter hook postrouting priority 0;", "ip ttl 63 ip ttl set 64 @nh,64,8 set 63"
    ),
    caught="bad_checksum True, wanted False",
)
@drill(
    "source MAC address not rewritten",
    faults.nft(
        "type filter hook egress device {b} priority 0;",
        "ip protocol 253 ether saddr set 02:00:00:00:00:01",
        family="netdev",
    ),
    caught="eth.src 02:00:00:00:00:01, wanted",
)
@drill(
    "clears the DSCP",
    faults.nft("type filter hook postrouting priority 0;", "ip dscp set cs0"),
    caught="ipv4.dscp 0, wanted 46",
)
@drill(
    "strips options",
    faults.nft(
        "type filter hook postrouting priority 0;",
        "ip hdrlength 7 @nh,160,64 set 0x0101010101010101",
    ),
    caught="ipv4.options 0101",
)
@drill(
    "leaks a copy to another port",
    faults.nft(
        "type filter hook egress device {b} priority 0;",
        'ip protocol 253 dup to "{c}"',
        family="netdev",
    ),
    caught="c--dut: expect none",
)
def test_only_what_a_hop_must_change_is_changed(bench: Bench) -> None:
    net = bench.bring_up_network()
    a, b = net["a"], net["b"]
    in_port, out_port = net.at("dut", "a--dut"), net.at("dut", "b--dut")
    mtu = min(bench.nic("a").mtu, bench.router("dut").mtu(bench.port("dut", toward="b")))
    plain = IPv4Packet(a.ip, b.ip, payload=MARK)
    there = [replace(form, ident=number) for number, form in enumerate(forms(plain, mtu), 1)]
    there += tricky(plain)
    back = IPv4Packet(b.ip, a.ip, ident=0x4321, payload=b"and back")

    with bench.capture() as seen:
        for packet in there:
            frame = compose(EthFrame(in_port.mac, a.mac), packet)
            bench.nic("a").inject(frame + JUNK if len(frame) < 60 else frame)
        bench.nic("a").inject(
            compose(
                EthFrame(STRANGER, a.mac), IPv4Packet(a.ip, b.ip, payload=b"not for the router")
            )
        )
        bench.nic("b").inject(compose(EthFrame(out_port.mac, b.mac), back, pad=True))
        seen.settle()

    for packet in there:
        seen.at("b--dut").expect_count(one_hop_on(packet, src=out_port.mac, dst=b.mac), 1)
    seen.at("b--dut").expect_count(match.ipv4(src=a.ip), len(there))
    seen.at("b--dut").expect_none(match.containing(JUNK))
    seen.at("a--dut").expect_count(one_hop_on(back, src=in_port.mac, dst=a.mac), 1)
    seen.at("a--dut").expect_count(match.ipv4(), 1)
    for leaf in ("b", "c"):
        seen.at(f"{leaf}--dut").expect_none(match.containing(b"not for the router"))
    seen.at("c--dut").expect_none(match.ipv4(src={a.ip, b.ip}) | match.containing(MARK))
