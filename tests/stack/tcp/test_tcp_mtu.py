"""Path-MTU discovery of TCP: by ICMP (RFC 1191, RFC 5927) and without (RFC 4821)."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from pair import Pair
from tcp_wire import HOST, PEER, Wire

from testbed.link.impair import Chance, Drop, MtuHole
from testbed.stack.config import StackConfig
from testbed.stack.lower import IcmpError
from testbed.stack.tcp.states import State
from testbed.timing import milliseconds, seconds
from testbed.wire import MSS, DestinationUnreachable, IPv4Packet


def frag_needed(wire, packet, mtu, *, quote=28):
    """A router says that ``packet`` is too large."""
    error = DestinationUnreachable(4, packet.emit()[:quote], next_hop_mtu=mtu).emit()
    wire.stack.receive(IPv4Packet(PEER, HOST, 1, error).emit(), wire.now)


def test_a_frag_needed_makes_smaller_segments_go_out_at_once():
    wire = Wire()
    c = wire.connect()
    c.send(bytes(2920), wire.now)
    first, _ = wire.take()
    frag_needed(wire, first.packet, 1000)
    assert wire.briefs() == [
        "A 1:961 1",
        "A 961:1461 1",
        "A 1461:2421 1",
        "PA 2421:2921 1",
    ]
    seen = c.snapshot()
    assert {each.reason.name for each in seen.retransmissions} == {"PMTU"}
    assert seen.mss == 960
    wire.say("A", 1, 2921)
    c.send(bytes(960), wire.now)
    assert wire.one().size == 960


@pytest.mark.parametrize("offset", [-100, 50_000])
def test_a_frag_needed_about_nothing_in_flight_is_not_believed(offset):
    wire = Wire()
    c = wire.connect()
    c.send(bytes(1460), wire.now)
    sent = wire.one()
    payload = sent.packet.payload
    seq = (int.from_bytes(payload[4:8], "big") + offset) % (1 << 32)
    forged = payload[:4] + seq.to_bytes(4, "big") + payload[8:]
    frag_needed(wire, IPv4Packet(HOST, PEER, 6, forged, df=True), 600)
    assert wire.take() == []
    assert c.snapshot().mss == 1460


def test_the_layer_accepts_only_errors_about_data_in_flight():
    wire = Wire()
    c = wire.connect()
    c.send(bytes(1460), wire.now)
    sent = wire.one()
    error = IcmpError(3, 4, sent.packet, PEER, 600)
    assert wire.stack.tcp.accepts_frag_needed(error, wire.now)
    wire.say("A", 1, 1461)
    assert not wire.stack.tcp.accepts_frag_needed(error, wire.now)


def test_a_smaller_path_leaves_the_slow_start_threshold_alone():
    wire = Wire()
    c = wire.connect()
    before = c.snapshot().ssthresh
    c.send(bytes(2920), wire.now)
    first, _ = wire.take()
    frag_needed(wire, first.packet, 1000)
    assert c.snapshot().ssthresh == before


def test_timeouts_of_full_segments_shrink_them_to_the_base_size():
    wire = Wire()
    c = wire.connect()
    c.send(bytes(3000), wire.now)
    wire.take()
    heard = wire.run(15_500)
    assert [(each.at, each.size) for each in heard] == [
        (1000, 1460),
        (3000, 1460),
        (7000, 1460),
        (15_000, 1160),  # the fourth timeout in a row: 1200 bytes with headers, and no other
    ]
    assert c.snapshot().mss == 1160


def test_timeouts_of_smaller_segments_are_no_black_hole_for_a_minute():
    wire = Wire()
    c = wire.connect()
    c.send(bytes(1000), wire.now)
    heard = wire.run(60_000)
    assert [(each.at, each.size) for each in heard] == [
        (at * 1000, 1000) for at in (0, 1, 3, 7, 15, 31)
    ]
    assert c.snapshot().mss == 1460


def test_without_probing_segments_keep_their_size():
    wire = Wire(x_pmtu={"probing": "off"})
    c = wire.connect()
    c.send(bytes(3000), wire.now)
    assert {each.size for each in wire.run(30_000)} <= {1460, 80}
    assert c.snapshot().mss == 1460


class Hole:
    """The peer and a path that swallows packets above ``limit``."""

    def __init__(self, wire: Wire, limit: int) -> None:
        self.wire = wire
        self.limit = limit
        self.have: set[int] = set()
        self.next = 1

    def run(self, ms: float) -> None:
        end = self.wire.ms + ms
        while self.wire.ms < end:
            for each in self.wire.run(10):
                if each.packet.total_length > self.limit or not each.size:
                    continue
                self.have |= set(range(each.seq, each.seq + each.size))
                while self.next in self.have:
                    self.next += 1
                self.wire.say("A", 1, self.next)


@pytest.mark.parametrize("limit", [300, 576, 1006, 1300, 1492])
def test_a_transfer_through_a_black_hole_comes_through(limit):
    wire = Wire(x_pmtu={"least": 68})
    c = wire.connect()
    hole = Hole(wire, limit)
    c.send(bytes(100_000), wire.now)
    hole.run(200_000)
    assert hole.next == 100_001
    assert c.state is State.ESTABLISHED
    assert c.snapshot().mss + 40 <= limit


def test_the_search_finds_the_largest_size_that_passes():
    wire = Wire()
    c = wire.connect()
    hole = Hole(wire, 1400)
    for _ in range(40):
        c.send(bytes(100_000), wire.now)
        hole.run(5_000)
    assert 1392 <= c.snapshot().mss + 40 <= 1400


def test_an_always_searching_stack_starts_small_and_grows():
    wire = Wire(x_pmtu={"probing": "always"})
    c = wire.connect(options=(MSS(1460),))
    assert c.snapshot().mss == 1160
    hole = Hole(wire, 1500)
    c.send(bytes(100_000), wire.now)
    hole.run(5_000)
    assert c.snapshot().mss == 1460
    assert c.snapshot().retransmission_count == 0


@pytest.mark.parametrize("seed", range(12))
def test_a_probe_that_was_resent_in_pieces_proves_no_size(seed):
    pair = Pair(StackConfig.of(pmtu={"probing": "always", "base": 576}), seed=seed)
    for line in (pair.to_right, pair.to_left):
        line.impair.add(Drop(Chance(0.05, seed)))
    pair.to_right.impair.add(MtuHole(600))
    listener = pair.right.tcp.listen(80, pair.now)
    c = pair.left.tcp.connect((IPv4Address("10.0.0.2"), 80), pair.now)
    pair.run_until(lambda: listener.readable, seconds(100))
    server = listener.accept(pair.now)
    left, got = 300_000, 0
    while got < 300_000:
        left -= c.send(bytes(min(left, 50_000)), pair.now)
        pair.run(milliseconds(20))
        got += len(server.receive(1 << 20, pair.now) or b"")
        assert c.snapshot().mss + 40 <= 600
