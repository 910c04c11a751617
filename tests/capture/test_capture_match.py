"""Matchers: partial fields, several values, predicates, combinations, and how misses are told."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.capture import match
from testbed.capture.matcher import Mismatch
from testbed.errors import PlanError
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpPacket
from testbed.wire.compose import compose
from testbed.wire.ethernet import EthFrame, VlanTag
from testbed.wire.icmpv4 import (
    DestinationUnreachable,
    EchoRequest,
    ParameterProblem,
    Redirect,
    TimeExceeded,
)
from testbed.wire.ipv4 import IPv4Packet
from testbed.wire.tcp import TcpFlags, TcpSegment
from testbed.wire.tcp_options import MSS, Sack, SackPermitted, WindowScale
from testbed.wire.udp import UdpDatagram

A, B = MacAddr("02:00:00:00:00:0a"), MacAddr("02:00:00:00:00:0b")
IP_A, IP_B = IPv4Address("10.0.1.1"), IPv4Address("10.0.2.2")
ETH = EthFrame(dst=B, src=A)
IP = IPv4Packet(IP_A, IP_B, ttl=63, ident=7, df=True, tos=0xB9)
SYN = TcpSegment(
    4000,
    80,
    seq=100,
    flags=TcpFlags.SYN,
    options=(MSS(1460), SackPermitted(), WindowScale(7)),
)
ACK = TcpSegment(
    4000, 80, seq=101, ack=500, flags=TcpFlags.ACK | TcpFlags.PSH, options=(Sack(((600, 700),)),)
)

TAGGED = compose(EthFrame(B, A, payload=b"hi", tags=(VlanTag(7, pcp=3), VlanTag(8))))
ARP = compose(ETH, ArpPacket.request(A, IP_A, IP_B), pad=True)
ECHO = compose(ETH, IP, EchoRequest(1, 2, b"data"))
UDP = compose(ETH, IP, UdpDatagram(53, 1053, b"answer"))
TCP_SYN = compose(ETH, IP, SYN)
TCP_ACK = compose(ETH, IP, ACK, b"GET /")
FRAGMENT = compose(ETH, IPv4Packet(IP_A, IP_B, 17, bytes(80), mf=True, offset=1480))
PLAIN = compose(EthFrame(B, A, payload=b"hello"), pad=True)

SENT_UDP = compose(IP, UdpDatagram(5000, 7, b"x" * 100))
SENT_TCP = compose(IP, ACK)


def error_about(message) -> bytes:
    return compose(ETH, IPv4Packet(IP_B, IP_A), message)


FRAG_NEEDED = error_about(DestinationUnreachable(4, SENT_UDP[:28], next_hop_mtu=1280))


@pytest.mark.parametrize(
    ("matcher", "data"),
    [
        (match.any(), b""),
        (match.eth(), PLAIN),
        (match.eth(src=A, dst=str(B), ethertype=0x88B5, tagged=False), PLAIN),
        (match.eth(ethertype="ipv4"), ECHO),
        (match.eth(dst={B, MacAddr.BROADCAST}), PLAIN),
        (match.eth(dst=["02:00:00:00:00:0b"]), PLAIN),
        (match.eth(dst=lambda mac: not mac.is_group), PLAIN),
        (match.eth(length=60, longer_than=59, shorter_than=61), PLAIN),
        (match.eth(payload=b"hello"), PLAIN),
        (match.eth(payload={b"hello", b"other"}), PLAIN),
        (match.eth(payload=b"hi", tagged=True), TAGGED),
        (match.vlan(), TAGGED),
        (match.vlan(vid=7, pcp=3, dei=False, tpid=0x8100, depth=2), TAGGED),
        (match.vlan(vid=range(1, 10)), TAGGED),
        (match.arp(op="request", sender_ip=IP_A, target_ip="10.0.2.2"), ARP),
        (match.arp(op=1, sender_mac=A, target_mac="00:00:00:00:00:00"), ARP),
        (match.ipv4(src="10.0.1.1", dst=IP_B, protocol="icmp", ttl=63, ident=7), ECHO),
        (match.ipv4(df=True, mf=False, offset=0, fragment=False, dscp=46, ecn=1), ECHO),
        (match.ipv4(src="10.0.0.0/16", dst=IPv4Network("10.0.2.0/24")), ECHO),
        (match.ipv4(ttl=range(1, 64), ident=lambda ident: ident % 2), ECHO),
        (match.ipv4(length=32, longer_than=31, shorter_than=33, options=b""), ECHO),
        (match.ipv4(fragment=True, mf=True, offset=1480, payload=bytes(80)), FRAGMENT),
        (match.ipv4(bad_checksum=False), ECHO),
        (match.icmpv4(type=8, code=0, ident=1, seq=2, data=b"data"), ECHO),
        (match.icmpv4(type=3, code=4, next_hop_mtu=1280), FRAG_NEEDED),
        (match.udp(src_port=53, dst_port=range(1024, 2048), payload=b"answer"), UDP),
        (match.udp(bad_checksum=False), UDP),
        (match.tcp(flags="SYN", seq=100, ack=0, mss=1460, wscale=7), TCP_SYN),
        (match.tcp(flags=TcpFlags.SYN, sack_permitted=True, payload=b""), TCP_SYN),
        (match.tcp(has="ACK", lacks="SYN+FIN", ack=500, sack=((600, 700),)), TCP_ACK),
        (match.tcp(flags="ACK+PSH", payload=b"GET /", payload_length=5), TCP_ACK),
        (match.tcp(sack=lambda blocks: len(blocks) == 1, sack_permitted=False), TCP_ACK),
        (match.tcp(flags=["RST", "PSH+ACK"], longer_than=4, shorter_than=6), TCP_ACK),
        (match.raw(PLAIN), PLAIN),
        (match.raw(PLAIN[:19], padding=True), PLAIN),
        (match.containing(b"hello"), PLAIN),
        (match.where(lambda data: len(data) == 60, "60 bytes"), PLAIN),
    ],
    ids=str,
)
def test_a_frame_that_is_as_wanted_matches(matcher, data):
    assert matcher.explain(data) == ()
    assert matcher(data)
    assert not (~matcher)(data)


@pytest.mark.parametrize(
    ("matcher", "data", "misses"),
    [
        (match.ipv4(ttl=62), ECHO, ["ipv4.ttl 63, wanted 62"]),
        (
            match.ipv4(ttl=62, df=False, dst=IP_B),
            ECHO,
            ["ipv4.ttl 63, wanted 62", "ipv4.df True, wanted False"],
        ),
        (match.tcp(flags="SYN+ACK"), TCP_SYN, ["tcp.flags SYN, wanted SYN+ACK"]),
        (match.tcp(has="ACK"), TCP_SYN, ["tcp.flags SYN, wanted with ACK"]),
        (match.tcp(lacks="SYN"), TCP_SYN, ["tcp.flags SYN, wanted without SYN"]),
        (match.tcp(mss=9), TCP_ACK, ["tcp.mss absent, wanted 9"]),
        (match.ipv4(longer_than=1280), ECHO, ["ipv4.length 32, wanted more than 1280"]),
        (match.eth(ethertype=0x0800), PLAIN, ["eth.ethertype 0x88b5, wanted 0x0800"]),
        (
            match.eth(dst="02:00:00:00:00:0c"),
            PLAIN,
            ["eth.dst 02:00:00:00:00:0b, wanted 02:00:00:00:00:0c"],
        ),
        (match.ipv4(src="10.9.0.0/16"), ECHO, ["ipv4.src 10.0.1.1, wanted 10.9.0.0/16"]),
        (match.vlan(vid={9, 8}), TAGGED, ["vlan.vid 7, wanted one of 8, 9"]),
        (match.ipv4(ttl=range(64, 128)), ECHO, ["ipv4.ttl 63, wanted 64..127"]),
        (match.icmpv4(next_hop_mtu=1280), ECHO, ["icmpv4.next_hop_mtu absent, wanted 1280"]),
        (
            match.udp(payload=b"no"),
            UDP,
            ["udp.payload 616e73776572 (6 bytes), wanted 6e6f (2 bytes)"],
        ),
        (match.raw(PLAIN[:-1]), PLAIN, ["raw.length 60 bytes, wanted 59 bytes"]),
        (match.raw(b"\x03" + PLAIN[1:]), PLAIN, ["raw byte 0 0x02, wanted 0x03"]),
        (match.icmpv4(quoting=match.any()), ECHO, ["icmpv4.quoting no quotation, wanted any()"]),
    ],
    ids=str,
)
def test_what_keeps_a_frame_from_matching_is_told(matcher, data, misses):
    assert [str(miss) for miss in matcher.explain(data)] == misses
    assert not matcher(data)


def test_a_missing_layer_weighs_more_than_any_field():
    (miss,) = match.tcp(seq=1, ack=2).explain(ARP)
    assert (miss.field, miss.wanted, miss.weight) == ("tcp", "a TCP segment", 3)
    assert "ARP who-has 10.0.2.2" in miss.got


@pytest.mark.parametrize(
    ("matcher", "text"),
    [
        (match.ipv4(dst="10.0.2.2", ttl=range(1, 5)), "ipv4(dst=10.0.2.2, ttl=1..4)"),
        (match.tcp(has="SYN", longer_than=3), "tcp(has=SYN, longer_than=3)"),
        (match.eth(), "eth()"),
        (
            match.icmpv4(type=11, quoting=match.udp(dst_port=7)),
            "icmpv4(type=11, quoting=udp(dst_port=7))",
        ),
        (match.arp() | match.udp() & ~match.vlan(), "arp() | (udp() & ~vlan())"),
        (~(match.arp() | match.udp()), "~(arp() | udp())"),
        (match.any() & match.eth() & match.udp(), "any() & eth() & udp()"),
        (match.raw(b"\1\2"), "raw(0102, 2 bytes)"),
        (match.where(len), "where(len())"),
    ],
)
def test_a_matcher_reads_as_a_plan_would_write_it(matcher, text):
    assert str(matcher) == text


@pytest.mark.parametrize("cut", [28, 40, 128])
def test_an_error_is_matched_by_the_packet_that_it_quotes(cut):
    data = error_about(TimeExceeded(0, SENT_UDP[:cut]))
    assert match.icmpv4(type=11, quoting=match.udp(src_port=5000, dst_port=7))(data)
    assert match.icmpv4(quoting=match.ipv4(dst=IP_B, ttl=63, length=128))(data)
    assert match.icmpv4(quoting=SENT_UDP)(data)
    assert [str(m) for m in match.icmpv4(quoting=match.udp(dst_port=8)).explain(data)] == [
        "quoted udp.dst_port 7, wanted 8"
    ]


def test_eight_bytes_of_tcp_tell_ports_and_sequence_number():
    data = error_about(Redirect(1, IPv4Address("10.0.1.3"), SENT_TCP[:28]))
    assert match.icmpv4(gateway="10.0.1.3", quoting=match.tcp(dst_port=80, seq=101))(data)
    (miss,) = match.icmpv4(quoting=match.tcp(flags="ACK")).explain(data)
    assert str(miss) == "quoted tcp.flags absent, wanted ACK"


def test_a_quotation_may_differ_in_ttl_and_header_checksum_only():
    hopped = bytearray(SENT_UDP[:28])
    hopped[8], hopped[10], hopped[11] = 1, 2, 3
    data = error_about(TimeExceeded(0, bytes(hopped)))
    assert match.icmpv4(quoting=SENT_UDP)(data)
    hopped[4] ^= 1
    data = error_about(TimeExceeded(0, bytes(hopped)))
    (miss,) = match.icmpv4(quoting=SENT_UDP).explain(data)
    assert str(miss) == "quoted byte 4 0x01, wanted 0x00"


def test_a_quotation_shorter_than_header_and_eight_bytes_does_not_match():
    data = error_about(ParameterProblem(9, SENT_UDP[:27]))
    (miss,) = match.icmpv4(pointer=9, quoting=SENT_UDP).explain(data)
    assert str(miss) == "icmpv4.quoting 27 bytes, wanted at least 28 bytes"


def test_a_bad_checksum_is_matched_and_can_be_asked_for():
    data = compose(ETH, IP.emit(checksum=1))
    data = data[:12] + b"\x08\x00" + data[14:]
    assert match.ipv4(dst=IP_B)(data)
    assert match.ipv4(bad_checksum=True)(data)
    (miss,) = match.ipv4(bad_checksum=False).explain(data)
    assert str(miss) == "ipv4.bad_checksum True, wanted False"


def test_the_closest_alternative_explains_an_or():
    either = match.tcp(seq=9) | match.udp(dst_port=7, src_port=53)
    assert [str(miss) for miss in either.explain(UDP)] == ["udp.dst_port 1053, wanted 7"]


def test_both_parts_explain_an_and():
    both = match.ipv4(ttl=1) & match.udp(dst_port=7)
    assert [miss.field for miss in both.explain(UDP)] == ["ipv4.ttl", "udp.dst_port"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: match.ipv4(tll=3), r"match.ipv4 has no field 'tll'; did you mean ttl"),
        (lambda: match.tcp(longer=3), "did you mean longer_than"),
        (lambda: match.icmpv4(quote=b""), "did you mean quoting"),
        (lambda: match.vlan(zzz=1), "did you mean vid, pcp"),
        (lambda: match.ipv4(ttl=256), "ipv4.ttl: 256 is out of range, expected 0 to 255"),
        (lambda: match.ipv4(ttl=-1), "ipv4.ttl: -1 is out of range"),
        (lambda: match.ipv4(ttl=True), "ipv4.ttl: True is no whole number"),
        (lambda: match.ipv4(ttl="3"), "ipv4.ttl: '3' is no number"),
        (lambda: match.ipv4(ttl=2.5), "ipv4.ttl: 2.5 is no whole number"),
        (lambda: match.ipv4(df=1), "ipv4.df: 1 is neither True nor False"),
        (lambda: match.ipv4(src="10.0.0.256"), "ipv4.src: "),
        (lambda: match.ipv4(src="10.0.0.1/8"), "ipv4.src: .*host bits"),
        (lambda: match.ipv4(src=A), "ipv4.src: .* is no IPv4 address"),
        (lambda: match.ipv4(protocol="sctp"), "'sctp' is no number, expected a number or icmp"),
        (lambda: match.ipv4(ttl=[]), "ipv4.ttl: an empty collection"),
        (lambda: match.ipv4(ttl=[1, 300]), "ipv4.ttl: 300 is out of range"),
        (lambda: match.ipv4(ttl=range(5, 5)), r"ipv4.ttl: range\(5, 5\) holds no value"),
        (lambda: match.ipv4(ttl=range(256, 300)), "holds no value of 0 to 255"),
        (lambda: match.ipv4(longer_than=-1), "ipv4.longer_than: -1 is out of range"),
        (lambda: match.eth(dst="02:00"), "eth.dst: '02:00' is no MAC address"),
        (lambda: match.eth(dst=5), "eth.dst: 5 is no MAC address"),
        (lambda: match.udp(payload="text"), "udp.payload: 'text' is no bytes"),
        (lambda: match.tcp(flags="SYM"), "tcp.flags: 'SYM' is no TCP flag, expected names of FIN"),
        (lambda: match.tcp(has=3), "tcp.has: 3 is no TcpFlags"),
        (lambda: match.tcp(sack=(1, 2)), "tcp.sack: .* is no tuple of"),
        (lambda: match.icmpv4(quoting=b"short"), "an IPv4 packet from its header on"),
        (lambda: match.icmpv4(quoting=PLAIN), "an IPv4 packet from its header on"),
        (lambda: match.icmpv4(quoting=3), "expected a matcher or bytes, got 3"),
        (lambda: match.raw("text"), "match.raw wants bytes"),
        (lambda: match.containing(b""), "match.containing wants bytes, at least one"),
        (lambda: match.where(3), "a function of the frame's bytes"),
        (lambda: match.arp() & (lambda data: True), "combines with matchers only"),
        (lambda: match.arp() and match.udp(), "combine matchers with &"),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(make, message):
    with pytest.raises(PlanError, match=message):
        make()


@pytest.mark.parametrize(
    "matcher", [match.ipv4(ttl=lambda ttl: ttl.no), match.where(lambda data: data.no, "odd")]
)
def test_a_predicate_that_raises_is_the_plans_fault(matcher):
    with pytest.raises(PlanError, match="raised AttributeError"):
        matcher(ECHO)


def test_none_stands_for_a_field_that_is_left_out():
    assert str(match.ipv4(ttl=None, dst=IP_B)) == "ipv4(dst=10.0.2.2)"


EVERY = [
    match.eth(src=A), match.vlan(vid=1), match.arp(op=1), match.ipv4(ttl=1, length=20),
    match.icmpv4(type=3, quoting=match.tcp(seq=1)), match.icmpv4(quoting=SENT_UDP),
    match.udp(dst_port=1), match.tcp(has="SYN", mss=1, sack=((1, 2),)), match.raw(PLAIN),
    match.containing(b"x"),
]  # fmt: skip
SAMPLES = [TAGGED, ARP, ECHO, UDP, TCP_SYN, TCP_ACK, FRAGMENT, PLAIN, FRAG_NEEDED]


@given(st.sampled_from(SAMPLES), st.data())
def test_any_bytes_are_judged_and_both_answers_agree(sample, data):
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(damaged[: data.draw(st.integers(0, len(damaged)))])
    for matcher in EVERY:
        misses = matcher.explain(cut)
        assert matcher(cut) == (not misses)
        assert all(isinstance(miss, Mismatch) and str(miss).isprintable() for miss in misses)
        assert (~matcher)(cut) == bool(misses)


@given(st.lists(st.sampled_from(EVERY), min_size=2, max_size=4), st.sampled_from(SAMPLES))
def test_combinations_follow_logic(parts, sample):
    both, either = parts[0], parts[0]
    for part in parts[1:]:
        both, either = both & part, either | part
    answers = [part(sample) for part in parts]
    assert both(sample) == all(answers)
    assert either(sample) == any(answers)
    assert bool(both.explain(sample)) == (not all(answers))
    assert bool(either.explain(sample)) == (not any(answers))
