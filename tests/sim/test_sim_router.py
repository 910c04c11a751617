"""What a simulated router does with packets, held against the RFCs, in virtual time."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from router_rig import RouterRig, ip, mac_of, tcp, udp

from testbed.sim.frames import BadFcs
from testbed.timing import seconds
from testbed.wire import (
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    EtherType,
    EthFrame,
    IPv4Packet,
    MacAddr,
    Redirect,
    RouterAdvertisement,
    TcpFlags,
    TcpSegment,
    TimeExceeded,
    fragment,
    reassemble,
)
from testbed.wire.icmp_info import RouterSolicitation
from testbed.wire.tcp_options import MSS, WindowScale

A, B, ROUTER = ip("10.1.0.2"), ip("10.2.0.2"), ip("10.1.0.1")


def routed(*lines: str) -> RouterRig:
    """A router whose neighbours on p2 are known, so that nothing waits."""
    return RouterRig(
        *lines, "arp 10.2.0.2 02:10:0a:02:00:02 p2 ; arp 10.3.0.9 02:10:0a:03:00:09 p3"
    )


def test_a_packet_crosses_with_the_changes_of_one_hop():
    rig = routed()
    packet = udp("10.1.0.2", "10.2.0.2", tos=0xB9, ident=77, options=b"\x94\x04\0\0")
    rig.send(packet)
    (frame,) = rig.frames("p2")
    assert frame[:12] == mac_of(B).packed + rig.mac("p2").packed
    assert rig.packets("p2") == [replace(packet, ttl=63)]


def test_short_frames_are_filled_up_with_zeros():
    rig = routed()
    rig.send(IPv4Packet(A, B, payload=b"x"))
    (frame,) = rig.frames("p2")
    assert len(frame) == 60
    assert frame[35:] == bytes(25)


@pytest.mark.parametrize(
    "frame",
    [
        BadFcs(bytes(100)),
        b"",
        bytes(59),
        bytes(1519 + 14),
    ],
)
def test_damaged_short_and_long_frames_are_counted_and_dropped(frame):
    rig = routed()
    rig.put(frame)
    assert "Received 0 frames, 0 bytes, 1 errors" in rig.run("show interfaces p1")
    assert not rig.out


def test_a_neighbour_is_asked_for_once_and_the_packet_waits():
    rig = RouterRig()
    rig.send(udp("10.1.0.2", "10.2.0.2"))
    assert [arp.target_ip for arp in rig.arps("p2")] == [B]
    assert len(rig.packets("p2")) == 1


def test_a_neighbour_that_does_not_answer_is_reported_to_the_sender():
    rig = RouterRig()
    rig.send(udp("10.1.0.2", "10.2.0.200"))
    rig.wait(seconds(4))
    (message,) = rig.icmp()
    assert (message.type, message.code) == (3, 1)
    assert len(rig.arps("p2")) == 3


@pytest.mark.parametrize("ttl", [0, 1])
def test_ttl_that_runs_out_is_told_by_the_port_it_came_in_on(ttl):
    rig = routed()
    packet = udp("10.1.0.2", "10.2.0.2", ttl=ttl)
    rig.send(packet)
    assert rig.icmp() == [TimeExceeded(0, packet.emit())]
    assert rig.packets("p1")[0].src == ROUTER
    assert not rig.packets("p2")


def test_what_has_no_route_is_told_so():
    rig = routed()
    rig.send(udp("10.1.0.2", "10.9.0.2"))
    assert [(each.type, each.code) for each in rig.icmp()] == [(3, 0)]


def test_the_longest_prefix_decides_whatever_the_order():
    rig = routed("ip route 0.0.0.0/0 10.3.0.9 ; ip route 10.9.1.0/24 10.2.0.2")
    rig.configure("ip route 10.9.0.0/16 10.3.0.9 ; ip route 10.9.1.7/32 10.3.0.9")
    for dst, port in (
        ("10.9.1.8", "p2"),
        ("10.9.1.7", "p3"),
        ("10.9.2.1", "p3"),
        ("9.9.9.9", "p3"),
    ):
        rig.clear()
        rig.send(udp("10.1.0.2", dst))
        assert [each.dst for each in rig.packets(port)] == [ip(dst)]


def test_a_better_way_is_told_and_the_packet_goes_on():
    rig = routed("ip route 10.9.0.0/16 10.1.0.9")
    rig.send(udp("10.1.0.2", "10.9.0.9"))
    told = next(each for each in rig.icmp() if isinstance(each, Redirect))
    assert told.gateway == ip("10.1.0.9")
    assert [each.dst for each in rig.packets("p1", 17)] == [ip("10.9.0.9")]
    rig.configure("interface p1 ; no ip redirects")
    rig.clear()
    rig.send(udp("10.1.0.2", "10.9.0.9"))
    assert not rig.icmp()


def test_a_large_ping_comes_back_whole():
    rig = RouterRig()
    data = bytes(at % 251 for at in range(65507))
    for piece in fragment(IPv4Packet(A, ROUTER, 1, EchoRequest(7, 9, data).emit(), ident=3), 1500):
        rig.send(piece)
    whole = reassemble(rig.packets("p1", 1))
    assert whole.payload == EchoReply(7, 9, data).emit()


def test_icmp_errors_are_limited_unless_the_limit_is_off():
    rig = routed()
    for _ in range(80):
        rig.send(udp("10.1.0.2", "10.2.0.2", ttl=1))
    limited = len(rig.icmp())
    rig.configure("no ip icmp rate-limit")
    rig.clear()
    for _ in range(80):
        rig.send(udp("10.1.0.2", "10.2.0.2", ttl=1))
    assert (limited, len(rig.icmp())) == (50, 80)
    rig.configure("no ip unreachables")
    rig.clear()
    rig.send(udp("10.1.0.2", "10.2.0.2", ttl=1))
    assert not rig.out


def test_what_is_too_long_is_cut_or_refused_by_its_df():
    rig = routed("interface p2 ; mtu 1300")
    packet = udp("10.1.0.2", "10.2.0.2", bytes(1400), ident=5)
    rig.send(packet)
    pieces = rig.packets("p2")
    assert reassemble(pieces) == replace(packet, ttl=63)
    assert max(each.total_length for each in pieces) <= 1300
    rig.clear()
    rig.send(replace(packet, df=True))
    (message,) = rig.icmp()
    assert isinstance(message, DestinationUnreachable)
    assert (message.code, message.next_hop_mtu) == (4, 1300)
    assert not rig.packets("p2")


def test_a_directed_broadcast_is_let_through_where_it_is_switched_on():
    rig = routed()
    packets = udp("10.1.0.2", "10.2.0.255"), udp("10.1.0.2", "10.3.0.255")
    for packet in packets:
        rig.send(packet)
    assert not rig.out
    rig.configure("interface p2 ; ip directed-broadcast")
    for packet in packets:
        rig.send(packet)
    assert [frame[:6] for frame in rig.frames("p2")] == [b"\xff" * 6]
    assert not rig.frames("p3")


@pytest.mark.parametrize("dst", ["255.255.255.255", "10.1.0.255"])
def test_local_broadcasts_stay_on_their_link(dst):
    rig = routed("ip route 0.0.0.0/0 10.3.0.9")
    rig.send(udp("10.1.0.2", dst), to=MacAddr.BROADCAST)
    rig.send(udp("10.1.0.2", dst))
    assert not rig.out


def test_syns_are_clamped_both_ways_and_never_raised():
    rig = routed("arp 10.1.0.2 02:10:0a:01:00:02 p1 ; interface p2 ; mtu 1400 ; ip tcp adjust-mss")
    options = (WindowScale(7), MSS(1460))
    rig.send(tcp("10.1.0.2", "10.2.0.2", options=options))
    both = TcpFlags.SYN | TcpFlags.ACK
    rig.send(tcp("10.2.0.2", "10.1.0.2", flags=both, options=options), "p2")
    for port in ("p2", "p1"):
        (packet,) = rig.packets(port)
        assert TcpSegment.parse(packet.payload, packet.src, packet.dst).option(MSS) == MSS(1360)
    rig.clear()
    rig.send(tcp("10.1.0.2", "10.2.0.2", options=(MSS(536),)))
    rig.send(tcp("10.1.0.2", "10.2.0.2", flags=TcpFlags.ACK))
    assert [len(each.payload) for each in rig.packets("p2")] == [24, 20]
    first = rig.packets("p2")[0]
    assert TcpSegment.parse(first.payload, first.src, first.dst).option(MSS) == MSS(536)


def test_the_filter_keeps_syns_out_in_whatever_fragments():
    rig = routed("ip filter tcp syn 23")
    syn = tcp("10.1.0.2", "10.2.0.2", dport=23)
    tiny = (
        replace(syn, payload=syn.payload[:8], mf=True),
        replace(syn, payload=syn.payload[8:], offset=8),
    )
    for packet in (syn, *tiny):
        rig.send(packet)
    assert not rig.packets("p2")
    let_in = [
        tcp("10.1.0.2", "10.2.0.2", dport=23, flags=TcpFlags.ACK),
        tcp("10.1.0.2", "10.2.0.2", dport=80),
        *fragment(tcp("10.1.0.2", "10.2.0.2", payload=bytes(1000)), 300),
        udp("10.1.0.2", "10.2.0.2", dport=23),
    ]
    for packet in let_in:
        rig.send(packet)
    assert rig.packets("p2") == [replace(packet, ttl=63) for packet in let_in]


def test_a_syn_of_a_connection_that_exists_passes_the_filter():
    rig = routed("ip filter tcp syn 23 ; arp 10.1.0.2 02:10:0a:01:00:02 p1")
    there = tcp("10.1.0.2", "10.2.0.2", dport=23)
    back = tcp("10.2.0.2", "10.1.0.2", sport=23, dport=4000, flags=TcpFlags.ACK)
    rig.send(back, "p2")
    rig.send(there)
    assert len(rig.packets("p2")) == 1
    rig.send(tcp("10.2.0.2", "10.1.0.2", sport=23, dport=4000, flags=TcpFlags.RST), "p2")
    rig.send(there)
    assert len(rig.packets("p2")) == 1


def test_a_router_advertises_itself_and_answers_solicitations():
    rig = RouterRig("interface p1 ; ip irdp -5 600 1800")
    rig.clear()
    ask = IPv4Packet(A, ip("224.0.0.2"), 1, RouterSolicitation().emit(), ttl=1)
    rig.send(ask, to=MacAddr("01:00:5e:00:00:02"))
    rig.wait(seconds(2))
    assert rig.icmp()[0] == RouterAdvertisement(1800, ((ROUTER, -5),))
    assert rig.packets("p1")[0].dst == ip("224.0.0.1")
    rig.clear()
    rig.configure("interface p1 ; no ip irdp")
    assert rig.icmp() == [RouterAdvertisement(0, ((ROUTER, -5),))]


def test_an_unplugged_port_takes_and_gives_nothing():
    rig = routed("ip route 10.9.0.0/16 10.2.0.2")
    rig.configure("interface p2 ; shutdown")
    rig.send(udp("10.1.0.2", "10.9.0.2"))
    assert [(each.type, each.code) for each in rig.icmp()] == [(3, 0)]
    rig.put(EthFrame(rig.mac("p2"), mac_of(B), EtherType.IPV4, b"x").emit(pad=True), "p2")
    assert "p2 is administratively down, line protocol is down" in rig.run("show interfaces")
    rig.configure("interface p2 ; no shutdown")
    rig.clear()
    rig.send(udp("10.1.0.2", "10.9.0.2"))
    assert len(rig.packets("p2")) == 1  # the neighbour that was set by hand is there again


def test_arp_timeouts_are_kept_when_other_settings_change():
    rig = RouterRig("interface p2 ; arp timeout 5000")
    rig.configure("no ip icmp rate-limit")
    rig.send(udp("10.1.0.2", "10.2.0.2"))
    rig.deaf.add(B)
    rig.wait(seconds(6))
    assert str(B) not in rig.run("show arp")


def test_fragments_are_passed_on_one_by_one_and_cut_further():
    rig = routed("interface p2 ; mtu 300")
    packet = udp("10.1.0.2", "10.2.0.2", bytes(at % 251 for at in range(2000)), ident=3)
    for piece in reversed(fragment(packet, 600)):
        rig.send(piece)
    assert reassemble(rig.packets("p2")) == replace(packet, ttl=63)
    offsets = sorted(each.offset for each in rig.packets("p2"))
    assert all(before < behind for before, behind in pairwise(offsets))
