"""A simulated router's choice of paths, its groups and its translator, in virtual time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from router_rig import EVERYTHING_ON, RouterRig, hostile, ip, tcp, udp

from testbed.stack.crossing import flow_of
from testbed.timing import seconds
from testbed.wire import (
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    IPv4Packet,
    MacAddr,
    TcpFlags,
    TcpSegment,
    UdpDatagram,
    fragment,
    parse_icmpv4,
)
from testbed.wire.igmp import IgmpMessage

TWO = "ip route 10.9.0.0/16 10.2.0.9 ; ip route 10.9.0.0/16 10.3.0.9"
A, B, GROUP = ip("10.1.0.2"), ip("10.2.0.2"), ip("239.1.2.3")


def flows(rig: RouterRig, count: int = 32) -> tuple[int, int]:
    """So many flows, three packets of each: how many packets took each of two paths."""
    rig.clear()
    for number in range(count):
        for ident in range(3):
            rig.send(udp("10.1.0.2", "10.9.0.9", sport=4000 + number, ident=ident))
    return len(rig.packets("p2", 17)), len(rig.packets("p3", 17))


# Equal cost, and fail-over


def test_equal_paths_share_the_flows_and_each_flow_keeps_to_its_own():
    rig = RouterRig(TWO)
    shares = flows(rig)
    assert sum(shares) == 96
    assert min(shares) >= 24
    assert all(share % 3 == 0 for share in shares)


def test_all_fragments_of_a_packet_are_of_one_flow():
    pieces = fragment(udp("10.1.0.2", "10.9.0.9", bytes(3000)), 600)
    assert len({flow_of(piece) for piece in pieces}) == 1


def test_flows_move_at_once_when_a_link_goes_down_and_back_when_it_is_up():
    rig = RouterRig(TWO)
    before = flows(rig)
    rig.router.set_link("p2", False, rig.now)
    assert flows(rig) == (0, 96)
    rig.router.set_link("p2", True, rig.now)
    assert flows(rig) == before


def test_a_farther_route_stands_in_for_one_that_is_lost():
    rig = RouterRig("ip route 10.9.0.0/16 10.2.0.9 ; ip route 10.9.0.0/16 10.3.0.9 20")
    assert flows(rig) == (96, 0)
    rig.router.set_link("p2", False, rig.now)
    assert flows(rig) == (0, 96)


@pytest.mark.parametrize("tracked", [True, False])
def test_a_next_hop_that_falls_silent_is_passed_over_where_it_is_tracked(tracked):
    switch = "ip route tracking" if tracked else "no ip route tracking"
    rig = RouterRig(TWO, switch, "interface p2 ; arp timeout 5000")
    flows(rig)
    rig.deaf.add(ip("10.2.0.9"))
    lost_until = None
    for second in range(1, 20):
        rig.wait(seconds(1))
        if flows(rig) == (0, 96) and lost_until is None:
            lost_until = second
    if not tracked:
        assert lost_until is None
        return
    # The ARP timeout, and three requests a second apart.
    assert 5 <= lost_until <= 9
    assert "via 10.2.0.9" not in rig.run("show ip route")
    rig.deaf.clear()
    rig.wait(seconds(2))
    assert min(flows(rig)) > 0


def test_tracking_switched_off_uses_all_again():
    rig = RouterRig(TWO, "ip route tracking")
    rig.deaf.add(ip("10.2.0.9"))
    flows(rig)
    rig.wait(seconds(4))
    assert flows(rig) == (0, 96)
    rig.configure("no ip route tracking")
    assert "via 10.2.0.9" in rig.run("show ip route")
    rig.configure("ip route tracking")
    assert flows(rig)[1] >= 24


# Groups


def to_group(rig: RouterRig, packet: IPv4Packet, port: str = "p1") -> None:
    low = int(packet.dst) & 0x7FFFFF
    rig.send(packet, port, to=MacAddr(b"\x01\x00\x5e" + low.to_bytes(3, "big")))


def say(rig: RouterRig, message: IgmpMessage, port: str, source: str | None = None) -> None:
    dst = message.group if message.is_report else ip("224.0.0.2")
    if message.is_query:
        dst = message.group if int(message.group) else ip("224.0.0.1")
    sender = ip(source or f"10.{port[1]}.0.2")
    packet = IPv4Packet(sender, dst, 2, message.emit(), ttl=1, options=b"\x94\x04\0\0")
    to_group(rig, packet, port)


def queries(rig: RouterRig, port: str) -> list[IgmpMessage]:
    return [IgmpMessage.parse(each.payload) for each in rig.packets(port, 2)]


@pytest.fixture
def multicast() -> RouterRig:
    rig = RouterRig()
    rig.configure("ip multicast-routing")
    return rig


def test_every_port_is_asked_twice_in_short_order_and_then_every_125_seconds(multicast):
    times = []
    start = multicast.now
    for _ in range(300):
        if queries(multicast, "p2"):
            times.append((multicast.now - start) // seconds(1))
        multicast.clear()
        multicast.wait(seconds(1))
    assert times == [0, 32, 157, 282]


def test_a_query_is_of_version_2_with_ttl_1_and_router_alert(multicast):
    (packet,) = multicast.packets("p1", 2)
    assert (packet.ttl, packet.options, str(packet.dst)) == (1, b"\x94\x04\0\0", "224.0.0.1")
    assert queries(multicast, "p1") == [IgmpMessage.query(max_response=100)]


def test_groups_reach_the_ports_with_members_and_no_others(multicast):
    packet = udp("10.1.0.2", str(GROUP), ttl=5)
    to_group(multicast, packet)
    assert not multicast.packets("p2", 17)
    say(multicast, IgmpMessage.report(GROUP), "p2")
    to_group(multicast, packet)
    assert multicast.packets("p2", 17) == [replace(packet, ttl=4)]
    assert multicast.frames("p2")[-1][:6] == bytes.fromhex("01005e010203")
    assert not multicast.packets("p3", 17)
    assert not multicast.packets("p1", 17)
    assert f"{GROUP}  p2" in multicast.run("show ip igmp groups")


@pytest.mark.parametrize("dst", ["224.0.0.9", "224.0.0.251"])
def test_link_local_groups_are_never_forwarded(multicast, dst):
    say(multicast, IgmpMessage.report(ip(dst)), "p2")
    for port in ("p1", "p2"):
        to_group(multicast, udp("10.1.0.2", dst), port)
    assert not multicast.packets("p2", 17)


@pytest.mark.parametrize(
    ("packet", "port"),
    [
        (udp("10.1.0.2", str(GROUP), ttl=1), "p1"),  # no hop left
        (udp("10.1.0.2", str(GROUP)), "p3"),  # not from where its sender is
        (udp("10.99.0.2", str(GROUP)), "p1"),  # from nowhere
        (udp("10.1.0.2", str(GROUP), bytes(1400), df=True), "p1"),  # too large
    ],
)
def test_what_must_not_cross_is_dropped_in_silence(multicast, packet, port):
    multicast.configure("interface p2 ; mtu 1300")
    say(multicast, IgmpMessage.report(GROUP), "p2")
    multicast.clear()
    to_group(multicast, packet, port)
    assert not multicast.out


def test_a_packet_to_a_group_in_a_frame_to_the_router_alone_is_not_forwarded(multicast):
    say(multicast, IgmpMessage.report(GROUP), "p2")
    multicast.send(udp("10.1.0.2", str(GROUP)))
    assert not multicast.packets("p2", 17)


def test_a_leave_is_followed_by_two_queries_and_the_end(multicast):
    say(multicast, IgmpMessage.report(GROUP), "p2")
    multicast.clear()
    say(multicast, IgmpMessage.leave(GROUP), "p2")
    multicast.wait(seconds(1))
    assert queries(multicast, "p2") == [IgmpMessage.query(GROUP, max_response=10)] * 2
    to_group(multicast, udp("10.1.0.2", str(GROUP)))
    assert len(multicast.packets("p2", 17)) == 1  # somebody may still answer
    multicast.wait(seconds(1))
    to_group(multicast, udp("10.1.0.2", str(GROUP)))
    assert len(multicast.packets("p2", 17)) == 1


def test_a_member_that_answers_the_queries_after_a_leave_keeps_the_group(multicast):
    say(multicast, IgmpMessage.report(GROUP), "p2")
    say(multicast, IgmpMessage.leave(GROUP), "p2")
    say(multicast, IgmpMessage.report(GROUP), "p2", "10.2.0.3")
    multicast.wait(seconds(5))
    to_group(multicast, udp("10.1.0.2", str(GROUP)))
    assert len(multicast.packets("p2", 17)) == 1


def test_a_leave_beside_a_version_1_member_says_nothing(multicast):
    say(multicast, IgmpMessage.report(GROUP, version=1), "p2")
    multicast.clear()
    say(multicast, IgmpMessage.leave(GROUP), "p2")
    assert not queries(multicast, "p2")


def test_a_group_without_reports_runs_out_after_260_seconds(multicast):
    say(multicast, IgmpMessage.report(GROUP), "p2")
    multicast.wait(seconds(259))
    assert str(GROUP) in multicast.run("show ip igmp groups")
    multicast.wait(seconds(1))
    assert str(GROUP) not in multicast.run("show ip igmp groups")


def test_the_router_with_the_lower_address_asks(multicast):
    multicast.configure("interface p2 ; no ip address 10.2.0.1/24 ; ip address 10.2.0.9/24")
    say(multicast, IgmpMessage.query(), "p2", "10.2.0.3")
    multicast.clear()
    multicast.wait(seconds(200))
    assert not queries(multicast, "p2")
    multicast.wait(seconds(60))
    assert queries(multicast, "p2")
    say(multicast, IgmpMessage.query(), "p2", "10.2.0.77")
    multicast.clear()
    multicast.wait(seconds(130))
    assert queries(multicast, "p2")


def test_members_are_forgotten_with_the_link_and_with_the_switch(multicast):
    for line in ("interface p2 ; shutdown ; no shutdown", "no ip multicast-routing"):
        say(multicast, IgmpMessage.report(GROUP), "p2")
        assert str(GROUP) in multicast.run("show ip igmp groups")
        multicast.configure(line)
        assert str(GROUP) not in multicast.run("show ip igmp groups")


# Translation


@pytest.fixture
def nat() -> RouterRig:
    return RouterRig("interface p2 ; ip nat outside")


def last_udp(rig: RouterRig, port: str) -> tuple[IPv4Packet, UdpDatagram]:
    packet = rig.packets(port, 17)[-1]
    return packet, UdpDatagram.parse(packet.payload, packet.src, packet.dst)


def test_udp_leaves_with_the_outside_address_and_comes_back(nat):
    nat.send(udp("10.1.0.2", "10.2.0.2"))
    packet, datagram = last_udp(nat, "p2")
    assert (str(packet.src), packet.ttl, datagram.src_port) == ("10.2.0.1", 63, 4000)
    nat.send(udp("10.2.0.2", "10.2.0.1", b"back", sport=7, dport=4000), "p2")
    packet, datagram = last_udp(nat, "p1")
    assert (packet.dst, datagram.dst_port, datagram.payload) == (A, 4000, b"back")


def test_two_hosts_with_one_port_get_two(nat):
    for host in ("2", "3"):
        nat.send(udp(f"10.1.0.{host}", "10.2.0.2"))
    ports = {each.payload[:2] for each in nat.packets("p2", 17)}
    assert len(ports) == 2


def test_tcp_ping_and_errors_are_translated(nat):
    nat.send(tcp("10.1.0.2", "10.2.0.2"))
    packet = nat.packets("p2", 6)[0]
    assert TcpSegment.parse(packet.payload, packet.src, packet.dst).flags == TcpFlags.SYN
    error = DestinationUnreachable(3, packet.emit()).emit()
    nat.send(IPv4Packet(B, ip("10.2.0.1"), 1, error), "p2")
    back = nat.packets("p1", 1)[-1]
    assert back.dst == A
    quoted = IPv4Packet.parse(parse_icmpv4(back.payload).quoted, verify=False, partial=True)
    assert quoted.src == A
    nat.send(IPv4Packet(A, B, 1, EchoRequest(7, 9, b"data").emit()))
    asked = parse_icmpv4(nat.packets("p2", 1)[-1].payload)
    answer = EchoReply(asked.ident, 9, b"data").emit()
    nat.send(IPv4Packet(B, ip("10.2.0.1"), 1, answer), "p2")
    assert parse_icmpv4(nat.packets("p1", 1)[-1].payload) == EchoReply(7, 9, b"data")


def test_nothing_from_outside_gets_in_without_a_mapping(nat):
    for dst in ("10.1.0.2", "10.3.0.2"):
        nat.send(udp("10.2.0.2", dst), "p2")
    nat.send(udp("10.2.0.2", "10.2.0.1", sport=7, dport=4000), "p2")
    assert not nat.packets("p1")
    assert not nat.packets("p3")


def test_ports_inside_reach_each_other_untranslated(nat):
    nat.send(udp("10.1.0.2", "10.3.0.2"))
    assert nat.packets("p3")[0].src == A


def test_translation_ends_with_its_switch_and_with_the_outside_address(nat):
    nat.configure("interface p2 ; no ip nat outside")
    nat.send(udp("10.1.0.2", "10.2.0.2"))
    assert nat.packets("p2", 17)[0].src == A
    nat.configure("interface p2 ; ip nat outside ; no ip address 10.2.0.1/24")
    nat.configure("interface p2 ; ip address 10.2.0.7/24")
    nat.clear()
    nat.send(udp("10.1.0.2", "10.2.0.2"))
    assert nat.packets("p2", 17)[0].src == ip("10.2.0.7")


# Frames that make no sense


@pytest.mark.parametrize("seed", range(4))
def test_no_frame_makes_it_raise(seed):
    rig = RouterRig(TWO, *EVERYTHING_ON)
    hostile(rig, seed, 3000)
    for line in ("show ip nat translations", "show arp", "show ip igmp groups", "show ip traffic"):
        rig.run(line)
