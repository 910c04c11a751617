"""Sequence numbers wrap; before and after go the shorter way round."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import thorough, u32

from testbed.wire import seq_add, seq_before, seq_between, seq_diff, seq_max, seq_min

TOP = 0xFFFFFFFF


@thorough
@given(u32, st.integers(-(2**31), 2**31 - 1))
def test_a_difference_undoes_a_step(number: int, steps: int):
    moved = seq_add(number, steps)
    assert 0 <= moved <= TOP
    assert seq_diff(moved, number) == steps


@thorough
@given(u32, st.integers(1, 2**31 - 1))
def test_before_and_its_kin_across_the_wrap(number: int, steps: int):
    later = seq_add(number, steps)
    assert seq_before(number, later)
    assert not seq_before(later, number)
    assert seq_max(number, later) == seq_max(later, number) == later
    assert seq_min(number, later) == seq_min(later, number) == number


def test_a_number_is_not_before_itself():
    assert not seq_before(5, 5)
    assert seq_max(5, 5) == seq_min(5, 5) == 5


@pytest.mark.parametrize(
    ("low", "number", "high", "inside"),
    [
        (10, 10, 20, True),
        (10, 19, 20, True),
        (10, 20, 20, False),
        (10, 9, 20, False),
        (TOP, TOP, 5, True),
        (TOP, 4, 5, True),
        (TOP, 5, 5, False),
        (7, 7, 7, False),
    ],
)
def test_windows_hold_their_start_and_not_their_end(low: int, number: int, high: int, inside: bool):
    assert seq_between(low, number, high) is inside
