"""ARP as RFC 826 and RFC 1122 2.3.2 have it."""

from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

import pytest
from lone import MAC, PEER, A, B, Lone, ip

from testbed.stack.config import StackConfig
from testbed.stack.refusals import Refused
from testbed.timing import milliseconds, seconds
from testbed.wire import ArpPacket, IPv4Packet, MacAddr

BROADCAST = MacAddr.BROADCAST


def send(lone: Lone, to: str = "10.0.0.2", data: bytes = b"x"):
    sockets = list(lone.stack.udp)
    socket = sockets[0] if sockets else lone.stack.udp.open(lone.now, port=5000)
    socket.send(data, lone.now, to=(ip(to), 9))
    return socket


def test_the_request_is_a_broadcast_with_the_askers_addresses_padded_to_60_bytes():
    lone = Lone(known=False)
    send(lone)
    out = lone.stack.poll_transmit(lone.now)
    assert len(out.frame) == 60
    assert out.frame[:6] == BROADCAST.packed
    assert ArpPacket.parse(out.frame[14:]) == ArpPacket.request(MAC, A, B)
    assert lone.stack.poll_transmit(lone.now) is None


def test_what_waits_goes_out_in_order_when_the_answer_comes():
    lone = Lone(known=False)
    for data in (b"1", b"2", b"3"):
        send(lone, data=data)
    assert len(lone.arps()) == 1  # one request for all three
    lone.hear_arp(ArpPacket.reply(PEER, B, MAC, A), dst=MAC)
    frames = lone.frames()
    assert [frame.payload[28:29] for frame in frames] == [b"1", b"2", b"3"]
    assert {frame.dst for frame in frames} == {PEER}


def test_a_full_queue_keeps_the_latest():
    lone = Lone(StackConfig.of(arp={"queue_limit": 2}), known=False)
    for data in (b"1", b"2", b"3"):
        send(lone, data=data)
    lone.hear_arp(ArpPacket.reply(PEER, B, MAC, A), dst=MAC)
    data = [frame.payload[28:29] for frame in lone.frames() if frame.ethertype == 0x0800]
    assert data == [b"2", b"3"]


def test_fragments_wait_together_and_go_together():
    lone = Lone(StackConfig.of(arp={"queue_limit": 2}), known=False)
    for data in (b"1" * 8000, b"2" * 8000, b"3" * 40000):
        send(lone, data=data)
    lone.hear_arp(ArpPacket.reply(PEER, B, MAC, A), dst=MAC)
    data = b"".join(frame.payload[20:] for frame in lone.frames() if frame.ethertype == 0x0800)
    assert data.count(b"1") == 0
    assert (data.count(b"2"), data.count(b"3")) == (8000, 40000)


def test_a_flood_of_later_fragments_that_wait_is_bounded():
    lone = Lone(known=False)
    entry = lone.stack.interface().neighbours.entry(B)
    piece = IPv4Packet(A, B, 17, bytes(1480), offset=8, mf=True).emit()
    for _ in range(1000):
        lone.stack.interface().neighbours.transmit(entry, piece, lone.now)
    assert sum(map(len, entry.queue)) <= 256 << 10


def test_three_requests_a_second_apart_and_then_host_unreachable():
    lone = Lone(known=False)
    errors = []
    socket = send(lone)
    socket.on_error = lambda _, error, now: errors.append((error.type, error.code, now))
    start = lone.now
    times = []
    for _ in range(50):
        times += [lone.now - start for _ in lone.arps()]
        lone.wait(milliseconds(100))
    assert times == [0, seconds(1), seconds(2)]
    assert errors == [(3, 1, start + seconds(3))]
    send(lone)  # and again, as soon as a second has gone by since the last request
    lone.wait(seconds(1))
    assert lone.arps()


def test_giving_up_and_trying_at_once_again_still_asks_once_a_second_at_most():
    lone = Lone(StackConfig.of(arp={"attempts": 1, "retry": seconds(1)}), known=False)
    start, times = lone.now, []
    for _ in range(100):
        send(lone)
        times += [lone.now - start for _ in lone.arps()]
        lone.wait(milliseconds(50))
    assert times == [seconds(n) for n in range(5)]


def test_only_the_owner_answers_by_unicast_and_learns_the_asker():
    lone = Lone(known=False)
    lone.hear_arp(ArpPacket.request(PEER, B, ip("10.0.0.77")))
    assert lone.frames() == []
    assert lone.stack.interface().neighbours.get(B, lone.now) is None
    lone.hear_arp(ArpPacket.request(PEER, B, A))
    assert lone.arps() == [(PEER, ArpPacket.reply(MAC, A, PEER, B))]
    assert lone.stack.interface().neighbours.get(B, lone.now) == PEER


def test_a_probe_is_answered_and_teaches_nothing():
    lone = Lone(known=False)
    lone.hear_arp(ArpPacket.probe(PEER, A))
    assert lone.arps() == [(PEER, ArpPacket.reply(MAC, A, PEER, ip("0.0.0.0")))]
    assert len(lone.stack.interface().neighbours) == 0


def test_announcements_and_unasked_replies_change_what_is_known_and_add_nothing():
    lone = Lone(known=False)
    other = MacAddr("02:00:00:00:00:03")
    lone.hear_arp(ArpPacket.announcement(PEER, B))
    lone.hear_arp(ArpPacket.reply(PEER, B, MAC, A), dst=MAC)
    assert len(lone.stack.interface().neighbours) == 0
    lone.hear_arp(ArpPacket.request(PEER, B, A))
    lone.hear_arp(ArpPacket.announcement(other, B))
    assert lone.stack.interface().neighbours.get(B, lone.now) == other


def test_an_unused_entry_expires_and_is_asked_for_anew_by_broadcast():
    lone = Lone(StackConfig.of(arp={"reachable": seconds(30)}), known=False)
    lone.hear_arp(ArpPacket.request(PEER, B, A))
    lone.frames()
    lone.wait(seconds(30) - milliseconds(1))
    assert lone.stack.interface().neighbours.get(B, lone.now) == PEER
    lone.wait(milliseconds(1))
    assert lone.stack.interface().neighbours.get(B, lone.now) is None
    send(lone)
    assert lone.arps() == [(BROADCAST, ArpPacket.request(MAC, A, B))]


def test_an_entry_in_use_is_polled_by_unicast_before_it_expires():
    lone = Lone(StackConfig.of(arp={"reachable": seconds(40)}), known=False)
    lone.hear_arp(ArpPacket.request(PEER, B, A))
    lone.frames()
    lone.wait(seconds(29))
    send(lone)
    assert lone.arps() == []
    lone.wait(seconds(2))
    send(lone)
    frames = lone.frames()
    assert [(frame.dst, frame.ethertype) for frame in frames] == [(PEER, 0x0806), (PEER, 0x0800)]
    lone.hear_arp(ArpPacket.reply(PEER, B, MAC, A), dst=MAC)
    lone.wait(seconds(39))
    assert lone.stack.interface().neighbours.get(B, lone.now) == PEER


def test_a_path_follows_a_neighbour_that_moves():
    lone = Lone(known=False)
    path = lone.stack.ip.path(B, now=lone.now)
    lone.hear_arp(ArpPacket.request(PEER, B, A))
    lone.frames()
    other = MacAddr("02:00:00:00:00:09")
    path.send(b"1", 253, lone.now)
    lone.hear_arp(ArpPacket.announcement(other, B))
    path.send(b"2", 253, lone.now)
    assert [frame.dst for frame in lone.frames()] == [PEER, other]
    lone.stack.interface().neighbours.forget()
    path.send(b"3", 253, lone.now)
    assert lone.arps() == [(BROADCAST, ArpPacket.request(MAC, A, B))]
    lone.hear_arp(ArpPacket.reply(PEER, B, MAC, A), dst=MAC)
    assert [frame.payload[20:] for frame in lone.frames()] == [b"3"]


def test_a_flood_of_addresses_costs_no_memory():
    lone = Lone(StackConfig.of(arp={"table_limit": 64}), known=False)
    for number in range(2, 250):
        for other in range(4):
            sender = MacAddr(bytes((2, 0, 0, 0, other, number)))
            lone.hear_arp(ArpPacket.request(sender, ip(f"10.0.{other}.{number}"), A))
    assert len(lone.stack.interface().neighbours) == 64
    assert len(lone.stack.alarms) == 0


@pytest.mark.parametrize(
    "sender",
    ["255.255.255.255", "224.0.0.1", "127.0.0.1", "240.0.0.1"],
)
def test_bindings_of_impossible_addresses_are_not_learned(sender):
    lone = Lone(known=False)
    lone.hear_arp(ArpPacket.request(PEER, ip(sender), A))
    assert len(lone.stack.interface().neighbours) == 0


def test_group_macs_are_not_believed():
    lone = Lone(known=False)
    lone.hear_arp(ArpPacket.request(BROADCAST, B, A))
    assert lone.frames() == []
    assert len(lone.stack.interface().neighbours) == 0


def test_the_switch_silences_answers_and_asking_goes_on():
    lone = Lone(known=False)
    lone.stack.answers.arp = False
    lone.hear_arp(ArpPacket.request(PEER, B, A))
    assert lone.frames() == []
    lone.stack.answers.arp = True
    lone.hear_arp(ArpPacket.request(PEER, B, A))
    assert len(lone.arps()) == 1


def test_proxy_arp_answers_for_what_it_is_told_to_but_no_probe_of_it():
    lone = Lone(StackConfig.of(arp={"answer_for": ("10.0.0.128/25",)}), known=False)
    target = ip("10.0.0.200")
    lone.hear_arp(ArpPacket.request(PEER, B, target))
    assert lone.arps() == [(PEER, ArpPacket.reply(MAC, target, PEER, B))]
    lone.hear_arp(ArpPacket.probe(PEER, target))
    assert lone.frames() == []


def test_off_link_goes_to_the_next_hop_and_only_that_one_is_asked_for():
    lone = Lone(known=False)
    lone.stack.add_route(IPv4Network("0.0.0.0/0"), via=ip("10.0.0.254"), now=lone.now)
    send(lone, "192.0.2.7")
    assert lone.arps() == [(BROADCAST, ArpPacket.request(MAC, A, ip("10.0.0.254")))]


def test_the_request_names_the_address_of_the_targets_subnet():
    lone = Lone(known=False)
    lone.stack.add_address("eth0", IPv4Interface("172.16.0.1/16"), lone.now)
    send(lone, "172.16.9.9")
    assert lone.arps()[0][1].sender_ip == ip("172.16.0.1")


def test_a_gateway_on_no_link_is_refused():
    with pytest.raises(Refused, match="ENETUNREACH"):
        Lone().stack.add_route(IPv4Network("0.0.0.0/0"), via=ip("192.0.2.1"))
