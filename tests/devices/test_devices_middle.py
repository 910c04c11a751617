"""The drivers of the simulated server, balancer and gateway, over their command lines alone."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address
from typing import Any

import pytest
from appliance_rig import Rig
from devices_gear import Journal

from testbed.console.cli import DEFAULT_WITHIN, Reply
from testbed.devices import open_driver
from testbed.devices.lines import configure, parse_lines, parse_ports
from testbed.devices.middle import (
    BalancerServer,
    DhcpService,
    LeasedAddress,
    PppoeHeld,
    PppoeService,
)
from testbed.devices.platforms.sim_balancer import SimBalancer as BalancerDriver
from testbed.devices.platforms.sim_gateway import SimGateway as GatewayDriver
from testbed.devices.platforms.sim_server import SimServer as ServerDriver
from testbed.devices.platforms.sim_server.records import record_words
from testbed.errors import DeviceError, PlanError
from testbed.sim.appliance import Appliance
from testbed.sim.balancer import SimBalancer
from testbed.sim.gateway import SimGateway
from testbed.sim.server import SimServer
from testbed.stack.services.http import HttpFetch, HttpServer
from testbed.stack.services.ppp_config import PppConfig
from testbed.stack.services.pppoe import PppoeConfig
from testbed.stack.services.pppoe_host import PppoeHost
from testbed.timing import Duration, ManualClock, milliseconds, seconds
from testbed.wire.addresses import MacAddr
from testbed.wire.dns import AAAA, CNAME, MX, SOA, TXT, A, DnsName, DnsRecord, RawData


class RigCli:
    """A login at the device of a rig."""

    device, transport = "dut", "simulated"

    def __init__(self, rig: Rig) -> None:
        self.rig = rig

    def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        return self.rig.run_line(command, within=within)

    def close(self) -> None: ...


def opened(kind: type[Appliance], ports: int) -> tuple[Rig, Any, Journal]:
    rig, journal = Rig(kind, ports), Journal()
    names = tuple(f"p{number}" for number in range(1, ports + 1))
    platform = f"sim_{kind.kind}"
    driver = open_driver(platform, "dut", RigCli(rig), journal, ManualClock(), names)
    return rig, driver, journal


@pytest.fixture
def server() -> tuple[Rig, ServerDriver, Journal]:
    return opened(SimServer, 2)


@pytest.fixture
def balancer() -> tuple[Rig, BalancerDriver, Journal]:
    return opened(SimBalancer, 3)


@pytest.fixture
def gateway() -> tuple[Rig, GatewayDriver, Journal]:
    return opened(SimGateway, 2)


def test_ports_addresses_and_routes(server):
    rig, driver, journal = server
    before = driver.read_config()
    assert driver.version() == "testbed simulated server"
    assert driver.mac("p1") == MacAddr("02:00:00:00:01:01")
    assert driver.addresses("p1") == (IPv4Interface("198.18.0.1/24"),)
    assert (driver.mtu("p1"), driver.port_is_up("p1")) == (1500, True)
    driver.add_address("p1", IPv4Interface("192.0.2.1/24"))
    driver.add_route(IPv4Network("10.0.0.0/8"), IPv4Address("192.0.2.9"))
    driver.set_mtu("p1", 1400)
    driver.set_port_up("p2", False)
    assert driver.mtu("p1") == 1400
    assert IPv4Interface("192.0.2.1/24") in driver.addresses("p1")
    assert not rig.dut.is_enabled("p2")
    driver.wait_port_up("p1", within=seconds(1))
    assert driver.counters("p1").rx_frames == 0
    wanted = driver.read_config()
    journal.undo_all(driver)
    assert driver.read_config() == before
    assert rig.dut.is_enabled("p2")
    journal.undo_all(driver)  # undo is idempotent
    assert driver.read_config() == before
    driver.apply_config(wanted)
    assert driver.read_config() == wanted
    driver.restore_config(before)
    assert driver.read_config() == before
    with pytest.raises(PlanError, match="no port 'p9'"):
        driver.mac("p9")
    with pytest.raises(PlanError, match="metric"):
        driver.add_route(IPv4Network("10.0.0.0/8"), IPv4Address("192.0.2.9"), 5)


def test_a_server_is_told_what_to_serve(server):
    rig, driver, journal = server
    before = driver.read_config()
    pool = IPv4Address("198.18.0.100"), IPv4Address("198.18.0.109")
    driver.serve_dhcp("p1", DhcpService(*pool, lease=60, router=IPv4Address("198.18.0.254")))
    driver.serve_dhcp("p1", DhcpService(*pool, ping=None))
    assert "dhcp ping 0" in driver.read_config()
    assert "dhcp router" not in driver.read_config()
    records = [
        DnsRecord(DnsName("a.test"), SOA(DnsName("ns.a.test"), DnsName("who.test"))),
        DnsRecord(DnsName("www.a.test"), A(IPv4Address("192.0.2.1")), 77),
    ]
    driver.serve_dns("a.test", records)
    assert rig.dut.dns is not None
    service = PppoeService(
        IPv4Address("10.9.0.1"),
        IPv4Address("10.9.0.10"),
        IPv4Address("10.9.0.19"),
        services=("gold",),
        authenticate=("chap", "pap"),
        users={"alice": "wonderland"},
        echo=seconds(30),
        rechallenge=seconds(60),
        sessions=5,
    )
    driver.serve_pppoe("p1", service)
    client = rig.host(1)
    ppp = PppConfig(name=b"alice", secret=b"wonderland")
    host = PppoeHost(client, "eth0", PppoeConfig(ppp=ppp))
    host.open(rig.now)
    rig.run(milliseconds(500))
    (held,) = driver.pppoe_sessions()
    assert held == PppoeHeld(
        "p1", 1, MacAddr("02:00:00:00:02:01"), IPv4Address("10.9.0.10"), "network"
    )
    assert driver.dhcp_leases() == ()
    journal.undo_all(driver)
    assert driver.read_config() == before
    with pytest.raises(PlanError, match="one word"):
        driver.serve_pppoe("p1", PppoeService(pool[0], *pool, users={"two words": "x"}))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (A(IPv4Address("192.0.2.1")), "A 192.0.2.1"),
        (AAAA(IPv6Address("2001:db8::1")), "AAAA 2001:db8::1"),
        (CNAME(DnsName("b.test")), "CNAME b.test."),
        (MX(10, DnsName("b.test")), "MX 10 b.test."),
        (TXT((b"one", b"two")), "TXT one two"),
    ],
)
def test_records_are_typed_as_in_a_zones_file(data, words):
    assert record_words(DnsRecord(DnsName("a.test"), data, 60)) == f"a.test. 60 {words}"


def test_records_that_cannot_be_typed():
    for data in (RawData(99, b"x"), TXT((b"two words",))):
        with pytest.raises(PlanError, match="cannot be typed"):
            record_words(DnsRecord(DnsName("a.test"), data))


def test_a_balancer_is_told_whom_to_spread_over(balancer):
    rig, driver, journal = balancer
    before = driver.read_config()
    places = [(rig.address(2, 2), 80), (rig.address(3, 2), 80)]
    driver.serve_balanced(80, places)
    driver.set_rate_limit(5, seconds(2))
    driver.set_rate_limit(7, per_source=False)
    driver.deny_source(IPv4Network("203.0.113.0/24"))
    driver.deny_path("/admin")
    driver.set_idle_time(seconds(60))
    driver.set_retry_time(seconds(5))
    text = driver.read_config()
    assert "limit 7 1 all\n" in text
    assert "limit 5" not in text
    HttpServer.on(rig.host(2), {"/": b"page"}, rig.now)
    rig.host(3)
    client = rig.host(1)
    fetch = HttpFetch.on(client, (rig.address(1), 80), "x", "/", rig.now)
    rig.run(seconds(1))
    assert fetch.answer is not None
    assert driver.servers() == (
        BalancerServer(places[0][0], 80, up=True, flows=0, total=1),
        BalancerServer(places[1][0], 80, up=True, flows=0, total=0),
    )
    driver.set_rate_limit(None)
    assert "limit" not in driver.read_config()
    journal.undo_all(driver)
    assert driver.read_config() == before
    with pytest.raises(PlanError, match="whole seconds"):
        driver.set_idle_time(milliseconds(1500))


def test_a_gateway_is_told_its_origin(gateway):
    rig, driver, journal = gateway
    before = driver.read_config()
    driver.translate(80, rig.address(2, 2), 70)
    driver.translate(8080, rig.address(2, 2), 70)
    driver.set_patience(seconds(5))
    assert driver.read_config().count("service port") == 1
    assert rig.dut.stack.tcp.listeners[0].port == 8080
    journal.undo_all(driver)
    assert driver.read_config() == before
    assert not rig.dut.stack.tcp.listeners


def test_answers_that_make_no_sense(server, balancer):
    class Liar(RigCli):
        def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
            return Reply("what a fine day\n")

    def lied_to(platform: str) -> Any:
        cli = Liar(server[0])
        return open_driver(platform, "dut", cli, Journal(), ManualClock(), ("p1",))

    for ask in (
        lied_to("sim_server").dhcp_leases,
        lied_to("sim_server").pppoe_sessions,
        lied_to("sim_balancer").servers,
        lambda: lied_to("sim_gateway").mac("p1"),
    ):
        with pytest.raises(DeviceError):
            ask()
    with pytest.raises(DeviceError, match="% Unknown command"):
        balancer[1].execute("reload")


def test_leases_are_read():
    class Told(RigCli):
        def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
            assert command == "show dhcp leases"
            return Reply("p1 198.18.0.100 01020000000201 until 12.000\n")

    rig = Rig(SimServer)
    driver = open_driver("sim_server", "dut", Told(rig), Journal(), ManualClock(), ("p1",))
    assert isinstance(driver, ServerDriver)
    assert driver.dhcp_leases() == (
        LeasedAddress("p1", IPv4Address("198.18.0.100"), bytes.fromhex("01020000000201")),
    )


def test_a_running_configuration_is_settings():
    text = "ip route 10.0.0.0/8 192.0.2.9\ninterface p1\n ip address 192.0.2.1/24\n shutdown\n"
    found = parse_lines(text)
    assert list(found) == [
        "ip route 10.0.0.0/8 192.0.2.9",
        "interface p1 | ip address 192.0.2.1/24",
        "interface p1 | shutdown",
    ]
    assert configure("interface p1 | shutdown", there=False) == (
        "configure terminal ; interface p1 ; no shutdown ; end"
    )
    assert configure("a b", there=True) == "configure terminal ; a b ; end"
    assert parse_ports("nonsense\n") == {}
