"""Every driver over SSH and over a serial console, on the virtual bench that ships."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Interface, IPv4Network
from pathlib import Path

import pytest
from devices_gear import Journal, WallClock

from testbed.console import Cli, ConsoleLog, open_serial, open_ssh
from testbed.devices import PLATFORMS, open_driver
from testbed.errors import LabError
from testbed.inventory import Bench
from testbed.inventory.credentials import resolve
from testbed.inventory.load import load
from testbed.labs.netns import enter_controller
from testbed.labs.virtual import VirtualLab
from testbed.timing import Instant, seconds
from testbed.wire.addresses import MacAddr

pytestmark = pytest.mark.root

FILE = Path(__file__).parents[2] / "inventory" / "virtual.yaml"
SHIPPED = load(FILE, platforms=frozenset(PLATFORMS)).bench
DEVICES = {**SHIPPED.devices, **SHIPPED.hosts}


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with ExitStack() as stack:
        try:
            lab = stack.enter_context(VirtualLab(SHIPPED))
        except LabError as error:
            pytest.skip(str(error))
        stack.enter_context(enter_controller(lab.inventory))
        yield lab.inventory


def login(bench: Bench, name: str, transport: str) -> Cli:
    entry = {**bench.devices, **bench.hosts}[name]
    log = ConsoleLog(lambda: Instant(time.time_ns()))
    profile = PLATFORMS[entry.platform].profile
    if transport == "ssh":
        ssh = entry.ssh
        assert ssh is not None
        return open_ssh(
            name,
            ssh.host,
            port=ssh.port,
            user=ssh.user,
            key=ssh.key,
            host_key=ssh.host_key or "",
            clock=WallClock(),
            log=log,
            profile=profile,
        )
    line = entry.console
    assert line is not None
    assert line.password is not None
    return open_serial(
        name,
        line.serial,
        baud=line.baud,
        user=line.user,
        password=resolve(line.password),
        clock=WallClock(),
        log=log,
        profile=profile,
    )


def change_a_switch(driver) -> None:
    driver.add_static(MacAddr("02:00:00:00:00:99"), "p3")
    driver.set_mirror(("p1", "p2"), "p5")
    driver.set_ageing_time(seconds(20))
    driver.set_port_up("p4", up=False)
    driver.flush_fdb("p1")
    assert {row.port for row in driver.fdb() if row.static} == {"p3"}


def change_a_router(driver) -> None:
    port = driver.ports[0]
    address = IPv4Interface("10.1.0.254/24")
    driver.add_address(port, address)
    driver.add_route(IPv4Network("10.9.0.0/16"), address.ip - 1)
    driver.set_icmp_errors(on=False)
    driver.set_icmp_rate_limit(on=False)
    driver.set_directed_broadcast(port, on=True)
    driver.set_mtu(port, 1300)
    assert driver.mtu(port) == 1300


def change_a_host(driver) -> None:
    address = IPv4Interface("10.1.0.1/24")
    driver.add_address("eth1", address)
    driver.tcp_serve(5001, send=100_000)
    driver.tcp_connect(str(address.ip), 5001, send=200_000)
    sent, received = driver.tcp_result("client", 5001, within=seconds(10))
    assert (sent.octets, received.octets) == (200_000, 100_000)
    assert driver.sockets()


CHANGES = {"switch": change_a_switch, "router": change_a_router, "host": change_a_host}


@pytest.mark.parametrize("transport", ["ssh", "serial"])
@pytest.mark.parametrize("name", DEVICES)
def test_what_is_changed_over_a_login_is_undone_over_it(bench, name, transport):
    cli = login(bench, name, transport)
    try:
        journal, platform = Journal(), DEVICES[name].platform
        driver = open_driver(platform, name, cli, journal, WallClock(), DEVICES[name].ports)
        before = driver.read_config()
        CHANGES[PLATFORMS[platform].kind](driver)
        assert driver.read_config() != before
        journal.undo_all(driver)
        assert driver.read_config() == before
    finally:
        cli.close()
