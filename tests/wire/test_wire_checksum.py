"""The checksum against the RFCs' own numbers and against the definition."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import thorough

from testbed.wire.checksum import (
    checksum_ok,
    fold,
    internet_checksum,
    ones_sum,
    pseudo_header_sum,
    update_checksum,
)


def by_definition(data: bytes) -> int:
    """RFC 1071's algorithm, word by word."""
    total = 0
    for high, low in zip(data[::2], (data + b"\0")[1::2], strict=False):
        total += high << 8 | low
        total = (total & 0xFFFF) + (total >> 16)
    return total


def test_rfc_1071_section_3_example():
    data = bytes.fromhex("0001f203f4f5f6f7")
    assert ones_sum(data) == 0xDDF2
    assert internet_checksum(data) == 0x220D
    assert checksum_ok(data + b"\x22\x0d")


@thorough
@given(st.binary(max_size=2000))
def test_sum_is_the_definitions(data: bytes):
    assert ones_sum(data) == by_definition(data)


@thorough
@given(st.lists(st.sampled_from([b"\0\0", b"\xff\xff", b"\x7f\xff", b"\x80\x00", b"\0\1", b"\0"])))
def test_sum_is_the_definitions_around_the_two_zeros(words: list[bytes]):
    data = b"".join(words)
    assert ones_sum(data) == by_definition(data)


@pytest.mark.parametrize("size", [479, 480, 481, 1459, 1460, 1919, 1920, 1921, 3839, 3841, 65515])
@pytest.mark.parametrize("fill", [b"\0", b"\xff", b"\0\0\0\1", bytes(range(256))])
def test_sum_of_long_data_is_the_definitions(size: int, fill: bytes):
    data = (fill * size)[:size]
    assert ones_sum(data) == by_definition(data)
    whole = data[: size & ~1]
    checked = whole + internet_checksum(whole, 7).to_bytes(2, "big")
    assert checksum_ok(checked, 7)
    assert not checksum_ok(checked, 8)


def test_nothing_but_zeros_has_no_valid_checksum_of_zero():
    assert internet_checksum(bytes(8)) == 0xFFFF
    assert not checksum_ok(bytes(8))
    assert checksum_ok(b"\xff\xff" + bytes(6))
    assert fold(0) == 0xFFFF
    assert fold(0xFFFF) == 0


@thorough
@given(st.binary(min_size=2, max_size=60), st.integers(0, 2**40))
def test_a_checksummed_message_is_ok_and_one_flipped_bit_is_not(data: bytes, start: int):
    data = data[: len(data) & ~1]
    whole = data + internet_checksum(data, start).to_bytes(2, "big")
    assert checksum_ok(whole, start)
    flipped = bytes((whole[0] ^ 1,)) + whole[1:]
    assert not checksum_ok(flipped, start)


def test_pseudo_header_sum_is_that_of_its_twelve_bytes():
    src, dst = IPv4Address("192.0.2.1"), IPv4Address("198.51.100.7")
    header = src.packed + dst.packed + bytes((0, 17)) + (1234).to_bytes(2, "big")
    assert fold(pseudo_header_sum(src, dst, 17, 1234)) == internet_checksum(header)


def test_rfc_1624_section_4_example():
    # "m = 0x5555, m' = 0x3285, HC = 0xDD2F", where RFC 1141's formula gives 0xFFFF, not 0x0000.
    assert update_checksum(0xDD2F, bytes.fromhex("5555"), bytes.fromhex("3285")) == 0x0000


@thorough
@given(
    st.binary(min_size=20, max_size=20),
    st.integers(0, 7),
    st.binary(min_size=2, max_size=4).map(lambda data: data[: len(data) & ~1]),
)
def test_update_agrees_with_counting_anew(data: bytes, word: int, new: bytes):
    # A header that starts like IPv4's: it is never all zeros, so its checksum is unique.
    data = b"\x45" + data[1:]
    at = 2 + 2 * word
    after = data[:at] + new + data[at + len(new) :]
    updated = update_checksum(internet_checksum(data), data[at : at + len(new)], new)
    assert updated == internet_checksum(after)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 1459, 1460, 65535])
def test_odd_and_even_lengths(length: int):
    data = bytes(i * 37 & 0xFF for i in range(length))
    assert ones_sum(data) == by_definition(data)
