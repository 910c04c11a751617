"""Bytes that nobody should have sent: WireError with a place and a reason, and nothing else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wire_strategies import composed_frames, hostile_frames, outcome, thorough

from testbed.errors import WireError
from testbed.wire import (
    ArpPacket,
    EthFrame,
    IgmpMessage,
    IPv4Packet,
    TcpSegment,
    UdpDatagram,
    dissect,
    dissect_ipv4,
    fields,
    ipv4_address,
    parse_icmpv4,
    summary,
)
from testbed.wire.fragment import copied_options
from testbed.wire.tcp_options import parse_options

HERE = ipv4_address("10.0.0.1")

PARSERS: dict[str, Callable[[bytes], Any]] = {
    "ethernet": EthFrame.parse,
    "arp": ArpPacket.parse,
    "ipv4": IPv4Packet.parse,
    "ipv4 unverified": lambda data: IPv4Packet.parse(data, verify=False),
    "ipv4 partial": lambda data: IPv4Packet.parse(data, verify=False, partial=True),
    "icmpv4": parse_icmpv4,
    "icmpv4 unverified": lambda data: parse_icmpv4(data, verify=False),
    "igmp": IgmpMessage.parse,
    "igmp unverified": lambda data: IgmpMessage.parse(data, verify=False),
    "udp": lambda data: UdpDatagram.parse(data, HERE, HERE),
    "udp unverified": lambda data: UdpDatagram.parse(data, HERE, HERE, verify=False),
    "udp partial": lambda data: UdpDatagram.parse(data, HERE, HERE, partial=True),
    "tcp": lambda data: TcpSegment.parse(data, HERE, HERE),
    "tcp unverified": lambda data: TcpSegment.parse(data, HERE, HERE, verify=False),
}


@settings(thorough, max_examples=400)
@given(data=hostile_frames(), cut=st.sampled_from([0, 14, 18, 34]))
def test_parsers_raise_wire_errors_only(data: bytes, cut: int):
    data = data[cut:]
    for parse in PARSERS.values():
        result = outcome(parse, data)
        if isinstance(result, WireError):
            assert result.offset is not None
            assert 0 <= result.offset <= len(data)
            assert result.reason
        else:
            assert replace(result) == result  # what a parser lets through, the constructor does too


@thorough
@given(st.binary(max_size=40))
def test_option_parsers_raise_wire_errors_only(data: bytes):
    for parse in (parse_options, copied_options):
        result = outcome(parse, data)
        if isinstance(result, WireError):
            assert result.offset is not None
            assert result.offset <= len(data)


@thorough
@given(hostile_frames())
def test_dissection_never_raises(data: bytes):
    seen = dissect(data)
    line = summary(data)
    assert line
    assert line.isascii()
    assert line.isprintable()
    assert summary(seen) == line
    table = fields(seen)
    assert table["payload"]["length"] == len(seen.payload)
    if seen.error:
        assert seen.error.offset is not None
        assert seen.error.offset <= len(data)
        assert table["error"]["reason"] == seen.error.reason


@thorough
@given(hostile_frames(), st.booleans())
def test_dissection_of_a_bare_packet_never_raises(data: bytes, partial: bool):
    seen = dissect_ipv4(data[14:], partial=partial)
    assert seen.eth is None
    assert summary(seen).isprintable()


@thorough
@given(composed_frames())
def test_right_frames_have_no_faults(data: bytes):
    seen = dissect(data)
    assert seen.error is None or seen.ipv4 is not None  # a random protocol number may mean TCP
    assert "ipv4" not in seen.bad_checksums


@pytest.mark.parametrize(
    ("parse", "data", "offset", "reason"),
    [
        (EthFrame.parse, bytes(13), 13, "14 bytes, 13 came"),
        (EthFrame.parse, bytes(12) + b"\x81\x00\x00", 15, "within a VLAN tag"),
        (ArpPacket.parse, bytes(27), 27, "28 bytes, 27 came"),
        (ArpPacket.parse, b"\x00\x06" + bytes(26), 0, "hardware type 6"),
        (ArpPacket.parse, b"\x00\x01\x86\xdd" + bytes(24), 2, "protocol type 0x86dd"),
        (ArpPacket.parse, b"\x00\x01\x08\x00\x08\x04" + bytes(22), 4, "lengths 8 and 4"),
        (IPv4Packet.parse, b"\x45" + bytes(18), 19, "19 came"),
        (IPv4Packet.parse, b"\x65" + bytes(19), 0, "version 6"),
        (IPv4Packet.parse, b"\x44" + bytes(19), 0, "header length 16"),
        (IPv4Packet.parse, b"\x46" + bytes(19), 20, "header of 24 bytes, 20 came"),
        (IPv4Packet.parse, b"\x45\x00\x00\x13" + bytes(16), 2, "total length 19"),
        (IPv4Packet.parse, b"\x45\x00\x00\x15" + bytes(16), 2, "total length 21, but 20"),
        (IPv4Packet.parse, b"\x45\x00\x00\x14" + bytes(16), 10, "checksum"),
        (parse_icmpv4, bytes(7), 7, "8 bytes, 7 came"),
        (parse_icmpv4, bytes(8), 2, "checksum"),
        (PARSERS["icmpv4 unverified"], b"\x09" + bytes(7), 4, "of no address"),
        (PARSERS["icmpv4 unverified"], b"\x09\0\0\0\1\1\0\0", 5, "entries of 1 words"),
        (PARSERS["icmpv4 unverified"], b"\x09\0\0\0\2\2" + bytes(10), 16, "24 bytes, 16 came"),
        (PARSERS["icmpv4 unverified"], b"\x0d" + bytes(18), 19, "20 bytes, 19 came"),
        (PARSERS["icmpv4 unverified"], b"\x11" + bytes(10), 11, "12 bytes, 11 came"),
        (IgmpMessage.parse, bytes(7), 7, "8 bytes, 7 came"),
        (IgmpMessage.parse, b"\x11" + bytes(7), 2, "IGMP checksum"),
        (PARSERS["udp"], bytes(7), 7, "8 bytes, 7 came"),
        (PARSERS["udp"], bytes(8), 4, "UDP length 0"),
        (PARSERS["udp"], bytes(5) + b"\x09\0\0", 4, "UDP length 9, but 8"),
        (PARSERS["udp"], bytes(5) + b"\x08\0\1", 6, "checksum"),
        (PARSERS["tcp"], bytes(19), 19, "19 came"),
        (PARSERS["tcp"], bytes(20), 12, "header length 0"),
        (PARSERS["tcp"], bytes(12) + b"\x60" + bytes(7), 12, "header length 24"),
        (PARSERS["tcp"], bytes(12) + b"\x50" + bytes(7), 16, "checksum"),
        (PARSERS["tcp unverified"], bytes(12) + b"\x60" + bytes(7) + b"\1\1\1\5", 23, "option 5"),
        (PARSERS["tcp unverified"], bytes(12) + b"\x60" + bytes(7) + b"\1\2\5\0", 22, "length 5"),
        (PARSERS["tcp unverified"], bytes(12) + b"\x60" + bytes(7) + b"\2\1\0\0", 21, "length 1"),
    ],
)
def test_the_fault_is_placed_and_named(
    parse: Callable[[bytes], Any], data: bytes, offset: int, reason: str
):
    with pytest.raises(WireError, match=reason) as caught:
        parse(data)
    assert caught.value.offset == offset
