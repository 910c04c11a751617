"""What the IP layer takes, drops, cuts, sends and answers (RFC 791, RFC 1122 3)."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network
from random import Random

import pytest
from lone import GATEWAY, MAC, PEER, A, B, Lone, ip

from testbed.stack.config import IpConfig, StackConfig
from testbed.stack.lower import NoRoute
from testbed.stack.stack import Stack
from testbed.timing import Duration, Instant, milliseconds, seconds
from testbed.wire import (
    DestinationUnreachable,
    EchoReply,
    EchoRequest,
    IPv4Packet,
    MacAddr,
    ParameterProblem,
    Redirect,
    TimeExceeded,
    TimestampReply,
    TimestampRequest,
    UdpDatagram,
    fragment,
    reassemble,
)

ECHO = EchoRequest(7, 9, b"hello").emit()


def echo(src: str = "10.0.0.2", dst: str = "10.0.0.1", data: bytes = ECHO, **header):
    return IPv4Packet(ip(src), ip(dst), 1, data, **header)


def test_an_echo_comes_back_with_its_number_and_data_from_the_address_it_went_to():
    lone = Lone()
    lone.stack.add_address("eth0", IPv4Interface("10.0.0.3/24"), lone.now)
    lone.hear(echo(dst="10.0.0.3", tos=0x10))
    (packet,) = lone.packets()
    assert (packet.src, packet.dst, packet.tos) == (ip("10.0.0.3"), B, 0x10)
    assert packet.payload == EchoReply(7, 9, b"hello").emit()


@pytest.mark.parametrize("size", [0, 1, 1472, 1473, 2953, 65507])
def test_echo_of_any_size_in_fragments_both_ways(size):
    lone = Lone()
    data = Random(size).randbytes(size)  # noqa: S311 - the same in every run
    request = echo(data=EchoRequest(1, 2, data).emit(), ident=5)
    for piece in reversed(fragment(request, 1500)):
        lone.hear(piece)
    pieces = lone.packets()
    assert all(piece.total_length <= 1500 for piece in pieces)
    assert reassemble(pieces).payload == EchoReply(1, 2, data).emit()


DROPS = {
    "a wrong checksum": lambda: bytearray(echo().emit()),
    "version 5": lambda: b"\x55" + echo().emit()[1:],
    "a header of 16 bytes": lambda: b"\x44" + echo().emit()[1:],
    "more bytes told than came": lambda: echo().emit()[:-8],
    "a total length below the header's": lambda: echo().emit()[:2] + b"\0\x10" + echo().emit()[4:],
}


@pytest.mark.parametrize("why", DROPS)
def test_malformed_headers_are_dropped_in_silence(why):
    lone = Lone()
    data = bytearray(DROPS[why]())
    if why == "a wrong checksum":
        data[10] ^= 1
    lone.stack.receive(MAC.packed + PEER.packed + b"\x08\x00" + bytes(data), lone.now)
    assert lone.frames() == []
    assert lone.dropped("ip", "malformed") == 1


@pytest.mark.parametrize(
    "src",
    ["127.0.0.1", "224.0.0.1", "255.255.255.255", "240.1.1.1", "0.1.2.3", "10.0.0.255", "10.0.0.1"],
)
def test_impossible_sources_are_dropped_in_silence(src):
    lone = Lone()
    lone.hear(echo(src=src))
    lone.hear(lone.udp(src, "10.0.0.1", 5, 6))
    lone.hear(IPv4Packet(ip(src), A, 99, b"?"))
    assert lone.frames() == []
    assert sum(lone.stack.core.dropped.values()) == 3


def test_a_source_that_was_fine_is_looked_at_again_when_addresses_change():
    lone = Lone()
    lone.hear(echo())
    assert len(lone.packets()) == 1
    lone.stack.add_address("eth0", IPv4Interface("10.0.0.2/24"), lone.now)
    lone.hear(echo())
    assert lone.packets() == []


@pytest.mark.parametrize("dst", ["127.0.0.1", "127.9.9.9", "10.0.0.9", "192.0.2.1", "224.0.0.9"])
def test_what_is_not_for_this_host_is_dropped_in_silence(dst):
    lone = Lone()
    lone.hear(echo(dst=dst))
    assert lone.frames() == []
    assert sum(lone.stack.core.dropped.values()) == 1


def test_a_unicast_packet_in_a_broadcast_frame_is_dropped():
    lone = Lone()
    lone.hear(echo(), dst=MacAddr.BROADCAST)
    assert lone.frames() == []


def test_frames_for_other_stations_are_not_for_us():
    lone = Lone()
    lone.hear(echo(), dst=MacAddr("02:00:00:00:00:77"))
    assert lone.frames() == []
    assert lone.stack.core.counts == {"frames to other stations": 1}


def test_a_priority_tag_changes_nothing_and_a_vlan_is_another_link():
    lone = Lone()
    head = MAC.packed + PEER.packed
    lone.stack.receive(head + b"\x81\x00\xe0\x00\x08\x00" + echo().emit(), lone.now)
    assert len(lone.packets()) == 1
    lone.stack.receive(head + b"\x81\x00\xe0\x05\x08\x00" + echo().emit(), lone.now)
    assert lone.packets() == []


def test_an_unknown_protocol_is_unreachable_3_2_and_quoted():
    lone = Lone()
    packet = IPv4Packet(B, A, 99, b"abc")
    lone.hear(packet)
    assert lone.icmp() == [DestinationUnreachable(2, packet.emit())]


def test_a_closed_port_is_unreachable_3_3_from_the_address_asked_with_precedence_6():
    lone = Lone()
    lone.stack.add_address("eth0", IPv4Interface("10.0.0.3/24"), lone.now)
    packet = lone.udp("10.0.0.2", "10.0.0.3", 5, 6, b"x" * 1000)
    lone.hear(packet)
    (sent,) = lone.packets()
    assert sent.tos == 0xC0
    assert sent.src == ip("10.0.0.3")
    assert sent.total_length == 576
    assert sent.payload == DestinationUnreachable(3, packet.emit()[:548]).emit()


SILENT = {
    "an ICMP error": lambda: IPv4Packet(
        B, A, 1, DestinationUnreachable(3, echo("10.0.0.1", "10.0.0.2").emit()).emit()
    ),
    "an ICMP error with bad options": lambda: IPv4Packet(
        B, A, 1, TimeExceeded(0, echo().emit()).emit(), options=b"\x07\x01\x00\x00"
    ),
    "a broadcast": lambda: IPv4Packet(B, ip("255.255.255.255"), 99, b""),
    "a directed broadcast": lambda: IPv4Packet(B, ip("10.0.0.255"), 99, b""),
    "a group": lambda: IPv4Packet(B, ip("224.0.0.1"), 99, b""),
    "no address": lambda: IPv4Packet(ip("0.0.0.0"), A, 17, UdpDatagram(1, 2).emit(B, A)),
    "a later fragment": lambda: IPv4Packet(
        B, A, 17, b"x" * 16, offset=16, options=b"\x07\x01\x00\x00"
    ),
}


@pytest.mark.parametrize("what", SILENT)
def test_never_an_error_about(what):
    lone = Lone()
    lone.hear(SILENT[what](), dst=MAC)
    assert lone.frames() == []


def test_errors_are_limited_in_rate():
    lone = Lone(StackConfig.of(icmp={"error_rate": 10.0, "error_burst": 5}))
    lone.stack.interface().neighbours.set(B, PEER, lone.now)
    for _ in range(20):
        lone.hear(IPv4Packet(B, A, 99, b""))
    assert len(lone.icmp()) == 5
    lone.wait(milliseconds(100))
    for _ in range(20):
        lone.hear(IPv4Packet(B, A, 99, b""))
    assert len(lone.icmp()) == 1


def test_errors_quote_a_header_and_8_bytes_if_told_so():
    lone = Lone(StackConfig.of(icmp={"quote": 28}))
    packet = lone.udp("10.0.0.2", "10.0.0.1", 5, 6, b"x" * 100)
    lone.hear(packet)
    assert lone.icmp() == [DestinationUnreachable(3, packet.emit()[:28])]


def test_switches_silence_echo_and_errors():
    lone = Lone()
    lone.stack.answers.echo = lone.stack.answers.icmp_errors = False
    lone.hear(echo())
    lone.hear(IPv4Packet(B, A, 99, b""))
    assert lone.frames() == []


def test_echo_to_many_is_not_answered_unless_told_to():
    for dst in ("255.255.255.255", "10.0.0.255", "224.0.0.1"):
        lone = Lone()
        lone.hear(echo(dst=dst), dst=MacAddr.BROADCAST)
        assert lone.frames() == []
        lone = Lone(StackConfig.of(icmp={"answer_broadcast_echo": True}))
        lone.hear(echo(dst=dst), dst=MacAddr.BROADCAST)
        assert [packet.src for packet in lone.packets()] == [A]


def test_timestamps_say_that_they_are_not_of_midnight():
    lone = Lone()
    lone.now = Instant(86_400_000 * 1_000_000 + 5_000_000)
    lone.hear(echo(data=TimestampRequest(1, 2, 3).emit()))
    assert lone.icmp() == [TimestampReply(1, 2, 3, 0x80000005, 0x80000005)]


def test_a_recorded_route_comes_back_in_the_reply():
    lone = Lone()
    lone.hear(echo(options=b"\x07\x0b\x08" + ip("192.0.2.1").packed + bytes(4)))
    (packet,) = lone.packets()
    assert packet.options == b"\x07\x0b\x0c" + ip("192.0.2.1").packed + A.packed + b"\0"


def test_options_that_cannot_be_read_are_a_parameter_problem_at_that_byte():
    lone = Lone()
    packet = echo(options=b"\x01\x07\x01\x00")
    lone.hear(packet)
    assert lone.icmp() == [ParameterProblem(22, packet.emit())]


def test_a_source_route_through_a_host_is_refused():
    lone = Lone()
    packet = echo(options=b"\x83\x07\x04" + ip("192.0.2.1").packed + b"\0")
    lone.hear(packet)
    assert lone.icmp() == [DestinationUnreachable(5, packet.emit())]


def test_fragments_that_do_not_all_come_are_told_of_if_the_first_did():
    lone = Lone()
    first, second = fragment(echo(data=EchoRequest(1, 1, bytes(2000)).emit(), ident=4), 1500)
    lone.hear(first)
    lone.wait(seconds(61))
    (message,) = lone.icmp()
    assert isinstance(message, TimeExceeded)
    assert message.code == 1
    assert message.quoted == first.emit()[:548]
    lone.hear(second)
    lone.wait(seconds(61))
    assert lone.icmp() == []
    assert lone.dropped("ip", "fragments did not all come") == 2


# Sending


def test_the_longest_match_wins_then_the_metric_and_a_dead_link_is_passed_over():
    stack, now = Stack(seed=1), Instant(0)
    for name, net in (("e0", "10.0.0.1/24"), ("e1", "10.0.1.1/24"), ("e2", "10.0.2.1/24")):
        stack.add_interface(name, mac=MAC)
        stack.add_address(name, IPv4Interface(net), now)

    def hop(to: str) -> str:
        return str(stack.ip.egress.resolve(ip(to), None, now).next_hop)

    stack.add_route(IPv4Network("0.0.0.0/0"), via=ip("10.0.0.254"))
    stack.add_route(IPv4Network("192.0.2.0/24"), via=ip("10.0.1.254"), metric=5)
    stack.add_route(IPv4Network("192.0.2.0/24"), via=ip("10.0.2.254"), metric=2)
    stack.add_route(IPv4Network("192.0.2.7/32"), via=ip("10.0.0.253"))
    assert hop("198.51.100.1") == "10.0.0.254"
    assert hop("192.0.2.1") == "10.0.2.254"
    assert hop("192.0.2.7") == "10.0.0.253"
    stack.set_link("e2", up=False, now=now)
    assert hop("192.0.2.1") == "10.0.1.254"
    stack.remove_route(IPv4Network("192.0.2.0/24"))
    assert hop("192.0.2.1") == "10.0.0.254"
    stack.set_link("e0", up=False, now=now)
    with pytest.raises(NoRoute):
        hop("192.0.2.1")


def test_a_path_follows_its_routes_mtu_and_addresses():
    lone = Lone()
    lone.gateway()
    path = lone.stack.ip.path(ip("192.0.2.9"), now=lone.now)
    path.send(b"1", 253, lone.now)
    lone.stack.add_route(IPv4Network("192.0.2.0/24"), via=B, now=lone.now)
    path.send(b"2", 253, lone.now)
    lone.stack.set_mtu("eth0", 600, lone.now)
    assert path.link_mtu() == path.mtu(lone.now) == 600
    path.send(bytes(700), 253, lone.now, df=False)
    path.send(bytes(700), 253, lone.now, df=True)
    sent = [(frame.dst, len(frame.payload)) for frame in lone.frames()]
    assert sent == [(GATEWAY, 21), (PEER, 21), (PEER, 596), (PEER, 144)]
    lone.stack.remove_address("eth0", A, lone.now)
    path.send(b"3", 253, lone.now)
    assert lone.frames() == []
    assert lone.dropped("ip", "no route") == 1


def test_fast_and_slow_lane_emit_the_same_packet():
    lone = Lone()
    path = lone.stack.ip.path(B, now=lone.now)
    for df in (True, False):
        for size in (0, 1, 7, 1480):
            data = Random(size).randbytes(size)  # noqa: S311 - the same in every run
            path.send(data, 253, lone.now, ttl=7, tos=0x44, df=df)
            (frame,) = lone.frames()
            packet = IPv4Packet.parse(frame.payload)
            assert packet == IPv4Packet(A, B, 253, data, 7, packet.ident, df, tos=0x44)
            assert frame.payload == packet.emit()


@pytest.mark.parametrize("to", ["10.0.0.1", "127.0.0.1", "127.1.2.3"])
def test_what_goes_to_oneself_never_reaches_the_wire(to):
    lone = Lone()
    server = lone.stack.udp.open(lone.now, port=7)
    client = lone.stack.udp.open(lone.now)
    client.send(b"x" * 40000, lone.now, to=(ip(to), 7))
    assert lone.stack.poll_timeout() == lone.now
    lone.wait(milliseconds(0))
    datagram = server.receive()
    assert datagram.payload == b"x" * 40000
    assert datagram.interface is None
    assert lone.frames() == []


def test_a_frag_needed_lowers_the_path_mtu_of_what_was_sent_and_of_nothing_else():
    lone = Lone()
    lone.gateway()
    far = ip("192.0.2.9")
    socket = lone.stack.udp.open(lone.now, port=5000)
    socket.send(bytes(1400), lone.now, to=(far, 9), df=True)
    (sent,) = lone.packets()
    other = lone.udp("10.0.0.1", "192.0.2.9", 5001, 9, bytes(1400), df=True)
    for quoted in (other, sent):
        lone.hear(
            IPv4Packet(
                ip("203.0.113.1"), A, 1, DestinationUnreachable(4, quoted.emit()[:28], 1000).emit()
            )
        )
        expected = 1000 if quoted is sent else 1500
        assert lone.stack.pmtu.mtu(far, 1500, lone.now) == expected
    assert lone.stack.pmtu.mtu(B, 1500, lone.now) == 1500


def test_a_redirect_moves_that_one_host_if_the_gateway_in_use_says_so():
    lone = Lone()
    lone.gateway()
    quoted = lone.udp("10.0.0.1", "192.0.2.9", 1, 2).emit()

    def redirect(src: str, to: str) -> None:
        lone.hear(IPv4Packet(ip(src), A, 1, Redirect(1, ip(to), quoted).emit()))

    def hop(to: str) -> str:
        return str(lone.stack.ip.egress.resolve(ip(to), None, lone.now).next_hop)

    for src, to in (
        ("10.0.0.9", "10.0.0.2"),  # not the gateway in use
        ("10.0.0.254", "192.0.2.1"),  # off the link
        ("10.0.0.254", "10.0.0.1"),  # this host
    ):
        redirect(src, to)
        assert hop("192.0.2.9") == "10.0.0.254"
    redirect("10.0.0.254", "10.0.0.2")
    assert hop("192.0.2.9") == "10.0.0.2"
    assert hop("192.0.2.8") == "10.0.0.254"
    redirect("10.0.0.254", "10.0.0.3")  # the gateway in use is now another
    assert hop("192.0.2.9") == "10.0.0.2"


@pytest.mark.parametrize("span", [IpConfig().gateway_avoided, seconds(5)])
def test_doubt_about_a_gateway_makes_another_one_serve_for_a_while(span):
    lone = Lone(StackConfig.of(ip={"gateway_avoided": span}))
    lone.gateway()
    lone.gateway("10.0.0.253")
    path = lone.stack.ip.path(ip("192.0.2.9"), now=lone.now)
    assert path.next_hop == ip("10.0.0.254")
    lone.stack.ip.path_failing(path, lone.now)
    assert lone.stack.ip.egress.resolve(ip("192.0.2.9"), None, lone.now).next_hop == ip(
        "10.0.0.253"
    )
    lone.wait(Duration(span - 1))
    assert lone.stack.ip.egress.resolve(ip("192.0.2.9"), None, lone.now).next_hop == ip(
        "10.0.0.253"
    )
    lone.wait(Duration(2))
    assert lone.stack.ip.egress.resolve(ip("192.0.2.9"), None, lone.now).next_hop == ip(
        "10.0.0.254"
    )


def test_a_bare_interface_takes_and_gives_packets():
    stack, now = Stack(seed=1), Instant(0)
    stack.add_interface("tun0")
    stack.add_address("tun0", IPv4Interface("10.0.0.1/24"), now)
    stack.add_route(IPv4Network("0.0.0.0/0"), interface="tun0")
    stack.receive(echo("198.51.100.7").emit(), now)
    out = stack.poll_transmit(now)
    assert IPv4Packet.parse(out.frame).dst == ip("198.51.100.7")
    assert stack.poll_timeout() is None


def test_no_bytes_whatever_raise_and_nothing_piles_up():
    lone = Lone(StackConfig.of(ip={"forwarding": True}))
    lone.gateway()
    rng = Random(5)  # noqa: S311 - the same in every run
    seeds = [
        MAC.packed + PEER.packed + b"\x08\x00" + packet.emit()
        for packet in (
            echo(),
            echo(options=b"\x07\x0b\x08" + bytes(8)),
            lone.udp("10.0.0.2", "10.0.0.1", 1, 2, b"abc"),
            lone.udp("10.0.0.2", "192.0.2.1", 1, 2, b"abc"),
            IPv4Packet(B, A, 1, Redirect(1, B, echo("10.0.0.1", "192.0.2.1").emit()).emit()),
            IPv4Packet(B, A, 1, DestinationUnreachable(4, echo().emit(), 500).emit()),
            IPv4Packet(B, A, 2, b"\x11\x64\xee\x9b\0\0\0\0"),
            IPv4Packet(B, A, 17, bytes(64), mf=True, ident=3),
        )
    ]
    for _ in range(20_000):
        frame = bytearray(rng.choice(seeds))
        for _ in range(rng.randrange(4)):
            frame[rng.randrange(len(frame))] = rng.randrange(256)
        if rng.random() < 0.7 and len(frame) >= 34 and frame[14] >> 4 == 4:  # past the checksum
            frame[24:26] = b"\0\0"
            header = bytes(frame[14 : 14 + (frame[14] & 15) * 4])
            total = sum(int.from_bytes(header[i : i + 2], "big") for i in range(0, len(header), 2))
            frame[24:26] = (0xFFFF - (total % 0xFFFF or 0xFFFF)).to_bytes(2, "big")
        lone.stack.receive(bytes(frame[: rng.randrange(len(frame) + 1) or None]), lone.now)
        lone.wait(milliseconds(1))
        lone.frames()
    assert len(lone.stack.core.dropped) < 60
    assert len(lone.stack.alarms) < 3000
    lone.hear(echo())
    assert len(lone.icmp()) == 1
