"""Frames from layers, and frames that are wrong on purpose."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import Any

import pytest

from testbed.errors import WireError
from testbed.wire import (
    ArpPacket,
    EchoRequest,
    EtherType,
    EthFrame,
    IpProtocol,
    IPv4Packet,
    MacAddr,
    TcpSegment,
    TimeExceeded,
    UdpDatagram,
    VlanTag,
    compose,
    dissect,
    dissect_ipv4,
    patched,
    to_bytes,
)

A, B = MacAddr("02:00:00:00:00:01"), MacAddr("02:00:00:00:00:02")
SRC, DST = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
ETH, IP = EthFrame(src=A, dst=B), IPv4Packet(src=SRC, dst=DST)


def test_layers_lead_to_the_next_one():
    seen = dissect(compose(ETH, IP, UdpDatagram(1, 2, b"x")))
    assert seen.eth is not None
    assert seen.ipv4 is not None
    assert seen.udp == UdpDatagram(1, 2, b"x")
    assert seen.eth.ethertype == EtherType.IPV4
    assert seen.ipv4.protocol == IpProtocol.UDP
    assert seen.bad_checksums == ()


def test_bytes_fill_the_innermost_layer():
    for layer in (UdpDatagram(1, 2), TcpSegment(1, 2), EchoRequest(1, 2)):
        seen = dissect(compose(ETH, IP, layer, b"data"))
        assert seen.payload == b"data"
        assert seen.bad_checksums == ()
    assert compose(ETH, b"data") == EthFrame(B, A, EtherType.EXPERIMENTAL, b"data").emit()
    assert compose(b"data") == b"data"


def test_explicit_numbers_stay():
    seen = dissect(compose(EthFrame(B, A, 0x0801), IPv4Packet(SRC, DST, 99), UdpDatagram(1, 2)))
    assert seen.eth is not None
    assert seen.eth.ethertype == 0x0801
    inner = dissect_ipv4(seen.payload)
    assert inner.ipv4 is not None
    assert inner.ipv4.protocol == 99


def test_icmp_errors_quote_the_packet_inside():
    quoted = compose(IP, UdpDatagram(7, 8, b"lost"))
    seen = dissect(compose(ETH, IP, TimeExceeded(), IP, UdpDatagram(7, 8, b"lost")))
    assert seen.icmpv4 == TimeExceeded(0, quoted)
    assert seen.payload == quoted


def test_ip_in_ip_and_tags_and_padding():
    data = compose(EthFrame(B, A, tags=(VlanTag(5),)), IP, IP, b"inner", pad=True)
    seen = dissect(data)
    assert len(data) == 63  # longer than the minimum already
    assert seen.ipv4 is not None
    assert seen.ipv4.protocol == IpProtocol.IPIP
    assert len(compose(ETH, ArpPacket.request(A, SRC, DST), pad=True)) == 60
    assert len(compose(ETH, ArpPacket.request(A, SRC, DST))) == 42


@pytest.mark.parametrize(
    ("layers", "reason"),
    [
        ((), "no layers"),
        ((ETH, UdpDatagram(1, 2)), "UdpDatagram must stand inside an IPv4Packet"),
        ((TcpSegment(1, 2),), "TcpSegment must stand inside an IPv4Packet"),
        ((b"x", IP), "bytes cannot carry another layer"),
        ((ETH, ArpPacket.request(A, SRC, DST), b"x"), "ArpPacket cannot carry"),
        ((ETH, IP, UdpDatagram(1, 2, b"x"), b"y"), "UdpDatagram has its payload already"),
        ((ETH, IP, EchoRequest(1, 2, b"x"), b"y"), "EchoRequest has its data already"),
        ((ETH, IP, TimeExceeded(0, b"x"), IP), "TimeExceeded has its quoted already"),
        ((ETH, "text"), "str is no layer"),
        ((ETH, IP, b"x" * 65516), "65536 bytes in all"),
    ],
)
def test_layers_that_do_not_stack(layers: tuple[Any, ...], reason: str):
    with pytest.raises(WireError, match=reason):
        compose(*layers)


def test_to_bytes_takes_whole_frames_only():
    class Scapyish:
        def __bytes__(self) -> bytes:
            return b"built"

    assert to_bytes(b"raw") == b"raw"
    assert to_bytes(bytearray(b"raw")) == b"raw"
    assert to_bytes(memoryview(b"raw")) == b"raw"
    assert to_bytes(ETH) == ETH.emit()
    assert to_bytes(Scapyish()) == b"built"
    layer: Any = IP
    with pytest.raises(WireError, match="IPv4Packet is no whole frame: compose it"):
        to_bytes(layer)
    number: Any = 5
    with pytest.raises(WireError, match="int is no whole frame"):
        to_bytes(number)


def test_patched_replaces_and_leaves_the_rest():
    assert patched(b"abcdef", {0: 0x58, 3: b"YZ"}) == b"XbcYZf"
    assert patched(b"abc", {}) == b"abc"
    seen = dissect(patched(compose(ETH, IP, UdpDatagram(1, 2)), {22: 1}))
    assert seen.bad_checksums == ("ipv4",)
    assert seen.ipv4 is not None
    assert seen.ipv4.ttl == 1


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({3: 1}, "1 bytes at 3 in 3"),
        ({2: b"xy"}, "2 bytes at 2 in 3"),
        ({-1: 1}, "at -1"),
        ({0: 256}, "256 at 0 is no byte"),
    ],
)
def test_patches_stay_within_the_data(changes: dict[int, int | bytes], reason: str):
    with pytest.raises(WireError, match=reason):
        patched(b"abc", changes)
