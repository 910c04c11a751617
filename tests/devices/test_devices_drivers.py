"""The parts of a driver that need no device: settings, waits, changes, the registry."""

from __future__ import annotations

import pytest
from devices_gear import Journal
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.console.cli import DEFAULT_WITHIN, Reply
from testbed.devices import (
    PLATFORMS,
    DriverContext,
    FdbEntry,
    Flow,
    Host,
    Router,
    Switch,
    VlanMode,
    open_driver,
    wait_until,
)
from testbed.devices.base import Driver
from testbed.devices.linux.kernel import sysctl_path
from testbed.devices.media import SharedMedium, TokenRing
from testbed.devices.middle import Balancer, Gateway, Server
from testbed.devices.platforms.linux_bridge import lines
from testbed.devices.platforms.linux_bridge.answers import PortVlan, parse_vlans
from testbed.devices.settings import Setting, differences, emit_settings, parse_settings
from testbed.devices.waiting import FdbWaits
from testbed.errors import DeviceError, ExpectationFailed, PlanError
from testbed.timing import Duration, ManualClock, milliseconds, seconds
from testbed.wire.addresses import MacAddr

KEYS = st.from_regex(r"[a-z][a-z0-9/:| -]{0,20}[a-z0-9]", fullmatch=True)
VALUES = st.from_regex(r"(?:[a-z0-9][a-z0-9=, ]{0,20}[a-z0-9])?", fullmatch=True)


class Script:
    """A command line that answers from a list and remembers what it was asked."""

    device, transport = "d1", "script"

    def __init__(self, *replies: Reply) -> None:
        self.asked: list[str] = []
        self._replies = list(replies)

    def run(self, command: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        self.asked.append(command)
        return self._replies.pop(0) if self._replies else Reply("")

    def close(self) -> None: ...


def make(*replies: Reply) -> tuple[Driver, Script, Journal]:
    cli, journal = Script(*replies), Journal()
    return Driver(DriverContext("d1", cli, journal, ManualClock(), ("p1",))), cli, journal


@settings(derandomize=True, database=None)
@given(st.dictionaries(KEYS, VALUES))
def test_the_text_of_settings_reads_back(held):
    assert parse_settings(emit_settings(held)) == held


@settings(derandomize=True, database=None)
@given(st.dictionaries(KEYS, VALUES), st.dictionaries(KEYS, VALUES))
def test_making_the_differences_gives_what_was_wanted(running, wanted):
    result = dict(running)
    for setting in differences(running, wanted):
        assert result.get(setting.key) == setting.old
        if setting.new is None:
            del result[setting.key]
        else:
            result[setting.key] = setting.new
    assert result == wanted


def test_comments_and_empty_lines_are_passed_over():
    assert parse_settings("# by hand\n\n  a = 1 \nb c\n") == {"a": "1", "b c": ""}


def test_a_setting_goes_both_ways():
    assert Setting("a", None, "1").reversed() == Setting("a", "1", None)


def test_a_change_is_written_down_before_it_is_made():
    driver, cli, journal = make()
    journal.before = lambda change: cli.asked.append(f"journal {change.undo}")
    driver._change("both", do=["one", "two"], undo=["minus one"])
    assert cli.asked == ["journal ('minus one',)", "one", "two"]


def test_a_change_that_fails_midway_is_undone_and_its_error_raised():
    driver, cli, _ = make(Reply(""), Reply("no such thing\n", 2))
    with pytest.raises(DeviceError, match="d1: 'two' ended with status 2: 'no such thing'"):
        driver._change("both", do=["one", "two", "three"], undo=["minus two", "minus one"])
    assert cli.asked == ["one", "two", "minus two", "minus one"]


def test_an_undo_that_fails_is_told_beside_the_first_cause():
    driver, cli, _ = make(Reply("first", 1), Reply("second", 1), Reply("third", 1))
    with pytest.raises(DeviceError, match=r"'one'.*'first'") as caught:
        driver._change("both", do=["one"], undo=["minus one", "minus two"])
    (note,) = caught.value.__notes__
    assert note == (
        "and could not be undone: d1: 'minus one' ended with status 1: 'second'; "
        "d1: 'minus two' ended with status 1: 'third'"
    )
    assert cli.asked == ["one", "minus one", "minus two"]  # the second is tried all the same


def test_long_output_is_cut_in_messages():
    driver, _, _ = make(Reply("x" * 10_000 + "the end", 1))
    with pytest.raises(DeviceError, match=r"'\.\.\.x+the end'") as caught:
        driver.execute("fail")
    assert len(str(caught.value)) < 500


def test_answers_that_cannot_be_read_are_told_with_their_command():
    driver, _, _ = make(Reply("[{]"))
    with pytest.raises(
        DeviceError, match=r"d1: cannot read the answer to 'ask': bad; got '\[\{\]'"
    ):
        driver._read("ask", lambda _: (_ for _ in ()).throw(DeviceError("bad")))


def test_waiting_looks_once_at_least_and_tells_what_it_saw_last():
    clock = ManualClock()
    looks = iter("abc")

    def look() -> str:
        clock.advance(milliseconds(10))
        return next(looks)

    seen = wait_until(look, "b".__eq__, clock=clock, within=seconds(1), summary="no b")
    assert seen == "b"
    with pytest.raises(ExpectationFailed, match="no z within 0 ns\nc"):
        wait_until(look, "z".__eq__, clock=clock, within=Duration(0), summary="no z")


class Table(FdbWaits):
    """A switch that is but a table."""

    name = "sw"

    def __init__(self, *rows: FdbEntry) -> None:
        self.clock = ManualClock()
        self._rows = rows

    def fdb(self) -> tuple[FdbEntry, ...]:
        self.clock.advance(milliseconds(600))
        return self._rows


A = MacAddr("02:00:00:00:00:0a")


def test_a_station_behind_two_ports_at_once_is_not_learned():
    table = Table(FdbEntry(A, "p1"), FdbEntry(A, "p2", static=True))
    with pytest.raises(ExpectationFailed) as caught:
        table.wait_learned(A, on="p1", within=seconds(1))
    assert caught.value.details.splitlines() == [f"{A} on p1 vlan 0 ", f"{A} on p2 vlan 0 static"]


def test_a_station_may_be_learned_in_several_vlans():
    rows = (FdbEntry(A, "p1", 10), FdbEntry(A, "p2", 20, age=seconds(3)))
    assert Table(*rows).wait_learned(A, on="p2", within=seconds(1), vlan=20) == rows[1]
    Table(*rows).wait_forgotten(A, within=seconds(1), vlan=30)
    with pytest.raises(ExpectationFailed, match="age 3 s"):
        Table(*rows).wait_forgotten(A, within=seconds(1))


def test_an_empty_table_says_so():
    with pytest.raises(ExpectationFailed, match="the MAC table is empty"):
        Table().wait_learned(A, on="p1", within=seconds(1))


def test_every_platform_has_what_its_kind_promises():
    promised = {
        "switch": Switch,
        "router": Router,
        "host": Host,
        "hub": SharedMedium,
        "bus": SharedMedium,
        "ring": TokenRing,
        "server": Server,
        "balancer": Balancer,
        "gateway": Gateway,
    }
    for name, info in PLATFORMS.items():
        if info.driver is None:
            continue
        driver = open_driver(name, "d1", Script(), Journal(), ManualClock(), ("p1",))
        assert driver.platform == name
        missing = [
            member
            for member in dir(promised[info.kind])
            if not member.startswith("_") and not hasattr(driver, member)
        ]
        assert not missing


def test_an_unknown_platform_is_told_with_those_there_are():
    with pytest.raises(PlanError, match="d1: no driver for platform 'dumb'; there are frr, linux_"):
        open_driver("dumb", "d1", Script(), Journal(), ManualClock(), ())


@pytest.mark.parametrize(
    "wrong",
    [
        {"access": 0},
        {"access": 4095},
        {"access": 1, "trunk": (2,)},
        {"native": 1},
        {"trunk": (1, 5000)},
    ],
)
def test_vlan_modes_that_make_no_sense_are_refused(wrong):
    with pytest.raises(PlanError):
        VlanMode(**wrong)


def test_vlan_modes_read_well():
    assert str(VlanMode(access=10)) == "access 10"
    assert str(VlanMode(trunk=(20, 10, 10), native=1)) == "trunk 10,20 native 1"
    assert str(VlanMode()) == "every VLAN as it comes"


def test_flows_that_make_no_sense_are_refused():
    with pytest.raises(PlanError, match="chunk of 1 byte"):
        Flow(chunk=0)


@pytest.mark.parametrize(
    "mode",
    [VlanMode(access=10), VlanMode(trunk=(10, 20)), VlanMode(trunk=(10, 20), native=1)],
    ids=str,
)
def test_a_bridge_ports_vlans_tell_its_mode(mode):
    assert lines.mode_of_vlans(lines.vlans_of_mode(mode)) == mode


def test_the_vlans_of_a_bridge_port_are_read_and_made():
    # As iproute2's bridge/vlan.c prints them (print_vlan_flags, print_range).
    text = (
        '[{"ifname":"p1","vlans":[{"vlan":1,"flags":["PVID","Egress Untagged"]},'
        '{"vlan":10,"vlanEnd":12}]}]'
    )
    held = parse_vlans(text)["p1"]
    assert held[0] == PortVlan(1, pvid=True, untagged=True)
    assert lines.mode_of_vlans(held) == VlanMode(trunk=(10, 11, 12), native=1)
    assert lines.vlans("p1", lines.vlans_value(held)) == (
        "bridge vlan del dev p1 vid 1-4094",
        "bridge vlan add dev p1 vid 1 pvid untagged",
        "bridge vlan add dev p1 vid 10",
        "bridge vlan add dev p1 vid 11",
        "bridge vlan add dev p1 vid 12",
    )
    with pytest.raises(PlanError, match="expected a VLAN"):
        lines.vlans("p1", "ten")
    with pytest.raises(DeviceError, match="neither an access nor a trunk port"):
        lines.mode_of_vlans((PortVlan(1, pvid=False, untagged=True),))
    with pytest.raises(DeviceError, match="VLANs 10 to 5 cannot be"):
        parse_vlans('[{"ifname":"p1","vlans":[{"vlan":10,"vlanEnd":5}]}]')


def test_names_of_kernel_settings_may_hold_dots():
    assert sysctl_path("net.ipv4.tcp_sack") == "net/ipv4/tcp_sack"
    assert sysctl_path("net/ipv4/conf/eth0.10/rp_filter") == "net/ipv4/conf/eth0.10/rp_filter"
    for wrong in ("", "tcp_sack", "net/ipv4/../../etc", "net.ipv4.a b", "net/ipv4/$(reboot)"):
        with pytest.raises(PlanError, match="is no kernel setting"):
            sysctl_path(wrong)
