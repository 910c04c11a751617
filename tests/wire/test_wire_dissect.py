"""Dissections keep all that can be told of a frame, and describe it."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from testbed.wire import (
    MSS,
    ArpPacket,
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    EthFrame,
    IcmpUnknown,
    IgmpMessage,
    IPv4Packet,
    Layer,
    MacAddr,
    MaskReply,
    MaskRequest,
    ParameterProblem,
    Redirect,
    RouterAdvertisement,
    RouterSolicitation,
    Sack,
    SackPermitted,
    SourceQuench,
    TcpFlags,
    TcpSegment,
    TimeExceeded,
    TimestampReply,
    TimestampRequest,
    Timestamps,
    UdpDatagram,
    UnknownOption,
    VlanTag,
    WindowScale,
    compose,
    dissect,
    dissect_ipv4,
    fields,
    fragment,
    patched,
    summary,
)

A, B = MacAddr("02:00:00:00:00:01"), MacAddr("02:00:00:00:00:02")
SRC, DST = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
ETH, IP = EthFrame(src=A, dst=B), IPv4Packet(src=SRC, dst=DST)


def test_bad_checksums_are_flags_and_the_fields_are_there():
    for layer, name, at in (
        (UdpDatagram(1, 2, b"x"), "udp", 40),
        (TcpSegment(1, 2, payload=b"x"), "tcp", 50),
        (EchoRequest(1, 2, b"x"), "icmpv4", 36),
    ):
        data = compose(ETH, IP, layer)
        assert dissect(data).bad_checksums == ()
        seen = dissect(patched(data, {at: 0xBA, at + 1: 0xD0}))
        assert seen.bad_checksums == (name,)
        assert getattr(seen, name) == layer
        assert fields(seen)[name]["checksum"] == "bad"
        assert seen.error is None


def test_udp_without_checksum_is_fine():
    data = compose(ETH, IP, UdpDatagram(1, 2, b"x"))
    assert dissect(patched(data, {40: b"\0\0"})).bad_checksums == ()


def test_fragments_show_the_transport_once_and_judge_no_checksum():
    packet = dissect(compose(ETH, IP, UdpDatagram(1, 2, bytes(3000)))).ipv4
    assert packet is not None
    first, later, _ = (dissect(compose(ETH, piece)) for piece in fragment(packet, 1500))
    assert first.udp is not None
    assert first.udp.dst_port == 2
    assert len(first.payload) == 1472
    assert first.bad_checksums == ()
    assert later.udp is None
    assert len(later.payload) == 1480
    assert later.error is None


def test_a_fault_keeps_the_layers_around_it():
    data = compose(ETH, IP, UdpDatagram(1, 2, b"x"))
    seen = dissect(patched(data, {38: b"\0\7"}))
    assert seen.ipv4 is not None
    assert seen.udp is None
    assert seen.error is not None
    assert seen.error.offset == 38
    assert seen.payload == patched(data, {38: b"\0\7"})[34:]
    cut = dissect(data[:30])
    assert cut.eth is not None
    assert cut.ipv4 is None
    assert cut.error is not None
    assert cut.error.offset == 30
    arp = dissect(compose(ETH, ArpPacket.request(A, SRC, DST))[:40])
    assert arp.arp is None
    assert arp.error is not None
    assert arp.error.offset == 40


def test_padding_belongs_to_no_layer():
    seen = dissect(compose(ETH, IP, UdpDatagram(1, 2, b"x"), pad=True))
    assert seen.payload == b"x"
    assert dissect(compose(ETH, ArpPacket.probe(A, DST), pad=True)).payload == b""


def test_the_outer_tag_is_the_vlan():
    seen = dissect(compose(EthFrame(B, A, tags=(VlanTag(1), VlanTag(2))), b"x"))
    assert seen.vlan == VlanTag(1)


def test_quoted_packets_are_partial():
    quoted = compose(IP, UdpDatagram(1, 2, bytes(100)))[:28]
    seen = dissect_ipv4(quoted, partial=True)
    assert seen.udp == UdpDatagram(1, 2)
    assert seen.bad_checksums == ()
    assert dissect_ipv4(quoted).error is not None


def test_fields_are_ordered_and_named_like_the_attributes():
    table = fields(dissect(compose(EthFrame(B, A, tags=(VlanTag(7),)), IP, EchoReply(5, 6, b"x"))))
    assert list(table) == ["eth", "vlan", "ipv4", "icmpv4", "payload"]
    assert list(table["eth"]) == ["dst", "src", "ethertype"]
    assert table["vlan"]["vid"] == 7
    assert table["ipv4"]["ttl"] == 64
    assert table["icmpv4"] == {
        "message": "EchoReply",
        "type": 0,
        "code": 0,
        "ident": 5,
        "sequence": 6,
    }
    assert table["payload"] == {"length": 1, "data": b"x"}
    assert fields(dissect(b"junk"))["error"]["offset"] == 4


QUOTE = (IP, UdpDatagram(9, 10, b"x"))


@pytest.mark.parametrize(
    ("layers", "line"),
    [
        ((ArpPacket.request(A, SRC, DST),), "ARP who-has 10.0.0.2 tell 10.0.0.1"),
        ((ArpPacket.reply(A, SRC, B, DST),), "ARP 10.0.0.1 is-at 02:00:00:00:00:01"),
        ((ArpPacket(9, A, SRC, B, DST),), "ARP op 9 10.0.0.1 to 10.0.0.2"),
        ((b"hello",), "0x88b5 length 5"),
    ],
)
def test_summary_of_frames(layers: tuple[Layer, ...], line: str):
    macs = "02:00:00:00:00:01 > 02:00:00:00:00:02"
    assert summary(compose(ETH, *layers)) == f"{macs} {line}"
    tagged = EthFrame(B, A, tags=(VlanTag(5), VlanTag(6)))
    assert summary(compose(tagged, *layers)) == f"vlan 5 vlan 6 {macs} {line}"


@pytest.mark.parametrize(
    ("layers", "line"),
    [
        ((IP, b"abc"), "10.0.0.1 > 10.0.0.2 protocol 253 length 3"),
        ((IP, UdpDatagram(1, 2, b"abc")), "10.0.0.1.1 > 10.0.0.2.2 UDP length 3"),
        (
            (IP, TcpSegment(4000, 80, 1, flags=TcpFlags.SYN, options=(MSS(1460),))),
            "10.0.0.1.4000 > 10.0.0.2.80 TCP [SYN] seq 1 win 65535 mss 1460",
        ),
        (
            (
                IP,
                TcpSegment(
                    4000,
                    80,
                    7,
                    9,
                    TcpFlags.ACK | TcpFlags.PSH,
                    options=(SackPermitted(), WindowScale(7), Timestamps(3, 4), UnknownOption(99)),
                    payload=b"abcd",
                ),
            ),
            (
                "10.0.0.1.4000 > 10.0.0.2.80 TCP [PSH,ACK] seq 7 ack 9 win 65535"
                " length 4 sackOK wscale 7 ts 3/4 opt 99"
            ),
        ),
        (
            (IP, TcpSegment(1, 2, options=(Sack(((3, 4), (5, 6))),))),
            "10.0.0.1.1 > 10.0.0.2.2 TCP [none] seq 0 win 65535 sack 3:4,5:6",
        ),
        (
            (IP, EchoRequest(1, 2, b"abc")),
            "10.0.0.1 > 10.0.0.2 ICMP echo request id 1 seq 2 length 3",
        ),
        ((IP, EchoReply(1, 2)), "10.0.0.1 > 10.0.0.2 ICMP echo reply id 1 seq 2 length 0"),
        (
            (IP, DestinationUnreachable(4, next_hop_mtu=1400), *QUOTE),
            "10.0.0.1 > 10.0.0.2 ICMP frag needed mtu 1400, about UDP 10.0.0.1.9 > 10.0.0.2.10",
        ),
        (
            (IP, DestinationUnreachable(77), IP, b"x"),
            "10.0.0.1 > 10.0.0.2 ICMP unreachable code 77, about protocol 253 10.0.0.1 > 10.0.0.2",
        ),
        (
            (IP, TimeExceeded(), IP, TcpSegment(5, 6)),
            "10.0.0.1 > 10.0.0.2 ICMP TTL exceeded, about TCP 10.0.0.1.5 > 10.0.0.2.6",
        ),
        (
            (IP, Redirect(1, IPv4Address("10.0.0.9")), IP, EchoRequest(1, 2)),
            "10.0.0.1 > 10.0.0.2 ICMP redirect host to 10.0.0.9, about ICMP 10.0.0.1 > 10.0.0.2",
        ),
        (
            (IP, ParameterProblem(8), b"junk"),
            "10.0.0.1 > 10.0.0.2 ICMP parameter problem at byte 8, about nothing legible",
        ),
        ((IP, IcmpUnknown(30, data=b"x")), "10.0.0.1 > 10.0.0.2 ICMP type 30 code 0 length 1"),
        (
            (IP, RouterAdvertisement(1800, ((SRC, 0), (DST, -5)))),
            (
                "10.0.0.1 > 10.0.0.2 ICMP router advertisement lifetime 1800"
                " 10.0.0.1 preference 0, 10.0.0.2 preference -5"
            ),
        ),
        ((IP, RouterSolicitation()), "10.0.0.1 > 10.0.0.2 ICMP router solicitation"),
        ((IP, TimestampRequest(1, 2)), "10.0.0.1 > 10.0.0.2 ICMP timestamp request id 1 seq 2"),
        ((IP, TimestampReply(1, 2)), "10.0.0.1 > 10.0.0.2 ICMP timestamp reply id 1 seq 2"),
        ((IP, MaskRequest(1, 2)), "10.0.0.1 > 10.0.0.2 ICMP mask request id 1 seq 2"),
        (
            (IP, MaskReply(1, 2, IPv4Address("255.0.0.0"))),
            "10.0.0.1 > 10.0.0.2 ICMP mask reply 255.0.0.0 id 1 seq 2",
        ),
        (
            (IP, SourceQuench(), *QUOTE),
            "10.0.0.1 > 10.0.0.2 ICMP source quench, about UDP 10.0.0.1.9 > 10.0.0.2.10",
        ),
        ((IP, IgmpMessage.query()), "10.0.0.1 > 10.0.0.2 IGMP query max response 10 s"),
        (
            (IP, IgmpMessage.query(IPv4Address("224.1.2.3"), 5)),
            "10.0.0.1 > 10.0.0.2 IGMP query 224.1.2.3 max response 0.5 s",
        ),
        (
            (IP, IgmpMessage.report(IPv4Address("224.1.2.3"))),
            "10.0.0.1 > 10.0.0.2 IGMP v2 report 224.1.2.3",
        ),
        ((IP, IgmpMessage(9, DST)), "10.0.0.1 > 10.0.0.2 IGMP type 9 10.0.0.2"),
        (
            (IPv4Packet(SRC, DST, 17, ident=7, mf=True, offset=1480), b"x"),
            "10.0.0.1 > 10.0.0.2 UDP length 1 frag 7:1@1480+",
        ),
    ],
)
def test_summary_of_packets(layers: tuple[Layer, ...], line: str):
    assert summary(compose(ETH, *layers)) == f"IP {line}"


def test_summary_of_what_is_wrong():
    data = compose(ETH, IP, UdpDatagram(1, 2, b"x"))
    bad = patched(data, {22: 1, 40: b"\xba\xd0"})
    assert summary(bad).endswith("UDP length 1 [bad checksum: ipv4, udp]")
    assert summary(data[:30]).endswith(
        "[malformed: byte 30: an IPv4 header has 20 bytes or more, 16 came]"
    )
    assert summary(b"") == "[malformed: byte 0: an Ethernet header has 14 bytes, 0 came]"
    length = EthFrame(B, A, 3, b"abc").emit()
    assert summary(length).endswith("802.3 length 3")
