"""One full TCP segment with timestamps over IPv4: parsed, emitted, against scapy and dpkt.

Everybody gets at every field, the timestamps too, and everybody computes both checksums when they
emit. testbed alone also verifies both checksums when it parses: the peers do not, and that is not
taken off its time.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from ipaddress import IPv4Address

from harness import Benchmark, Goal, Measure, per_call

from testbed.wire.ipv4 import IpProtocol, IPv4Packet
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import Timestamps

A, B = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
SEGMENT = TcpSegment(
    40000,
    80,
    seq=0x12345678,
    ack=0xFEDCBA98,
    flags=TcpFlags.ACK | TcpFlags.PSH,
    window=501,
    options=(Timestamps(12345678, 87654321),),
    payload=random.Random(1).randbytes(1448),
)
PACKET = IPv4Packet(A, B, IpProtocol.TCP, SEGMENT.emit(A, B), ident=7, df=True)
RAW = PACKET.emit()


def benchmarks() -> Iterator[Benchmark]:
    """Parsing, emitting, and both."""
    yield Benchmark(
        "parse a TCP segment", "us", parse_ours, {"dpkt": parse_dpkt, "scapy": parse_scapy}
    )
    yield Benchmark("emit a TCP segment", "us", emit_ours, {"dpkt": emit_dpkt, "scapy": emit_scapy})
    yield Benchmark(
        "parse and emit a TCP segment",
        "us",
        both_ours,
        {"dpkt": both_dpkt, "scapy": both_scapy},
        goals=(Goal(10), Goal(30, "scapy"), Goal(1, "dpkt")),
    )


def parse_ours() -> Measure:
    """Both headers and the options, both checksums verified."""

    def parse() -> TcpSegment:
        packet = IPv4Packet.parse(RAW)
        return TcpSegment.parse(packet.payload, packet.src, packet.dst)

    assert parse() == SEGMENT
    return per_call(parse)


def emit_ours() -> Measure:
    """The segment's bytes, put into a new packet, and that one's."""

    def emit() -> bytes:
        return IPv4Packet(A, B, IpProtocol.TCP, SEGMENT.emit(A, B), ident=7, df=True).emit()

    assert emit() == RAW
    return per_call(emit)


def both_ours() -> Measure:
    """Parsed, and what was parsed emitted again."""

    def both() -> bytes:
        packet = IPv4Packet.parse(RAW)
        src, dst = packet.src, packet.dst
        payload = TcpSegment.parse(packet.payload, src, dst).emit(src, dst)
        return IPv4Packet(
            src, dst, packet.protocol, payload, packet.ttl, packet.ident, df=packet.df
        ).emit()

    assert both() == RAW
    return per_call(both)


def parse_dpkt() -> Measure:
    """dpkt.ip.IP with its options read."""
    from dpkt.ip import IP
    from dpkt.tcp import parse_opts

    def parse() -> object:
        packet = IP(RAW)
        return parse_opts(packet.data.opts)

    assert parse()[-1][0] == 8
    return per_call(parse)


def emit_dpkt() -> Measure:
    """Its way to have checksums computed: set them to zero."""
    from dpkt.ip import IP

    packet = IP(RAW)

    def emit() -> bytes:
        packet.sum = packet.data.sum = 0
        return bytes(packet)

    assert emit() == RAW
    return per_call(emit)


def both_dpkt() -> Measure:
    """Parsed, and what was parsed emitted again."""
    from dpkt.ip import IP
    from dpkt.tcp import parse_opts

    def both() -> bytes:
        packet = IP(RAW)
        parse_opts(packet.data.opts)
        packet.sum = packet.data.sum = 0
        return bytes(packet)

    assert both() == RAW
    return per_call(both)


def parse_scapy() -> Measure:
    """IP dissected, whose options scapy reads as it goes."""
    from scapy.layers.inet import IP, TCP

    def parse() -> object:
        return IP(RAW)[TCP].options

    assert parse()[-1][0] == "Timestamp"
    return per_call(parse)


def emit_scapy() -> Measure:
    """Its way to have checksums computed: delete them."""
    from scapy.layers.inet import IP, TCP

    packet = IP(RAW)

    def emit() -> bytes:
        del packet.chksum
        del packet[TCP].chksum
        return bytes(packet)

    assert emit() == RAW
    return per_call(emit)


def both_scapy() -> Measure:
    """Parsed, and what was parsed emitted again."""
    from scapy.layers.inet import IP, TCP

    def both() -> bytes:
        packet = IP(RAW)
        del packet.chksum
        del packet[TCP].chksum
        return bytes(packet)

    assert both() == RAW
    return per_call(both)
