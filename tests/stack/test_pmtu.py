"""The path-MTU cache: plateaus, ageing, and what is not to be believed."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from testbed.stack.config import PmtuConfig
from testbed.stack.events import EventLog
from testbed.stack.pmtu import FragNeededIgnored, PathMtuCache, PathMtuChanged, PmtuReason
from testbed.timing import Instant, seconds

PEER, OTHER = IPv4Address("192.0.2.1"), IPv4Address("192.0.2.2")
T0 = Instant(0)


def at(value: float) -> Instant:
    return Instant(seconds(value))


@pytest.fixture
def cache() -> PathMtuCache:
    return PathMtuCache(PmtuConfig(), EventLog(100))


def test_unknown_paths_carry_what_the_link_does(cache):
    assert cache.mtu(PEER, 1500, T0) == 1500


def test_a_named_mtu_counts_for_its_destination_alone(cache):
    assert cache.frag_needed(PEER, 1400, 1500, 1500, T0) == 1400
    assert cache.mtu(PEER, 1500, T0) == 1400
    assert cache.mtu(OTHER, 1500, T0) == 1500
    assert cache.mtu(PEER, 1300, T0) == 1300


def test_several_hops_converge_on_the_smallest(cache):
    assert [cache.frag_needed(PEER, n, n + 100, 1500, T0) for n in (1400, 1300, 1200)] == [
        1400,
        1300,
        1200,
    ]


@pytest.mark.parametrize("reported", [1, 20, 67, 1400, 1500, 65535])
def test_what_cannot_be_or_is_no_news_is_ignored(cache, reported: int):
    cache.frag_needed(PEER, 1400, 1500, 1500, T0)
    assert cache.frag_needed(PEER, reported, 1500, 1500, T0) is None
    assert cache.mtu(PEER, 1500, T0) == 1400
    assert len(cache._events.of(FragNeededIgnored)) == 1


def test_a_quoted_packet_that_fits_the_named_mtu_is_forged(cache):
    assert cache.frag_needed(PEER, 1000, 576, 1500, T0) is None
    assert cache.frag_needed(PEER, 1000, 1000, 1500, T0) is None
    assert cache.frag_needed(PEER, 1000, 1001, 1500, T0) == 1000


def test_sixty_eight_is_the_least(cache):
    assert cache.frag_needed(PEER, 68, 1500, 1500, T0) == 68
    assert cache.frag_needed(PEER, 0, 68, 1500, T0) is None


def test_a_higher_floor_is_kept_to():
    cache = PathMtuCache(PmtuConfig(floor=552), EventLog(10))
    assert cache.frag_needed(PEER, 300, 1500, 1500, T0) == 552
    assert cache.frag_needed(PEER, 300, 1500, 1500, T0) is None, "no lower than it was"
    assert cache.mtu(PEER, 1500, T0) == 552


def test_old_routers_lead_down_the_plateaus(cache):
    """The quoted length is corrected by the header where it is no less than the estimate."""
    seen, length = [], 1500
    while (lower := cache.frag_needed(PEER, 0, length, 1500, T0)) is not None:
        seen.append(lower)
        length = lower
    # 1500 and 1492 are both read as 20 less, for they may be 4.2BSD's sums (RFC 1191 5).
    assert seen == [1006, 508, 296, 68]


def test_a_quoted_length_below_the_estimate_is_taken_as_it_is(cache):
    assert cache.frag_needed(PEER, 0, 1499, 1500, T0) == 1492


def test_a_quoted_length_with_the_header_added_is_set_right(cache):
    cache.frag_needed(PEER, 1006, 1500, 1500, T0)
    assert cache.frag_needed(PEER, 0, 1026, 1500, T0) == 508
    assert cache.frag_needed(OTHER, 0, 1560, 1500, T0, header_length=60) == 1492


def test_nothing_larger_for_ten_minutes_then_the_next_plateau_then_every_two(cache):
    cache.frag_needed(PEER, 1006, 1500, 1500, T0)
    assert cache.mtu(PEER, 1500, at(599.9)) == 1006
    assert cache.mtu(PEER, 1500, at(600)) == 1492
    assert cache.mtu(PEER, 1500, at(719.9)) == 1492
    assert cache.mtu(PEER, 1500, at(720)) == 1500
    assert cache.entries(at(720)) == ()
    reasons = [event.reason for event in cache._events.of(PathMtuChanged)]
    assert reasons == [PmtuReason.REPORTED, PmtuReason.AGED, PmtuReason.AGED]


def test_every_frag_needed_that_lowers_starts_the_wait_anew(cache):
    cache.frag_needed(PEER, 1400, 1500, 1500, T0)
    cache.frag_needed(PEER, 1300, 1400, 1500, at(500))
    assert cache.mtu(PEER, 1500, at(1099)) == 1300
    assert cache.mtu(PEER, 1500, at(1100)) == 1492


def test_a_shorter_lifetime_never_undercuts_five_minutes():
    cache = PathMtuCache(PmtuConfig(lifetime=seconds(10)), EventLog(10))
    cache.frag_needed(PEER, 1400, 1500, 1500, T0)
    assert cache.mtu(PEER, 1500, at(299)) == 1400
    assert cache.mtu(PEER, 1500, at(300)) == 1492


def test_a_raise_that_meets_a_complaint_is_taken_back(cache):
    cache.frag_needed(PEER, 1400, 1500, 1500, T0)
    assert cache.mtu(PEER, 1500, at(600)) == 1492
    assert cache.frag_needed(PEER, 1400, 1492, 1500, at(601)) == 1400
    assert cache.mtu(PEER, 1500, at(1200)) == 1400


def test_probing_may_lower_and_raise(cache):
    cache.learned(PEER, 1200, T0)
    assert cache.mtu(PEER, 1500, T0) == 1200
    cache.learned(PEER, 1450, T0)
    assert cache.mtu(PEER, 1500, T0) == 1450
    cache.learned(PEER, 1450, T0)
    changes = [(event.previous, event.mtu) for event in cache._events.of(PathMtuChanged)]
    assert changes == [(0, 1200), (1200, 1450)]


def test_the_number_of_destinations_is_bounded():
    cache = PathMtuCache(PmtuConfig(limit=10), EventLog(10))
    for number in range(100):
        cache.frag_needed(IPv4Address(number), 1400, 1500, 1500, T0)
    assert len(cache) == 10
    assert cache.mtu(IPv4Address(99), 1500, T0) == 1400
    assert cache.mtu(IPv4Address(0), 1500, T0) == 1500


def test_entries_tell_when_more_is_tried(cache):
    cache.frag_needed(PEER, 1400, 1500, 1500, at(1))
    (entry,) = cache.entries(at(2))
    assert (entry.destination, entry.mtu, entry.raise_at) == (PEER, 1400, at(601))
    cache.forget(PEER)
    assert cache.mtu(PEER, 1500, at(3)) == 1500


def test_what_changed_of_late_is_kept_longest():
    cache = PathMtuCache(PmtuConfig(limit=2), EventLog(10))
    for peer, mtu in ((PEER, 1400), (OTHER, 1400), (PEER, 1300), (IPv4Address(9), 1400)):
        cache.frag_needed(peer, mtu, 1500, 1500, T0)
    assert cache.mtu(PEER, 1500, T0) == 1300
    assert cache.mtu(OTHER, 1500, T0) == 1500
    cache.clear()
    assert len(cache) == 0


def test_a_window_full_of_complaints_counts_once(cache):
    assert [cache.frag_needed(PEER, 0, 1500, 1500, T0) for _ in range(5)] == [1006, *[None] * 4]
    assert cache.mtu(PEER, 1500, T0) == 1006
