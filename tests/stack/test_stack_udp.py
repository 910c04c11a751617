"""UDP sockets (RFC 768, RFC 1122 4.1)."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from itertools import pairwise

import pytest
from lone import MAC, PEER, A, B, Lone, ip

from testbed.stack.config import StackConfig
from testbed.stack.refusals import Refused
from testbed.wire import (
    DestinationUnreachable,
    IgmpMessage,
    IPv4Packet,
    MacAddr,
    TimeExceeded,
    UdpDatagram,
    fragment,
    multicast_mac,
)


def refused(name: str):
    return pytest.raises(Refused, match=name)


def test_boundaries_are_kept_and_the_header_is_eight_bytes_with_a_right_checksum():
    lone = Lone()
    socket = lone.stack.udp.open(lone.now, port=5000)
    for data in (b"one", b"", b"three"):
        socket.send(data, lone.now, to=(B, 9))
    sent = [UdpDatagram.parse(p.payload, p.src, p.dst) for p in lone.packets()]
    assert sent == [UdpDatagram(5000, 9, data) for data in (b"one", b"", b"three")]


def test_what_is_heard_tells_where_it_came_from_and_to():
    lone = Lone()
    socket = lone.stack.udp.open(lone.now, port=7)
    seen = []
    socket.on_datagram = lambda which, now: seen.append((which, now))
    lone.hear(lone.udp("10.0.0.2", "10.0.0.1", 99, 7, b"hi", ttl=3, tos=4))
    datagram = socket.receive()
    assert (datagram.payload, datagram.source, datagram.source_port) == (b"hi", B, 99)
    assert (datagram.destination, datagram.interface, datagram.at) == (A, "eth0", lone.now)
    assert (datagram.ttl, datagram.tos) == (3, 4)
    assert seen == [(socket, lone.now)]
    assert socket.receive() is None


def test_a_zero_checksum_is_none_and_a_wrong_one_is_silently_dropped():
    lone = Lone()
    socket = lone.stack.udp.open(lone.now, port=7)
    for checksum, taken in ((0, True), (0x1234, False)):
        data = UdpDatagram(99, 7, b"hi").emit(B, A, checksum=checksum)
        lone.hear(IPv4Packet(B, A, 17, data))
        assert (socket.receive() is not None) is taken
    assert lone.frames() == []


@pytest.mark.parametrize("data", [b"", b"\0" * 7, b"\0\1\0\7\0\x07\0\0", b"\0\1\0\7\0\x0a\0\0x"])
def test_impossible_lengths_are_silently_dropped(data):
    lone = Lone()
    lone.stack.udp.open(lone.now, port=7)
    lone.hear(IPv4Packet(B, A, 17, data))
    assert lone.frames() == []
    assert lone.dropped("udp", "malformed or bad checksum") == 1


def test_checksums_can_be_left_out():
    lone = Lone(StackConfig.of(udp={"checksum": False}))
    lone.stack.udp.open(lone.now).send(b"x", lone.now, to=(B, 9))
    (packet,) = lone.packets()
    assert packet.payload[6:8] == b"\0\0"


def test_the_connected_socket_goes_before_the_bound_before_the_open_one():
    lone = Lone()
    lone.stack.add_address("eth0", IPv4Interface("10.0.0.3/24"), lone.now)
    udp = lone.stack.udp
    anybody = udp.open(lone.now, port=7, reuse=True)
    bound = udp.open(lone.now, A, 7, reuse=True)
    connected = udp.open(lone.now, A, 7, reuse=True)
    connected.connect(B, 99)
    cases = [
        ("10.0.0.2", "10.0.0.1", 99, connected),
        ("10.0.0.2", "10.0.0.1", 98, bound),
        ("10.0.0.4", "10.0.0.1", 99, bound),
        ("10.0.0.2", "10.0.0.3", 99, anybody),
    ]
    for src, dst, port, taker in cases:
        lone.hear(lone.udp(src, dst, port, 7, b"x"))
        assert [each.readable for each in (anybody, bound, connected)] == [
            each is taker for each in (anybody, bound, connected)
        ]
        taker.receive()
    connected.close(lone.now)
    lone.hear(lone.udp("10.0.0.2", "10.0.0.1", 99, 7, b"x"))
    assert bound.readable


def test_a_port_is_one_sockets_unless_all_share_it_or_addresses_differ():
    lone = Lone()
    lone.stack.add_address("eth0", IPv4Interface("10.0.0.3/24"), lone.now)
    udp = lone.stack.udp
    first = udp.open(lone.now, A, 7)
    udp.open(lone.now, ip("10.0.0.3"), 7)
    for address in (None, A):
        for reuse in (False, True):
            with refused("EADDRINUSE"):
                udp.open(lone.now, address, 7, reuse=reuse)
    first.close(lone.now)
    first.close(lone.now)
    udp.open(lone.now, A, 7)
    with refused("EADDRNOTAVAIL"):
        udp.open(lone.now, ip("10.0.0.99"), 8)
    with refused("EBADF"):
        first.send(b"", lone.now, to=(B, 9))


def test_ephemeral_ports_lie_in_the_dynamic_range_and_do_not_follow_each_other():
    lone = Lone()
    ports = [lone.stack.udp.open(lone.now).port for _ in range(200)]
    assert all(49152 <= port <= 65535 for port in ports)
    assert len(set(ports)) == 200
    steps = {b - a for a, b in pairwise(ports)}
    assert len(steps) > 150


def test_when_all_ephemeral_ports_are_taken_it_says_so():
    lone = Lone(StackConfig.of(udp={"ephemeral": (50000, 50003)}))
    held = [lone.stack.udp.open(lone.now) for _ in range(4)]
    with refused("EADDRINUSE"):
        lone.stack.udp.open(lone.now)
    held[2].close(lone.now)
    assert lone.stack.udp.open(lone.now).port == held[2].port


def test_a_closed_port_refuses_a_connected_socket_once_and_tells_others_nothing():
    lone = Lone()
    open_, connected = lone.stack.udp.open(lone.now), lone.stack.udp.open(lone.now)
    connected.connect(B, 9, lone.now)
    told = []
    open_.on_error = lambda _, error, __: told.append(error.code)
    open_.send(b"x", lone.now, to=(B, 9))
    connected.send(b"x", lone.now)
    for packet in lone.packets():
        lone.hear(IPv4Packet(B, A, 1, DestinationUnreachable(3, packet.emit()[:28]).emit()))
    assert open_.error is None
    assert told == [3]
    assert connected.take_error().errno_name == "ECONNREFUSED"
    assert connected.take_error() is None


def test_an_error_that_may_pass_fails_no_call():
    lone = Lone()
    socket = lone.stack.udp.open(lone.now)
    socket.connect(B, 9, lone.now)
    told = []
    socket.on_error = lambda _, error, __: told.append((error.type, error.code))
    socket.send(b"x", lone.now)
    (packet,) = lone.packets()
    for error in (DestinationUnreachable(1, packet.emit()), TimeExceeded(0, packet.emit())):
        lone.hear(IPv4Packet(B, A, 1, error.emit()))
    assert socket.error is None
    assert told == [(3, 1), (11, 0)]


def test_a_forged_error_about_what_was_never_sent_is_not_believed():
    lone = Lone()
    socket = lone.stack.udp.open(lone.now, port=5000)
    socket.connect(B, 9, lone.now)
    for quoted in (
        lone.udp("10.0.0.1", "10.0.0.2", 5000, 10),
        lone.udp("10.0.0.1", "10.0.0.9", 5000, 9),
        lone.udp("10.0.0.3", "10.0.0.2", 5000, 9),
    ):
        lone.hear(IPv4Packet(B, A, 1, DestinationUnreachable(3, quoted.emit()).emit()))
        assert socket.error is None


def test_refusals_by_name():
    lone = Lone()
    socket = lone.stack.udp.open(lone.now)
    with refused("EDESTADDRREQ"):
        socket.send(b"", lone.now)
    with refused("EMSGSIZE"):
        socket.send(bytes(65508), lone.now, to=(B, 9))
    with refused("EMSGSIZE"):
        socket.send(bytes(1473), lone.now, to=(B, 9), df=True)
    with refused("EACCES"):
        socket.send(b"", lone.now, to=(ip("255.255.255.255"), 9))
    with refused("EACCES"):
        socket.connect(ip("10.0.0.255"), 9)
    with refused("ENETUNREACH"):
        socket.send(b"", lone.now, to=(ip("192.0.2.1"), 9))
    with refused("ENETUNREACH"):
        socket.connect(ip("192.0.2.1"), 9)
    assert lone.frames() == []
    socket.send(bytes(1472), lone.now, to=(B, 9), df=True)
    socket.send(bytes(65507), lone.now, to=(B, 9))
    assert len(lone.packets()) == 1 + 45


def test_the_largest_datagram_comes_through_and_one_byte_more_never():
    lone = Lone()
    socket = lone.stack.udp.open(lone.now, port=7)
    whole = lone.udp("10.0.0.2", "10.0.0.1", 9, 7, bytes(range(256)) * 255 + bytes(227), ident=1)
    assert whole.total_length == 65535
    for piece in fragment(whole, 1500):
        lone.hear(piece)
    assert len(socket.receive().payload) == 65507
    *most, last = fragment(whole, 1500)
    for piece in most:
        lone.hear(piece)
    lone.hear(IPv4Packet(B, A, 17, last.payload + b"x", ident=1, offset=last.offset))
    assert socket.receive() is None


def test_a_full_buffer_drops_and_counts_and_empty_datagrams_fill_it_too():
    lone = Lone(StackConfig.of(udp={"receive_buffer": 1000}))
    socket = lone.stack.udp.open(lone.now, port=7)
    for _ in range(100):
        lone.hear(lone.udp("10.0.0.2", "10.0.0.1", 9, 7))
    assert socket.waiting == 1000 // 28
    assert socket.dropped == 100 - socket.waiting
    while socket.receive():
        pass
    lone.hear(lone.udp("10.0.0.2", "10.0.0.1", 9, 7, bytes(900)))
    assert len(socket.receive().payload) == 900


@pytest.mark.parametrize("to", ["255.255.255.255", "10.0.0.255"])
def test_a_broadcast_leaves_in_a_broadcast_frame_and_reaches_every_socket(to):
    lone = Lone()
    first = lone.stack.udp.open(lone.now, port=7, reuse=True)
    second = lone.stack.udp.open(lone.now, port=7, reuse=True)
    first.broadcast = True
    first.send(b"x", lone.now, to=(ip(to), 9))
    (frame,) = lone.frames()
    assert frame.dst == MacAddr.BROADCAST
    lone.hear(lone.udp("10.0.0.2", to, 9, 7, b"y"), dst=MacAddr.BROADCAST)
    assert [s.receive().destination for s in (first, second)] == [ip(to)] * 2


def test_groups_are_heard_once_joined_and_until_left_and_told_by_igmp():
    lone = Lone()
    group = ip("239.1.2.3")
    one, two = (lone.stack.udp.open(lone.now, port=7, reuse=True) for _ in range(2))
    hello = lone.udp("10.0.0.2", "239.1.2.3", 9, 7, b"x")
    lone.hear(hello, dst=multicast_mac(group))
    assert not one.readable
    one.join(group, None, lone.now)
    two.join(group, "eth0", lone.now)
    (frame,) = lone.frames()
    assert frame.dst == MacAddr("01:00:5e:01:02:03")
    report = IPv4Packet.parse(frame.payload)
    assert (report.protocol, report.ttl, report.dst) == (2, 1, group)
    assert IgmpMessage.parse(report.payload) == IgmpMessage.report(group)
    with refused("EADDRINUSE"):
        one.join(group, "eth0", lone.now)
    lone.hear(hello, dst=multicast_mac(group))
    assert one.receive().destination == group
    one.leave(group, None, lone.now)
    assert lone.frames() == []
    two.close(lone.now)
    (frame,) = lone.frames()
    leave = IPv4Packet.parse(frame.payload)
    assert leave.dst == ip("224.0.0.2")
    assert IgmpMessage.parse(leave.payload) == IgmpMessage.leave(group)
    lone.hear(hello, dst=multicast_mac(group))
    assert not one.readable
    with refused("EADDRNOTAVAIL"):
        one.leave(group, None, lone.now)
    with refused("EINVAL"):
        one.join(B, None, lone.now)
    with refused("ENODEV"):
        one.join(group, "eth9", lone.now)


def test_a_group_is_sent_to_with_ttl_1_and_members_on_the_host_hear_it():
    lone = Lone()
    group = ip("239.129.2.3")
    member = lone.stack.udp.open(lone.now, port=7)
    member.join(group, "eth0", lone.now)
    lone.frames()
    lone.stack.udp.open(lone.now).send(b"x", lone.now, to=(group, 7))
    (frame,) = lone.frames()
    assert frame.dst == MacAddr("01:00:5e:01:02:03")
    assert IPv4Packet.parse(frame.payload).ttl == 1
    lone.stack.handle_timeout(lone.now)
    assert member.receive().payload == b"x"


def test_on_loopback_a_closed_port_refuses_and_nothing_of_it_gets_out():
    lone = Lone()
    for to in ("127.0.0.1", "127.1.2.3", "10.0.0.1"):
        socket = lone.stack.udp.open(lone.now)
        socket.connect(ip(to), 9, lone.now)
        socket.send(b"x", lone.now)
        lone.wait(0)
        assert socket.take_error().errno_name == "ECONNREFUSED", to
    bound = lone.stack.udp.open(lone.now, ip("127.0.0.1"))
    with refused("ENETUNREACH"):
        bound.send(b"x", lone.now, to=(B, 9))
    with refused("EINVAL"):
        bound.send(b"x", lone.now, to=(ip("127.0.0.1"), 0))
    assert lone.frames() == []


def test_without_loop_members_on_the_host_do_not_hear_what_is_sent_to_their_group():
    lone = Lone()
    group = ip("239.129.2.3")
    member = lone.stack.udp.open(lone.now, port=7)
    member.join(group, "eth0", lone.now)
    lone.frames()
    member.multicast_loop = False
    member.send(b"x", lone.now, to=(group, 7))
    lone.wait(0)
    assert len(lone.frames()) == 1
    assert not member.readable


def test_discovery_sets_df_on_what_fits_and_cuts_the_rest_to_the_path_mtu():
    lone = Lone()
    socket = lone.stack.udp.open(lone.now)
    socket.connect(B, 9, lone.now)
    socket.discover = True
    socket.send(bytes(1400), lone.now)
    (packet,) = lone.packets()
    assert packet.df
    error = DestinationUnreachable(4, packet.emit()[:28], 1000).emit()
    lone.hear(IPv4Packet(ip("203.0.113.1"), A, 1, error))
    assert socket.take_error().errno_name == "EMSGSIZE"
    socket.send(bytes(1400), lone.now)
    pieces = lone.packets()
    assert [(piece.total_length, piece.df) for piece in pieces] == [(996, False), (452, False)]
    assert pieces[0].ident == pieces[1].ident
    socket.send(bytes(900), lone.now)
    assert lone.packets()[0].df


def test_a_socket_of_one_interface_leaves_by_it_and_hears_only_it():
    lone = Lone()
    lone.stack.add_interface("eth1", mac=MacAddr("02:00:00:00:01:01"))
    lone.stack.add_address("eth1", IPv4Interface("10.0.1.1/24"), lone.now)
    lone.stack.interface("eth1").neighbours.set(ip("10.0.1.9"), PEER, lone.now)
    lone.stack.add_route(IPv4Network("0.0.0.0/0"), via=ip("10.0.1.9"))
    lone.gateway()
    socket = lone.stack.udp.open(lone.now, port=68, interface="eth1")
    socket.broadcast = True
    socket.send(b"x", lone.now, to=(ip("255.255.255.255"), 67))
    socket.send(b"x", lone.now, to=(ip("192.0.2.1"), 67))
    names = []
    while (out := lone.stack.poll_transmit(lone.now)) is not None:
        names.append(out.interface)
    assert names == ["eth1", "eth1"]
    lone.hear(lone.udp("10.0.0.2", "255.255.255.255", 67, 68), dst=MacAddr.BROADCAST)
    assert not socket.readable
    assert lone.stack.interface("eth1").mac != MAC


def test_port_spaces_of_udp_and_tcp_are_apart():
    lone = Lone()
    listener = lone.stack.tcp.listen(7, lone.now)
    socket = lone.stack.udp.open(lone.now, port=7)
    lone.hear(lone.udp("10.0.0.2", "10.0.0.1", 9, 7, b"x"))
    assert socket.receive().payload == b"x"
    listener.close(lone.now)
    lone.hear(lone.udp("10.0.0.2", "10.0.0.1", 9, 7, b"y"))
    assert socket.receive().payload == b"y"
