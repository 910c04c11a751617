"""Once an overload is over, a device loses nothing more within the time that is stated.

RFC 2544 26.5: 110 % of the throughput, or all that the line or the tester has, then half of the
throughput; the recovery is the time from then to the last loss. Judged where the bench file states
a ``recovery`` in seconds.
"""

import pytest

from testbed import Topology, Trials


def judge(trials: Trials) -> None:
    """Hold what was found against what is stated."""
    for outage in trials.recovery("a", "b"):
        trials.expect_at_most("recovery", outage.span, f"frames of {outage.size} bytes")


@pytest.mark.behaviour("BM-05", clause="RFC 2544 26.5")
@pytest.mark.topology(Topology.star("dut", "a", "b"))
@pytest.mark.performance
def test_switch_recovers_within_the_stated_time(trials: Trials) -> None:
    """A switch's recovery from an overload takes no longer than is stated."""
    judge(trials)


@pytest.mark.behaviour("BM-05", clause="RFC 2544 26.5")
@pytest.mark.topology(Topology.chain("a:nic", "dut:router", "b:nic"))
@pytest.mark.performance
def test_router_recovers_within_the_stated_time(trials: Trials) -> None:
    """A router's recovery from an overload takes no longer than is stated."""
    judge(trials)
