"""The FRR driver has pimd forward to groups, where there is one, and takes it all back."""

from __future__ import annotations

from ipaddress import IPv4Interface

import pytest
from devices_gear import ROUTER_PORTS

from testbed.errors import PlanError, Unsupported

pytestmark = pytest.mark.root

START = (
    "touch /etc/frr/pimd.conf; "
    "/usr/lib/frr/pimd -d -u root -g root -A 127.0.0.1 </dev/null >/dev/null 2>&1"
)


@pytest.fixture
def pimd(net):
    net.spaces["r1"].sh(START)
    yield
    net.spaces["r1"].sh("kill $(cat /run/frr/pimd.pid)")


@pytest.fixture
def with_pimd(pimd, net, driver):
    """A router whose pimd outlives the undoing of what was set."""
    return driver(net.spaces["r1"], ROUTER_PORTS)


@pytest.fixture
def router(net, driver):
    return driver(net.spaces["r1"], ROUTER_PORTS)


def test_multicast_needs_its_daemon(router):
    with pytest.raises(Unsupported, match="pimd, which is not run"):
        router.set_multicast_routing(True)


def test_advertisements_need_their_module(router):
    with pytest.raises(Unsupported, match="module irdp"):
        router.set_router_discovery("eth1", True)


def test_every_port_asks_and_the_router_is_its_own_rendezvous_point(with_pimd):
    router = with_pimd
    with pytest.raises(PlanError, match="once it has an address"):
        router.set_multicast_routing(True)
    router.add_address("eth1", IPv4Interface("10.1.0.254/24"))
    before = router.read_config()
    router.set_multicast_routing(True)
    lines = router.read_config().splitlines()
    for port in ROUTER_PORTS:
        for line in ("ip pim", "ip igmp", "ip igmp version 2"):
            assert f"frr interface {port} | {line}" in lines
    assert "frr ip pim rp 10.1.0.254 224.0.0.0/4" in lines
    router.set_multicast_routing(True)
    assert router.read_config().splitlines() == lines
    router.set_multicast_routing(False)
    assert router.read_config() == before
