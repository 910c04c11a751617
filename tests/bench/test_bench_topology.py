import pytest

from testbed.bench.topology import Kind, Link, Topology
from testbed.errors import PlanError


def test_star_joins_every_leaf_to_the_center() -> None:
    topology = Topology.star("dut", "a", "b", mirror="m")
    assert topology.kind("dut") is Kind.SWITCH
    assert [link.name for link in topology.links] == ["a--dut", "b--dut", "m--dut"]
    assert topology.link("dut--m").mirror
    assert topology.dut == "dut"


def test_chain_takes_kinds_with_the_names() -> None:
    topology = Topology.chain("client:host", "wire:box", "server:host")
    assert topology.kind("wire") is Kind.BOX
    assert topology.links == (Link("client", "wire"), Link("wire", "server"))
    assert topology.dut is None


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Topology.star("dut", "a", "a"), "names a node twice: a"),
        (lambda: Topology.chain("a", "b:host"), "say what it is, a:KIND"),
        (lambda: Topology.chain("a:hots", "b:host"), "unknown kind 'hots'"),
        (lambda: Topology.chain("w:box", "b:host"), "box w has 1 links"),
        (lambda: Topology.chain("r:router", "n:nic", "s:router"), "NIC n has 2 links"),
        (lambda: Topology.of(["a:nic"], [("a", "b")]), "ends at b, which is no node"),
        (lambda: Topology.star("dut", "a").kind("z"), "no node 'z'; it has dut, a"),
        (lambda: Topology.star("dut", "a").link("a--z"), "no link 'a--z'; it has a--dut"),
    ],
)
def test_nonsense_is_the_authors_error(build, message) -> None:
    with pytest.raises(PlanError, match=message):
        build()
