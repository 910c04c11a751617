from __future__ import annotations

from ipaddress import IPv4Interface, IPv4Network

import pytest
from router_rig import PORTS, RouterRig, ip, mac_of, udp

from testbed.console.cli import DEFAULT_WITHIN, Reply
from testbed.devices import PLATFORMS, Change, DriverContext
from testbed.devices.capabilities import Router
from testbed.devices.platforms.sim_router import SimRouterDriver, answers
from testbed.devices.values import ArpEntry, NatEntry, Route
from testbed.errors import DeviceError, ExpectationFailed, PlanError
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire import MacAddr


class Login:
    """A command line of the rig's router; time stands still between its commands."""

    device = "r1"
    transport = "memory"

    def __init__(self, rig: RouterRig) -> None:
        self.rig = rig
        self.session = rig.router.login()
        self.lines: list[str] = []

    def run(self, command, *, within=DEFAULT_WITHIN):
        self.lines.append(command)
        answer = self.session.run(command, self.rig.now)
        self.rig.flush()
        return Reply(answer.output, answer.status)

    def now(self) -> Instant:
        return self.rig.now

    def close(self) -> None:
        pass


class Journal:
    def __init__(self) -> None:
        self.changes: list[Change] = []

    def before(self, change: Change) -> None:
        self.changes.append(change)


class Gear:
    def __init__(self) -> None:
        self.rig = RouterRig()
        self.login, self.journal = Login(self.rig), Journal()
        context = DriverContext("r1", self.login, self.journal, self.login, PORTS)
        self.driver = SimRouterDriver(context)

    def undo_all(self) -> None:
        for change in reversed(self.journal.changes):
            self.driver.undo(change.undo)


@pytest.fixture
def gear():
    made = Gear()
    before = made.driver.read_config()
    yield made
    made.undo_all()
    assert made.driver.read_config() == before


def test_the_platform_is_known_and_its_driver_is_a_router(gear):
    assert PLATFORMS["sim_router"].kind == "router"
    assert PLATFORMS["sim_router"].driver is SimRouterDriver
    router: Router = gear.driver
    assert router.version() == "testbed simulated router software, release 1.0"


def test_ports_tell_of_themselves(gear):
    driver = gear.driver
    assert driver.mac("p2") == MacAddr("02:00:00:00:01:02")
    assert driver.mtu("p2") == 1500
    assert driver.addresses("p2") == (IPv4Interface("10.2.0.1/24"),)
    gear.rig.send(udp("10.1.0.2", "10.2.0.2"))
    gear.rig.put(b"runt")
    counters = driver.counters("p1")
    assert (counters.rx_frames, counters.rx_bytes, counters.rx_errors) == (1, 60, 1)
    assert driver.counters("p2").tx_frames == 2  # the question of ARP, and the packet
    with pytest.raises(PlanError, match="has no port 'p9'; it has p1, p2, p3"):
        driver.mtu("p9")


def test_a_port_goes_down_and_comes_back(gear):
    driver = gear.driver
    driver.set_port_up("p2", False)
    assert not driver.port_is_up("p2")
    assert "10.2.0.0/24" not in {str(route.prefix) for route in driver.routes()}
    driver.set_port_up("p2", True)
    driver.wait_port_up("p2", within=seconds(0))
    with pytest.raises(ExpectationFailed):
        driver.wait_port_up("p2", up=False, within=seconds(0))


def test_addresses_and_mtu_are_set(gear):
    driver = gear.driver
    driver.add_address("p3", IPv4Interface("10.33.0.1/30"))
    assert IPv4Interface("10.33.0.1/30") in driver.addresses("p3")
    driver.set_mtu("p3", 1300)
    assert driver.mtu("p3") == 1300
    with pytest.raises(DeviceError, match="% Not from 68 to 9216: 20"):
        driver.set_mtu("p3", 20)
    assert driver.mtu("p3") == 1300


def test_routes_that_share_a_network_are_told_apart_by_their_distance(gear):
    driver, far = gear.driver, IPv4Network("10.9.0.0/16")
    driver.add_route(far, ip("10.2.0.9"))
    driver.add_route(far, ip("10.3.0.9"), 5)
    assert Route(far, ip("10.2.0.9"), "p2", 1) in driver.routes()
    assert not any(route.via == ip("10.3.0.9") for route in driver.routes())
    driver.add_route(far, ip("10.3.0.9"))
    assert {route.via for route in driver.routes() if route.prefix == far} == {
        ip("10.2.0.9"),
        ip("10.3.0.9"),
    }
    with pytest.raises(PlanError, match="at most 255"):
        driver.add_route(far, ip("10.3.0.9"), 256)
    with pytest.raises(DeviceError, match="router's own address"):
        driver.add_route(far, ip("10.3.0.1"))


def test_neighbours_are_learned_set_and_flushed(gear):
    driver = gear.driver
    gear.rig.send(udp("10.1.0.2", "10.2.0.2"))
    host = ip("10.2.0.2")
    assert ArpEntry(host, mac_of(host), "p2") in driver.arp_table()
    fixed = ArpEntry(ip("10.2.0.200"), MacAddr("02:00:00:00:00:77"), "p2", permanent=True)
    driver.add_arp("p2", fixed.ip, fixed.mac)
    driver.flush_arp("p1")
    assert len(driver.arp_table()) == 2
    driver.flush_arp()
    assert driver.arp_table() == (fixed,)
    driver.set_arp_timeout("p2", milliseconds(1500))
    assert "port p2 arp timeout = 1500" in driver.read_config()
    with pytest.raises(PlanError, match="whole ms"):
        driver.set_arp_timeout("p2", milliseconds(0))


def test_switches_are_seen_in_the_configuration(gear):
    driver = gear.driver
    driver.set_icmp_rate_limit(False)
    driver.set_icmp_errors(False)
    driver.set_redirects(False)
    driver.set_connection_filter(23)
    driver.set_directed_broadcast("p2", True)
    driver.set_mss_clamp("p3", True)
    driver.set_next_hop_tracking(True)
    driver.set_multicast_routing(True)
    driver.set_router_discovery("p1", True)
    lines = driver.read_config().splitlines()
    for line in (
        "icmp rate limit = off",
        "icmp errors = off",
        "port p1 redirects = off",
        "port p3 redirects = off",
        "connection filter = 23",
        "port p2 directed broadcast = on",
        "port p1 directed broadcast = off",
        "port p3 mss clamp = on",
        "next-hop tracking = on",
        "multicast routing = on",
        "port p1 irdp = 0 600 1800",
    ):
        assert line in lines
    driver.set_connection_filter(None)
    assert "connection filter" not in driver.read_config()


def test_what_is_so_already_is_not_set_again(gear):
    gear.driver.set_icmp_errors(True)
    gear.driver.set_mtu("p1", 1500)
    assert not gear.journal.changes


def test_translations_are_told(gear):
    driver = gear.driver
    driver.set_nat("p2")
    driver.set_nat_lifetime("udp", seconds(30))
    gear.rig.send(udp("10.1.0.2", "10.2.0.2"))
    assert driver.nat_table() == (NatEntry("udp", ip("10.1.0.2"), 4000, ip("10.2.0.1"), 4000),)
    gear.rig.wait(seconds(31))
    assert driver.nat_table() == ()
    for protocol, span in (("sctp", seconds(1)), ("tcp", milliseconds(1))):
        with pytest.raises(PlanError, match="whole seconds"):
            driver.set_nat_lifetime(protocol, span)
    driver.set_nat("p3")
    assert "nat outside = p3" in driver.read_config()
    driver.set_nat(None)
    assert "nat outside" not in driver.read_config()


def test_counters_have_the_routers_own_names(gear):
    gear.rig.send(udp("10.1.0.2", "10.2.0.2", ttl=1))
    counters = gear.driver.icmp_counters()
    assert counters["ICMP sent, type 11 code 0"] == 1
    assert counters["forwarding dropped, TTL exceeded"] == 1


def test_a_configuration_is_put_back_whole(gear):
    driver = gear.driver
    driver.add_address("p3", IPv4Interface("10.33.0.1/30"))
    driver.add_route(IPv4Network("0.0.0.0/0"), ip("10.33.0.2"), 7)
    driver.add_arp("p1", ip("10.1.0.5"), MacAddr("02:00:00:00:00:05"))
    driver.set_nat("p3")
    driver.set_connection_filter(23)
    driver.set_mtu("p1", 600)
    driver.set_port_up("p2", False)
    wanted = driver.read_config()
    fresh = Gear()
    assert fresh.driver.diff_config(wanted)
    fresh.driver.restore_config(wanted)
    assert fresh.driver.read_config() == wanted
    assert not fresh.driver.diff_config(wanted)
    assert not fresh.journal.changes


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (answers.parse_ports, "p1 is sideways\n"),
        (answers.parse_ports, "p1 is up, line protocol is up\n  Internet address is 10.0.0\n"),
        (answers.parse_routes, "S 10.0.0.0/33 is directly connected, p1\n"),
        (answers.parse_arp, "heading\n10.0.0.1 5 nonsense\n"),
        (answers.parse_nat, "heading\nudp what\n"),
        (answers.parse_traffic, "many packets\n"),
        (answers.parse_config, "interface p1\n"),
        (answers.parse_config, "hostname r1\nip frobnicate\n"),
        (answers.parse_config, "hostname r1\ninterface p1\n ip frobnicate\n"),
    ],
)
def test_nonsense_ends_in_a_device_error(parse, text):
    with pytest.raises(DeviceError):
        parse(text)
