"""A switch forwards broadcasts to all ports at the rate that is stated.

RFC 2889 5.10: the highest rate at which every broadcast comes at every other port, and how long it
takes to the last of them. Judged where the bench file states a ``broadcast``, a share of the line
rate of the slowest port.
"""

import pytest

from testbed import Topology, Trials

WHOLE = 0.995
"""The share of a stated rate that counts as all of it: a trial is of whole frames."""


@pytest.mark.behaviour("BM-09", clause="RFC 2889 5.10")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@pytest.mark.performance
def test_no_broadcast_is_lost_at_the_stated_rate(trials: Trials) -> None:
    """A switch's throughput of broadcasts is not below what is stated."""
    for rate in trials.broadcast("a"):
        of = f"broadcasts of {rate.size} bytes"
        trials.expect_at_least("broadcast", rate.share, of, remark=rate.remark, scale=WHOLE)
