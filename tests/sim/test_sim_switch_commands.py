"""The simulated switch's command line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switch_bed import ALL, Bed, eth, station, tagged

from testbed.sim.cli.commands import Mode
from testbed.timing import Instant, seconds

A = station(1)


@pytest.fixture
def bed() -> Bed:
    return Bed()


def test_the_version_and_every_table_are_shown_to_anybody(bed):
    bed.introduce(p1=[1])
    reader = bed.switch.login(Mode.EXEC)
    for line, part in {
        "show version": "SimSwitch software, release 1.0",
        "sh mac address-table": "0     02:00:00:00:00:01  dynamic  0       p1",
        "sh mac address-table static": "Vlan  Mac Address  Type  Age(s)  Port",
        "sh mac address-table interface p1": "02:00:00:00:00:01",
        "sh mac address-table aging-time": "Aging time: 300 seconds",
        "sh mac address-table count": "Dynamic entries: 1\nStatic entries: 0\nTotal capacity: 8192",
        "show interfaces": "p5 is up, line protocol is up",
        "show interfaces p1": "  1 frames input, 60 bytes\n",
        "show interfaces status": "p1    up     up    1500  02:ff:00:00:00:01  as it comes",
        "show interfaces counters": "p1    1         60",
        "show vlan": "VLAN learning: independent",
        "show monitor": "No session",
        "show storm-control": "p1    -           0",
    }.items():
        answer = reader.run(line, bed.now)
        assert answer.status == 0
        assert part in answer.output
    assert reader.run("show running-config", bed.now).status == 1
    assert reader.run("clear mac address-table dynamic", bed.now).status == 1


def test_ages_count_up(bed):
    bed.introduce(p1=[1])
    bed.now = Instant(bed.now + seconds(77))
    assert "dynamic  77      p1" in bed.type("show mac address-table")


def test_vlans_and_the_session_are_shown(bed):
    bed.configure(
        "interface p1",
        "switchport access vlan 10",
        "interface p2",
        "switchport trunk allowed vlan 10,20-21",
        "switchport trunk native vlan 5",
        "monitor session 1 source interface p1,p2",
        "monitor session 1 destination interface p5",
        "vlan learning shared",
    )
    assert bed.type("show vlan") == (
        "VLAN learning: shared\n"
        "Vlan  Ports\n"
        "----  --------\n"
        "5     p2\n"
        "10    p1,p2(t)\n"
        "20    p2(t)\n"
        "21    p2(t)\n"
    )
    assert "both directions: p1,p2\n  Destination port: p5" in bed.type("show monitor")
    status = bed.type("show interfaces status")
    assert "access 10" in status
    assert "trunk 10,20-21 native 5" in status
    assert "monitor" in status


def test_a_port_that_is_shut_says_so_and_tells_the_network(bed):
    told = []
    bed.switch.on_enabled = told.append
    bed.configure("interface p1", "shutdown")
    assert "p1 is administratively down, line protocol is down" in bed.type("show interfaces p1")
    bed.configure("interface p1", "no shutdown")
    assert told == ["p1", "p1"]
    assert bed.switch.ports["p1"].live


def test_the_running_config_can_be_typed(bed):
    bed.configure(
        "mac address-table aging-time 60",
        "vlan learning shared",
        "interface p1",
        "switchport access vlan 10",
        "storm-control broadcast level pps 100",
        "mtu 9000",
        "shutdown",
        "interface p2",
        "switchport trunk allowed vlan 10-12,4094",
        "switchport trunk native vlan 9",
        "mac address-table static 02:00:00:00:00:01 vlan 10 interface p3",
        "monitor session 1 source interface p1,p2",
        "monitor session 1 destination interface p5",
    )
    text = bed.type("show running-config")
    other = Bed()
    lines = [line for line in text.splitlines() if not line.startswith(("hostname", "end"))]
    other.configure(*lines)
    assert other.type("show running-config") == text
    other.configure(
        "no mac address-table aging-time",
        "vlan learning independent",
        "no monitor session 1",
        "no mac address-table static 02:00:00:00:00:01 vlan 10",
        "interface p1",
        "no switchport",
        "no storm-control broadcast",
        "no mtu",
        "no shutdown",
        "interface p2",
        "no switchport trunk native vlan",
        "no switchport",
    )
    assert other.type("show running-config") == Bed().type("show running-config")


def test_half_a_session_does_nothing(bed):
    bed.configure("monitor session 1 source interface p1")
    assert "p5" in bed.send("p1", eth(ALL, A))
    assert len(bed.send("p1", eth(ALL, A))["p5"]) == 1
    bed.configure("no monitor session 1", "monitor session 1 destination interface p5")
    assert "p5" not in bed.send("p1", eth(ALL, A))


def test_what_makes_no_sense_is_refused_with_the_reason(bed):
    config = "configure terminal"
    at = (config, "interface p1")
    for lines, part in (
        ((config, "mac address-table aging-time 9"), "from 10 to 1000000: 9"),
        ((config, "mac address-table aging-time x"), "Not a number of seconds"),
        ((config, "mac address-table aging-time ٣٠٠"), "Not a number of seconds"),
        ((config, "mac address-table static 02 vlan 1 interface p1"), "no MAC address"),
        ((config, "mac address-table static ff:ff:ff:ff:ff:ff vlan 1 interface p1"), "station"),
        ((config, "mac address-table static 02:00:00:00:00:01 vlan 4095 interface p1"), "VLAN"),
        ((config, "mac address-table static 02:00:00:00:00:01 vlan 1 interface p9"), "No such"),
        ((config, "monitor session 1 source interface p1,p9"), "No such port: p9"),
        ((config, "vlan learning"), "Incomplete"),
        ((*at, "switchport access vlan 0"), "from 1 to 4094: 0"),
        ((*at, "switchport trunk allowed vlan 20-10"), "from 20 to 4094: 10"),
        ((*at, "switchport trunk allowed vlan ,"), "Not a number of VLAN"),
        ((*at, "switchport trunk native vlan 5"), "a native VLAN belongs to a trunk"),
        ((*at, "switchport access vlan 5", "switchport trunk native vlan 5"), "not both"),
        ((*at, "mtu 10000"), "from 68 to 9216: 10000"),
        ((*at, "storm-control broadcast level pps -1"), "Not a number"),
        ((config, "interface p9"), "No such port"),
        (("clear mac address-table dynamic interface p9",), "No such port"),
        (("show interfaces p9",), "No such port"),
    ):
        assert bed.refusal(*lines).startswith("% ")
        assert part in bed.refusal(*lines)
        assert bed.cli.mode is Mode.ENABLE
    bed.configure("monitor session 1 source interface p1")
    assert "cannot show itself" in bed.refusal(config, "monitor session 1 destination interface p1")


def test_a_static_entry_needs_room():
    bed = Bed(stated={"fdb_capacity": 1})
    bed.introduce(p1=[1])
    line = "mac address-table static 02:00:00:00:00:02 vlan 0 interface p1"
    assert bed.refusal("configure terminal", line) == "% The table is full"


VOCABULARY = (
    "show mac address-table static interface count aging-time version interfaces status vlan "
    "counters running-config monitor storm-control clear dynamic configure terminal end exit p1 p9 "
    "no shutdown switchport access trunk allowed native 10 4095 1-5 mtu 9000 broadcast level pps "
    "session 1 source destination p1,p2 learning shared independent ; ! ? 02:00:00:00:00:01"
)


WORDS = st.sampled_from(VOCABULARY.split()) | st.text(max_size=5)


@given(st.lists(st.lists(WORDS, max_size=9), max_size=8))
def test_nothing_that_is_typed_raises(lines):
    bed = Bed()
    for words in lines:
        answer = bed.cli.run(" ".join(words), bed.now)
        assert answer.status in {0, 1}
        refused = answer.output.splitlines()[-1].startswith("% ") if answer.output else False
        assert refused == bool(answer.status)
    bed.send("p1", eth(ALL, A), tagged(10, eth(A, ALL)))
