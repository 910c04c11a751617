"""A router's decisions, one by one, as RFC 1812 has them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.stack.config import IpConfig
from testbed.stack.forwarding import Drop, Forward, Forwarder, Hop, Refuse
from testbed.timing import Instant, seconds
from testbed.wire import IPv4Packet, reassemble


def ip(text: str) -> IPv4Address:
    return IPv4Address(text)


class World:
    """Two subnets and a third behind 10.0.1.254; ``narrow`` has an MTU of 576."""

    addresses: ClassVar = {
        "left": IPv4Interface("10.0.0.1/24"),
        "right": IPv4Interface("10.0.1.1/24"),
        "narrow": IPv4Interface("10.0.2.1/24"),
    }
    routes: ClassVar = [(IPv4Network("10.9.0.0/16"), Hop("right", ip("10.0.1.254")))]

    def route(self, destination, now, flow=None):
        for name, interface in self.addresses.items():
            if destination in interface.network:
                return Hop(name, None)
        return next((hop for network, hop in self.routes if destination in network), None)

    def link_mtu(self, interface):
        return 576 if interface == "narrow" else 1500

    def on_link(self, interface, address):
        return address in self.addresses[interface].network

    def is_local(self, address):
        return any(address == each.ip for each in self.addresses.values())

    def address_of(self, interface):
        return self.addresses[interface].ip

    def broadcast_of(self, destination):
        for name, each in self.addresses.items():
            if destination == each.network.broadcast_address:
                return name
        return None


T0 = Instant(seconds(86_400 * 3) + 5_000_000)
HOST, FAR, NARROW = ip("10.0.0.9"), ip("10.9.0.7"), ip("10.0.2.7")
PACKET = IPv4Packet(HOST, FAR, 17, bytes(100), ident=9, ttl=64)
FORWARDER = Forwarder(IpConfig(), World())


def decide(packet: IPv4Packet = PACKET, ingress="left", *, link_broadcast=False, **config):
    forwarder = Forwarder(IpConfig(**config), World())
    return forwarder.decide(packet, ingress, T0, link_broadcast=link_broadcast)


def test_a_packet_goes_on_to_the_next_hop_with_its_ttl_less_one():
    assert decide() == Forward((replace(PACKET, ttl=63),), "right", ip("10.0.1.254"))


def test_on_the_last_link_the_next_hop_is_the_destination():
    packet = replace(PACKET, dst=ip("10.0.1.7"))
    assert decide(packet) == Forward((replace(packet, ttl=63),), "right", packet.dst)


@pytest.mark.parametrize(("ttl", "verdict"), [(1, Refuse(11, 0)), (0, Refuse(11, 0))])
def test_a_ttl_that_runs_out_is_told(ttl, verdict):
    assert decide(replace(PACKET, ttl=ttl)) == verdict
    assert isinstance(decide(replace(PACKET, ttl=2)), Forward)


def test_without_a_route_the_net_is_unreachable():
    assert decide(replace(PACKET, dst=ip("192.0.2.1"))) == Refuse(3, 0)
    assert decide(replace(PACKET, dst=ip("192.0.2.1"), ttl=1)) == Refuse(3, 0)


def test_df_over_the_mtu_names_the_mtu():
    packet = replace(PACKET, dst=NARROW, payload=bytes(557), df=True)
    assert decide(packet) == Refuse(3, 4, 576)
    assert isinstance(decide(replace(packet, payload=bytes(556))), Forward)


def test_without_df_it_is_cut_up():
    packet = replace(PACKET, dst=NARROW, payload=bytes(range(200)) * 7)
    verdict = decide(packet)
    assert isinstance(verdict, Forward)
    assert len(verdict.packets) == 3
    assert all(piece.total_length <= 576 for piece in verdict.packets)
    assert reassemble(verdict.packets) == replace(packet, ttl=63)


def test_fragments_are_cut_further_and_never_put_together():
    packet = replace(PACKET, dst=NARROW, payload=bytes(1200), mf=True, offset=2400)
    verdict = decide(packet)
    assert isinstance(verdict, Forward)
    assert [(piece.offset, piece.mf) for piece in verdict.packets] == [
        (2400, True),
        (2952, True),
        (3504, True),
    ]


@pytest.mark.parametrize(
    "dst",
    [
        "255.255.255.255",
        "224.0.0.5",
        "239.1.2.3",
        "127.0.0.1",
        "0.0.0.0",
        "240.0.0.1",
        "169.254.1.1",
    ],
)
def test_destinations_that_never_cross_a_router(dst):
    assert isinstance(decide(replace(PACKET, dst=ip(dst))), Drop)


@pytest.mark.parametrize(
    "src",
    [
        *("0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255", "169.254.1.1"),
        *("10.0.0.255", "10.0.0.1"),
    ],
)
def test_sources_that_never_cross_a_router(src):
    assert isinstance(decide(replace(PACKET, src=ip(src))), Drop)


def test_why_groups_stay():
    for dst, reason in (("224.0.0.5", "link-local group"), ("224.0.1.1", "no multicast routing")):
        assert decide(replace(PACKET, dst=ip(dst)), link_broadcast=True) == Drop(reason)


def test_what_came_as_a_link_broadcast_stays():
    assert decide(link_broadcast=True) == Drop("link broadcast")


def test_directed_broadcasts_are_off_by_default():
    packet = replace(PACKET, dst=ip("10.0.1.255"))
    assert decide(packet) == Drop("directed broadcast")
    assert decide(packet, directed_broadcast=True) == Forward(
        (replace(packet, ttl=63),), "right", packet.dst, broadcast=True
    )
    assert isinstance(decide(packet, "right", directed_broadcast=True), Drop)


class TestRedirects:
    packet = replace(PACKET, src=ip("10.0.1.9"))

    def test_the_sender_is_told_of_a_better_way_and_the_packet_still_goes(self):
        verdict = decide(self.packet, "right")
        assert verdict == Forward(
            (replace(self.packet, ttl=63),), "right", ip("10.0.1.254"), ip("10.0.1.254")
        )

    def test_a_neighbour_is_named_itself(self):
        verdict = decide(replace(self.packet, dst=ip("10.0.1.7")), "right")
        assert isinstance(verdict, Forward)
        assert verdict.redirect == ip("10.0.1.7")

    def test_none_to_a_sender_of_another_subnet(self):
        verdict = decide(replace(self.packet, src=ip("172.16.0.1")), "right")
        assert isinstance(verdict, Forward)
        assert verdict.redirect is None

    def test_none_when_switched_off(self):
        verdict = decide(self.packet, "right", send_redirects=False)
        assert isinstance(verdict, Forward)
        assert verdict.redirect is None

    def test_none_for_a_source_route(self):
        routed = replace(self.packet, options=source_route(131, 8, "10.0.5.5"))
        verdict = decide(routed, "right", source_route=True)
        assert isinstance(verdict, Forward)
        assert verdict.redirect is None


def source_route(kind: int, pointer: int, *stations: str) -> bytes:
    data = b"".join(ip(each).packed for each in stations)
    return bytes((kind, 3 + len(data), pointer)) + data


class TestSourceRoutes:
    def test_they_are_refused_by_default(self):
        packet = replace(PACKET, options=source_route(131, 4, "10.9.0.1"))
        assert decide(packet) == Drop("source route")

    def test_a_station_records_itself_and_sends_on(self):
        packet = replace(
            PACKET, dst=ip("10.0.0.1"), options=source_route(131, 4, "10.9.0.7", "1.1.1.1")
        )
        assert FORWARDER.transits(packet)
        verdict = decide(packet, source_route=True)
        options = source_route(131, 8, "10.0.1.1", "1.1.1.1")
        assert verdict == Forward(
            (replace(packet, dst=FAR, options=options, ttl=63),), "right", ip("10.0.1.254")
        )

    def test_a_strict_route_goes_to_neighbours_alone(self):
        packet = replace(PACKET, dst=ip("10.0.0.1"), options=source_route(137, 4, "10.9.0.7"))
        assert decide(packet, source_route=True) == Refuse(3, 5)
        near = replace(packet, options=source_route(137, 4, "10.0.1.7"))
        verdict = decide(near, source_route=True)
        assert isinstance(verdict, Forward)
        assert verdict.next_hop == ip("10.0.1.7")

    def test_a_used_up_route_is_for_the_router_itself(self):
        packet = replace(PACKET, dst=ip("10.0.0.1"), options=source_route(131, 8, "10.9.0.7"))
        assert not FORWARDER.transits(packet)

    def test_two_of_them_are_a_parameter_problem(self):
        options = source_route(131, 4, "1.1.1.1") + source_route(137, 4, "1.1.1.1")
        assert decide(replace(PACKET, options=options)) == Refuse(12, 0, pointer=27)


class TestOptions:
    def test_record_route_gets_the_address_of_the_way_out(self):
        packet = replace(PACKET, options=source_route(7, 4, "0.0.0.0", "0.0.0.0"))
        verdict = decide(packet)
        assert isinstance(verdict, Forward)
        assert (
            verdict.packets[0].options
            == replace(packet, options=source_route(7, 8, "10.0.1.1", "0.0.0.0")).options
        )

    def test_a_full_record_is_left_alone(self):
        packet = replace(PACKET, options=source_route(7, 8, "9.9.9.9"))
        verdict = decide(packet)
        assert isinstance(verdict, Forward)
        assert verdict.packets[0].options == packet.options

    def test_room_for_half_an_address_is_a_parameter_problem(self):
        packet = replace(PACKET, options=bytes((7, 5, 4, 0, 0)))
        assert decide(packet) == Refuse(12, 0, pointer=22)

    def test_timestamps_are_marked_as_not_of_the_day(self):
        packet = replace(PACKET, options=bytes((68, 12, 5, 1)) + bytes(8))
        verdict = decide(packet)
        assert isinstance(verdict, Forward)
        stamp = (0x8000_0005).to_bytes(4, "big")
        assert verdict.packets[0].options == bytes((68, 12, 13, 1, 10, 0, 1, 1)) + stamp

    def test_a_full_timestamp_counts_those_that_found_no_room(self):
        packet = replace(PACKET, options=bytes((68, 8, 9, 0xE0)) + bytes(4))
        verdict = decide(packet)
        assert isinstance(verdict, Forward)
        assert verdict.packets[0].options[3] == 0xF0
        assert decide(verdict.packets[0]) == Refuse(12, 0, pointer=23)

    def test_only_the_addresses_asked_for_record_their_time(self):
        mine = bytes((68, 12, 5, 3)) + ip("10.0.1.1").packed + bytes(4)
        other = bytes((68, 12, 5, 3)) + ip("9.9.9.9").packed + bytes(4)
        assert decide(replace(PACKET, options=mine)).packets[0].options[2] == 13
        assert decide(replace(PACKET, options=other)).packets[0].options == other

    @pytest.mark.parametrize(
        ("options", "pointer"),
        [
            (bytes((1, 7, 1, 4)), 22),
            (bytes((1, 7, 200, 4)), 22),
            (bytes((1, 1, 1, 7)), 23),
            (bytes((1, 7, 2, 1)), 22),
            (bytes((1, 7, 3, 3)), 23),
            (bytes((1, 131, 2, 1)), 22),
            (bytes((1, 131, 5, 4, 0, 0)), 23),
            (bytes((1, 131, 6, 4, 0, 0, 0)), 23),
            (bytes((1, 68, 3, 5)), 22),
            (bytes((1, 68, 8, 4, 0)) + bytes(4), 23),
            (bytes((1, 68, 8, 5, 1)) + bytes(4), 23),
            (bytes((1, 68, 8, 5, 2)) + bytes(4), 23),
            (bytes((1, 68, 7, 5, 0)) + bytes(3), 23),
        ],
    )
    def test_the_pointer_shows_the_wrong_byte(self, options, pointer):
        packet = replace(PACKET, options=options)
        assert decide(packet, source_route=True) == Refuse(12, 0, pointer=pointer)

    @pytest.mark.parametrize("options", [bytes((7, 3, 4)), bytes((131, 3, 4))])
    def test_an_option_without_room_for_any_address_is_just_full(self, options):
        assert isinstance(decide(replace(PACKET, options=options), source_route=True), Forward)

    def test_room_for_exactly_one_stamp_is_used(self):
        verdict = decide(replace(PACKET, options=bytes((68, 8, 5, 0)) + bytes(4)))
        assert isinstance(verdict, Forward)
        assert verdict.packets[0].options == bytes((68, 8, 9, 0, 0x80, 0, 0, 5))

    @pytest.mark.parametrize(
        "options", [bytes((7, 1, 4, 0)), bytes((7, 200, 4, 0)), bytes((1, 1, 1, 7))]
    )
    def test_lengths_that_lead_nowhere_are_parameter_problems(self, options):
        verdict = decide(replace(PACKET, options=options))
        assert isinstance(verdict, Refuse)
        assert verdict.icmp_type == 12

    def test_options_not_to_be_copied_stay_on_the_first_fragment(self):
        options = source_route(7, 4, "0.0.0.0")
        verdict = decide(replace(PACKET, dst=NARROW, payload=bytes(1000), options=options))
        assert isinstance(verdict, Forward)
        assert [bool(piece.options) for piece in verdict.packets] == [True, False]


@settings(derandomize=True, deadline=None, max_examples=1000)
@given(st.binary(max_size=40), st.integers(0, 255), st.booleans(), st.integers(0, 1400))
def test_no_options_make_it_raise_or_grow(options, ttl, df, size):
    packet = replace(PACKET, dst=NARROW, options=options, ttl=ttl, df=df, payload=bytes(size))
    verdict = decide(packet, source_route=True)
    if isinstance(verdict, Forward):
        assert len(verdict.packets[0].options) == len(packet.options)
