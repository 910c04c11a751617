from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.bench.addressing import plan_addresses
from testbed.bench.topology import Topology
from testbed.errors import PlanError


def test_a_box_does_not_divide_a_subnet() -> None:
    plan = plan_addresses(Topology.chain("c:host", "w:box", "r:router", "s:host"))
    assert plan.of("c").address.network == plan.of("r", "w--r").address.network
    assert plan.of("c").gateway == plan.of("r", "w--r").address.ip
    assert plan.of("s").address.network != plan.of("c").address.network


def test_hosts_without_a_router_have_no_gateway() -> None:
    plan = plan_addresses(Topology.chain("c:host", "w:box", "s:host"))
    assert plan.of("c").gateway is None
    assert plan.of("s").address.network == plan.of("c").address.network


def test_routers_in_a_row_learn_each_others_networks() -> None:
    plan = plan_addresses(Topology.chain("a:nic", "r1:router", "r2:router", "b:nic"))
    ways = {(hop.router, hop.prefix): hop.via for hop in plan.routes}
    assert ways == {
        ("r1", plan.of("b").address.network): plan.of("r2", "r1--r2").address.ip,
        ("r2", plan.of("a").address.network): plan.of("r1", "r1--r2").address.ip,
    }


def test_management_networks_are_left_alone() -> None:
    kept = IPv4Network("198.18.0.0/16")
    plan = plan_addresses(Topology.star("r:router", "a", "b"), (kept,))
    assert all(a.address.ip not in kept for a in plan.assignments)
    assert all(a.address.ip in IPv4Network("198.18.0.0/15") for a in plan.assignments)


def test_a_node_with_two_addresses_must_be_asked_by_link() -> None:
    plan = plan_addresses(Topology.star("r:router", "a", "b"))
    with pytest.raises(PlanError, match="name one of its links: a--r, b--r"):
        plan.of("r")


@given(st.integers(1, 6))
def test_every_end_of_a_chain_can_reach_the_other(routers: int) -> None:
    names = [f"r{i}:router" for i in range(routers)]
    plan = plan_addresses(Topology.chain("a:nic", *names, "b:nic"))
    target = plan.of("b").address.ip
    owner = {a.address.ip: a.node for a in plan.assignments}
    local = {(a.node, a.address.network) for a in plan.assignments}
    at = owner[plan.of("a").gateway or IPv4Address(0)]
    for _ in range(routers):
        if any(node == at and target in network for node, network in local):
            return
        at = owner[next(h.via for h in plan.routes if h.router == at and target in h.prefix)]
    raise AssertionError("the packet went in circles")
