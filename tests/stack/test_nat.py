"""NAPT: what the RFCs ask for, and scapy as the judge of every checksum."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import PlanError
from testbed.stack.entropy import Entropy
from testbed.stack.events import EventLog
from testbed.stack.nat import Filtering, MappingGone, MappingMade, Nat, NatConfig
from testbed.timing import Instant, seconds
from testbed.wire import IPv4Packet, TcpFlags, TcpSegment, UdpDatagram, fragment, parse_icmpv4
from testbed.wire.icmpv4 import DestinationUnreachable, EchoReply, EchoRequest, TimeExceeded

OUT = IPv4Address("198.51.100.1")
IN1, IN2 = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
FAR, OTHER = IPv4Address("203.0.113.5"), IPv4Address("203.0.113.6")
T0 = Instant(0)
F = TcpFlags


def at(value: float) -> Instant:
    return Instant(seconds(value))


def make(**changes) -> Nat:
    return Nat(OUT, NatConfig(**changes), entropy=Entropy(1), events=EventLog(1000))


@pytest.fixture
def nat() -> Nat:
    return make()


def udp(src, sport, dst, dport, payload=b"data", *, checksum=None) -> IPv4Packet:
    return IPv4Packet(
        src, dst, 17, UdpDatagram(sport, dport, payload).emit(src, dst, checksum=checksum)
    )


def tcp(src, sport, dst, dport, flags=F.ACK, *, payload=b"") -> IPv4Packet:
    segment = TcpSegment(sport, dport, seq=1, ack=2, flags=flags, window=3, payload=payload)
    return IPv4Packet(src, dst, 6, segment.emit(src, dst))


def icmp(src, dst, message) -> IPv4Packet:
    return IPv4Packet(src, dst, 1, message.emit())


def udp_of(packet: IPv4Packet) -> tuple:
    datagram = UdpDatagram.parse(packet.payload, packet.src, packet.dst)
    return (packet.src, datagram.src_port, packet.dst, datagram.dst_port, datagram.payload)


def outside_port(packet: IPv4Packet) -> int:
    return int.from_bytes(packet.payload[:2], "big")


def test_there_and_back(nat):
    out = nat.outward(udp(IN1, 5000, FAR, 53), T0)
    assert udp_of(out) == (OUT, 5000, FAR, 53, b"data")
    back = nat.inward(udp(FAR, 53, OUT, 5000, b"answer"), T0)
    assert udp_of(back) == (FAR, 53, IN1, 5000, b"answer")


def test_two_hosts_with_one_port_are_told_apart(nat):
    first = nat.outward(udp(IN1, 5000, FAR, 53), T0)
    second = nat.outward(udp(IN2, 5000, FAR, 53), T0)
    ports = outside_port(first), outside_port(second)
    assert ports[0] != ports[1]
    assert ports[1] % 2 == 0, "RFC 4787 REQ-4: parity is kept"
    assert udp_of(nat.inward(udp(FAR, 53, OUT, ports[1]), T0))[2:4] == (IN2, 5000)


def test_a_mapping_is_the_same_for_every_remote_end(nat):
    ports = {
        outside_port(nat.outward(udp(IN1, 80, dst, dport), T0))
        for dst in (FAR, OTHER)
        for dport in (1, 2, 3)
    }
    assert len(ports) == 1
    assert min(ports) >= 1024


@pytest.mark.parametrize("port", [1, 80, 1023, 52000, 65535, 0])
def test_ports_out_of_range_get_one_of_their_parity(nat, port):
    got = outside_port(nat.outward(udp(IN1, port, FAR, 53), T0))
    assert 1024 <= got <= 49151
    assert got % 2 == port % 2


def test_protocols_have_ports_of_their_own(nat):
    nat.outward(udp(IN1, 5000, FAR, 53), T0)
    assert nat.inward(tcp(FAR, 53, OUT, 5000), T0) is None
    assert outside_port(nat.outward(tcp(IN2, 5000, FAR, 80, F.SYN), T0)) == 5000


@pytest.mark.parametrize(
    ("filtering", "same_host", "stranger"),
    [
        (Filtering.ENDPOINT_INDEPENDENT, True, True),
        (Filtering.ADDRESS_DEPENDENT, True, False),
        (Filtering.ADDRESS_AND_PORT_DEPENDENT, False, False),
    ],
)
def test_who_may_write_back(filtering, same_host, stranger):
    nat = make(filtering=filtering)
    nat.outward(udp(IN1, 5000, FAR, 53), T0)
    assert (nat.inward(udp(FAR, 99, OUT, 5000), T0) is not None) == same_host
    assert (nat.inward(udp(OTHER, 53, OUT, 5000), T0) is not None) == stranger
    assert nat.inward(udp(FAR, 53, OUT, 5000), T0) is not None


def test_what_is_for_no_mapping_is_the_routers_own(nat):
    nat.outward(udp(IN1, 5000, FAR, 53), T0)
    assert not nat.owns(udp(FAR, 53, OUT, 6000))
    assert nat.owns(udp(OTHER, 53, OUT, 5000))
    assert nat.inward(udp(FAR, 53, OUT, 6000), T0) is None
    ping = icmp(FAR, OUT, EchoRequest(5000, 1, b""))
    assert not nat.owns(ping)
    assert nat.inward(ping, T0) is None


def test_a_udp_checksum_of_zero_stays_zero(nat):
    out = nat.outward(udp(IN1, 5000, FAR, 53, checksum=0), T0)
    assert out.payload[6:8] == b"\0\0"


@settings(derandomize=True, deadline=None, max_examples=300)
@given(
    st.integers(0, 65535),
    st.integers(0, 65535),
    st.binary(max_size=64),
    st.integers(1, (1 << 32) - 1),
    st.sampled_from([6, 17]),
)
def test_checksums_stay_right_both_ways(sport, dport, payload, far, protocol):
    nat = make(filtering=Filtering.ENDPOINT_INDEPENDENT)
    host = IPv4Address(far)
    kind, parse = (tcp, TcpSegment.parse) if protocol == 6 else (udp, UdpDatagram.parse)
    args = {"payload": payload}
    out = nat.outward(kind(IN1, sport, host, dport, **args), T0)
    if host == OUT:
        return
    parse(out.payload, out.src, out.dst)
    back = nat.inward(kind(host, dport, OUT, outside_port(out), **args), T0)
    whole = parse(back.payload, back.src, back.dst)
    assert (back.dst, whole.dst_port, whole.payload) == (IN1, sport, payload)


def test_scapy_finds_every_checksum_right(nat):
    scapy = pytest.importorskip("scapy.layers.inet")
    packets = [
        nat.outward(udp(IN1, 5000, FAR, 53, b"odd"), T0),
        nat.outward(tcp(IN1, 5000, FAR, 80, F.SYN), T0),
        nat.outward(icmp(IN1, FAR, EchoRequest(7, 1, b"hello")), T0),
    ]
    for packet in packets:
        raw = packet.emit()
        again = scapy.IP(raw)
        del again.chksum
        del again.payload.chksum
        assert bytes(scapy.IP(bytes(again))) == raw


class TestLifetimes:
    def test_udp_lives_five_minutes_from_the_last_packet_out(self, nat):
        nat.outward(udp(IN1, 5000, FAR, 53), T0)
        nat.outward(udp(IN1, 5000, FAR, 53), at(100))
        nat.inward(udp(FAR, 53, OUT, 5000), at(390))
        assert nat.inward(udp(FAR, 53, OUT, 5000), at(399)) is not None
        assert nat.inward(udp(FAR, 53, OUT, 5000), at(400)) is None
        assert nat.mappings == ()
        assert len(nat._events.of(MappingMade)) == len(nat._events.of(MappingGone)) == 1

    def test_packets_from_outside_keep_it_where_so_set(self):
        nat = make(inbound_refresh=True)
        nat.outward(udp(IN1, 5000, FAR, 53), T0)
        nat.inward(udp(FAR, 53, OUT, 5000), at(290))
        assert nat.inward(udp(FAR, 53, OUT, 5000), at(580)) is not None

    def handshake(self, nat, now=T0):
        nat.outward(tcp(IN1, 5000, FAR, 80, F.SYN), now)
        nat.inward(tcp(FAR, 80, OUT, 5000, F.SYN | F.ACK), now)
        nat.outward(tcp(IN1, 5000, FAR, 80), now)

    def alive(self, nat, now) -> bool:
        return nat.owns(tcp(FAR, 80, OUT, 5000)) and nat.expire(now) is None and bool(nat.mappings)

    def test_an_open_connection_lives_two_hours_and_four_minutes(self, nat):
        self.handshake(nat)
        assert self.alive(nat, at(7439))
        assert not self.alive(nat, at(7440))

    def test_a_half_open_one_lives_four_minutes(self, nat):
        nat.outward(tcp(IN1, 5000, FAR, 80, F.SYN), T0)
        nat.inward(tcp(FAR, 80, OUT, 5000, F.SYN | F.ACK), T0)
        assert self.alive(nat, at(239))
        assert not self.alive(nat, at(240))

    def test_a_half_closed_one_stays_open(self, nat):
        self.handshake(nat)
        nat.outward(tcp(IN1, 5000, FAR, 80, F.FIN | F.ACK), T0)
        assert self.alive(nat, at(7000))

    def test_a_closed_one_lives_four_minutes(self, nat):
        self.handshake(nat)
        nat.outward(tcp(IN1, 5000, FAR, 80, F.FIN | F.ACK), at(1))
        nat.inward(tcp(FAR, 80, OUT, 5000, F.FIN | F.ACK), at(1))
        nat.outward(tcp(IN1, 5000, FAR, 80), at(2))
        assert self.alive(nat, at(241))
        assert not self.alive(nat, at(242))

    def test_a_reset_shortens_and_a_new_syn_begins_anew(self, nat):
        self.handshake(nat)
        nat.inward(tcp(FAR, 80, OUT, 5000, F.RST), at(1))
        assert self.alive(nat, at(100))
        self.handshake(nat, at(100))
        assert self.alive(nat, at(7000))

    def test_one_of_several_connections_keeps_the_mapping(self, nat):
        self.handshake(nat)
        nat.outward(tcp(IN1, 5000, OTHER, 80, F.SYN), T0)
        nat.inward(tcp(FAR, 80, OUT, 5000, F.RST), T0)
        nat.outward(tcp(IN1, 5000, OTHER, 80, F.SYN), at(200))
        nat.expire(at(300))
        (mapping,) = nat.mappings
        assert mapping.peers == ((OTHER, 80),)

    def test_a_connection_that_was_there_before_the_router_goes_on(self, nat):
        nat.outward(tcp(IN1, 5000, FAR, 80), T0)
        nat.inward(tcp(FAR, 80, OUT, 5000), T0)
        nat.outward(tcp(IN1, 5000, FAR, 80), T0)
        assert self.alive(nat, at(7000))
        assert make().outward(tcp(IN1, 5000, FAR, 80, F.RST), T0) is None

    def test_queries_live_a_minute(self, nat):
        nat.outward(icmp(IN1, FAR, EchoRequest(2000, 1, b"x")), T0)
        reply = icmp(FAR, OUT, EchoReply(2000, 1, b"x"))
        assert nat.inward(reply, at(59)) is not None
        assert nat.inward(reply, at(60)) is None

    def test_the_deadline_is_told(self, nat):
        assert nat.next_deadline() is None
        nat.outward(udp(IN1, 5000, FAR, 53), T0)
        assert nat.next_deadline() == at(300)


class TestIcmp:
    def test_echo_by_its_identifier(self, nat):
        first = nat.outward(icmp(IN1, FAR, EchoRequest(2000, 1, b"x")), T0)
        second = nat.outward(icmp(IN2, FAR, EchoRequest(2000, 1, b"x")), T0)
        ident = parse_icmpv4(second.payload).ident
        assert parse_icmpv4(first.payload) == EchoRequest(2000, 1, b"x")
        assert ident != 2000
        back = nat.inward(icmp(FAR, OUT, EchoReply(ident, 1, b"x")), T0)
        assert back.dst == IN2
        assert parse_icmpv4(back.payload) == EchoReply(2000, 1, b"x")

    @pytest.mark.parametrize("kind", ["udp", "tcp", "echo"])
    @pytest.mark.parametrize("cut", [28, 36, 1000])
    def test_an_error_reaches_the_sender_with_the_packet_as_it_sent_it(self, nat, kind, cut):
        nat.outward(udp(IN2, 5001, FAR, 53), T0)
        sent = {
            "udp": udp(IN1, 81, FAR, 53, b"z" * 40),
            "tcp": tcp(IN1, 81, FAR, 80, F.SYN, payload=b"z" * 40),
            "echo": icmp(IN1, FAR, EchoRequest(81, 1, b"z" * 40)),
        }[kind]
        out = nat.outward(sent, T0)
        quoted = replace(out, ttl=3).emit()[:cut]
        error = icmp(OTHER, OUT, DestinationUnreachable(4, quoted, 1400))
        assert nat.owns(error)
        back = nat.inward(error, T0)
        assert (back.src, back.dst) == (OTHER, IN1)
        message = parse_icmpv4(back.payload)
        assert (message.code, message.next_hop_mtu) == (4, 1400)
        assert message.quoted == replace(sent, ttl=3).emit()[:cut]

    def test_an_error_from_inside_seems_to_come_from_the_router(self, nat):
        nat.outward(udp(IN1, 81, FAR, 53), T0)
        (mapping,) = nat.mappings
        came = udp(FAR, 53, OUT, mapping.outside_port)
        inside = nat.inward(came, T0)
        error = icmp(IN1, FAR, DestinationUnreachable(3, inside.emit()[:28]))
        out = nat.outward(error, T0)
        assert (out.src, out.dst) == (OUT, FAR)
        assert parse_icmpv4(out.payload).quoted == came.emit()[:28]

    def test_an_error_about_a_ping_from_an_inside_router(self, nat):
        sent = icmp(IN1, FAR, EchoRequest(2000, 1, b"x"))
        nat.outward(sent, T0)
        reply = nat.inward(icmp(FAR, OUT, EchoReply(2000, 1, b"x")), T0)
        out = nat.outward(icmp(IN2, FAR, TimeExceeded(0, reply.emit())), T0)
        assert (out.src, out.dst) == (OUT, FAR)
        assert parse_icmpv4(out.payload).quoted[16:20] == OUT.packed

    def test_errors_about_nothing_known_are_dropped(self, nat):
        nat.outward(udp(IN1, 5000, FAR, 53), T0)
        stray = udp(OUT, 6000, FAR, 53).emit()[:28]
        assert nat.inward(icmp(FAR, OUT, DestinationUnreachable(1, stray)), T0) is None
        assert nat.outward(icmp(IN1, FAR, DestinationUnreachable(1, stray)), T0) is None
        assert nat.inward(icmp(FAR, OUT, DestinationUnreachable(1, b"")), T0) is None

    def test_an_error_keeps_nothing_alive(self, nat):
        out = nat.outward(udp(IN1, 5000, FAR, 53), T0)
        error = icmp(FAR, OUT, DestinationUnreachable(1, out.emit()[:28]))
        assert nat.inward(error, at(299)) is not None
        assert nat.inward(error, at(300)) is None


class TestHairpin:
    def test_neighbours_meet_by_their_outside_addresses(self):
        nat = make(filtering=Filtering.ENDPOINT_INDEPENDENT)
        nat.outward(udp(IN2, 7000, FAR, 53), T0)
        met = nat.outward(udp(IN1, 5000, OUT, 7000), T0)
        assert udp_of(met) == (OUT, 5000, IN2, 7000, b"data")
        back = nat.outward(udp(IN2, 7000, OUT, 5000), T0)
        assert udp_of(back) == (OUT, 7000, IN1, 5000, b"data")

    def test_errors_find_their_way_as_well(self):
        nat = make(filtering=Filtering.ENDPOINT_INDEPENDENT)
        nat.outward(udp(IN2, 81, FAR, 53), T0)
        (mapping,) = nat.mappings
        sent = udp(IN1, 82, OUT, mapping.outside_port)
        met = nat.outward(sent, T0)
        back = nat.outward(icmp(IN2, OUT, DestinationUnreachable(3, met.emit()[:28])), T0)
        assert (back.src, back.dst) == (OUT, IN1)
        assert parse_icmpv4(back.payload).quoted == sent.emit()[:28]

    def test_it_can_be_off(self):
        nat = make(hairpin=False)
        nat.outward(udp(IN2, 7000, FAR, 53), T0)
        assert nat.outward(udp(IN1, 5000, OUT, 7000), T0) is None


class TestForwards:
    def test_a_forwarded_port_is_open_to_all_and_never_expires(self, nat):
        nat.forward(6, 80, IN1, 8080, T0)
        came = nat.inward(tcp(FAR, 999, OUT, 80, F.SYN), at(100_000))
        segment = TcpSegment.parse(came.payload, came.src, came.dst)
        assert (came.dst, segment.dst_port) == (IN1, 8080)
        answer = nat.outward(tcp(IN1, 8080, FAR, 999, F.SYN | F.ACK), at(100_000))
        assert outside_port(answer) == 80
        nat.expire(at(200_000))
        (mapping,) = nat.mappings
        assert (mapping.permanent, mapping.peers) == (True, ())

    def test_a_change_of_address_ends_what_went_on(self, nat):
        nat.forward(6, 80, IN1, 8080, T0)
        nat.inward(tcp(FAR, 999, OUT, 80, F.SYN), T0)
        nat.clear(OTHER, T0)
        assert nat.mappings[0].peers == ()

    def test_two_for_one_port_are_refused(self, nat):
        nat.forward(6, 80, IN1, 8080, T0)
        for port, host in ((80, IN2), (81, IN1)):
            with pytest.raises(PlanError):
                nat.forward(6, port, host, 8080, T0)

    def test_they_outlive_a_change_of_address(self, nat):
        nat.forward(6, 80, IN1, 8080, T0)
        nat.outward(udp(IN1, 5000, FAR, 53), T0)
        nat.clear(OTHER, T0)
        assert [each.outside_port for each in nat.mappings] == [80]
        assert nat.next_deadline() is None
        assert nat.outward(udp(IN1, 5000, FAR, 53), T0).src == OTHER


class TestBounds:
    def test_ports_that_run_out(self):
        nat = make(ports=(2000, 2009))
        got = [nat.outward(udp(IN1, 100 + n * 2, FAR, 53), T0) for n in range(6)]
        assert [each is None for each in got] == [False] * 5 + [True]
        assert nat.outward(udp(IN1, 101, FAR, 53), T0) is not None

    def test_one_host_cannot_take_all(self):
        nat = make(host_limit=3)
        got = [nat.outward(udp(IN1, 2000 + n, FAR, 53), T0) for n in range(5)]
        assert sum(each is not None for each in got) == 3
        assert nat.outward(udp(IN2, 2000, FAR, 53), T0) is not None
        nat.expire(at(300))
        assert nat.outward(udp(IN1, 2004, FAR, 53), at(300)) is not None

    def test_remote_ends_are_bounded(self):
        nat = make(peer_limit=10)
        for number in range(100):
            nat.outward(udp(IN1, 5000, IPv4Address(0x08000000 + number), 53), T0)
        (mapping,) = nat.mappings
        assert len(mapping.peers) == 10

    def test_the_routers_own_ports_are_spared(self):
        nat = Nat(
            OUT,
            NatConfig(),
            entropy=Entropy(1),
            events=EventLog(10),
            taken=lambda protocol, port: (protocol, port) == (17, 5000),
        )
        assert outside_port(nat.outward(udp(IN1, 5000, FAR, 53), T0)) != 5000


def test_fragments_are_for_reassembly_first(nat):
    for piece in fragment(udp(IN1, 5000, FAR, 53, bytes(3000)), 1500):
        assert nat.outward(piece, T0) is None


@settings(derandomize=True, deadline=None, max_examples=1000)
@given(st.binary(max_size=80), st.sampled_from([1, 6, 17, 47]), st.booleans())
def test_nonsense_never_raises(payload, protocol, error):
    nat = make(filtering=Filtering.ENDPOINT_INDEPENDENT)
    nat.outward(udp(IN1, 5000, FAR, 53), T0)
    if error and protocol == 1:
        payload = b"\x03\x03" + payload
    for packet in (
        IPv4Packet(IN1, FAR, protocol, payload),
        IPv4Packet(IN1, OUT, protocol, payload),
    ):
        nat.outward(packet, T0)
    came = IPv4Packet(FAR, OUT, protocol, payload)
    nat.owns(came)
    nat.inward(came, T0)
