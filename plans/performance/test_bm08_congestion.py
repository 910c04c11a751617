"""A congested port of a switch does no harm to another one.

RFC 2889 5.5: one port sends to a free port and to a congested one in turn, a second port sends to
the congested one alone, which so is offered half more than its line has. What is lost at the free
port was held up behind frames for the other: the head of its line was blocked. Where nothing is
lost at all, the senders were held back, or the buffers hold a trial. Judged where the bench file
states an ``uncongested_loss``, a share from 0 to 1.
"""

import pytest

from testbed import Topology, Trials


@pytest.mark.behaviour("BM-08", clause="RFC 2889 5.5")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@pytest.mark.performance
def test_uncongested_port_loses_nothing(trials: Trials) -> None:
    """Frames to a port that is not congested are lost no more often than is stated."""
    for each in trials.congestion():
        of = f"frames of {each.size} bytes to the port that is not congested"
        trials.expect_at_most("uncongested_loss", each.uncongested_loss, of)
