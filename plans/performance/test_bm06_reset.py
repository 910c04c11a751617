"""A port that was reset forwards again within the time that is stated.

RFC 2544 26.6 asks for resets of the device and a cut of its power, which no bench here can do: the
port toward the receiver is switched off and on under load, as a line card's reset does (RFC 6201
4.1.2), and the outage is what was lost at a known rate. Judged where the bench file states a
``reset`` in seconds.
"""

import pytest

from testbed import ExpectationFailed, Topology, Trials


def judge(trials: Trials) -> None:
    """Hold what was found against what is stated."""
    outage = trials.reset("a", "b")
    if outage.remark:
        raise ExpectationFailed(f"after the reset {outage.remark}")
    trials.expect_at_most("reset", outage.span, "a port that was switched off and on")


@pytest.mark.behaviour("BM-06", clause="RFC 2544 26.6")
@pytest.mark.topology(Topology.star("dut", "a", "b"))
@pytest.mark.performance
def test_switch_is_back_within_the_stated_time(trials: Trials) -> None:
    """A switch's port is out of service after a reset no longer than is stated."""
    judge(trials)


@pytest.mark.behaviour("BM-06", clause="RFC 2544 26.6")
@pytest.mark.topology(Topology.chain("a:nic", "dut:router", "b:nic"))
@pytest.mark.performance
def test_router_is_back_within_the_stated_time(trials: Trials) -> None:
    """A router's port is out of service after a reset no longer than is stated."""
    judge(trials)
