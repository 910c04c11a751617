"""A device forwards frames of every size at the rate that is stated, and loses none.

RFC 2544 26.1: for each frame size the highest rate at which every frame that was sent comes, by
binary search; beside it the line rate and the tester's own limit. Judged where the bench file
states a ``throughput`` (a share of the line rate) or ``throughput_fps``.
"""

import pytest

from testbed import Topology, Trials

WHOLE = 0.995
"""The share of a stated rate that counts as all of it: a trial is of whole frames."""


def judge(trials: Trials) -> None:
    """Hold what was found against what is stated."""
    for rate in trials.throughput("a", "b"):
        of = f"frames of {rate.size} bytes"
        trials.expect_at_least("throughput", rate.share, of, remark=rate.remark, scale=WHOLE)
        trials.expect_at_least("throughput_fps", rate.pps, of, remark=rate.remark, scale=WHOLE)


@pytest.mark.behaviour("BM-01", clause="RFC 2544 26.1")
@pytest.mark.topology(Topology.star("dut", "a", "b"))
@pytest.mark.performance
def test_switch_loses_nothing_at_the_stated_rate(trials: Trials) -> None:
    """A switch's throughput is not below what is stated."""
    judge(trials)


@pytest.mark.behaviour("BM-01", clause="RFC 2544 26.1")
@pytest.mark.topology(Topology.chain("a:nic", "dut:router", "b:nic"))
@pytest.mark.performance
def test_router_loses_nothing_at_the_stated_rate(trials: Trials) -> None:
    """A router's throughput is not below what is stated."""
    judge(trials)
