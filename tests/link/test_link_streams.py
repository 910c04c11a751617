"""What streams are made of: values, fields, checksums, shares, and paces."""

from collections import Counter
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Dot1Q, Ether
from scapy.packet import Packet, Raw

from testbed.errors import PlanError
from testbed.link.streams import (
    SENT_AT,
    SEQUENCE,
    Blend,
    Frames,
    Increment,
    Listed,
    Pace,
    Random,
)
from testbed.link.streams.render import Renderer
from testbed.link.streams.values import mixed
from testbed.wire import IPv4Packet, MacAddr, UdpDatagram
from testbed.wire.ethernet import EthFrame, VlanTag

A, B = "02:00:00:00:00:0a", "02:00:00:00:00:0b"
PLAIN = bytes.fromhex("0200000000bb0200000000aa88b5") + bytes(46)


def ether(*, vlan: bool = False) -> Packet:
    frame = Ether(dst=B, src=A)
    return frame / Dot1Q(vlan=7, prio=5) if vlan else frame


def made(frames: Frames, n: int, now: int = 0) -> bytes:
    return frames.compiled.frame(n, now)


def recomputed(frame: bytes) -> bytes:
    """The frame as scapy makes it when it works out every checksum itself."""
    packet = Ether(frame)
    for layer in (IP, UDP, TCP, ICMP):
        if layer in packet:
            del packet[layer].chksum
    return bytes(packet)


VARIED = {
    "udp": (
        ether() / IP(src="198.18.0.1", dst="198.18.0.2") / UDP(sport=7, dport=9) / Raw(b"x" * 31),
        {"udp.src_port": Increment(), "ipv4.dst": Increment(count=300)},
    ),
    "tagged udp": (
        ether(vlan=True) / IP(src="198.18.0.1", dst="198.18.0.2") / UDP() / Raw(b"y" * 40),
        {"vlan.vid": Increment(), "eth.src": Random(2, 5), "ipv4.ident": Increment(step=7)},
    ),
    "tcp": (
        ether() / IP(src="198.18.0.1", dst="198.18.0.2", ttl=9) / TCP(options=[("MSS", 1460)]),
        {"tcp.seq": Increment(step=1460), "tcp.dst_port": Listed([80, 443]), "ipv4.tos": SEQUENCE},
    ),
    "icmp": (
        ether() / IP(src="198.18.0.1", dst="198.18.0.2") / ICMP() / Raw(b"z" * 33),
        {"payload[0:8]": SEQUENCE, "payload[9:17]": SENT_AT, "payload[32:33]": Random(0, 255)},
    ),
    "odd places": (
        ether() / IP(src="198.18.0.1", dst="198.18.0.2") / UDP() / Raw(b"w" * 41),
        {"payload[1:5]": Random(0, 2**32 - 1), "payload[7:13]": Increment(2**48 - 50),
         "payload[13:15]": Increment(65530), "payload[40:41]": Increment()},
    ),
    "ip options": (
        ether() / IP(src="198.18.0.1", dst="198.18.0.2", options=b"\x01" * 4) / UDP() / Raw(b"12"),
        {"ipv4.src": Random(IPv4Address("10.0.0.1"), IPv4Address("10.0.255.255"), seed=3)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", VARIED)
def test_checksums_are_right_in_every_varied_frame(kind: str) -> None:
    packet, vary = VARIED[kind]
    frames = Frames(packet, vary=vary)
    seen = set()
    for n in [*range(300), 2**32 - 1, 2**32, 2**50]:
        frame = made(frames, n, 10**18 + n)
        assert frame == recomputed(frame)
        seen.add(frame)
    assert len(seen) > 250


@pytest.mark.parametrize("kind", VARIED)
def test_numpy_makes_the_same_frames(kind: str) -> None:
    packet, vary = VARIED[kind]
    other = Frames(PLAIN, PLAIN + b"longer", share=2)
    for blend in (Blend([Frames(packet, vary=vary)]), Blend([Frames(packet, vary=vary), other])):
        renderer = Renderer(blend, 100)
        for first in (0, 1, 2**33 + 5):
            renderer.fill(first, 100, 777)
            for row in range(100):
                frame = renderer.rows[row, : renderer.lengths[row]].tobytes()
                assert frame == blend.frame(first + row, 777)


def test_the_checksum_of_nothing_but_zeros_is_the_same_by_numpy() -> None:
    echo = Ether(dst=B, src=A) / IP(src="1.1.1.1", dst="2.2.2.2") / ICMP(type=0, id=0, seq=0)
    blend = Blend([Frames(echo / Raw(bytes(8)), vary={"payload[0:2]": SEQUENCE})])
    renderer = Renderer(blend, 2)
    renderer.fill(0, 2, 0)
    assert renderer.rows[0].tobytes()[: len(blend.frame(0, 0))] == blend.frame(0, 0)
    assert blend.frame(0, 0)[36:38] == b"\xff\xff"


def test_a_udp_checksum_that_comes_out_as_zero_is_sent_as_ones() -> None:
    packet = ether() / IP(src="198.18.0.1", dst="198.18.0.2") / UDP() / Raw(b"abcd")
    frames = Frames(packet, vary={"payload[0:2]": SEQUENCE})
    checksums = [made(frames, n)[40:42] for n in range(65536)]
    assert b"\0\0" not in checksums
    assert b"\xff\xff" in checksums


def test_a_udp_datagram_without_a_checksum_stays_without_one() -> None:
    packet = ether() / IP(src="198.18.0.1", dst="198.18.0.2") / UDP(chksum=0) / Raw(b"abcd")
    assert made(Frames(packet, vary={"ipv4.src": Increment()}), 5)[40:42] == b"\0\0"


def test_a_fragment_keeps_the_transport_checksum_that_is_not_its_own() -> None:
    packet = ether() / IP(src="198.18.0.1", dst="198.18.0.2", flags="MF") / UDP(chksum=0x1234)
    frame = made(Frames(packet / Raw(b"abcd"), vary={"ipv4.src": Increment()}), 9)
    assert frame[40:42] == b"\x12\x34"
    assert Ether(frame)[IP].src == "198.18.0.10"


def test_frames_are_given_as_wire_values_bytes_or_scapy_packets() -> None:
    value = EthFrame(MacAddr(B), MacAddr(A), payload=b"hi", tags=(VlanTag(5),))
    frames = Frames(value, PLAIN, ether() / ARP())
    sizes = [len(made(frames, n)) for n in range(4)]
    assert sizes == [60, 60, 60, 60]
    assert made(frames, 3) == made(frames, 0) == value.emit(pad=True)


def test_values_count_repeat_and_draw_as_they_say() -> None:
    assert [Increment(5, step=-2, count=3).at(n, 0) for n in range(4)] == [5, 3, 1, 5]
    macs = [MacAddr(A), MacAddr(B)]
    assert [Listed(macs).at(n, 0) & 0xFF for n in range(3)] == [10, 11, 10]
    drawn = Counter(Random(10, 19, seed=4).at(n, 0) for n in range(10_000))
    assert set(drawn) == set(range(10, 20))
    assert max(drawn.values()) < 1200
    assert [Random(0, 9).at(n, 0) for n in range(20)] != [
        Random(0, 9, 2).at(n, 0) for n in range(20)
    ]


def test_chance_is_splitmix64() -> None:
    # Reference values of the generator's published C code for the seed 1234567.
    assert [mixed(n, 1234567) for n in range(3)] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
    ]


@pytest.mark.parametrize(
    ("frames", "vary", "message"),
    [
        ([PLAIN], {"ipv4.src": SEQUENCE}, "no field 'ipv4.src'; it has eth.dst, eth.src"),
        ([PLAIN], {"payload[0:3]": SEQUENCE}, "expected 1, 2, 4, 6 or 8 bytes"),
        ([PLAIN], {"frame[56:64]": SEQUENCE}, "within the frame's 60"),
        ([PLAIN], {"frame[6:8]": SEQUENCE, "eth.src": SEQUENCE}, "share byte 6"),
        ([PLAIN, bytes(ether(vlan=True) / IP() / UDP())], {"payload[0:8]": SEQUENCE},
         "not at the same place"),
        ([bytes(ether() / IP() / UDP())], {"ipv4.src": SEQUENCE, "frame[24:26]": SEQUENCE},
         "are a checksum"),
        ([bytes(ether() / IP() / UDP(chksum=0)), bytes(ether() / IP() / UDP())],
         {"ipv4.src": SEQUENCE}, "in some frames of the flow only"),
        ([], {}, "no frame"),
    ],
)  # fmt: skip
def test_what_cannot_be_varied_is_refused(frames, vary, message) -> None:
    with pytest.raises(PlanError, match=message.replace("[", r"\[")):
        Frames(*frames, vary=vary)


def test_values_that_make_no_sense_are_refused() -> None:
    with pytest.raises(PlanError, match="empty"):
        Listed([])
    with pytest.raises(PlanError, match="no random number from 5 to 4"):
        Random(5, 4)
    with pytest.raises(PlanError, match="share of 0"):
        Frames(PLAIN, share=0)
    with pytest.raises(PlanError, match="add up to 5000"):
        Blend([Frames(PLAIN, share=4999), Frames(PLAIN)])


@given(st.lists(st.integers(1, 30), min_size=1, max_size=8), st.integers(0, 5000))
@settings(max_examples=100, deadline=None)
def test_each_flow_has_its_share_at_any_moment(shares: list[int], sent: int) -> None:
    blend = Blend([Frames(PLAIN, share=share) for share in shares])
    places = [blend.locate(n) for n in range(sent)]
    counted = Counter(flow for flow, _ in places)
    assert blend.split(sent) == tuple(counted[flow] for flow in range(len(shares)))
    for flow, share in enumerate(shares):
        assert [rank for which, rank in places if which == flow] == list(range(counted[flow]))
        assert abs(counted[flow] - sent * share / sum(shares)) <= len(shares)


def test_a_rate_is_given_in_frames_in_bits_or_as_a_share_of_the_line() -> None:
    assert Pace.of(60, pps=1000).interval == 256_000_000
    assert Pace.of(1514, bits_per_second=1518 * 8 * 1000).pps == pytest.approx(1000)
    # IEEE 802.3: a gigabit carries 1,488,095 frames of 64 bytes a second.
    assert Pace.of(60, line_share=1.0, line_rate=10**9).pps == pytest.approx(1_488_095.2)
    assert Pace.of(60, pps=1000, burst=10).interval == 2_560_000_000
    assert Pace.of(60).interval == 0
    with pytest.raises(PlanError, match="given once"):
        Pace.of(60, pps=1, line_share=0.5)
    with pytest.raises(PlanError, match="does not tell"):
        Pace.of(60, line_share=0.5)
    for wrong in ({"pps": 0}, {"pps": 1e9}, {"burst": 0}, {"line_share": 1.5, "line_rate": 1}):
        with pytest.raises(PlanError, match="expected"):
            Pace.of(60, **wrong)


def test_bounds_hold_all_that_a_field_can_be() -> None:
    for values in (Increment(5, 3, 10), Increment(250, 3, 10), Listed([3, 300]), Random(4, 9)):
        least, most = values.bounds(8)
        assert all(least <= values.at(n, 0) & 0xFF <= most for n in range(1000))
    assert SENT_AT.bounds(16) == (0, 65535)
    assert Increment(7).bounds(16) == (0, 65535)


def test_a_wire_value_is_varied_as_any_frame() -> None:
    udp = UdpDatagram(1000, 2000, b"0123456789")
    packet = IPv4Packet(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2"), 17,
                        udp.emit(IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")))  # fmt: skip
    frame = EthFrame(MacAddr(B), MacAddr(A), 0x0800, packet.emit())
    assert recomputed(made(Frames(frame, vary={"ipv4.src": Increment()}), 77))[29] == 78
