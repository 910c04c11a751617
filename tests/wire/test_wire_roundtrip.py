"""Every format: what is emitted is parsed back; what is parsed is legal and emitted the same."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

from hypothesis import given
from wire_strategies import (
    arp_packets,
    blob,
    eth_frames,
    icmp_messages,
    igmp_messages,
    ips,
    ipv4_packets,
    tags,
    tcp_segments,
    thorough,
    udp_datagrams,
)

from testbed.wire import (
    ArpPacket,
    EthFrame,
    Icmpv4,
    IgmpMessage,
    IPv4Packet,
    TcpSegment,
    UdpDatagram,
    VlanTag,
    parse_icmpv4,
)


@thorough
@given(eth_frames)
def test_ethernet(frame: EthFrame):
    assert EthFrame.parse(frame.emit()) == frame


@thorough
@given(eth_frames)
def test_padding_stays_in_the_payload(frame: EthFrame):
    data = frame.emit(pad=True)
    assert len(data) >= 60
    parsed = EthFrame.parse(data)
    assert parsed.emit() == data
    assert parsed.payload.rstrip(b"\0") == frame.payload.rstrip(b"\0")


@thorough
@given(tags)
def test_vlan_tag(tag: VlanTag):
    frame = EthFrame.parse(bytes(12) + tag.emit() + b"\x88\xb5")
    assert frame.vlan == tag


@thorough
@given(arp_packets, blob)
def test_arp_with_padding(packet: ArpPacket, padding: bytes):
    assert ArpPacket.parse(packet.emit() + padding) == packet


@thorough
@given(ipv4_packets, blob)
def test_ipv4_with_padding(packet: IPv4Packet, padding: bytes):
    parsed = IPv4Packet.parse(packet.emit() + padding)
    assert parsed == packet
    assert parsed.total_length == len(packet.emit())


@thorough
@given(icmp_messages)
def test_icmpv4(message: Icmpv4):
    assert parse_icmpv4(message.emit()) == message


@thorough
@given(igmp_messages)
def test_igmp(message: IgmpMessage):
    assert IgmpMessage.parse(message.emit()) == message


@thorough
@given(udp_datagrams, ips, ips, blob)
def test_udp_with_padding(datagram: UdpDatagram, src: IPv4Address, dst: IPv4Address, pad: bytes):
    assert UdpDatagram.parse(datagram.emit(src, dst) + pad, src, dst) == datagram


@thorough
@given(tcp_segments, ips, ips)
def test_tcp(segment: TcpSegment, src: IPv4Address, dst: IPv4Address):
    data = segment.emit(src, dst)
    parsed = TcpSegment.parse(data, src, dst)
    assert parsed == segment
    assert parsed.emit(src, dst) == data


@thorough
@given(eth_frames, ipv4_packets, tcp_segments, udp_datagrams, ips)
def test_parsed_values_are_as_good_as_constructed_ones(
    frame: EthFrame,
    packet: IPv4Packet,
    segment: TcpSegment,
    datagram: UdpDatagram,
    ip: IPv4Address,
):
    for parsed in (
        EthFrame.parse(frame.emit()),
        IPv4Packet.parse(packet.emit()),
        TcpSegment.parse(segment.emit(ip, ip), ip, ip),
        UdpDatagram.parse(datagram.emit(ip, ip), ip, ip),
    ):
        again = replace(parsed)  # through the checks of the constructor
        assert again == parsed
        assert hash(again) == hash(parsed)
        assert type(again) is type(parsed)
        assert repr(again) == repr(parsed)
