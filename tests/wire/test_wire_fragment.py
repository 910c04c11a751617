"""Fragments: what RFC 791 says of them, there and back, and every fault told."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import thorough

from testbed.errors import WireError
from testbed.wire import IPv4Packet, fragment, reassemble
from testbed.wire.fragment import copied_options

SRC, DST = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")
PACKET = IPv4Packet(SRC, DST, 17, bytes(range(256)) * 12, ident=77)
# Record route (not copied), then loose source route (copied), as RFC 791 3.1 numbers them.
RECORD, SOURCE_ROUTE = bytes((7, 7, 4, 0, 0, 0, 0)), bytes((0x83, 7, 4, 10, 0, 0, 9))


@thorough
@given(
    st.binary(min_size=1, max_size=3000),
    st.integers(68, 1500),
    st.sampled_from([b"", RECORD, SOURCE_ROUTE, b"\1" + RECORD + SOURCE_ROUTE]),
    st.randoms(use_true_random=False),
)
def test_there_and_back(payload: bytes, mtu: int, options: bytes, random: Random):
    packet = IPv4Packet(SRC, DST, 17, payload, ident=5, options=options)
    pieces = fragment(packet, mtu)
    assert all(len(piece.emit()) <= mtu for piece in pieces)
    assert all(piece.mf for piece in pieces[:-1])
    assert not pieces[-1].mf
    assert all(len(piece.payload) % 8 == 0 for piece in pieces[:-1])
    assert {piece.ident for piece in pieces} == {5}
    shuffled = list(pieces)
    random.shuffle(shuffled)
    assert reassemble(shuffled) == packet


@thorough
@given(st.integers(300, 1500), st.integers(68, 299))
def test_a_narrower_hop_cuts_fragments_further(first: int, second: int):
    pieces = [small for big in fragment(PACKET, first) for small in fragment(big, second)]
    assert all(piece.total_length <= second for piece in pieces)
    assert reassemble(pieces) == PACKET


def test_rfc_791_example_sizes():
    pieces = fragment(replace(PACKET, payload=bytes(1480)), 1400)
    assert [(p.offset, len(p.payload), p.mf) for p in pieces] == [
        (0, 1376, True),
        (1376, 104, False),
    ]


def test_what_fits_stays_whole():
    assert fragment(PACKET, PACKET.total_length) == (PACKET,)
    assert reassemble([PACKET]) == PACKET


def test_only_copied_options_go_into_later_fragments():
    options = RECORD + b"\1" + SOURCE_ROUTE
    first, second, *_ = fragment(replace(PACKET, options=options), 576)
    assert first.options.startswith(options)
    assert second.options == SOURCE_ROUTE + b"\0"
    assert copied_options(b"\0" + SOURCE_ROUTE) == b""
    with pytest.raises(WireError, match="option 131 of length 1"):
        copied_options(bytes((0x83, 1, 0, 0)))
    with pytest.raises(WireError, match="option 131 of length 0"):
        copied_options(bytes((0x83,)))


def test_df_and_tiny_mtus_are_refused():
    with pytest.raises(WireError, match="DF set, MTU 1400"):
        fragment(replace(PACKET, df=True), 1400)
    with pytest.raises(WireError, match="MTU 27 has no room"):
        fragment(PACKET, 27)
    assert reassemble(fragment(PACKET, 28)) == PACKET


def test_every_fault_of_a_set_is_told():
    one, two, three = fragment(PACKET, 1400)
    cases = [
        ([], "no fragments"),
        ([two, three], "bytes 0 to 1376 of the payload are missing"),
        ([one, three], "bytes 1376 to 2752 of the payload are missing"),
        ([one, two], "the fragment at 1376 has MF, yet none follows"),
        ([one, two, two, three], "bytes 1376 to 2752 of the payload are there twice"),
        ([one, replace(two, offset=1368), three], "bytes 1368 to 1376 .* there twice"),
        ([one, two, replace(three, ident=78)], "fragments of different packets"),
        ([one, replace(two, mf=False), three], "the fragment at 1376 has no MF"),
        ([replace(one, payload=one.payload[:13]), two], "has 13 bytes, no multiple of 8"),
        ([replace(one, payload=one.payload + b"x"), two], "has 1377 bytes, no multiple"),
    ]
    for pieces, reason in cases:
        with pytest.raises(WireError, match=reason):
            reassemble(pieces)


def test_a_whole_beyond_65535_bytes_is_refused():
    # The ping of death: a last fragment that ends where no packet can.
    pieces = [replace(PACKET, payload=bytes(65504), mf=True)]
    pieces.append(replace(PACKET, payload=bytes(100), offset=65504))
    with pytest.raises(WireError, match="65624 bytes in all"):
        reassemble(pieces)
