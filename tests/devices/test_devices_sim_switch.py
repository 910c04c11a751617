"""The driver of the simulated switch, on a simulated switch, by its command line alone."""

from __future__ import annotations

import pytest
from devices_gear import Journal
from hypothesis import given
from hypothesis import strategies as st
from switch_bed import ALL, Bed, eth, station, tagged

from testbed.console.cli import DEFAULT_WITHIN, Reply
from testbed.devices import DriverContext, FdbEntry, VlanMode, open_driver
from testbed.devices.platforms.sim_switch import SimSwitchDriver
from testbed.devices.platforms.sim_switch.answers import (
    parse_capacity,
    parse_config,
    parse_counters,
    parse_fdb,
    parse_links,
)
from testbed.errors import DeviceError, ExpectationFailed, PlanError, Unsupported
from testbed.timing import Duration, Instant, ManualClock, milliseconds, seconds
from testbed.wire.addresses import MacAddr

PORTS = ("p1", "p2", "p3", "p4", "p5")
A, B = station(1), station(2)


class BedCli:
    """A login on a switch in virtual time: each line takes a millisecond."""

    device = "sw"
    transport = "memory"

    def __init__(self, bed: Bed) -> None:
        self.bed = bed
        self.clock = ManualClock(bed.now)

    def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        self.clock.advance(milliseconds(1))
        answer = self.bed.switch.login().run(command, self.bed.now)
        return Reply(answer.output, answer.status)

    def close(self) -> None:
        pass


@pytest.fixture
def bed() -> Bed:
    return Bed()


@pytest.fixture
def journal() -> Journal:
    return Journal()


@pytest.fixture
def driver(bed: Bed, journal: Journal) -> SimSwitchDriver:
    cli = BedCli(bed)
    made = open_driver("sim_switch", "sw", cli, journal, cli.clock, PORTS)
    assert isinstance(made, SimSwitchDriver)
    return made


def test_it_tells_what_it_runs(driver):
    assert driver.version() == "SimSwitch software, release 1.0"


def test_links_and_counters_are_read(bed, driver):
    bed.send("p1", eth(ALL, A, bytes(100)))
    bed.send("p1", b"runt")
    one, two = driver.counters("p1"), driver.counters("p2")
    assert (one.rx_frames, one.rx_bytes, one.rx_errors, one.tx_frames) == (1, 114, 1, 0)
    assert (two.tx_frames, two.tx_bytes) == (1, 114)
    assert driver.port_is_up("p1")
    bed.switch.set_link("p1", False, bed.now)
    driver.wait_port_up("p1", up=False, within=milliseconds(5))
    driver.set_port_up("p2", False)
    assert not driver.port_is_up("p2")
    with pytest.raises(PlanError, match="no port 'p9'"):
        driver.port_is_up("p9")


def test_the_mac_table_is_waited_for_and_flushed(bed, driver):
    bed.introduce(p1=[1], p2=[2])
    bed.now = Instant(bed.now + seconds(7))
    rows = driver.fdb()
    assert rows == (
        FdbEntry(MacAddr(A), "p1", 0, static=False, age=seconds(7)),
        FdbEntry(MacAddr(B), "p2", 0, static=False, age=seconds(7)),
    )
    assert driver.wait_learned(MacAddr(A), on="p1", within=milliseconds(5)).vlan == 0
    with pytest.raises(ExpectationFailed, match="did not learn"):
        driver.wait_learned(MacAddr(A), on="p2", within=milliseconds(5))
    driver.add_static(MacAddr(station(9)), "p3", vlan=10)
    driver.flush_fdb("p1")
    driver.wait_forgotten(MacAddr(A), within=milliseconds(5))
    driver.flush_fdb()
    assert driver.fdb() == (FdbEntry(MacAddr(station(9)), "p3", 10, static=True),)


def test_a_static_entry_moves_and_is_undone(bed, driver, journal):
    driver.add_static(MacAddr(A), "p1")
    driver.add_static(MacAddr(A), "p2")
    assert bed.knows(1) == "p2"
    driver.undo(journal.changes[-1].undo)
    assert bed.knows(1) == "p1"
    journal.undo_all(driver)
    journal.undo_all(driver)
    assert driver.fdb() == ()


def test_the_ageing_time_has_its_range(driver):
    assert driver.ageing_time() == seconds(300)
    for span in (driver.least_ageing_time, seconds(1_000_000)):
        driver.set_ageing_time(span)
        assert driver.ageing_time() == span
    for span in (seconds(9), seconds(1_000_001), milliseconds(10_500)):
        with pytest.raises(Unsupported, match="from 10 s to 1000000 s"):
            driver.set_ageing_time(span)


MODES = (
    VlanMode(),
    VlanMode(access=10),
    VlanMode(trunk=(10, 20, 21, 22)),
    VlanMode(trunk=(20, 30), native=10),
)


@pytest.mark.parametrize("before", MODES, ids=str)
@pytest.mark.parametrize("after", MODES, ids=str)
def test_ports_change_from_any_mode_to_any_other_and_back(driver, journal, before, after):
    driver.set_vlan_mode("p1", before)
    taken = driver.read_config()
    driver.set_vlan_mode("p1", after)
    assert driver.vlan_mode("p1") == after
    if before != after:
        driver.undo(journal.changes[-1].undo)
    assert driver.vlan_mode("p1") == before
    assert driver.read_config() == taken


def test_modes_reach_the_frames(bed, driver):
    driver.set_vlan_mode("p1", VlanMode(access=10))
    driver.set_vlan_mode("p2", VlanMode(trunk=(10, 20)))
    assert bed.send("p1", eth(ALL, A))["p2"] == [tagged(10, eth(ALL, A))]
    assert driver.wait_learned(MacAddr(A), on="p1", vlan=10, within=milliseconds(5)).port == "p1"


def test_learning_may_be_shared(bed, driver, journal):
    driver.set_shared_learning(True)
    bed.send("p1", tagged(10, eth(ALL, A)))
    bed.send("p2", tagged(20, eth(ALL, A)))
    assert [(row.port, row.vlan) for row in driver.fdb()] == [("p2", 20)]
    journal.undo_all(driver)
    assert "learning = independent" in driver.read_config()


def test_a_mirror_is_set_changed_and_undone(bed, driver, journal):
    before = driver.read_config()
    driver.set_mirror(("p2", "p1"), "p5")
    assert bed.send("p1", eth(B, A))["p5"] == [eth(B, A), eth(B, A)]
    driver.set_mirror(("p5",), "p1")  # what listened is listened to
    assert "mirror = from=p5 to=p1" in driver.read_config()
    journal.undo_all(driver)
    assert driver.read_config() == before
    driver.clear_mirror()
    for sources, to in ((), "p1"), (("p1",), "p1"), (("p9",), "p1"):
        with pytest.raises(PlanError):
            driver.set_mirror(sources, to)


def test_storm_control_and_mtu_are_set_and_undone(bed, driver, journal):
    before = driver.read_config()
    driver.set_storm_control("p1", 50)
    driver.set_mtu("p1", 9000)
    assert driver.mtu("p1") == 9000
    assert bed.switch.ports["p1"].ceiling == 50
    assert len(bed.send("p1", *[eth(ALL, A)] * 20)["p2"]) == 1
    driver.set_storm_control("p1", None)
    assert bed.switch.ports["p1"].ceiling is None
    journal.undo_all(driver)
    assert driver.read_config() == before
    with pytest.raises(PlanError, match="at least"):
        driver.set_storm_control("p1", 0)
    with pytest.raises(PlanError, match="68 to 9216"):
        driver.set_mtu("p1", 60)


def test_the_tables_size_is_told():
    cli = BedCli(Bed(stated={"fdb_capacity": 512}))
    driver = SimSwitchDriver(DriverContext("sw", cli, Journal(), cli.clock, PORTS))
    assert driver.fdb_capacity() == 512


@given(
    ageing=st.integers(10, 1_000_000),
    shared=st.booleans(),
    modes=st.lists(st.sampled_from(MODES), min_size=5, max_size=5),
    statics=st.dictionaries(
        st.tuples(st.integers(0, 9), st.integers(0, 4094)), st.sampled_from(PORTS), max_size=4
    ),
    mirror=st.sampled_from([None, (("p1",), "p2"), (("p2", "p3"), "p1")]),
    storm=st.none() | st.integers(1, 10_000_000),
    down=st.sets(st.sampled_from(PORTS)),
)
def test_any_configuration_is_put_back_on_another_switch(
    *, ageing, shared, modes, statics, mirror, storm, down
):
    first, second = BedCli(Bed()), BedCli(Bed())
    one, two = (
        SimSwitchDriver(DriverContext("sw", cli, Journal(), cli.clock, PORTS))
        for cli in (first, second)
    )
    plain = two.read_config()
    one.set_ageing_time(seconds(ageing))
    for port, mode in zip(PORTS, modes, strict=True):
        one.set_vlan_mode(port, mode)
        one.set_port_up(port, port not in down)
    if not shared:
        for (number, vlan), port in statics.items():
            one.add_static(MacAddr(station(number)), port, vlan)
    one.set_shared_learning(shared)
    if mirror:
        one.set_mirror(*mirror)
    one.set_storm_control("p4", storm)
    taken = one.read_config()
    two.restore_config(taken)
    assert two.read_config() == taken
    assert one.diff_config(taken) == ""
    two.restore_config(plain)
    assert two.read_config() == plain


def test_a_configuration_of_another_platform_is_refused(driver):
    with pytest.raises(PlanError, match="no setting of the platform sim_switch"):
        driver.apply_config(driver.read_config() + "bridge stp_enable = true\n")
    with pytest.raises(PlanError, match="expected 'as-it-comes'"):
        driver.apply_config(driver.read_config().replace("vlan = as-it-comes", "vlan = odd", 1))


def test_a_command_that_the_device_refuses_is_an_error(driver):
    with pytest.raises(DeviceError, match="% Unknown command"):
        driver.execute("format flash:")


@pytest.mark.parametrize(
    "parse", [parse_fdb, parse_links, parse_counters, parse_capacity, parse_config]
)
@given(text=st.text(max_size=80) | st.just("Vlan  Port\n----\n0 x"))
def test_nonsense_is_no_answer(parse, text):
    try:
        parse(text)
    except DeviceError:
        return
    assert parse is parse_config  # of which every line may be missing
