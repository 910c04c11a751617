from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pair import Pair
from scapy.layers.inet import IP, defragment

from testbed.capture import match
from testbed.errors import PlanError
from testbed.link import Fragments, Nth
from testbed.stack.config import OverlapPolicy, StackConfig
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire import EthFrame, MacAddr
from testbed.wire.fragment import fragment
from testbed.wire.ipv4 import IPv4Packet

A, B = MacAddr("02:00:00:00:00:0a"), MacAddr("02:00:00:00:00:0b")
NOW = Instant(0)


def whole(size=1000, *, ident=9, df=False):
    payload = bytes(n * 7 % 251 for n in range(size))
    source, destination = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
    return IPv4Packet(source, destination, 17, payload, ident=ident, df=df)


def framed(packet):
    return EthFrame(B, A, 0x0800, packet.emit()).emit()


def packets_in(frames):
    return [IPv4Packet.parse(EthFrame.parse(frame).payload) for frame in frames]


def sent_by(stage, *packets):
    return packets_in(out for each in packets for out in stage.push(framed(each), NOW))


def offsets(packets):
    return [packet.offset for packet in packets]


def test_a_whole_packet_is_cut_to_the_mtu_and_df_cleared():
    pieces = sent_by(Fragments(mtu=420), whole(1000, df=True))
    assert offsets(pieces) == [0, 400, 800]
    assert [piece.mf for piece in pieces] == [True, True, False]
    assert not any(piece.df for piece in pieces)


def test_without_an_mtu_a_whole_packet_stays_as_it_is():
    packet = whole(1000, df=True)
    assert sent_by(Fragments(omit=[1], shuffle=3), packet) == [packet]


def test_fragments_wait_for_each_other_and_leave_in_the_order_named():
    stage = Fragments(order=[3, 1])
    first, second, third = fragment(whole(1000), 420)
    assert sent_by(stage, first, third) == []
    assert sent_by(stage, second) == [third, first, second]
    assert stage.next_deadline() is None
    assert [event.note for event in stage.log.events] == ["as fragments 3 1 2 of 3, any"]


def test_fragments_are_omitted_by_their_number():
    assert offsets(sent_by(Fragments(mtu=420, omit=[2]), whole())) == [0, 800]
    assert sent_by(Fragments(mtu=420, omit=[1, 2, 3]), whole()) == []


def test_the_same_seed_shuffles_alike():
    orders = [offsets(sent_by(Fragments(mtu=68, shuffle=seed), whole())) for seed in (1, 1, 2)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == [*range(0, 1000, 48)]
    assert orders[0] != sorted(orders[0])


def test_overlaps_begin_early_with_the_same_bytes_or_with_others():
    packet = whole(1000)
    same = sent_by(Fragments(mtu=420, overlap=16), packet)
    assert offsets(same) == [0, 368, 752]
    for piece in same:
        assert piece.total_length <= 420
        assert piece.payload == packet.payload[piece.offset :][: len(piece.payload)]
    other = sent_by(Fragments(mtu=420, overlap=16, filler=b"X"), packet)
    assert [piece.payload[:16] for piece in other[1:]] == [b"X" * 16] * 2
    assert other[1].payload[16:] == same[1].payload[16:]


def test_overlapping_fragments_are_no_larger_than_those_that_came():
    pieces = sent_by(Fragments(overlap=8), *fragment(whole(1000), 420))
    assert max(piece.total_length for piece in pieces) <= 420
    assert offsets(pieces) == [0, 384, 776]


def test_only_selected_packets_are_struck_and_they_are_asked_for_whole():
    stage = Fragments(Nth(2, matching=match.ipv4(src="192.0.2.1")), order=[2])
    two = [fragment(whole(1000, ident=number), 620) for number in (1, 2)]
    assert [(p.ident, p.offset) for each in two for p in sent_by(stage, *each)] == [
        (1, 0), (1, 600), (2, 600), (2, 0),
    ]  # fmt: skip


def test_fragments_of_a_packet_that_never_becomes_whole_go_on_as_they_came():
    stage = Fragments(order=[2], max_hold=milliseconds(50))
    first, _, third = fragment(whole(1000), 420)
    assert sent_by(stage, third, first) == []
    assert stage.next_deadline() == milliseconds(50)
    assert packets_in(stage.due(Instant(milliseconds(49)))) == []
    assert packets_in(stage.due(Instant(milliseconds(50)))) == [third, first]
    sent_by(stage, first)
    assert packets_in(stage.flush(NOW)) == [first]
    assert stage.next_deadline() is None


@pytest.mark.parametrize("junk", [b"", b"\0" * 13, framed(whole())[:30], b"\xff" * 60])
def test_what_is_no_ipv4_passes(junk):
    assert Fragments(mtu=68).push(junk, NOW) == [junk]


@given(st.integers(1, 3000), st.integers(28, 1500), st.integers(0, 99))
def test_scapy_puts_shuffled_fragments_together(size, mtu, seed):
    packet = whole(size)
    sent = sent_by(Fragments(mtu=mtu, shuffle=seed), packet)
    (made,) = defragment([IP(piece.emit()) for piece in sorted(sent, key=lambda p: p.offset)])
    assert bytes(made.payload) == packet.payload


@given(st.integers(1, 3000), st.integers(36, 1500), st.integers(0, 99))
def test_overlapping_fragments_say_all_bytes_and_no_others(size, mtu, seed):
    packet = whole(size)
    written = bytearray(size)
    for piece in sent_by(Fragments(mtu=mtu, overlap=8, shuffle=seed), packet):
        end = piece.offset + len(piece.payload)
        assert piece.total_length <= max(mtu, 20 + size)
        assert piece.mf == (end < size)
        written[piece.offset : end] = piece.payload
    assert bytes(written) == packet.payload


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"mtu": 27}, "no room"),
        ({"overlap": 12}, "multiples of 8"),
        ({"overlap": -8}, "multiples of 8"),
        ({"filler": b"XY"}, "one byte"),
        ({"order": [1], "shuffle": 1}, "not both"),
        ({"order": [1, 1]}, "each once"),
        ({"omit": [0]}, "from 1"),
    ],
)
def test_what_makes_no_sense_is_a_mistake_of_the_plan(wrong, why):
    with pytest.raises(PlanError, match=why):
        Fragments(**wrong)


def exchange(stage, policy=OverlapPolicy.LAST):
    """What the right stack gets of 3000 bytes that the left one sends through ``stage``."""
    pair = Pair(right=StackConfig.of(ip={"overlap": policy}))
    got = pair.right.udp.open(pair.now, None, 9)
    sender = pair.left.udp.open(pair.now)
    pair.to_right.impair.add(stage)
    sender.send(b"\0" * 3000, pair.now, to=(IPv4Address("10.0.0.2"), 9))
    pair.run(seconds(1))
    datagram = got.receive()
    return datagram and datagram.payload


def test_a_stack_takes_its_peers_fragments_as_one_line_of_a_plan_has_them():
    assert exchange(Fragments(shuffle=1)) == b"\0" * 3000
    assert exchange(Fragments(mtu=100, order=[5, 3])) == b"\0" * 3000
    assert exchange(Fragments(omit=[2])) is None
    assert exchange(Fragments(overlap=8, filler=b"X"), OverlapPolicy.DROP) is None
    # The datagram's checksum tells which bytes the policy chose.
    assert exchange(Fragments(overlap=8, filler=b"X"), OverlapPolicy.FIRST) == b"\0" * 3000
    assert exchange(Fragments(overlap=8, filler=b"X"), OverlapPolicy.LAST) is None


def test_a_tcp_connection_goes_through_a_line_that_cuts_and_shuffles():
    pair = Pair()
    listener = pair.right.tcp.listen(80, pair.now)
    client = pair.left.tcp.connect((IPv4Address("10.0.0.2"), 80), pair.now)
    pair.to_right.impair.add(Fragments(mtu=300, shuffle=7, overlap=8))
    pair.run(seconds(1))
    server = listener.accept(pair.now)
    client.send(b"x" * 20_000, pair.now)
    pair.run(seconds(2))
    assert server.receive(30_000, pair.now) == b"x" * 20_000
    assert client.snapshot().retransmission_count == 0


def test_fragments_too_small_to_cut_are_a_mistake_of_the_plan():
    first, second = fragment(whole(16), 28)
    stage = Fragments(overlap=8)
    stage.push(framed(first), NOW)
    with pytest.raises(PlanError, match="cannot be cut"):
        stage.push(framed(second), NOW)
