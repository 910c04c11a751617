"""scapy as an independent judge, both ways: it reads what we emit, we read what it builds."""

from __future__ import annotations

import warnings
from dataclasses import replace
from ipaddress import IPv4Address
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from wire_strategies import (
    arp_packets,
    eth_frames,
    icmp_messages,
    igmp_messages,
    ips,
    ipv4_packets,
    tcp_segments,
    thorough,
    udp_datagrams,
)

from testbed.wire import (
    MSS,
    ArpPacket,
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    EthFrame,
    IcmpUnknown,
    Icmpv4,
    IgmpMessage,
    IgmpType,
    IPv4Packet,
    MacAddr,
    MaskReply,
    MaskRequest,
    ParameterProblem,
    Redirect,
    RouterAdvertisement,
    Sack,
    SackPermitted,
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
    parse_icmpv4,
    to_bytes,
)

A, B = MacAddr("02:00:00:00:00:01"), MacAddr("02:00:00:00:00:02")
SRC, DST = IPv4Address("10.0.0.1"), IPv4Address("192.0.2.2")


@pytest.fixture(scope="module")
def scapy() -> SimpleNamespace:
    """scapy's layers, which warn of their own dependencies while they load."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from scapy.contrib import igmp  # noqa: PLC0415
        from scapy.layers import inet, l2  # noqa: PLC0415 - slow to load, and only here
        from scapy.packet import Raw  # noqa: PLC0415
    return SimpleNamespace(
        Ether=l2.Ether,
        ARP=l2.ARP,
        Dot1Q=l2.Dot1Q,
        Dot1AD=l2.Dot1AD,
        IP=inet.IP,
        ICMP=inet.ICMP,
        UDP=inet.UDP,
        TCP=inet.TCP,
        IPerror=inet.IPerror,
        Raw=Raw,
        IGMP=igmp.IGMP,
    )


def recomputed(packet: Any, *names: str) -> bytes:
    """The bytes of a scapy packet whose fields ``names`` scapy fills in anew."""
    for name in names:
        setattr(packet, name, None)
    return bytes(packet)


@thorough
@given(eth_frames)
def test_scapy_reads_our_frames(scapy: SimpleNamespace, frame: EthFrame):
    tags = tuple(replace(tag, tpid=0x8100) for tag in frame.tags)
    frame = replace(frame, tags=tags, ethertype=0x88B5)
    seen = scapy.Ether(frame.emit())
    assert (seen.dst, seen.src) == (str(frame.dst), str(frame.src))
    for tag in tags:
        assert seen.type == 0x8100
        seen = seen.payload
        assert (seen.vlan, seen.prio, seen.dei) == (tag.vid, tag.pcp, tag.dei)
    assert seen.type == 0x88B5
    assert bytes(seen.payload) == frame.payload


def test_we_read_scapys_frames(scapy: SimpleNamespace):
    data = bytes(
        scapy.Ether(dst=str(B), src=str(A))
        / scapy.Dot1AD(vlan=100, prio=3)
        / scapy.Dot1Q(vlan=5, dei=1, type=0x88B5)
        / scapy.Raw(b"hello")
    )
    tags = (VlanTag(100, 3, tpid=0x88A8), VlanTag(5, dei=True))
    assert EthFrame.parse(data) == EthFrame(B, A, 0x88B5, b"hello", tags)


@thorough
@given(arp_packets)
def test_arp_both_ways(scapy: SimpleNamespace, packet: ArpPacket):
    seen = scapy.ARP(packet.emit())
    assert (seen.hwtype, seen.ptype, seen.hwlen, seen.plen) == (1, 0x0800, 6, 4)
    assert (seen.op, seen.hwsrc, seen.hwdst) == (
        packet.op,
        str(packet.sender_mac),
        str(packet.target_mac),
    )
    assert (seen.psrc, seen.pdst) == (str(packet.sender_ip), str(packet.target_ip))
    built = scapy.ARP(
        op=packet.op,
        hwsrc=str(packet.sender_mac),
        psrc=str(packet.sender_ip),
        hwdst=str(packet.target_mac),
        pdst=str(packet.target_ip),
    )
    assert ArpPacket.parse(bytes(built)) == packet


@thorough
@given(ipv4_packets)
def test_scapy_reads_our_packets_and_finds_the_same_checksum(
    scapy: SimpleNamespace, packet: IPv4Packet
):
    packet = replace(packet, options=b"", protocol=253)
    data = packet.emit()
    seen = scapy.IP(data)
    assert (seen.version, seen.ihl, seen.len) == (4, 5, len(data))
    assert (seen.src, seen.dst, seen.proto) == (str(packet.src), str(packet.dst), 253)
    assert (seen.ttl, seen.id, seen.tos) == (packet.ttl, packet.ident, packet.tos)
    assert (packet.df, packet.mf) == (seen.flags.DF, seen.flags.MF)
    assert seen.flags.evil == packet.reserved
    assert seen.frag * 8 == packet.offset
    assert bytes(seen.payload) == packet.payload
    assert recomputed(seen, "chksum", "len", "ihl") == data


def test_we_read_scapys_packet_with_options(scapy: SimpleNamespace):
    built = scapy.IP(
        src=str(SRC), dst=str(DST), id=7, flags="DF", ttl=3, tos=0xB9, options=[b"\x94\x04\0\0"]
    ) / scapy.UDP(sport=1, dport=2)
    packet = IPv4Packet.parse(bytes(built))
    assert packet.options == b"\x94\x04\0\0"
    assert (packet.dscp, packet.ecn) == (46, 1)
    assert (packet.ttl, packet.df, packet.ident) == (3, True, 7)
    assert packet.emit() == bytes(built)


@thorough
@given(udp_datagrams, ips, ips)
def test_udp_both_ways(
    scapy: SimpleNamespace, datagram: UdpDatagram, src: IPv4Address, dst: IPv4Address
):
    built = scapy.IP(src=str(src), dst=str(dst)) / scapy.UDP(
        sport=datagram.src_port, dport=datagram.dst_port
    )
    expected = bytes(built / scapy.Raw(datagram.payload))[20:]
    assert datagram.emit(src, dst) == expected
    assert UdpDatagram.parse(expected, src, dst) == datagram


def scapy_options(segment: TcpSegment) -> list[tuple[Any, Any]]:
    """A segment's options in scapy's words."""
    words: list[tuple[Any, Any]] = []
    for option in segment.options:
        match option:
            case MSS():
                words.append(("MSS", option.value))
            case WindowScale():
                words.append(("WScale", option.shift))
            case SackPermitted():
                words.append(("SAckOK", b""))
            case Sack():
                words.append(("SAck", tuple(edge for block in option.blocks for edge in block)))
            case Timestamps():
                words.append(("Timestamp", (option.value, option.echo)))
            case UnknownOption():
                words.append((option.kind, option.data))
    return words


@thorough
@given(tcp_segments, ips, ips)
def test_tcp_both_ways(
    scapy: SimpleNamespace, segment: TcpSegment, src: IPv4Address, dst: IPv4Address
):
    # scapy has its own ideas of further kinds (MD5, user timeout, ...): raw ones are tested alone.
    known = tuple(x for x in segment.options if not isinstance(x, UnknownOption))
    segment = replace(segment, options=known, reserved=0)
    data = IPv4Packet(src, dst, 6, segment.emit(src, dst)).emit()
    seen = scapy.IP(data)[scapy.TCP]
    assert (seen.sport, seen.dport) == (segment.src_port, segment.dst_port)
    assert (seen.seq, seen.ack, seen.window) == (segment.seq, segment.ack, segment.window)
    assert int(seen.flags) == int(segment.flags)
    assert seen.urgptr == segment.urgent
    assert [x for x in seen.options if x[0] not in {"NOP", "EOL"}] == scapy_options(segment)
    assert bytes(seen.payload) == segment.payload
    again = scapy.IP(data)
    assert recomputed(again[scapy.TCP], "chksum", "dataofs") == data[20:]
    built = scapy.IP(src=str(src), dst=str(dst)) / scapy.TCP(
        sport=segment.src_port,
        dport=segment.dst_port,
        seq=segment.seq,
        ack=segment.ack,
        flags=int(segment.flags),
        window=segment.window,
        urgptr=segment.urgent,
        options=scapy_options(segment),
    )
    raw = bytes(built / scapy.Raw(segment.payload))[20:]
    assert TcpSegment.parse(raw, src, dst) == segment


@thorough
@given(icmp_messages.filter(lambda message: not isinstance(message, IcmpUnknown)))
def test_scapy_reads_our_icmp(scapy: SimpleNamespace, message: Icmpv4):
    data = message.emit()
    seen = scapy.ICMP(data)
    assert (seen.type, seen.code) == (message.type, message.code)
    match message:
        case EchoRequest() | EchoReply():
            assert (seen.id, seen.seq) == (message.ident, message.sequence)
            assert bytes(seen.payload) == message.data
        case DestinationUnreachable() if message.code == 4:
            assert seen.nexthopmtu == message.next_hop_mtu
        case Redirect():
            assert seen.gw == str(message.gateway)
        case ParameterProblem():
            assert seen.ptr == message.pointer
        case TimestampRequest() | TimestampReply():
            assert (seen.id, seen.seq) == (message.ident, message.sequence)
            times = (seen.ts_ori, seen.ts_rx, seen.ts_tx)
            assert times == (message.originate, message.receive, message.transmit)
        case MaskRequest() | MaskReply():
            assert (seen.id, seen.seq) == (message.ident, message.sequence)
            assert seen.addr_mask == str(message.mask)
    # The payload as raw bytes: scapy would otherwise rebuild the quotation as it sees fit.
    head = len(data) if seen.type in {13, 14, 17, 18} else 8
    raw = scapy.ICMP(data[:head]) / scapy.Raw(data[head:])
    assert recomputed(raw, "chksum")[2:4] == data[2:4]


@thorough
@given(igmp_messages)
def test_igmp_both_ways(scapy: SimpleNamespace, message: IgmpMessage):
    # scapy's IGMP knows the types of versions 1 and 2, and no more bytes than theirs.
    kinds = [IgmpType.QUERY, IgmpType.V1_REPORT, IgmpType.V2_REPORT, IgmpType.LEAVE]
    message = replace(message, type=kinds[message.type % 4], rest=b"")
    seen = scapy.IGMP(message.emit())
    assert (seen.type, seen.mrcode) == (message.type, message.max_response)
    assert seen.gaddr == str(message.group)
    built = scapy.IGMP(type=message.type, mrcode=message.max_response, gaddr=str(message.group))
    assert bytes(built) == message.emit()


def test_we_read_scapys_icmp(scapy: SimpleNamespace):
    quoted = bytes(scapy.IP(src=str(SRC), dst=str(DST)) / scapy.UDP(sport=9, dport=10))
    raw = scapy.Raw(quoted)
    cases = [
        (scapy.ICMP(type=8, id=5, seq=6) / scapy.Raw(b"hi"), EchoRequest(5, 6, b"hi")),
        (scapy.ICMP(type=0, id=5, seq=6) / scapy.Raw(b"hi"), EchoReply(5, 6, b"hi")),
        (
            scapy.ICMP(type=3, code=4, nexthopmtu=1400) / raw,
            DestinationUnreachable(4, quoted, 1400),
        ),
        (scapy.ICMP(type=3, code=3) / raw, DestinationUnreachable(3, quoted)),
        (
            scapy.ICMP(type=5, code=1, gw="10.0.0.9") / raw,
            Redirect(1, IPv4Address("10.0.0.9"), quoted),
        ),
        (scapy.ICMP(type=11, code=0) / raw, TimeExceeded(0, quoted)),
        (scapy.ICMP(type=12, code=0, ptr=8) / raw, ParameterProblem(8, quoted)),
        (
            scapy.ICMP(type=13, id=1, seq=2, ts_ori=3, ts_rx=4, ts_tx=5),
            TimestampRequest(1, 2, 3, 4, 5),
        ),
        (
            scapy.ICMP(type=18, id=1, seq=2, addr_mask="255.255.0.0"),
            MaskReply(1, 2, IPv4Address("255.255.0.0")),
        ),
        (
            # scapy has no fields for it: the example is laid out by hand after RFC 1256 3.
            scapy.ICMP(type=9, unused=0x02020708)
            / scapy.Raw(bytes.fromhex("0a000001 00000000 c0000202 80000000")),
            RouterAdvertisement(1800, ((SRC, 0), (DST, RouterAdvertisement.NEVER))),
        ),
    ]
    for built, expected in cases:
        assert parse_icmpv4(bytes(built)) == expected
        assert expected.emit() == bytes(built)


def test_a_composed_frame_is_the_one_scapy_builds(scapy: SimpleNamespace):
    ours = compose(
        EthFrame(src=A, dst=B, tags=(VlanTag(10, 3),)),
        IPv4Packet(src=SRC, dst=DST, ident=1),
        TcpSegment(1000, 80, 5, flags=TcpFlags.SYN, options=(MSS(1460),)),
        b"data",
    )
    theirs = (
        scapy.Ether(src=str(A), dst=str(B))
        / scapy.Dot1Q(vlan=10, prio=3)
        / scapy.IP(src=str(SRC), dst=str(DST), id=1)
        / scapy.TCP(sport=1000, dport=80, seq=5, flags="S", window=65535, options=[("MSS", 1460)])
        / scapy.Raw(b"data")
    )
    assert ours == bytes(theirs)
    assert to_bytes(theirs) == ours
    assert dissect(to_bytes(theirs)).bad_checksums == ()
