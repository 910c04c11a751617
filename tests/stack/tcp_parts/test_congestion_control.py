"""Reno and NewReno by RFC 5681, 3465, 6928; CUBIC against RFC 9438's formulas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.errors import PlanError
from testbed.stack.tcp.congestion import Cubic, NewReno, Reno, make
from testbed.stack.tcp_config import TcpConfig
from testbed.timing import Instant, milliseconds, seconds

SMSS = 1000
RTT = milliseconds(100)
NAMES = ["reno", "newreno", "cubic"]
all_of_them = pytest.mark.parametrize("name", NAMES)


def control(name="newreno", smss=SMSS, **config):
    return make(name, TcpConfig(**config), smss)


def ack(cc, acked, now=0, flight=None, *, limited=False):
    cc.on_ack(acked, Instant(now), RTT, cc.cwnd if flight is None else flight, limited=limited)


def test_they_are_made_by_name():
    assert [type(control(name)) for name in NAMES] == [Reno, NewReno, Cubic]
    with pytest.raises(PlanError, match=r"vegas.*cubic, newreno, reno"):
        control("vegas")


@pytest.mark.parametrize(
    ("smss", "window"), [(536, 5360), (1448, 14480), (1460, 14600), (2190, 14600), (8960, 17920)]
)
def test_the_initial_window_is_that_of_rfc_6928(smss, window):
    assert control(smss=smss).cwnd == window


@all_of_them
def test_slow_start_adds_two_segments_per_ack_at_most(name):
    cc = control(name, abc_limit=2)
    ack(cc, 1 * SMSS)
    assert cc.cwnd == 11 * SMSS
    ack(cc, 5 * SMSS)
    assert cc.cwnd == 13 * SMSS


@all_of_them
def test_by_rfc_5681_alone_an_ack_adds_one_segment_at_most(name):
    cc = control(name, abc_limit=1)
    ack(cc, 5 * SMSS)
    assert cc.cwnd == 11 * SMSS


@all_of_them
def test_a_window_of_which_little_is_used_does_not_grow(name):
    cc = control(name)
    ack(cc, SMSS, flight=2 * SMSS, limited=True)
    assert cc.cwnd == 10 * SMSS
    ack(cc, SMSS, flight=6 * SMSS, limited=True)
    assert cc.cwnd == 11 * SMSS
    cc.ssthresh = cc.cwnd
    for _ in range(100):
        ack(cc, SMSS, flight=6 * SMSS, limited=True)
    assert cc.cwnd == 11 * SMSS


@pytest.mark.parametrize("name", ["reno", "newreno"])
def test_congestion_avoidance_adds_one_segment_per_window_of_bytes(name):
    cc = control(name)
    cc.ssthresh = cc.cwnd
    for _ in range(9):
        ack(cc, SMSS)
    assert cc.cwnd == 10 * SMSS
    ack(cc, SMSS)
    assert cc.cwnd == 11 * SMSS


@pytest.mark.parametrize("name", ["reno", "newreno"])
def test_a_loss_halves_the_window(name):
    cc = control(name)
    cc.on_congestion(20 * SMSS, Instant(0))
    assert (cc.cwnd, cc.ssthresh) == (10 * SMSS, 10 * SMSS)
    cc.on_congestion(3 * SMSS, Instant(0))
    assert (cc.cwnd, cc.ssthresh) == (2 * SMSS, 2 * SMSS)


@all_of_them
def test_a_timeout_leaves_one_segment_and_holds_ssthresh_the_second_time(name):
    cc = control(name)
    cc.on_timeout(20 * SMSS, Instant(0), first=True)
    assert cc.cwnd == SMSS
    assert cc.ssthresh == (14 if name == "cubic" else 10) * SMSS
    held = cc.ssthresh
    cc.on_timeout(SMSS, Instant(0), first=False)
    assert cc.ssthresh == held
    ack(cc, 5 * SMSS)
    assert cc.cwnd == 2 * SMSS  # RFC 3465 2.3: L is 1 after a timeout


@all_of_them
def test_undoing_brings_the_windows_back(name):
    cc = control(name)
    cc.cwnd, cc.ssthresh = 30 * SMSS, 25 * SMSS
    cc.on_timeout(20 * SMSS, Instant(0), first=True)
    cc.on_timeout(20 * SMSS, Instant(0), first=False)
    cc.undo(Instant(1))
    assert (cc.cwnd, cc.ssthresh) == (30 * SMSS, 25 * SMSS)
    cc.on_congestion(20 * SMSS, Instant(2))
    before = cc.cwnd
    cc.undo(Instant(3))
    cc.undo(Instant(4))
    assert cc.cwnd == 30 * SMSS > before


@all_of_them
def test_idleness_and_a_lost_syn_make_the_window_small(name):
    cc = control(name)
    cc.cwnd = 50 * SMSS
    cc.on_idle(Instant(0))
    assert cc.cwnd == 10 * SMSS
    cc.cwnd = 3 * SMSS
    cc.on_idle(Instant(0))
    assert cc.cwnd == 3 * SMSS
    cc.on_syn_lost()
    assert cc.cwnd == SMSS


@all_of_them
def test_another_segment_size_keeps_the_bytes_but_never_less_than_one_segment(name):
    cc = control(name)
    cc.on_smss(500)
    assert (cc.smss, cc.cwnd) == (500, 10 * SMSS)
    cc.cwnd = 500
    cc.on_smss(1400)
    assert cc.cwnd == 1400


def test_cubic_reduces_to_seven_tenths():
    cc = control("cubic")
    cc.cwnd = 100 * SMSS
    cc.on_congestion(100 * SMSS, Instant(0))
    assert (cc.cwnd, cc.ssthresh) == (70 * SMSS, 70 * SMSS)


def run(cc, start, span, *, rtt=RTT):
    """Every segment acknowledged at an even pace for ``span``; the window at the end."""
    now = start
    while now < start + span:
        now += rtt * SMSS // cc.cwnd
        cc.on_ack(SMSS, Instant(now), rtt, cc.cwnd, limited=False)
    return cc.cwnd / SMSS, now


def cubic_after_loss(window):
    cc = control("cubic")
    cc.cwnd = window * SMSS
    cc.on_congestion(window * SMSS, Instant(0))
    return cc


@pytest.mark.parametrize("elapsed", [1, 2, 3, 4, 5, 6])
def test_cubic_follows_the_cubic_function_of_the_time_since_the_loss(elapsed):
    """W_cubic(t) = C*(t-K)**3 + W_max, K = cbrt(W_max*(1-beta)/C); here far above Reno's window."""
    cc = cubic_after_loss(1000)
    k = (1000 * 0.3 / 0.4) ** (1 / 3)
    window, now = run(cc, 0, seconds(elapsed))
    # The window goes for the value one round trip ahead.
    behind, ahead = (0.4 * (t - k) ** 3 + 1000 for t in (now / 1e9, now / 1e9 + 0.1))
    assert behind * 0.99 <= window <= ahead * 1.01


def test_cubic_comes_back_to_the_old_window_after_k_seconds():
    cc = cubic_after_loss(1000)
    window, _ = run(cc, 0, seconds((1000 * 0.3 / 0.4) ** (1 / 3)))
    assert window == pytest.approx(1000, rel=0.01)


def test_cubic_is_no_slower_than_reno_where_windows_are_small():
    """RFC 9438 4.3: W_est grows by 9/17 of a segment per round trip from 0.7 of the window."""
    cc = cubic_after_loss(20)
    rounds, now = 30, 0
    for _ in range(rounds):
        start = cc.cwnd
        for _ in range(start // SMSS):
            now += milliseconds(10) * SMSS // start
            cc.on_ack(SMSS, Instant(now), milliseconds(10), start, limited=False)
    # alpha is 9/17 until W_est has reached the window before the loss, and 1 from then on.
    to_prior = (20 - 14) / (9 / 17)
    expected = 20 + (rounds - to_prior)
    assert cc.cwnd / SMSS == pytest.approx(expected, rel=0.06)


def test_fast_convergence_gives_way_when_the_window_was_on_its_way_down():
    cc = cubic_after_loss(1000)
    cc.on_congestion(700 * SMSS, Instant(1))
    assert cc._w_max == pytest.approx(700 * 1.7 / 2)
    assert cc._prior == 700


def test_cubic_after_a_timeout_starts_from_where_slow_start_ended():
    cc = control("cubic")
    cc.cwnd = 100 * SMSS
    cc.on_timeout(100 * SMSS, Instant(0), first=True)
    cc.cwnd = cc.ssthresh
    ack(cc, SMSS, now=seconds(9))
    assert (cc._k, cc._w_max) == (0, 70)


def test_time_without_data_to_send_does_not_count_for_cubic():
    busy, idle = cubic_after_loss(1000), cubic_after_loss(1000)
    grown, _ = run(busy, 0, seconds(2))
    window, at = run(idle, 0, seconds(1))
    for _ in range(50):
        at += seconds(1)
        idle.on_ack(SMSS, Instant(at), RTT, SMSS, limited=True)
    assert idle.cwnd / SMSS == window
    again, _ = run(idle, at, seconds(1))
    assert again == pytest.approx(grown, rel=0.01)


def test_undoing_gives_cubic_its_epoch_back():
    cc = cubic_after_loss(1000)
    run(cc, 0, seconds(2))
    before = (cc.cwnd, cc.ssthresh, cc._w_max, cc._k, cc._epoch)
    cc.on_timeout(cc.cwnd, Instant(seconds(2)), first=True)
    cc.undo(Instant(seconds(3)))
    assert (cc.cwnd, cc.ssthresh, cc._w_max, cc._k, cc._epoch) == before


events = st.lists(
    st.one_of(
        st.tuples(st.just("ack"), st.integers(1, 20 * SMSS)),
        st.tuples(st.just("loss"), st.integers(0, 10**6)),
        st.tuples(st.just("timeout"), st.integers(0, 10**6)),
        st.tuples(st.just("undo"), st.just(0)),
        st.tuples(st.just("idle"), st.just(0)),
    ),
    max_size=60,
)


@all_of_them
@given(events=events)
def test_whatever_happens_the_window_is_one_segment_at_least_and_grows_within_bounds(name, events):
    cc, now = control(name), 0
    for what, value in events:
        now += milliseconds(37)
        before = cc.cwnd
        if what == "ack":
            ack(cc, value, now=now)
            assert before <= cc.cwnd
            if before < cc.ssthresh:
                assert cc.cwnd <= before + 2 * SMSS
        elif what == "loss":
            cc.on_congestion(value, Instant(now))
            assert cc.cwnd == cc.ssthresh >= 2 * SMSS
        elif what == "timeout":
            cc.on_timeout(value, Instant(now), first=bool(value % 2))
            assert cc.cwnd == SMSS
        elif what == "undo":
            cc.undo(Instant(now))
            assert cc.cwnd >= before
        else:
            cc.on_idle(Instant(now))
        assert isinstance(cc.cwnd, int)
        assert cc.cwnd >= SMSS
