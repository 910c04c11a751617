"""PLPMTUD: every path is found out in few probes, whatever gets lost."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.stack.config import PmtuConfig
from testbed.stack.search import MtuSearch, SearchState
from testbed.timing import Instant, after, seconds

ALWAYS = PmtuConfig(probing="always", least=68)
T0 = Instant(0)


def drive(search: MtuSearch, path: int, now: Instant, *, loss=lambda: False, limit=400):
    """Probe until there is nothing to probe; how many probes it took."""
    probes = 0
    while (size := search.probe_size(now)) is not None:
        probes += 1
        assert probes <= limit, f"no end at {search.plpmtu} in {search.state}"
        search.probe_sent(size, now)
        assert search.probe_size(now) is None, "two probes at once"
        if size <= path and not loss():
            search.probe_acked(size, now)
        else:
            search.probe_lost(size, now)
    return probes


@settings(derandomize=True, deadline=None, max_examples=300)
@given(st.integers(68, 9000), st.integers(68, 9000), st.booleans())
def test_every_path_is_found_out_in_bounded_probes(path: int, ceiling: int, fallen: bool):
    path = min(path, ceiling)
    search = MtuSearch(ALWAYS, ceiling, T0)
    if fallen:
        search.black_hole(T0)
    probes = drive(search, path, T0)
    assert search.state is SearchState.SEARCH_COMPLETE
    assert path - 8 < search.plpmtu <= path
    assert probes <= 60


@pytest.mark.parametrize("path", [296, 508, 576, 1006, 1280, 1400, 1450, 1476, 1480, 1492, 1500])
def test_what_links_really_have_is_found_to_the_byte(path: int):
    search = MtuSearch(ALWAYS, 1500, T0)
    drive(search, path, T0)
    assert search.plpmtu == path


def test_a_path_without_narrow_links_takes_one_probe_beyond_the_base():
    search = MtuSearch(ALWAYS, 1500, T0)
    assert drive(search, 1500, T0) == 2
    assert search.next_deadline() is None


@settings(derandomize=True, deadline=None, max_examples=100)
@given(st.integers(68, 1500), st.integers(0, 1 << 20))
def test_lost_probes_never_make_it_too_large(path: int, seed: int):
    random = Random(seed)  # noqa: S311 - the same losses in every run
    search = MtuSearch(ALWAYS, 1500, T0)
    drive(search, path, T0, loss=lambda: random.random() < 0.1)
    assert search.plpmtu <= max(path, 68)


def test_one_lost_probe_is_no_verdict():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1200, T0)
    for _ in range(2):
        assert search.probe_size(T0) == 1500
        search.probe_sent(1500, T0)
        search.probe_lost(1500, T0)
    assert search.probe_size(T0) == 1500
    search.probe_sent(1500, T0)
    search.probe_acked(1500, T0)
    assert search.plpmtu == 1500


def test_losses_around_the_probe_say_nothing():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1200, T0)
    for _ in range(10):
        search.probe_sent(1500, T0)
        search.probe_inconclusive(1500)
        assert search.probe_size(T0) == 1500


def test_a_probe_that_nobody_answers_is_lost_when_its_timer_runs_out():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1200, T0)
    now = T0
    for _ in range(3):
        search.probe_sent(1500, now)
        assert search.next_deadline() == after(now, seconds(15))
        search.handle_timeout(Instant(now + 14_999_999_999))
        assert search.probe_size(Instant(now + 14_999_999_999)) is None
        now = after(now, seconds(15))
        search.handle_timeout(now)
    assert search.probe_size(now) == 1400


def test_a_black_hole_falls_back_to_the_base_and_climbs_again():
    search = MtuSearch(PmtuConfig(least=68), 1500, T0)
    assert (search.state, search.plpmtu) == (SearchState.DISABLED, 1500)
    assert search.probe_size(T0) is None
    search.black_hole(T0)
    assert (search.state, search.plpmtu) == (SearchState.BASE, 1200)
    drive(search, 1400, T0)
    assert (search.state, search.plpmtu) == (SearchState.SEARCH_COMPLETE, 1400)
    search.black_hole(T0)
    assert (search.state, search.plpmtu) == (SearchState.BASE, 1200)
    search.black_hole(T0)
    assert (search.state, search.plpmtu) == (SearchState.ERROR, 508)
    search.black_hole(T0)
    assert search.plpmtu == 68
    search.black_hole(T0)
    assert search.plpmtu == 68
    drive(search, 576, T0)
    assert search.plpmtu == 576


def test_an_outage_taken_for_a_black_hole_loses_no_probe():
    search = MtuSearch(PmtuConfig(least=68), 1500, T0)
    search.black_hole(T0)
    assert drive(search, 1500, T0) <= 8
    assert search.plpmtu == 1500


def test_larger_sizes_are_tried_again_when_the_raise_timer_runs_out():
    search = MtuSearch(ALWAYS, 1500, T0)
    drive(search, 1400, T0)
    due = search.next_deadline()
    assert due == seconds(600)
    search.handle_timeout(Instant(due - 1))
    assert search.probe_size(Instant(due - 1)) is None
    search.handle_timeout(due)
    assert search.state is SearchState.SEARCHING
    drive(search, 1500, due)
    assert search.plpmtu == 1500


def test_off_means_off():
    search = MtuSearch(PmtuConfig(probing="off"), 1500, T0)
    search.black_hole(T0)
    assert (search.state, search.plpmtu) == (SearchState.DISABLED, 1500)


@pytest.mark.parametrize(
    ("named", "plpmtu", "following"),
    [(67, 1200, 1500), (1500, 1200, 1500), (1300, 1200, 1300), (600, 600, 600)],
)
def test_a_frag_needed_shortens_the_search(named: int, plpmtu: int, following: int):
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1200, T0)
    search.probe_sent(1500, T0)
    search.packet_too_big(named, T0)
    assert search.plpmtu == plpmtu
    if plpmtu == 1200 and named not in {67, 1500}:
        assert search.probe_size(T0) == following
        drive(search, named, T0)
        assert search.plpmtu == named


def test_a_smaller_ceiling_bounds_at_once_and_a_larger_one_is_searched():
    search = MtuSearch(ALWAYS, 1500, T0)
    drive(search, 9000, T0)
    search.set_ceiling(1000, T0)
    assert search.plpmtu == 1000
    search.set_ceiling(9000, T0)
    drive(search, 9000, T0)
    assert search.plpmtu == 9000


def test_stopped_it_stays_where_it_was():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.stop()
    assert (search.state, search.probe_size(T0), search.next_deadline()) == (
        SearchState.DISABLED,
        None,
        None,
    )


def test_after_a_frag_needed_nothing_larger_is_tried_for_a_while():
    search = MtuSearch(ALWAYS, 1500, T0)
    drive(search, 1500, T0)
    now = Instant(seconds(500))
    search.packet_too_big(1400, now)
    assert search.plpmtu == 1400
    assert search.probe_size(now) is None
    assert search.next_deadline() == after(now, seconds(600))


def test_after_a_black_hole_it_climbs_from_below():
    search = MtuSearch(PmtuConfig(least=68), 1500, T0)
    search.black_hole(T0)
    search.probe_acked(1200, T0)
    assert search.probe_size(T0) == 1400


def test_at_the_raise_the_link_mtu_is_tried_first():
    search = MtuSearch(ALWAYS, 1500, T0)
    drive(search, 1300, T0)
    search.handle_timeout(Instant(seconds(600)))
    assert search.probe_size(Instant(seconds(600))) == 1500


def test_asking_for_a_size_after_the_deadline_needs_no_time_out_call():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1200, T0)
    search.probe_sent(1500, T0)
    assert search.probe_size(Instant(seconds(15) - 1)) is None
    assert search.probe_size(Instant(seconds(15))) == 1500
    drive(search, 1300, T0)
    assert search.probe_size(Instant(seconds(700))) == 1500


def test_losses_of_one_size_do_not_count_for_the_next():
    search = MtuSearch(ALWAYS, 1500, T0)
    for size in (1200, 1200, 1500, 1500):
        search.probe_sent(size, T0)
        search.probe_lost(size, T0)
        if size == 1200:
            search.probe_acked(1200, T0)
    assert search.probe_size(T0) == 1500


def test_a_black_hole_forgets_the_probe_on_its_way():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1200, T0)
    search.probe_sent(1500, T0)
    search.black_hole(T0)
    assert search.state is SearchState.ERROR
    assert search.plpmtu == 508
    assert search.probe_size(T0) == 508
    assert search.next_deadline() is None


def test_a_frag_needed_below_the_size_in_use_ends_the_search():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1400, T0)
    search.packet_too_big(1300, T0)
    assert (search.state, search.plpmtu) == (SearchState.SEARCH_COMPLETE, 1300)
    search.packet_too_big(1300, T0)
    assert search.plpmtu == 1300
    search.packet_too_big(600, T0)
    assert (search.state, search.plpmtu) == (SearchState.ERROR, 600)
    search.probe_acked(600, T0)
    assert search.state is SearchState.SEARCH_COMPLETE, "601 was told not to get through"


def test_a_base_just_named_is_no_error():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1500, T0)
    search.packet_too_big(1200, T0)
    assert search.state is SearchState.SEARCH_COMPLETE


def test_a_frag_needed_ends_the_probe_on_its_way_and_its_count():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1200, T0)
    for _ in range(2):
        search.probe_sent(1500, T0)
        search.probe_lost(1500, T0)
    search.probe_sent(1500, T0)
    search.packet_too_big(1400, T0)
    assert search.next_deadline() is None
    for _ in range(2):
        assert search.probe_size(T0) == 1400
        search.probe_sent(1400, T0)
        search.probe_lost(1400, T0)
    assert search.probe_size(T0) == 1400


def test_the_same_ceiling_again_wakes_nothing():
    search = MtuSearch(ALWAYS, 1500, T0)
    drive(search, 1400, T0)
    search.set_ceiling(1500, T0)
    assert search.state is SearchState.SEARCH_COMPLETE
    assert search.probe_size(T0) is None


def test_a_smaller_ceiling_ends_a_search_that_it_leaves_nothing_to():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1200, T0)
    search.set_ceiling(1200, T0)
    assert search.state is SearchState.SEARCH_COMPLETE
    assert search.next_deadline() is None


def test_acks_of_smaller_packets_confirm_nothing():
    search = MtuSearch(ALWAYS, 1500, T0)
    search.probe_acked(1199, T0)
    assert search.state is SearchState.BASE
    idle = MtuSearch(PmtuConfig(least=68), 1500, T0)
    idle.probe_acked(1500, T0)
    assert idle.state is SearchState.DISABLED
