"""A switch carries what all its ports send to each other at once.

RFC 2889 5.1: every port sends to all others in turn, and 5.4: half of the ports to the other half;
the forwarding rate at each fifth of the full load, the highest of them (5.6), and the throughput.
Judged where the bench file states a ``forwarding``, a share of what the lines carry.
"""

import pytest

from testbed import Topology, Trials

WHOLE = 0.995
"""The share of a stated rate that counts as all of it: a trial is of whole frames."""


@pytest.mark.behaviour("BM-07", clause="RFC 2889 5.1")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@pytest.mark.performance
@pytest.mark.parametrize("mesh", ["full", "partial"])
def test_mesh_is_forwarded_at_the_stated_rate(trials: Trials, mesh: str) -> None:
    """A switch's forwarding rate at the full load of all ports is not below what is stated."""
    for each in trials.forwarding(mesh):
        of = f"frames of {each.rate.size} bytes, {each.sources} ports sending"
        remark = each.rate.limit.remark(each.at_full)
        trials.expect_at_least("forwarding", each.share, of, remark=remark, scale=WHOLE)
