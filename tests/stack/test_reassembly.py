"""Reassembly: any order, duplicates, every overlap policy byte for byte, bounds and timers."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.stack.config import IpConfig, OverlapPolicy
from testbed.stack.events import EventLog, PacketDropped
from testbed.stack.reassembly import DatagramGivenUp, FragmentsOverlapped, Reassembler
from testbed.timing import Instant, after, seconds
from testbed.wire import IPv4Packet, fragment

SRC, DST = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
PACKET = IPv4Packet(SRC, DST, 17, bytes(range(250)) * 4, ident=77, tos=0x20, ttl=9)
T0 = Instant(0)
P = OverlapPolicy
thorough = settings(derandomize=True, deadline=None, max_examples=300)


def make(**changes) -> tuple[Reassembler, EventLog]:
    events = EventLog(1000)
    return Reassembler(IpConfig(**changes), events), events


def feed(reassembler: Reassembler, pieces, now=T0) -> list[IPv4Packet]:
    return [whole for piece in pieces if (whole := reassembler.add(piece, now)) is not None]


def piece(offset: int, data: bytes, *, more=True, **changes) -> IPv4Packet:
    return replace(PACKET, payload=data, offset=offset, mf=more, **changes)


def test_a_whole_packet_passes_through():
    assert make()[0].add(PACKET, T0) is PACKET


@pytest.mark.parametrize("policy", P)
def test_every_order_gives_the_packet(policy: OverlapPolicy):
    pieces = fragment(PACKET, 300)
    assert len(pieces) == 4
    for order in permutations(pieces):
        reassembler, _ = make(overlap=policy)
        assert feed(reassembler, order) == [PACKET]
        assert (reassembler.held_bytes, reassembler.held_datagrams) == (0, 0)


@pytest.mark.parametrize("policy", P)
def test_duplicates_change_nothing(policy: OverlapPolicy):
    one, two, three, four = fragment(PACKET, 300)
    reassembler, events = make(overlap=policy)
    assert feed(reassembler, [four, two, two, four, one, one, two, four, three]) == [PACKET]
    assert events.total == 0


def test_fragments_of_fragments_fit_together():
    pieces = [small for big in fragment(PACKET, 700) for small in fragment(big, 100)]
    assert feed(make()[0], reversed(pieces)) == [PACKET]


def test_datagrams_are_told_apart_by_all_four_fields():
    reassembler, _ = make()
    others = [
        replace(PACKET, ident=78),
        replace(PACKET, protocol=6),
        replace(PACKET, src=IPv4Address("10.0.0.3")),
        replace(PACKET, dst=IPv4Address("10.0.0.3")),
        PACKET,
    ]
    mixed = [
        each for group in zip(*(fragment(p, 300) for p in others), strict=True) for each in group
    ]
    assert feed(reassembler, mixed) == others


# Novak, "Target-Based Fragmentation Reassembly" (2005), after Shankar and Paxson (2003): six
# fragments by (offset, size) in units of eight bytes, and what each kind of host makes of them.
NOVAK = [(0, 3), (4, 2), (6, 3), (1, 4), (6, 3), (9, 3)]
NOVAK_RESULTS = {
    P.FIRST: "111422333666",
    P.LAST: "144442555666",
    P.BSD: "111442333666",
    P.BSD_RIGHT: "144422555666",
    P.LINUX: "111442555666",
}


@pytest.mark.parametrize("policy", NOVAK_RESULTS)
def test_overlaps_as_novak_tabulates_them(policy: OverlapPolicy):
    reassembler, events = make(overlap=policy)
    pieces = [
        piece(at * 8, str(n).encode() * 8 * size, more=n < 6)
        for n, (at, size) in enumerate(NOVAK, 1)
    ]
    (whole,) = feed(reassembler, pieces)
    assert whole.payload[::8].decode() == NOVAK_RESULTS[policy]
    assert {event.policy for event in events.of(FragmentsOverlapped)} == {policy}


def model(policy: OverlapPolicy, pieces: list[tuple[int, int]], units: int) -> list[int | None]:
    """Unit by unit, from the words of the policies: who has written it in the end.

    A stretch is what is held of one fragment without a gap; by its start it is judged.
    """
    cells: list[int | None] = [None] * units
    for writer, (at, size) in enumerate(pieces):
        before = list(cells)
        for unit in range(at, at + size):
            start = unit
            while start and before[start - 1] == before[unit]:
                start -= 1
            stays = {
                P.FIRST: True,
                P.LAST: False,
                P.BSD: start <= at,
                P.BSD_RIGHT: start > at,
                P.LINUX: start < at,
            }[policy]
            if before[unit] is None or not stays:
                cells[unit] = writer
    return cells


@pytest.mark.parametrize("policy", [P.FIRST, P.LAST, P.BSD, P.BSD_RIGHT, P.LINUX])
@thorough
@given(st.lists(st.tuples(st.integers(0, 14), st.integers(1, 8)), min_size=1, max_size=12))
def test_any_overlap_goes_by_the_policy(policy: OverlapPolicy, pieces: list[tuple[int, int]]):
    expected = model(policy, pieces, 23)
    reassembler, _ = make(overlap=policy)
    for writer, (at, size) in enumerate(pieces):
        assert not feed(reassembler, [piece(at * 8, bytes([65 + writer]) * 8 * size)])
    # Nothing covers unit 22, so that it is complete when the holes are filled, and not before.
    holes = [unit for unit, writer in enumerate(expected) if writer is None]
    fillers = [piece(unit * 8, b"." * 8, more=unit < 22) for unit in holes]
    (whole,) = feed(reassembler, fillers)
    text = "".join("." if each is None else chr(65 + each) for each in expected)
    assert whole.payload[::8].decode() == text


@thorough
@given(st.integers(0, 12), st.integers(1, 4))
def test_drop_discards_all_at_any_overlap_but_a_duplicate(at: int, size: int):
    reassembler, events = make(overlap=P.DROP)
    feed(reassembler, [piece(4 * 8, b"a" * 32)])
    feed(reassembler, [piece(at * 8, b"b" * 8 * size)])
    overlaps = at < 8 and at + size > 4
    duplicate = at >= 4 and at + size <= 8
    assert reassembler.held_datagrams == (0 if overlaps and not duplicate else 1)
    assert len(events.of(DatagramGivenUp)) == (overlaps and not duplicate)


@pytest.mark.parametrize("policy", P)
def test_a_ping_of_death_is_given_up_at_once(policy: OverlapPolicy):
    reassembler, events = make(overlap=policy)
    feed(reassembler, [piece(0, bytes(1480)), piece(65528, bytes(400), more=False)])
    assert (reassembler.held_datagrams, reassembler.held_bytes) == (0, 0)
    assert events.of(DatagramGivenUp)[0].reason == "datagram longer than 65535 bytes"


def test_the_largest_datagram_is_put_together_and_one_byte_more_is_not():
    largest = replace(PACKET, payload=bytes(65515))
    assert feed(make()[0], reversed(fragment(largest, 1500))) == [largest]
    last = piece(65512, bytes(4), more=False)
    reassembler, _ = make()
    assert feed(reassembler, [*fragment(largest, 1500)[:-1], last]) == []
    assert reassembler.held_datagrams == 0


def test_the_first_fragments_options_count_for_the_size():
    options = replace(PACKET, payload=bytes(65504), options=bytes([7, 7, 4, 0, 0, 0, 0]))
    head, *rest = fragment(options, 9000)
    tail = replace(rest[-1], payload=rest[-1].payload + bytes(8))
    reassembler, _ = make()
    assert feed(reassembler, [*rest[:-1], tail, head]) == []
    assert reassembler.held_datagrams == 0


@pytest.mark.parametrize(
    "pieces",
    [
        [piece(800, b"x" * 8, more=False), piece(1600, b"x" * 8, more=False)],
        [piece(800, b"x" * 8, more=False), piece(400, b"x" * 8, more=False)],
        [piece(800, b"x" * 8, more=False), piece(808, b"x" * 8)],
        [piece(1600, b"x" * 8), piece(800, b"x" * 8, more=False)],
    ],
)
def test_fragments_that_disagree_on_the_end_discard_the_datagram(pieces: list[IPv4Packet]):
    reassembler, events = make()
    feed(reassembler, pieces)
    assert reassembler.held_datagrams == 0
    assert events.of(DatagramGivenUp)[0].reason == "fragments disagree on the end"


@pytest.mark.parametrize("bad", [piece(0, b"1234567"), piece(8, b""), piece(8, b"", more=False)])
def test_a_malformed_fragment_is_dropped_alone(bad: IPv4Packet):
    reassembler, events = make()
    one, two = fragment(replace(PACKET, payload=bytes(300)), 200)
    assert feed(reassembler, [one, bad, two])
    assert len(events.of(PacketDropped)) == 1


def test_the_time_out_counts_from_the_first_arrival_and_is_never_extended():
    reassembler, events = make()
    one, two, three, _ = fragment(PACKET, 300)
    reassembler.add(two, Instant(seconds(5)))
    reassembler.add(three, Instant(seconds(50)))
    due = after(Instant(seconds(5)), seconds(60))
    assert reassembler.next_deadline() == due
    assert reassembler.expire(Instant(due - 1)) == []
    reassembler.add(one, Instant(due - 1))
    (gone,) = reassembler.expire(due)
    assert gone.first == one
    assert (reassembler.next_deadline(), reassembler.held_bytes) == (None, 0)
    assert events.of(DatagramGivenUp)[0].ident == 77
    assert events.of(DatagramGivenUp)[0].source == SRC


def test_without_fragment_zero_there_is_nothing_to_quote():
    reassembler, _ = make()
    feed(reassembler, fragment(PACKET, 300)[1:])
    (gone,) = reassembler.expire(Instant(seconds(60)))
    assert gone.first is None
    assert gone.held == 1000 - 280


def test_a_flood_is_bounded_and_honest_datagrams_get_through():
    reassembler, _ = make(reassembly_bytes=100_000, reassembly_datagrams=50)
    for ident in range(5000):
        flood = piece(8, bytes(8), ident=ident, src=IPv4Address(0x0B000000 + ident))
        assert reassembler.add(flood, T0) is None
        assert reassembler.held_bytes <= 100_000
        assert reassembler.held_datagrams <= 50
        if ident % 500 == 0:
            assert feed(reassembler, fragment(replace(PACKET, ident=ident), 300))
    reassembler.expire(Instant(seconds(60)))
    assert (reassembler.held_bytes, reassembler.held_datagrams) == (0, 0)


def test_large_fragments_are_bounded_by_their_bytes():
    reassembler, _ = make(reassembly_bytes=50_000)
    for ident in range(100):
        reassembler.add(piece(0, bytes(8000), ident=ident), T0)
    assert 40_000 < reassembler.held_bytes <= 50_000


def test_more_fragments_than_allowed_discard_the_datagram():
    reassembler, events = make(reassembly_fragments=10)
    feed(reassembler, [piece(n * 16, bytes(8)) for n in range(11)])
    assert reassembler.held_datagrams == 0
    assert events.of(DatagramGivenUp)[0].reason == "too many fragments"


@pytest.mark.parametrize(
    ("marks", "whole"),
    [
        ((2, 2, 2, 2), 2),
        ((2, 3, 2, 2), 3),
        ((1, 1, 1, 3), 3),
        ((0, 0, 0, 0), 0),
        ((0, 3, 3, 3), None),
    ],
)
def test_congestion_marks_as_rfc_3168_has_them(marks, whole):
    pieces = [replace(p, tos=0x20 | m) for p, m in zip(fragment(PACKET, 300), marks, strict=True)]
    got = feed(make()[0], pieces)
    assert [packet.tos for packet in got] == ([] if whole is None else [0x20 | whole])


@thorough
@given(
    st.sampled_from(list(P)),
    st.lists(
        st.tuples(st.integers(0, 8191), st.integers(0, 200), st.booleans(), st.integers(0, 3)),
        max_size=60,
    ),
)
def test_nonsense_never_raises_and_the_books_balance(policy, fragments):
    reassembler, _ = make(overlap=policy, reassembly_bytes=3000)
    for number, (unit, size, more, ident) in enumerate(fragments):
        reassembler.add(piece(unit * 8, bytes(size), more=more, ident=ident), Instant(number))
        assert 0 <= reassembler.held_bytes <= 3000
    reassembler.expire(Instant(seconds(61)))
    assert (reassembler.held_bytes, reassembler.held_datagrams) == (0, 0)


def test_what_is_held_is_counted_with_its_keeping():
    reassembler, events = make()
    counts = []
    for at, size in ((0, 16), (32, 8), (8, 16)):
        feed(reassembler, [piece(at, bytes(size))])
        counts.append(reassembler.held_bytes)
    assert counts == [16 + 128, 24 + 256, 32 + 384]
    (overlap,) = events.of(FragmentsOverlapped)
    assert (overlap.source, overlap.ident, overlap.offset, overlap.length) == (SRC, 77, 8, 16)
