"""A burst at the full rate, as long as is stated, passes a device whole.

RFC 2544 26.4: the longest burst of frames with the least gaps of which none is lost, up to two
seconds' worth, averaged over trials. Judged where the bench file states a ``back_to_back`` in
frames, by the longest burst that is tried where that is shorter.
"""

import pytest

from testbed import Topology, Trials


def judge(trials: Trials) -> None:
    """Hold what was found against what is stated."""
    for bursts in trials.back_to_back("a", "b"):
        of = f"bursts of {bursts.size} bytes a frame, {bursts.asked} frames tried at most"
        stated = trials.stated("back_to_back")
        reachable = min(1.0, bursts.asked / stated) if stated else 1.0
        trials.expect_at_least("back_to_back", bursts.mean, of, scale=reachable * 0.99)


@pytest.mark.behaviour("BM-04", clause="RFC 2544 26.4")
@pytest.mark.topology(Topology.star("dut", "a", "b"))
@pytest.mark.performance
def test_switch_passes_bursts_as_long_as_stated(trials: Trials) -> None:
    """A switch passes bursts that are not shorter than what is stated."""
    judge(trials)


@pytest.mark.behaviour("BM-04", clause="RFC 2544 26.4")
@pytest.mark.topology(Topology.chain("a:nic", "dut:router", "b:nic"))
@pytest.mark.performance
def test_router_passes_bursts_as_long_as_stated(trials: Trials) -> None:
    """A router passes bursts that are not shorter than what is stated."""
    judge(trials)
