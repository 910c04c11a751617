"""The values hold only what is legal, and say what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from ipaddress import IPv4Address
from typing import Any

import pytest

from testbed import wire
from testbed.errors import WireError
from testbed.wire import (
    MSS,
    ArpOp,
    ArpPacket,
    DestinationUnreachable,
    EchoRequest,
    EthFrame,
    IcmpUnknown,
    IgmpMessage,
    IPv4Packet,
    MacAddr,
    MaskReply,
    MaskRequest,
    ParameterProblem,
    Redirect,
    RouterAdvertisement,
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
)
from testbed.wire.tcp_options import emit_options, parse_options

A, B = MacAddr("02:00:00:00:00:01"), MacAddr("02:00:00:00:00:02")
SRC, DST = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
TEXT: Any = "text where bytes belong"
TEXT_IP: Any = "10.0.0.1"


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: EthFrame(A, TEXT), "must be MacAddr"),
        (lambda: EthFrame(A, B, 0x10000), "ethertype is 65536, expected 0 to 65535"),
        (lambda: EthFrame(A, B, 0x8100), "0x8100 belongs in tags"),
        (lambda: EthFrame(A, B, payload=TEXT), "payload is str, expected bytes"),
        (lambda: VlanTag(4096), "vid is 4096, expected 0 to 4095"),
        (lambda: VlanTag(1, 8), "pcp is 8, expected 0 to 7"),
        (lambda: VlanTag(1, tpid=0x0800), "tpid is 0x0800"),
        (lambda: ArpPacket(-1, A, SRC, B, DST), "op is -1"),
        (lambda: ArpPacket(1, TEXT, SRC, B, DST), "must be MacAddr"),
        (lambda: ArpPacket(1, A, TEXT_IP, B, DST), "must be IPv4Address"),
        (lambda: IPv4Packet(TEXT_IP, DST), "must be IPv4Address"),
        (lambda: IPv4Packet(SRC, DST, 256), "protocol is 256, expected 0 to 255"),
        (lambda: IPv4Packet(SRC, DST, ttl=-1), "ttl is -1"),
        (lambda: IPv4Packet(SRC, DST, ident=65536), "ident is 65536"),
        (lambda: IPv4Packet(SRC, DST, offset=12), "offset is 12, expected a multiple of 8"),
        (lambda: IPv4Packet(SRC, DST, offset=65536), "offset is 65536"),
        (lambda: IPv4Packet(SRC, DST, offset=-8), "offset is -8"),
        (lambda: IPv4Packet(SRC, DST, tos=256), "tos is 256"),
        (lambda: IPv4Packet(SRC, DST, options=bytes(41)), "41 option bytes, expected at most 40"),
        (lambda: IPv4Packet(SRC, DST, options=TEXT), "options is str"),
        (lambda: IPv4Packet(SRC, DST, payload=TEXT), "payload is str"),
        (lambda: IPv4Packet(SRC, DST, payload=bytes(65516)), "65536 bytes in all"),
        (lambda: UdpDatagram(1, 65536), "dst_port is 65536"),
        (lambda: UdpDatagram(1, 2, TEXT), "payload is str"),
        (lambda: UdpDatagram(1, 2, bytes(65528)), "payload of 65528 bytes"),
        (lambda: TcpSegment(-1, 2), "src_port is -1"),
        (lambda: TcpSegment(1, 2, seq=1 << 32), "seq is 4294967296"),
        (lambda: TcpSegment(1, 2, window=65536), "window is 65536"),
        (lambda: TcpSegment(1, 2, reserved=8), "reserved is 8"),
        (lambda: TcpSegment(1, 2, flags=2), "flags must be TcpFlags"),  # type: ignore[arg-type]
        (lambda: TcpSegment(1, 2, flags=TcpFlags(0x200)), "flags must be TcpFlags"),
        (lambda: TcpSegment(1, 2, payload=TEXT), "payload is str"),
        (lambda: TcpSegment(1, 2, options=(Sack(((1, 2),) * 4), Timestamps(1))), "44 bytes"),
        (lambda: MSS(65536), "value is 65536"),
        (lambda: WindowScale(256), "shift is 256"),
        (lambda: Sack(()), "0 blocks"),
        (lambda: Sack(((1, 2),) * 5), "5 blocks"),
        (lambda: Sack(((1, 1 << 32),)), "right is 4294967296"),
        (lambda: Timestamps(-1), "value is -1"),
        (lambda: UnknownOption(256), "kind is 256"),
        (lambda: UnknownOption(1), "kind 1 is padding"),
        (lambda: UnknownOption(2, b"\1\2"), "kind 2 of 4 bytes has its own class"),
        (lambda: UnknownOption(254, bytes(39)), "39 bytes of data"),
        (lambda: UnknownOption(254, TEXT), "data is str"),
        (lambda: EchoRequest(65536, 0), "ident is 65536"),
        (lambda: EchoRequest(1, 0, TEXT), "data is str"),
        (lambda: DestinationUnreachable(256), "code is 256"),
        (lambda: DestinationUnreachable(4, next_hop_mtu=65536), "next_hop_mtu is 65536"),
        (lambda: DestinationUnreachable(4, TEXT), "quoted is str"),
        (lambda: TimeExceeded(256), "code is 256"),
        (lambda: TimeExceeded(0, TEXT), "quoted is str"),
        (lambda: Redirect(256, SRC), "code is 256"),
        (lambda: Redirect(1, TEXT_IP), "gateway must be"),
        (lambda: Redirect(1, SRC, TEXT), "quoted is str"),
        (lambda: ParameterProblem(256), "pointer is 256"),
        (lambda: ParameterProblem(0, TEXT), "quoted is str"),
        (lambda: SourceQuench(TEXT), "quoted is str"),
        (lambda: SourceQuench(b"", 256), "code is 256"),
        (lambda: RouterAdvertisement(65536, ((SRC, 0),)), "lifetime is 65536"),
        (lambda: RouterAdvertisement(1, ()), "0 routers, expected 1 to 255"),
        (lambda: RouterAdvertisement(1, ((TEXT_IP, 0),)), "IPv4Address values"),
        (lambda: RouterAdvertisement(1, ((SRC, 1 << 31),)), "preference is 2147483648"),
        (lambda: TimestampRequest(1, 65536), "sequence is 65536"),
        (lambda: TimestampReply(1, 2, transmit=1 << 32), "transmit is 4294967296"),
        (lambda: MaskRequest(65536, 2), "ident is 65536"),
        (lambda: MaskReply(1, 2, TEXT_IP), "mask must be"),
        (lambda: IgmpMessage(256, SRC), "type is 256"),
        (lambda: IgmpMessage(17, TEXT_IP), "group must be"),
        (lambda: IgmpMessage(17, SRC, rest=TEXT), "rest is str"),
        (lambda: IgmpMessage.query().emit(checksum=65536), "checksum is 65536"),
        (lambda: IcmpUnknown(256), "type is 256"),
        (lambda: IcmpUnknown(30, word=1 << 32), "word is 4294967296"),
        (lambda: IcmpUnknown(30, data=TEXT), "data is str"),
        (lambda: IcmpUnknown(8), "type 8 code 0 has a class of its own"),
        (lambda: IcmpUnknown(3, 99), "type 3 code 99 has a class of its own"),
        (lambda: IPv4Packet(SRC, DST).emit(checksum=65536), "checksum is 65536"),
        (lambda: UdpDatagram(1, 2).emit(SRC, DST, checksum=-1), "checksum is -1"),
        (lambda: TcpSegment(1, 2).emit(SRC, DST, checksum=65536), "checksum is 65536"),
        (lambda: EchoRequest(1, 2).emit(checksum=65536), "checksum is 65536"),
    ],
)
def test_what_is_illegal_is_refused_by_name(make: Callable[[], object], reason: str):
    with pytest.raises(WireError, match=reason) as caught:
        make()
    assert caught.value.offset is None


def test_values_are_frozen_parsed_ones_too():
    made = EthFrame(A, B)
    for frame in (made, EthFrame.parse(made.emit())):
        with pytest.raises(FrozenInstanceError):
            frame.ethertype = 5  # type: ignore[misc]
        assert not hasattr(frame, "__dict__")


def test_ipv4_options_are_padded_to_words():
    packet = IPv4Packet(SRC, DST, options=b"\x94\x04\0\0\1")
    assert packet.options == b"\x94\x04\0\0\1\0\0\0"
    assert packet.header_length == 28
    assert packet.emit()[0] == 0x47


def test_a_wrong_checksum_can_be_sent_and_is_refused():
    data = IPv4Packet(SRC, DST, payload=b"x").emit(checksum=0xBEEF)
    assert data[10:12] == b"\xbe\xef"
    with pytest.raises(WireError, match="checksum"):
        IPv4Packet.parse(data)
    assert IPv4Packet.parse(data, verify=False).payload == b"x"


def test_partial_packets():
    data = IPv4Packet(SRC, DST, payload=bytes(100)).emit()[:28]
    with pytest.raises(WireError, match="total length 120, but 28"):
        IPv4Packet.parse(data)
    assert len(IPv4Packet.parse(data, partial=True).payload) == 8


def test_arp_forms():
    assert ArpPacket.request(A, SRC, DST).target_mac == MacAddr.ZERO
    reply = ArpPacket.reply(A, SRC, B, DST)
    assert (reply.op, reply.target_mac, reply.target_ip) == (ArpOp.REPLY, B, DST)
    probe = ArpPacket.probe(A, DST)
    assert probe.is_probe
    assert not probe.is_announcement
    announcement = ArpPacket.announcement(A, SRC)
    assert announcement.is_announcement
    assert (announcement.op, announcement.sender_ip) == (ArpOp.REQUEST, announcement.target_ip)
    assert not ArpPacket.request(A, SRC, DST).is_probe


def test_udp_checksum_none_and_the_zero_that_becomes_ones():
    none = UdpDatagram(1, 2, b"x").emit(SRC, DST, checksum=0)
    assert none[6:8] == b"\0\0"
    assert UdpDatagram.parse(none, SRC, DST) == UdpDatagram(1, 2, b"x")
    # A payload that makes the sum 0xFFFF, so that the checksum comes out as zero.
    word = int.from_bytes(UdpDatagram(1, 2, b"\0\0").emit(SRC, DST)[6:8], "big")
    full = UdpDatagram(1, 2, word.to_bytes(2, "big")).emit(SRC, DST)
    assert full[6:8] == b"\xff\xff"
    assert UdpDatagram.parse(full, SRC, DST).payload == word.to_bytes(2, "big")


def test_tcp_span_counts_syn_and_fin():
    assert TcpSegment(1, 2, flags=TcpFlags.SYN).span == 1
    assert TcpSegment(1, 2, flags=TcpFlags.FIN | TcpFlags.ACK, payload=b"abc").span == 4
    assert TcpSegment(1, 2, flags=TcpFlags.ACK).span == 0


def test_tcp_option_by_class():
    segment = TcpSegment(1, 2, options=(MSS(1460), Timestamps(1, 2)))
    assert segment.option(MSS) == MSS(1460)
    assert segment.option(Timestamps) == Timestamps(1, 2)
    assert segment.option(WindowScale) is None


@pytest.mark.parametrize(
    ("options", "data"),
    [
        # The layouts of RFC 7323 appendix A and of Linux's segments after the handshake.
        ((Timestamps(1, 2),), "0101080a 00000001 00000002"),
        (
            (Timestamps(1, 2), Sack(((3, 4),))),
            "0101080a 00000001 00000002 0101050a 00000003 00000004",
        ),
        ((MSS(1460), WindowScale(7)), "020405b4 01030307"),
        ((SackPermitted(),), "01010402"),
        # Linux's SYN: what permits SACK stands in the place of the NOPs before the timestamps.
        (
            (MSS(1460), SackPermitted(), Timestamps(1, 0), WindowScale(7)),
            "020405b4 0402080a 00000001 00000000 01030307",
        ),
        (
            (SackPermitted(), Timestamps(1, 2), Sack(((3, 4),) * 3)),
            "0402080a 00000001 00000002 0101051a" + "0000000300000004" * 3,
        ),
        (
            (SackPermitted(), WindowScale(7), Timestamps(1, 2)),
            "01010402 01030307 0101080a 00000001 00000002",
        ),
        # 38 bytes fit only without the NOPs.
        (
            (SackPermitted(), Sack(((3, 4),) * 3), Timestamps(1, 2)),
            "0402 051a" + "0000000300000004" * 3 + "080a0000000100000002 0000",
        ),
    ],
)
def test_tcp_option_layout(options: tuple[Any, ...], data: str):
    assert emit_options(options) == bytes.fromhex(data)
    assert parse_options(bytes.fromhex(data)) == options


def test_tcp_padding_is_no_option_and_end_is_the_end():
    assert parse_options(b"\1\1\1\2\4\5\xb4\1\0\2\4\5") == (MSS(1460),)


@pytest.mark.parametrize(
    ("data", "kind"), [(b"\2\3\1\0", 2), (b"\x05\x03\1\0", 5), (b"\x04\x03\1\0", 4)]
)
def test_a_known_option_of_a_wrong_length_is_kept_raw(data: bytes, kind: int):
    assert parse_options(data) == (UnknownOption(kind, b"\1"),)


def test_an_echo_with_a_code_is_of_no_known_kind():
    message = IcmpUnknown(8, 1, 5 << 16 | 6, b"hi")
    assert wire.parse_icmpv4(message.emit()) == message


def test_every_exported_name_is_there_once():
    assert len(wire.__all__) == len(set(wire.__all__))
    for name in wire.__all__:
        assert getattr(wire, name) is not None
