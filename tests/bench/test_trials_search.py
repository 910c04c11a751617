"""Which trial comes next: searches that find what is there, on any device, and come to an end."""

from __future__ import annotations

import math
import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed import PlanError
from testbed.bench.trials import Bisection, Descent

TOPS = st.floats(1, 1e9)
SHARES = st.floats(1e-6, 1.5)
RESOLUTIONS = st.floats(0.001, 0.3)


def run(search: Bisection, passes) -> list[float]:
    tried = []
    while (value := search.next) is not None:
        tried.append(value)
        assert len(tried) < 200, "it does not end"
        search.tell(passes(value))
    return tried


@given(TOPS, SHARES, RESOLUTIONS)
def test_the_capacity_is_found_to_within_the_resolution(top, share, resolution):
    capacity = top * share
    search = Bisection(top, resolution=resolution)
    run(search, lambda value: value <= capacity)
    if capacity >= top:
        assert search.best == top
        assert search.failed is None
        return
    assert search.best <= capacity < search.failed
    assert search.failed - search.best <= max(search.step, resolution * search.failed) * (1 + 1e-9)


@given(TOPS, RESOLUTIONS)
def test_a_device_that_does_all_is_tried_once(top, resolution):
    search = Bisection(top, resolution=resolution)
    assert run(search, lambda _: True) == [top]
    assert search.best == top


@given(TOPS, RESOLUTIONS)
def test_a_device_that_does_nothing_is_found_to_do_nothing(top, resolution):
    search = Bisection(top, resolution=resolution, step=top / 1000)
    tried = run(search, lambda _: False)
    assert search.best == 0
    assert len(tried) <= 2 + math.log2(1000)


@given(TOPS, SHARES, RESOLUTIONS, st.integers())
def test_a_noisy_device_is_no_trap(top, share, resolution, seed):
    """What is best has passed, what is above it has not; and it ends as with any other."""
    luck, told = random.Random(seed), {}  # noqa: S311 - a test

    def passes(value: float) -> bool:
        told[value] = value <= top * share * luck.uniform(0.8, 1.2)
        return told[value]

    search = Bisection(top, resolution=resolution)
    tried = run(search, passes)
    assert len(set(tried)) == len(tried)
    assert search.best == 0 or told[search.best]
    assert search.failed is None or not told[search.failed]
    assert len(tried) <= 2 + math.log2(top / search.step)
    assert all(value <= search.best for value, passed in told.items() if passed)


@given(st.integers(1, 10**6), st.integers(0, 10**6))
def test_whole_numbers_are_found_exactly(most, capacity):
    search = Bisection(most, resolution=1e-9, step=1)
    run(search, lambda value: int(value) <= capacity)
    assert int(search.best) in (min(most, capacity), max(0, min(most, capacity) - 1))


def test_it_says_between_what_it_is():
    search = Bisection(100, resolution=0.01)
    assert search.bounds == (0, 100)
    search.tell(passed=False)
    search.tell(passed=True)
    assert search.bounds == (50, 100)
    assert search.next == 75


@pytest.mark.parametrize(
    ("top", "resolution", "words"),
    [(0, 0.1, "more than 0"), (math.nan, 0.1, "more than 0"), (5, 0, "between 0 and 1")],
)
def test_a_search_that_makes_no_sense_is_refused(top, resolution, words):
    with pytest.raises(PlanError, match=words):
        Bisection(top, resolution=resolution)


def test_a_search_that_is_over_hears_of_no_trial():
    search = Bisection(5, resolution=0.1)
    search.tell(passed=True)
    with pytest.raises(PlanError, match="over"):
        search.tell(passed=True)


def descend(step: float, loss) -> Descent:
    descent = Descent(step)
    while (share := descent.next) is not None:
        descent.tell(loss(share))
    return descent


@given(st.floats(0, 1.2), st.sampled_from([0.1, 0.05, 0.01]))
def test_loads_fall_until_two_trials_lose_nothing(capacity, step):
    descent = descend(step, lambda share: max(0.0, 1 - capacity / share))
    shares = [point.share for point in descent.points]
    assert shares[0] == 1
    assert all(before > after for before, after in pairwise(shares))
    assert all(before - after == pytest.approx(step) for before, after in pairwise(shares))
    quiet = [point for point in descent.points if not point.loss]
    if capacity >= 2 * step:
        assert [point.loss for point in descent.points[-2:]] == [0, 0]
        assert len(quiet) == 2


def test_two_trials_without_a_loss_end_it_only_one_after_the_other():
    losses = iter([0.5, 0, 0.1, 0, 0, 0.9])
    descent = descend(0.1, lambda _: next(losses))
    assert [point.loss for point in descent.points] == [0.5, 0, 0.1, 0, 0]


def test_a_device_that_always_loses_is_asked_down_to_the_last_step():
    descent = descend(0.1, lambda _: 0.2)
    assert [round(point.share, 3) for point in descent.points] == [
        1, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1,
    ]  # fmt: skip


def test_coarser_steps_than_the_rfc_has_are_refused():
    with pytest.raises(PlanError, match=r"26\.3 asks for 0\.1"):
        Descent(0.2)
    with pytest.raises(PlanError, match="0 to 1"):
        Descent().tell(1.5)
