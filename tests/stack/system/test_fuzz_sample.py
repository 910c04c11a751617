"""A sample of ``make fuzz``: mutated frames and blind segments into a stack with a connection."""

from __future__ import annotations

import tracemalloc

import pytest
from fuzz import Fuzz

from testbed.stack.tcp.notices import ChallengeAck


@pytest.mark.parametrize("seed", [1, 2])
def test_mutated_frames_raise_nothing_and_the_connection_lives_on(seed):
    fuzz = Fuzz(seed)
    fuzz.run(10_000)
    fuzz.check()
    taken = dict(fuzz.stack.core.dropped)
    assert len(taken) > 15  # they were refused for many reasons: the mutations reach every layer


def test_memory_does_not_grow_with_the_frames_that_came():
    fuzz = Fuzz(3)
    fuzz.run(6_000)
    tracemalloc.start()
    try:
        fuzz.run(500)
        before = tracemalloc.get_traced_memory()[0]
        fuzz.run(4_000)
        grown = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert grown < 3 << 20  # the event log is full by then: what is left is what tables hold


def test_blind_segments_get_challenge_acks():
    fuzz = Fuzz(4)
    packets = filter(None, (fuzz.blind() for _ in range(2000)))
    for packet in packets:
        fuzz.stack.receive(packet, fuzz.net.now, "tun0")
    fuzz.check()
    assert fuzz.stack.events.of(ChallengeAck)
