"""RTO by RFC 6298, weights by RFC 7323 appendix G, the least RTT for RFC 8985."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.stack.tcp.rtt import RttEstimator
from testbed.stack.tcp_config import TcpConfig
from testbed.timing import Instant, milliseconds, seconds


def fine(**config):
    return RttEstimator(TcpConfig(min_rto=milliseconds(1), **config))


def test_before_any_sample_the_rto_is_one_second():
    estimator = RttEstimator(TcpConfig())
    assert estimator.rto == seconds(1)
    assert estimator.srtt is None
    assert estimator.min_rtt is None


def test_the_first_sample_gives_srtt_r_and_rttvar_half_of_it():
    estimator = fine()
    estimator.sample(milliseconds(100), Instant(0))
    assert estimator.srtt == milliseconds(100)
    assert estimator.rttvar == milliseconds(50)
    assert estimator.rto == milliseconds(300)


def test_a_later_sample_moves_rttvar_by_the_srtt_before_it():
    estimator = fine()
    estimator.sample(milliseconds(100), Instant(0))
    estimator.sample(milliseconds(180), Instant(1))
    # RTTVAR = 3/4 * 50 + 1/4 * |100 - 180|; SRTT = 7/8 * 100 + 1/8 * 180
    assert estimator.rttvar == milliseconds(57.5)
    assert estimator.srtt == milliseconds(110)
    assert estimator.rto == milliseconds(340)


def test_a_steady_round_trip_leaves_the_clock_granularity_as_margin():
    estimator = fine(clock_granularity=milliseconds(10))
    for at in range(200):
        estimator.sample(milliseconds(100), Instant(at))
    assert estimator.rto == milliseconds(110)


def test_an_rto_below_a_second_is_rounded_up():
    estimator = RttEstimator(TcpConfig())
    estimator.sample(milliseconds(1), Instant(0))
    assert estimator.rto == seconds(1)


def test_each_time_out_doubles_the_rto_up_to_its_maximum():
    estimator = RttEstimator(TcpConfig())
    rtos = []
    for _ in range(8):
        rtos.append(estimator.rto)
        estimator.back_off()
    assert rtos == [seconds(s) for s in (1, 2, 4, 8, 16, 32, 60, 60)]


def test_the_doubled_rto_stays_until_a_new_sample_comes():
    estimator = fine()
    estimator.sample(milliseconds(400), Instant(0))
    estimator.back_off()
    assert estimator.rto == milliseconds(2400)
    estimator.sample(milliseconds(400), Instant(1))
    assert estimator.backoffs == 0
    assert estimator.rto == milliseconds(1000)


def test_a_thousand_time_outs_do_not_overflow():
    estimator = RttEstimator(TcpConfig())
    for _ in range(1000):
        estimator.back_off()
    assert estimator.rto == seconds(60)


def test_after_a_lost_syn_data_starts_with_three_seconds():
    estimator = RttEstimator(TcpConfig())
    estimator.back_off()
    estimator.syn_was_lost()
    assert estimator.rto == seconds(3)
    estimator.sample(milliseconds(10), Instant(0))
    assert estimator.rto == seconds(1)


def test_many_samples_a_round_trip_weigh_as_much_as_one_alone():
    often, once = fine(), fine()
    for estimator in (often, once):
        estimator.sample(milliseconds(100), Instant(0))
    once.sample(milliseconds(180), Instant(1))
    for at in range(10):
        often.sample(milliseconds(180), Instant(1 + at), 10)
    assert once.srtt is not None
    assert often.srtt == pytest.approx(once.srtt, rel=0.01)


def test_the_least_round_trip_time_is_forgotten_after_five_minutes():
    estimator = fine()
    estimator.sample(milliseconds(10), Instant(0))
    estimator.sample(milliseconds(30), Instant(seconds(200)))
    estimator.sample(milliseconds(40), Instant(seconds(290)))
    assert estimator.min_rtt == milliseconds(10)
    estimator.sample(milliseconds(50), Instant(seconds(301)))
    assert estimator.min_rtt == milliseconds(30)


@given(st.lists(st.integers(1, 10**10), min_size=1, max_size=200))
def test_the_rto_covers_the_smoothed_time_and_the_minimum_is_the_least(samples):
    estimator = fine()
    for at, sample in enumerate(samples):
        estimator.sample(sample, Instant(at))
    assert min(samples) == estimator.min_rtt
    assert min(samples) - 1 <= estimator.srtt <= max(samples)
    assert estimator.rto >= min(estimator.srtt, seconds(60))
