from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from devices_gear import NEEDED, NEEDED_FOR, SWITCH_PORTS, Journal, Space, Wire, context, join

from testbed.devices import PLATFORMS
from testbed.devices.settings import ConfiguredDriver


def require(*platforms: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root: it makes network namespaces")
    wanted = [*NEEDED, *(tool for name in platforms for tool in NEEDED_FOR.get(name, ()))]
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    missing = [tool for tool in wanted if shutil.which(tool, path=path) is None]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}: apt-get install openvswitch-switch frr nftables")


class Switch:
    """A switch of five ports, each cabled to the tester."""

    def __init__(self, platform: str, stack: ExitStack) -> None:
        require(platform)
        self.space = Space("sw", platform)
        stack.callback(self.space.close)
        tester = Space("tester", "none")
        stack.callback(tester.close)
        self.wires: dict[str, Wire] = {}
        for number, port in enumerate(SWITCH_PORTS, start=1):
            join(self.space, port, tester, f"t{number}")
            if platform == "openvswitch":
                self.space.sh(
                    f"ovs-vsctl add-port br0 {port} -- set interface {port} ofport_request={number}"
                )
            else:
                self.space.sh(f"ip link set {port} master br0")
            self.wires[port] = Wire(tester, f"t{number}")
            stack.callback(self.wires[port].close)


class Net:
    """A router between the tester (eth1, eth2) and two hosts (eth3; eth4 at MTU 1400)."""

    def __init__(self, stack: ExitStack) -> None:
        require("frr")
        spaces = {"r1": "frr", "h1": "linux_host", "h2": "linux_host", "tester": "none"}
        self.spaces: dict[str, Space] = {}
        for name, platform in spaces.items():
            self.spaces[name] = Space(name, platform)
            stack.callback(self.spaces[name].close)
        router, tester = self.spaces["r1"], self.spaces["tester"]
        join(router, "eth1", tester, "t1")
        join(router, "eth2", tester, "t2")
        join(router, "eth3", self.spaces["h1"], "eth1")
        join(router, "eth4", self.spaces["h2"], "eth1", mtu=1400)
        self.wires = {"eth1": Wire(tester, "t1"), "eth2": Wire(tester, "t2")}
        for wire in self.wires.values():
            stack.callback(wire.close)


@pytest.fixture(scope="module")
def ovs_gear() -> Iterator[Switch]:
    with ExitStack() as stack:
        yield Switch("openvswitch", stack)


@pytest.fixture(scope="module")
def bridge_gear() -> Iterator[Switch]:
    with ExitStack() as stack:
        yield Switch("linux_bridge", stack)


@pytest.fixture(scope="module")
def net() -> Iterator[Net]:
    with ExitStack() as stack:
        yield Net(stack)


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def driver(journal: Journal) -> Iterator[Callable[..., ConfiguredDriver]]:
    """Makes drivers. After the test the journal is undone: the configuration must be as before."""
    made: list[tuple[ConfiguredDriver, Journal, str]] = []

    def make(space: Space, ports: tuple[str, ...]) -> ConfiguredDriver:
        own = Journal() if made else journal
        one = PLATFORMS[space.platform].driver(context(space, ports, own))
        made.append((one, own, one.read_config()))
        return one

    yield make
    for one, own, before in made:
        own.undo_all(one)
        assert one.read_config() == before
