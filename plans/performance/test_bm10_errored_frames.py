"""A switch passes on no frame with an error.

RFC 2889 5.9: frames that are too short, too long, or have a wrong check sequence, as far as the
tester's NIC can send them; SW-15 asks in detail. Judged where the bench file states an ``errored``,
the frames of each kind that may pass.
"""

import pytest

from testbed import Topology, Trials


@pytest.mark.behaviour("BM-10", clause="RFC 2889 5.9")
@pytest.mark.topology(Topology.star("dut", "a", "b"))
@pytest.mark.performance
def test_errored_frames_are_filtered(trials: Trials) -> None:
    """A switch passes on no more frames with errors than is stated."""
    for each in trials.errored("a", "b"):
        trials.expect_at_most("errored", each.passed, each.kind)
