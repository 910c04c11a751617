"""How trials are held: as RFC 2544 has it, and every shortening is told."""

from __future__ import annotations

import pytest

from testbed import PlanError, milliseconds, seconds
from testbed.bench.trials import FRAME_SIZES, JUMBO, Shortening, TrialRules


def test_without_a_wish_all_is_as_the_rfc_has_it():
    rules = TrialRules.of(Shortening(), simulated=False)
    assert (rules.duration, rules.settle, rules.residual, rules.rest) == (
        seconds(60), seconds(2), seconds(2), seconds(5),
    )  # fmt: skip
    assert (rules.latency_repeats, rules.burst_repeats, rules.burst) == (20, 50, seconds(2))
    assert rules.sizes == (*FRAME_SIZES, JUMBO)
    assert rules.departures(latency=True, bursts=True) == ()


def test_whatever_is_shorter_is_told():
    short = Shortening(milliseconds(500), repeats=3, sizes=(64, 1518))
    rules = TrialRules.of(short, simulated=False)
    assert (rules.settle, rules.residual, rules.rest) == (milliseconds(500),) * 3
    told = " | ".join(rules.departures(latency=True, bursts=True))
    for words in (
        "trials of 500 ms, where RFC 2544 24 asks for 60 s",
        "pauses of 500 ms around trials",
        "3 trials averaged, where RFC 2544 26.2 asks for 20",
        "3 trials averaged, where RFC 2544 26.4 asks for 50",
        "bursts of 500 ms at most",
        "no frames of 128, 256, 512, 1024, 1280 bytes",
    ):
        assert words in told


def test_longer_trials_than_asked_for_are_no_departure():
    rules = TrialRules.of(Shortening(seconds(120)), simulated=False)
    assert rules.duration == seconds(120)
    assert rules.rest == seconds(5)
    assert rules.departures() == ()


def test_in_virtual_time_pauses_stay_and_trials_are_short():
    rules = TrialRules.of(Shortening(), simulated=True)
    assert rules.duration == milliseconds(1)
    assert (rules.settle, rules.rest) == (seconds(2), seconds(5))
    assert rules.departures() == ("trials of 1 ms, where RFC 2544 24 asks for 60 s",)


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"duration": seconds(0)}, "longer than that"),
        ({"repeats": 0}, "1 at least"),
        ({"sizes": (63,)}, "frames of 63 bytes: expected 64 to 9018"),
        ({"sizes": (64, 9019)}, "frames of 9019 bytes"),
    ],
)
def test_what_makes_no_sense_is_refused(wish, words):
    with pytest.raises(PlanError, match=words):
        Shortening(**wish)
