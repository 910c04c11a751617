"""Beacons are recognised wherever a device may carry them, and nothing else is."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.capture.beacon import ArpProbe, Beacon, BeaconKind, parse_beacon, recogniser
from testbed.errors import WireError
from testbed.wire.addresses import MacAddr
from testbed.wire.arp import ArpPacket
from testbed.wire.compose import compose
from testbed.wire.ethernet import EthFrame, VlanTag
from testbed.wire.icmpv4 import DestinationUnreachable
from testbed.wire.ipv4 import IPv4Packet

A, B = MacAddr("02:00:00:00:00:0a"), MacAddr("02:00:00:00:00:0b")
IP_A, IP_B = IPv4Address("10.0.1.1"), IPv4Address("10.0.2.2")
NONCE = b"run nonc"
BEACON = Beacon(BeaconKind.CANARY, NONCE, 3, "a")

beacons = st.builds(
    Beacon,
    st.sampled_from(BeaconKind),
    st.binary(min_size=8, max_size=8),
    st.integers(0, 2**32 - 1),
    st.text(max_size=60).filter(lambda text: text.isprintable()),
)
tags = st.lists(st.builds(VlanTag, st.integers(0, 4095)), max_size=3).map(tuple)


@given(beacons, st.binary(max_size=40))
def test_what_is_emitted_is_parsed_whatever_follows(beacon, padding):
    assert Beacon.parse(beacon.emit() + padding) == beacon


@given(beacons, tags, tags)
def test_a_broadcast_is_recognised_however_it_is_tagged(beacon, before, after):
    frame = EthFrame.parse(beacon.emit_broadcast(A, before))
    assert len(frame.emit()) >= 60
    assert frame.dst == MacAddr.BROADCAST
    moved = EthFrame(frame.dst, frame.src, frame.ethertype, frame.payload, after)
    assert parse_beacon(moved.emit(pad=True)) == beacon


@given(beacons, tags, st.integers(1, 255), st.integers(0, 255), st.binary(max_size=12))
def test_a_datagram_is_recognised_behind_routers(beacon, tagged, ttl, tos, options):
    frame = EthFrame.parse(beacon.emit_udp(A, B, IP_A, IP_B))
    packet = IPv4Packet.parse(frame.payload)
    hopped = IPv4Packet(
        packet.src, packet.dst, packet.protocol, packet.payload, ttl, tos=tos, options=options
    )
    moved = EthFrame(A, B, frame.ethertype, hopped.emit(), tagged)
    assert parse_beacon(moved.emit(pad=True)) == beacon


@given(beacons, st.data())
def test_a_damaged_beacon_is_none(beacon, data):
    whole = bytearray(beacon.emit_broadcast(A))
    at = data.draw(st.integers(14, 14 + len(beacon.emit()) - 1))
    whole[at] ^= data.draw(st.integers(1, 255))
    assert parse_beacon(bytes(whole)) is None


@given(st.binary(max_size=120), st.integers(0, 120))
def test_no_bytes_crash_the_recogniser(junk, cut):
    recognise = recogniser(NONCE, [ArpProbe(A, IP_B)])
    for vehicle in (BEACON.emit_broadcast(A), BEACON.emit_udp(A, B, IP_A, IP_B)):
        recognise(vehicle[:cut])
        recognise(vehicle[:cut] + junk)
    assert recognise(junk) is None


def test_beacons_of_this_run_are_named():
    recognise = recogniser(NONCE)
    assert recognise(BEACON.emit_broadcast(A)) == "canary 3 from a"
    barrier = Beacon(BeaconKind.BARRIER, NONCE, 4, "b")
    assert recognise(barrier.emit_udp(A, B, IP_A, IP_B)) == "barrier 4 from b"


def test_beacons_of_another_run_are_not_ours():
    assert recogniser(b"another.")(BEACON.emit_broadcast(A)) is None


def test_an_icmp_error_about_a_beacon_answers_the_bench():
    quoted = EthFrame.parse(BEACON.emit_udp(A, B, IP_A, IP_B)).payload
    error = compose(EthFrame(A, B), IPv4Packet(IP_B, IP_A), DestinationUnreachable(3, quoted))
    assert parse_beacon(error) is None
    assert recogniser(NONCE)(error) == "ICMP error about canary 3 from a"
    assert recogniser(b"another.")(error) is None


def test_a_datagram_that_happens_to_carry_a_beacon_elsewhere_is_none():
    data = compose(EthFrame(B, A), IPv4Packet(IP_A, IP_B), BEACON.emit())
    assert parse_beacon(data) is None
    fragment = compose(
        EthFrame(B, A), IPv4Packet(IP_A, IP_B, 17, mf=True), bytes(8) + BEACON.emit()
    )
    assert parse_beacon(fragment) is None


def test_an_arp_probe_is_recognised_by_its_reply():
    probe = ArpProbe(A, IP_B)
    other = ArpProbe(B, IP_B)
    answer = compose(EthFrame(A, B), ArpPacket.reply(B, IP_B, A, IPv4Address(0)), pad=True)
    assert probe.is_question(probe.emit())
    assert not probe.is_answer(probe.emit())
    assert probe.is_answer(answer)
    assert not other.is_answer(answer)
    assert not ArpProbe(A, IP_A).is_answer(answer)
    recognise = recogniser(NONCE, [probe])
    assert recognise(probe.emit()) == "ARP probe for 10.0.2.2"
    assert recognise(answer) == "answer to the ARP probe for 10.0.2.2"
    assert recognise(other.emit()) is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Beacon(BeaconKind.CANARY, b"short", 1, "a"), "nonce has 8 bytes"),
        (lambda: Beacon(BeaconKind.CANARY, NONCE, 2**32, "a"), "sequence is 0 to"),
        (lambda: Beacon(BeaconKind.CANARY, NONCE, 1, "é" * 128), "at most 255 bytes"),
        (lambda: Beacon(BeaconKind.CANARY, NONCE, 1, "\ud800"), "no Unicode text"),
        (lambda: Beacon.parse(b""), "at least 27 bytes"),
        (lambda: Beacon.parse(bytes(40)), "no beacon"),
        (lambda: Beacon.parse(BEACON.emit()[:-1]), "cut short"),
    ],
)
def test_an_illegal_beacon_is_refused(make, message):
    with pytest.raises(WireError, match=message):
        make()
