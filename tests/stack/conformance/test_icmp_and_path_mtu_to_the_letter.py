"""What ICMP does to connections: RFC 1191, RFC 5927, RFC 9293 3.9.2.2; and RFC 4821."""

from __future__ import annotations

import errno
from ipaddress import IPv4Address

import pytest
from conformance import at, opened, rfc
from script import THEM, US, Script

from testbed.stack.config import StackConfig
from testbed.stack.tcp.states import State
from testbed.wire import IpProtocol, IPv4Packet, TcpSegment

ROUTER = IPv4Address("192.0.2.254")


def quoted(s: Script, seq: int) -> bytes:
    """Header and 8 bytes of a segment that the stack sent."""
    segment = TcpSegment(s.port, s.peer_port, ((s.iss or 0) + seq) % (1 << 32))
    packet = IPv4Packet(US, THEM, IpProtocol.TCP, segment.emit(US, THEM) + bytes(1460))
    return packet.emit()[:28]


def unreachable(s: Script, code: int, seq: int, *, mtu: int = 0, kind: int = 3) -> None:
    body = bytes([kind, code, 0, 0]) + mtu.to_bytes(4, "big") + quoted(s, seq)
    total = sum(int.from_bytes(body[at : at + 2], "big") for at in range(0, len(body), 2))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    body = body[:2] + (~total & 0xFFFF).to_bytes(2, "big") + body[4:]
    s.give(IPv4Packet(ROUTER, US, IpProtocol.ICMP, body))


def test_segments_that_are_too_large_are_resent_smaller_at_once():
    s = opened(options="mss 1460")
    s.socket.send(bytes(2920))
    s.out(". 1:1461(1460) ack 1")
    s.out("P. 1461:2921(1460) ack 1")
    unreachable(s, 4, 1, mtu=1000)
    s.out(". 1:961(960) ack 1")
    s.out(". 961:1461(500) ack 1")
    s.out(". 1461:2421(960) ack 1")
    s.out("P. 2421:2921(500) ack 1")
    s.quiet(0.99)


def test_segments_that_are_small_enough_are_left_alone():
    s = opened(options="mss 1460")
    s.socket.send(bytes(1960))
    s.out(". 1:1461(1460) ack 1")
    s.quiet()
    s.into(". 1:1(0) ack 1461", after=0.1)
    s.out("P. 1461:1961(500) ack 1")
    unreachable(s, 4, 1461, mtu=1000)
    s.quiet(0.99)
    s.out("P. 1461:1961(500) ack 1", after=0.01)


@pytest.mark.parametrize("seq", [0, 2921, 5000, 4_000_000_000])
def test_a_frag_needed_about_what_is_not_in_flight_is_ignored(seq):
    """RFC 5927 4.1."""
    s = opened(options="mss 1460")
    s.socket.send(bytes(2920))
    s.out(". 1:1461(1460) ack 1")
    s.out("P. 1461:2921(1460) ack 1")
    unreachable(s, 4, seq, mtu=1000)
    s.quiet(0.99)


def test_a_frag_needed_changes_no_congestion_state():
    """RFC 1191 6.4."""
    s = opened(options="mss 1460")
    s.socket.send(bytes(2920))
    s.out(". 1:1461(1460) ack 1")
    s.out("P. 1461:2921(1460) ack 1")
    before = s.stack.tcp.connections[0].snapshot()
    unreachable(s, 4, 1, mtu=576)
    after = s.stack.tcp.connections[0].snapshot()
    assert (before.cwnd, before.ssthresh) == (after.cwnd, after.ssthresh)


def test_an_mtu_below_68_is_ignored():
    s = opened(options="mss 1460")
    s.socket.send(bytes(1460))
    s.out("P. 1:1461(1460) ack 1")
    unreachable(s, 4, 1, mtu=67)
    s.quiet(0.99)


def test_an_mtu_larger_than_the_packet_is_ignored():
    s = opened(options="mss 1460")
    s.socket.send(bytes(1460))
    s.out("P. 1:1461(1460) ack 1")
    unreachable(s, 4, 1, mtu=1500)
    unreachable(s, 4, 1, mtu=9000)
    s.quiet(0.99)


def test_segments_have_the_dont_fragment_bit():
    s = opened(options="mss 1460")
    s.socket.send(bytes(10))
    s.pass_time(0)
    assert s.sent[0][1].df


def test_an_opening_ends_by_a_hard_error():
    """RFC 9293 3.9.2.2: port unreachable."""
    here = at(State.SYN_SENT)
    unreachable(here.s, 3, 0)
    here.s.quiet(100)
    with pytest.raises(ConnectionRefusedError):
        here.s.socket.connect(("192.0.2.2", 8080))


@pytest.mark.parametrize(
    ("code", "name"), [(0, "ENETUNREACH"), (1, "EHOSTUNREACH"), (5, "EHOSTUNREACH")]
)
def test_a_soft_error_ends_no_opening_but_is_told_in_the_end(code, name):
    """MUST-56, SHLD-25."""
    here = at(State.SYN_SENT)
    unreachable(here.s, code, 0)
    for wait in (1, 2, 4, 8, 16, 32, 60):
        here.s.out("S 0:0(0)", after=wait)
    here.s.quiet(61)
    assert here.s.socket.connect_ex(("192.0.2.2", 8080)) == getattr(errno, name)


@pytest.mark.parametrize("code", [0, 1, 2, 3, 5, 9, 10, 13])
def test_no_error_ends_a_connection(code):
    """RFC 5927 5: hard errors count as soft ones there."""
    s = opened()
    s.socket.send(bytes(10))
    s.out("P. 1:11(10) ack 1")
    unreachable(s, code, 1)
    s.out("P. 1:11(10) ack 1", after=1)
    s.into(". 1:1(0) ack 11", after=0.1)
    assert s.stack.tcp.connections[0].state is State.ESTABLISHED
    s.socket.send(bytes(10))
    s.out("P. 11:21(10) ack 1")


def test_a_connection_that_dies_tells_the_last_soft_error():
    s = opened()
    s.socket.send(bytes(10))
    s.out("P. 1:11(10) ack 1")
    unreachable(s, 1, 1)
    s.pass_time(400)
    s.sent.clear()
    with pytest.raises(OSError, match="No route to host"):
        s.socket.recv(1)


def test_source_quench_and_time_exceeded_do_nothing():
    """MUST-55."""
    s = opened()
    s.socket.send(bytes(10))
    s.out("P. 1:11(10) ack 1")
    unreachable(s, 0, 1, kind=4)
    unreachable(s, 0, 1, kind=11)
    assert s.stack.tcp.connections[0].snapshot().cwnd == 10_000
    s.out("P. 1:11(10) ack 1", after=1)


def test_a_black_hole_is_found_by_smaller_segments():
    """RFC 4821 7.7, from RFC 8899's base of 1200 bytes."""
    s = opened(rfc().with_(pmtu={"probing": "blackhole"}), options="mss 1460")
    s.socket.send(bytes(1460))
    s.out("P. 1:1461(1460) ack 1")
    s.out("P. 1:1461(1460) ack 1", after=1)
    s.out("P. 1:1461(1460) ack 1", after=2)
    s.out("P. 1:1461(1460) ack 1", after=4)
    s.out(". 1:1161(1160) ack 1", after=8)


def test_without_discovery_packets_may_be_fragmented():
    s = Script(StackConfig.of(pmtu={"enabled": False}))
    s.connect()
    s.pass_time(0)
    assert not s.sent[0][1].df


def test_a_router_that_names_no_mtu_leads_to_the_next_plateau():
    """RFC 1191 5: a length not below the estimate is reduced by the header's: 1480, so 1006."""
    s = opened(options="mss 1460")
    s.socket.send(bytes(1460))
    s.out("P. 1:1461(1460) ack 1")
    unreachable(s, 4, 1)
    s.out(". 1:967(966) ack 1")
    s.out("P. 967:1461(494) ack 1")
    s.quiet(0.99)


def test_a_peers_mss_above_the_mtu_counts_as_ours():
    s = opened(options="mss 8960")
    s.socket.send(bytes(2000))
    s.out(". 1:1461(1460) ack 1")
    s.quiet()


def test_a_smaller_mtu_of_the_interface_holds_at_once():
    s = opened(options="mss 1460")
    s.socket.send(bytes(1460))
    s.out("P. 1:1461(1460) ack 1")
    s.stack.set_mtu("tun0", 1000, s.now)
    s.out(". 1:961(960) ack 1")
    s.out("P. 961:1461(500) ack 1")


def test_segments_with_a_bad_checksum_or_offset_meet_silence():
    s = opened()
    segment = s._segment("P. 1:11(10) ack 1").emit(THEM, US)
    for place, value in ((16, segment[16] ^ 1), (12, 0x40), (12, 0xF0)):
        bad = bytearray(segment)
        bad[place] = value
        s.give(IPv4Packet(THEM, US, IpProtocol.TCP, bytes(bad)))
    s.quiet(5)
