"""A device that is offered the full load loses no more of it than is stated.

RFC 2544 26.3: the share of the frames that is lost at the full load, then at tenths below until two
trials in a row lose nothing. The full load is the line rate, or what the tester reaches. Judged
where the bench file states a ``frame_loss``, a share from 0 to 1.
"""

import pytest

from testbed import Topology, Trials


def judge(trials: Trials) -> None:
    """Hold what was found at the full load against what is stated."""
    for curve in trials.frame_loss("a", "b"):
        trials.expect_at_most(
            "frame_loss", curve.points[0].loss, f"frames of {curve.rate.size} bytes, full load"
        )


@pytest.mark.behaviour("BM-03", clause="RFC 2544 26.3")
@pytest.mark.topology(Topology.star("dut", "a", "b"))
@pytest.mark.performance
def test_switch_loses_no_more_than_stated(trials: Trials) -> None:
    """A switch's loss at the full load is not above what is stated."""
    judge(trials)


@pytest.mark.behaviour("BM-03", clause="RFC 2544 26.3")
@pytest.mark.topology(Topology.chain("a:nic", "dut:router", "b:nic"))
@pytest.mark.performance
def test_router_loses_no_more_than_stated(trials: Trials) -> None:
    """A router's loss at the full load is not above what is stated."""
    judge(trials)
