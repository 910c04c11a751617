"""Identifications and the token bucket."""

from __future__ import annotations

from ipaddress import IPv4Address

import pytest

from testbed.errors import PlanError
from testbed.stack.entropy import Entropy
from testbed.stack.identification import Identifications
from testbed.stack.ratelimit import TokenBucket
from testbed.timing import Instant, milliseconds, seconds

A, B = IPv4Address("10.0.0.1"), IPv4Address("10.0.0.2")


def test_none_comes_twice_for_one_triple_within_65536():
    idents = Identifications(Entropy(1))
    assert len({idents.next(A, B, 17) for _ in range(65536)}) == 65536


def test_many_peers_neither_fill_the_memory_nor_make_one_repeat():
    idents = Identifications(Entropy(2))
    seen = []
    for number in range(20_000):
        idents.next(A, IPv4Address(number), 17)
        if number % 10 == 0:
            seen.append(idents.next(A, B, 6))
    assert len(set(seen)) == len(seen) == 2000
    assert len(idents._places) <= 4096


def test_triples_count_from_different_points():
    idents = Identifications(Entropy(3))
    firsts = {idents.next(A, IPv4Address(n), 17) for n in range(100)}
    assert len(firsts) > 95
    assert idents.next(A, B, 6) != idents.next(A, B, 17)


def test_the_same_seed_gives_the_same_and_another_another():
    assert Identifications(Entropy(1)).next(A, B, 6) == Identifications(Entropy(1)).next(A, B, 6)
    assert Identifications(Entropy(1)).next(A, B, 6) != Identifications(Entropy(2)).next(A, B, 6)


def test_a_constant_is_sent_always():
    idents = Identifications(Entropy(1), 7)
    assert {idents.next(A, B, 6) for _ in range(5)} == {7}


def test_a_bucket_gives_its_burst_and_then_its_rate():
    bucket = TokenBucket(10, 5)
    assert [bucket.take(Instant(0)) for _ in range(7)] == [True] * 5 + [False] * 2
    assert bucket.refused == 2
    assert not bucket.take(Instant(milliseconds(99)))
    assert bucket.take(Instant(milliseconds(100)))
    assert not bucket.take(Instant(milliseconds(100)))
    assert sum(bucket.take(Instant(seconds(100))) for _ in range(50)) == 5


def test_a_bucket_gives_no_more_than_its_rate_over_a_long_time():
    bucket = TokenBucket(100, 1)
    assert sum(bucket.take(Instant(milliseconds(n))) for n in range(10_000)) == 1000


def test_no_rate_means_no_limit():
    bucket = TokenBucket(0, 1)
    assert all(bucket.take(Instant(0)) for _ in range(1000))


@pytest.mark.parametrize(("rate", "burst"), [(-1, 1), (1, 0)])
def test_a_bucket_that_makes_no_sense_is_refused(rate, burst):
    with pytest.raises(PlanError):
        TokenBucket(rate, burst)
