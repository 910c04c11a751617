"""The Open vSwitch driver on a real Open vSwitch, looked at by its own tools and by frames."""

from __future__ import annotations

import pytest
from devices_gear import SWITCH_PORTS, frame

from testbed.devices import VlanMode
from testbed.errors import DeviceError, ExpectationFailed, PlanError, Unsupported
from testbed.timing import milliseconds, seconds
from testbed.wire.addresses import MacAddr

pytestmark = pytest.mark.root

A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
ALL = "ff:ff:ff:ff:ff:ff"
SOON = seconds(5)


@pytest.fixture
def switch(ovs_gear, driver):
    one = driver(ovs_gear.space, SWITCH_PORTS)
    one.flush_fdb()
    return one


def test_it_tells_what_it_runs(switch):
    assert switch.version().startswith("ovs-vsctl (Open vSwitch)")


def test_a_station_is_learned_where_it_spoke_and_forgotten_with_its_port(ovs_gear, switch):
    ovs_gear.wires["p1"].send(frame(A, ALL, b"hello"))
    ovs_gear.wires["p2"].send(frame(B, ALL, b"hello"))
    row = switch.wait_learned(MacAddr(A), on="p1", within=SOON)
    assert (row.vlan, row.static) == (0, False)
    switch.wait_learned(MacAddr(B), on="p2", within=SOON)
    switch.flush_fdb("p1")
    table = ovs_gear.space.sh("ovs-appctl fdb/show br0")
    assert A not in table
    assert B in table
    switch.flush_fdb()
    switch.wait_forgotten(MacAddr(B), within=SOON)


def test_a_station_that_is_not_learned_fails_with_the_table(ovs_gear, switch):
    ovs_gear.wires["p1"].send(frame(A, ALL, b"hello"))
    switch.wait_learned(MacAddr(A), on="p1", within=SOON)
    with pytest.raises(ExpectationFailed, match=r"did not learn .* on p2 within 1 ms") as caught:
        switch.wait_learned(MacAddr(A), on="p2", within=milliseconds(1))
    assert f"{A} on p1 vlan 0" in caught.value.details


def test_static_entries_outlive_flushes_and_vlan_changes(ovs_gear, switch):
    switch.add_static(MacAddr(C), "p3")
    assert "3     0  02:00:00:00:00:0c  static" in ovs_gear.space.sh("ovs-appctl fdb/show br0")
    switch.flush_fdb("p3")
    switch.flush_fdb()
    switch.set_vlan_mode("p3", VlanMode(access=30))
    row = next(row for row in switch.fdb() if row.mac == MacAddr(C))
    assert (row.port, row.static, row.age) == ("p3", True, None)
    switch.add_static(MacAddr(C), "p4")  # it moves
    assert [row.port for row in switch.fdb() if row.mac == MacAddr(C)] == ["p4"]


def test_static_entries_outlive_changes_of_the_ageing_time(ovs_gear, switch):
    switch.add_static(MacAddr(C), "p3")
    for span in (20, 15, 400):
        switch.set_ageing_time(seconds(span))
        assert [row.static for row in switch.fdb() if row.mac == MacAddr(C)] == [True]
    # What Open vSwitch makes of it left to itself: an entry with an age below zero.
    ovs_gear.space.sh("ovs-vsctl set bridge br0 other_config:mac-aging-time=20")
    assert [(row.static, row.age) for row in switch.fdb()] == [(False, None)]


def test_the_ageing_time_is_set_within_its_range(ovs_gear, switch):
    assert switch.ageing_time() == seconds(300)
    switch.set_ageing_time(switch.least_ageing_time)
    assert switch.ageing_time() == seconds(15)
    held = ovs_gear.space.sh("ovs-vsctl get bridge br0 other_config:mac-aging-time")
    assert held.strip().strip('"') == "15"
    with pytest.raises(Unsupported, match="from 15 s to 3600 s, not after 10 s"):
        switch.set_ageing_time(seconds(10))


def test_access_and_trunk_ports_tag_and_untag(ovs_gear, switch, journal):
    assert switch.vlan_mode("p1") == VlanMode()
    switch.set_vlan_mode("p1", VlanMode(access=10))
    switch.set_vlan_mode("p2", VlanMode(access=20))
    switch.set_vlan_mode("p3", VlanMode(trunk=(10, 20)))
    switch.set_vlan_mode("p4", VlanMode(trunk=(20, 30), native=10))
    assert switch.vlan_mode("p1") == VlanMode(access=10)
    assert switch.vlan_mode("p3") == VlanMode(trunk=(10, 20))
    assert switch.vlan_mode("p4") == VlanMode(trunk=(20, 30), native=10)
    wires = ovs_gear.wires
    wires["p1"].send(frame(A, ALL, b"from the access port"))
    assert wires["p3"].heard(b"from the access port")
    assert wires["p4"].heard(b"from the access port")
    wires["p3"].send(frame(B, ALL, b"from the trunk", vlan=20))
    assert wires["p2"].heard(b"from the trunk")
    # p3's and p4's copies came: had the switch leaked them, they would have been before these.
    assert wires["p2"].heard(b"from the access port", within=0.05) is None
    assert wires["p1"].heard(b"from the trunk", within=0.05) is None
    assert switch.wait_learned(MacAddr(A), on="p1", within=SOON, vlan=10).vlan == 10
    assert len(journal.changes) == 4


def test_a_mode_that_is_no_mode_of_a_port_is_told(ovs_gear, switch):
    ovs_gear.space.sh("ovs-vsctl set port p1 tag=10 vlan_mode=native-tagged")
    with pytest.raises(DeviceError, match="native-tagged"):
        switch.vlan_mode("p1")
    ovs_gear.space.sh("ovs-vsctl clear port p1 tag vlan_mode")


def test_a_mirror_port_carries_both_directions_and_nothing_else(ovs_gear, switch):
    switch.set_mirror(("p1",), "p5")
    wires = ovs_gear.wires
    wires["p1"].send(frame(A, ALL, b"into the source"))
    assert wires["p5"].heard(b"into the source")
    wires["p2"].send(frame(B, A, b"out of the source"))
    assert wires["p5"].heard(b"out of the source")
    wires["p2"].send(frame(B, C, b"flooded"))  # by the source port too, hence mirrored once
    assert wires["p5"].heard(b"flooded")
    assert wires["p5"].heard(b"flooded", within=0.05) is None
    wires["p1"].send(frame(A, B, b"a"))
    wires["p5"].send(frame(C, ALL, b"into the mirror"))
    assert wires["p2"].heard(b"into the mirror", within=0.05) is None
    switch.set_mirror(("p2", "p3"), "p5")
    assert "src=p2,p3 dst=p2,p3 to=p5" in switch.read_config()
    switch.clear_mirror()
    assert "mirror" not in switch.read_config()
    wires["p1"].send(frame(A, ALL, b"after the mirror"))
    assert wires["p5"].heard(b"after the mirror")
    with pytest.raises(PlanError, match="needs other ports"):
        switch.set_mirror(("p5",), "p5")


def test_storm_control_holds_broadcasts_and_nothing_else(ovs_gear, switch, journal):
    before = switch.read_config()
    wires = ovs_gear.wires
    switch.set_storm_control("p1", 10)
    assert "port p1 storm = 10\n" in switch.read_config()
    switch.set_storm_control("p1", 20)
    assert "port p1 storm = 20\n" in switch.read_config()
    for number in range(30):
        wires["p1"].send(frame(A, ALL, b"storm %02d" % number))
        wires["p1"].send(frame(A, C, b"unknown %02d" % number))
    assert wires["p2"].heard(b"storm 00")
    assert wires["p2"].heard(b"unknown 29")
    assert wires["p2"].heard(b"storm 29", within=0.05) is None
    wires["p3"].send(frame(B, ALL, b"other port"))
    assert wires["p2"].heard(b"other port")
    switch.set_storm_control("p1", None)
    assert switch.read_config() == before
    assert len(journal.changes) == 3
    switch.set_storm_control("p1", None)
    assert len(journal.changes) == 3
    with pytest.raises(PlanError, match="1 frame per second at least"):
        switch.set_storm_control("p1", 0)


def test_a_meter_that_is_no_storm_control_is_left_alone(ovs_gear, switch):
    before = switch.read_config()
    ofctl = "ovs-ofctl -O OpenFlow13"
    ovs_gear.space.sh(f"{ofctl} add-meter br0 meter=2,pktps,band=type=drop,rate=5")
    assert switch.read_config() == before
    ovs_gear.space.sh(f"{ofctl} del-meter br0 meter=2")


def test_a_port_is_switched_off_and_on(ovs_gear, switch):
    switch.set_port_up("p2", up=False)
    switch.wait_port_up("p2", within=SOON, up=False)
    assert not ovs_gear.wires["p2"].carrier()
    switch.set_port_up("p2", up=True)
    switch.wait_port_up("p2", within=SOON)
    assert ovs_gear.wires["p2"].carrier()


def test_counters_count(ovs_gear, switch):
    before = switch.counters("p1")
    for _ in range(3):
        ovs_gear.wires["p1"].send(frame(A, ALL, b"count me"))
    for _ in range(3):
        assert ovs_gear.wires["p2"].heard(b"count me")
    after = switch.counters("p1")
    assert after.rx_frames == before.rx_frames + 3
    assert after.rx_bytes == before.rx_bytes + 180


def test_a_configuration_is_compared_applied_and_restored(ovs_gear, switch, journal):
    before = switch.read_config()
    assert switch.diff_config(before) == ""
    ovs_gear.space.sh("ovs-ofctl add-flow br0 priority=7,in_port=1,actions=output:2,output:3")
    ovs_gear.space.sh("ovs-vsctl set bridge br0 other_config:forward-bpdu=true")
    ovs_gear.space.sh("ovs-vsctl set bridge br0 flood_vlans=[5,6]")
    ovs_gear.space.sh("ovs-appctl fdb/add br0 p1 0 02:00:00:00:00:77")
    assert "-flow priority=7,in_port=1 = output:2,output:3" in switch.diff_config(before)
    wrong = switch.read_config()
    switch.restore_config(before)
    assert switch.read_config() == before
    assert not journal.changes
    switch.apply_config(wrong)
    assert switch.read_config() == wrong
    assert len(journal.changes) == 1


def test_a_configuration_that_makes_no_sense_changes_nothing(switch, journal):
    before = switch.read_config()
    with pytest.raises(PlanError, match="has no port 'p9'"):
        switch.apply_config(before + "port p9 admin = up\n")
    with pytest.raises(PlanError, match="'colour' is no setting of the platform openvswitch"):
        switch.restore_config(before + "colour = blue\n")
    with pytest.raises(PlanError, match="line 2: 'a' is set twice"):
        switch.diff_config("a = 1\na = 2\n")
    assert switch.read_config() == before
    assert not journal.changes


def test_a_change_that_fails_midway_is_undone(switch, journal):
    before = switch.read_config()
    with pytest.raises(DeviceError, match=r"sw: 'ovs-ofctl add-flow .*status 1"):
        switch.apply_config(
            before.replace("port p1 mtu = 1500", "port p1 mtu = 1400")
            + "flow priority=9 = to_the_moon\n"
        )
    assert switch.read_config() == before
    assert len(journal.changes) == 1  # written down before it was tried


def test_a_port_that_is_not_in_the_bench_file_is_refused(switch):
    with pytest.raises(PlanError, match="sw has no port 'p9'; it has p1, p2, p3, p4, p5"):
        switch.set_port_up("p9", up=False)


def test_undoing_twice_and_undoing_what_never_happened_is_no_failure(switch, journal):
    before = switch.read_config()
    switch.add_static(MacAddr(C), "p3")
    switch.set_mirror(("p1",), "p5")
    switch.set_vlan_mode("p1", VlanMode(access=10))
    switch.set_ageing_time(seconds(20))
    switch.set_storm_control("p2", 100)
    for _ in range(2):
        for change in reversed(journal.changes):
            switch.undo(change.undo)
        assert switch.read_config() == before
