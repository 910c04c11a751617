"""A frame takes no longer through a device at its throughput than is stated.

RFC 2544 26.2: a tagged frame in the middle of a stream at the throughput of its size, averaged over
trials; beside it what every other frame took. From the frame's stamp to its arrival, so with the
time on both lines. Judged where the bench file states a ``latency`` in microseconds.
"""

import pytest

from testbed import ExpectationFailed, Topology, Trials


def judge(trials: Trials) -> None:
    """Hold what was found against what is stated."""
    for each in trials.latency("a", "b"):
        of = f"frames of {each.rate.size} bytes"
        if not each.tagged:
            raise ExpectationFailed(f"{of}: no tagged frame came at {each.rate.pps:,.0f} frames/s")
        trials.expect_at_most("latency", each.mean / 1000, of)


@pytest.mark.behaviour("BM-02", clause="RFC 2544 26.2")
@pytest.mark.topology(Topology.star("dut", "a", "b"))
@pytest.mark.performance
def test_switch_takes_no_longer_than_stated(trials: Trials) -> None:
    """A switch's latency at its throughput is not above what is stated."""
    judge(trials)


@pytest.mark.behaviour("BM-02", clause="RFC 2544 26.2")
@pytest.mark.topology(Topology.chain("a:nic", "dut:router", "b:nic"))
@pytest.mark.performance
def test_router_takes_no_longer_than_stated(trials: Trials) -> None:
    """A router's latency at its throughput is not above what is stated."""
    judge(trials)
