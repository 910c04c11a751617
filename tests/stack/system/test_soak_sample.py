"""A hundred of the seeds of ``make soak``: transfers between two stacks under every fault."""

from __future__ import annotations

import pytest
from soak import run_seed


@pytest.mark.parametrize("first", range(0, 100, 10))
def test_ten_transfers_under_faults_arrive_whole_and_end_well(first):
    outcomes = [run_seed(seed)[0] for seed in range(first, first + 10)]
    assert [str(outcome) for outcome in outcomes if outcome.fault] == []


def test_the_same_seed_gives_the_same_frames_at_the_same_times():
    one, two = (run_seed(10, trace=True)[1] for _ in range(2))
    assert [(seen.at, seen.frame) for seen in one.trace] == [
        (seen.at, seen.frame) for seen in two.trace
    ]
    assert len(one.trace) > 50
