"""The Linux bridge driver on a real bridge, looked at by iproute2 and by frames."""

from __future__ import annotations

import pytest
from devices_gear import SWITCH_PORTS, frame

from testbed.devices import VlanMode
from testbed.errors import ExpectationFailed, PlanError, Unsupported
from testbed.timing import milliseconds, seconds
from testbed.wire.addresses import MacAddr

pytestmark = pytest.mark.root

A, B, C = "02:00:00:00:00:0a", "02:00:00:00:00:0b", "02:00:00:00:00:0c"
ALL = "ff:ff:ff:ff:ff:ff"
SOON = seconds(5)


@pytest.fixture
def switch(bridge_gear, driver):
    one = driver(bridge_gear.space, SWITCH_PORTS)
    one.flush_fdb()
    return one


def test_it_tells_what_it_runs(switch):
    assert "bridge of Linux" in switch.version()
    assert "iproute2" in switch.version()


def test_a_station_is_learned_where_it_spoke_and_forgotten_with_its_port(bridge_gear, switch):
    bridge_gear.wires["p1"].send(frame(A, ALL, b"hello"))
    bridge_gear.wires["p2"].send(frame(B, ALL, b"hello"))
    row = switch.wait_learned(MacAddr(A), on="p1", within=SOON)
    assert (row.vlan, row.static, row.age) == (0, False, 0)
    switch.wait_learned(MacAddr(B), on="p2", within=SOON)
    switch.flush_fdb("p1")
    table = bridge_gear.space.sh("bridge fdb show br br0")
    assert A not in table
    assert B in table
    switch.flush_fdb()
    switch.wait_forgotten(MacAddr(B), within=SOON)


def test_the_table_has_no_addresses_of_the_bridge_itself(switch):
    assert switch.fdb() == ()


def test_static_entries_outlive_flushes_and_can_be_moved(bridge_gear, switch):
    switch.add_static(MacAddr(C), "p3")
    assert f"{C} dev p3 master br0 static" in bridge_gear.space.sh("bridge fdb show br br0")
    switch.flush_fdb("p3")
    switch.flush_fdb()
    (row,) = switch.fdb()
    assert (row.port, row.static, row.age) == ("p3", True, None)
    switch.add_static(MacAddr(C), "p4")
    assert [row.port for row in switch.fdb()] == ["p4"]


def test_entries_age_exactly(bridge_gear, switch):
    assert switch.ageing_time() == seconds(300)
    switch.set_ageing_time(seconds(1))
    assert '"ageing_time":100,' in bridge_gear.space.sh("ip -d -j link show dev br0")
    bridge_gear.wires["p1"].send(frame(A, ALL, b"hello"))
    switch.wait_learned(MacAddr(A), on="p1", within=milliseconds(500))
    with pytest.raises(ExpectationFailed, match=f"did not forget {A} within 500 ms"):
        switch.wait_forgotten(MacAddr(A), within=milliseconds(500))
    switch.wait_forgotten(MacAddr(A), within=seconds(2))
    with pytest.raises(Unsupported, match="ages after 1 s to"):
        switch.set_ageing_time(milliseconds(500))


def test_vlans_are_refused_with_the_reason_where_the_kernel_has_none(switch, bridge_gear):
    reply = bridge_gear.space.cli().run("ip link set br0 type bridge vlan_filtering 0")
    if reply.status == 0:
        switch.set_vlan_mode("p1", VlanMode(access=10))
        assert switch.vlan_mode("p1") == VlanMode(access=10)
        return
    assert switch.vlan_mode("p1") == VlanMode()
    switch.set_vlan_mode("p1", VlanMode())
    with pytest.raises(Unsupported, match="CONFIG_BRIDGE_VLAN_FILTERING is not built in"):
        switch.set_vlan_mode("p1", VlanMode(access=10))
    with pytest.raises(Unsupported, match="filters no VLANs"):
        switch.add_static(MacAddr(C), "p1", vlan=10)


def test_a_mirror_port_carries_both_directions_and_nothing_else(bridge_gear, switch):
    switch.set_mirror(("p1",), "p5")
    assert "state disabled" in bridge_gear.space.sh("bridge link show dev p5")
    wires = bridge_gear.wires
    wires["p1"].send(frame(A, ALL, b"into the source"))
    assert wires["p5"].heard(b"into the source")
    wires["p2"].send(frame(B, A, b"out of the source"))
    assert wires["p5"].heard(b"out of the source")
    wires["p2"].send(frame(B, C, b"flooded"))  # by the source port too, hence mirrored once
    assert wires["p5"].heard(b"flooded")
    assert wires["p5"].heard(b"flooded", within=0.05) is None
    wires["p5"].send(frame(C, ALL, b"into the mirror"))
    assert wires["p2"].heard(b"into the mirror", within=0.05) is None
    switch.set_mirror(("p2", "p3"), "p5")
    assert "mirror p5 = p2,p3" in switch.read_config()
    switch.set_mirror(("p2",), "p4")
    assert "mirror p4 = p2\n" in switch.read_config()
    assert "mirror p5" not in switch.read_config()
    switch.clear_mirror()
    assert "mirror" not in switch.read_config()
    assert "clsact" not in bridge_gear.space.sh("tc qdisc show")
    assert "disabled" not in bridge_gear.space.sh("bridge link show")
    wires["p1"].send(frame(A, ALL, b"after the mirror"))
    assert wires["p5"].heard(b"after the mirror")
    with pytest.raises(PlanError, match="needs other ports"):
        switch.set_mirror((), "p5")


def test_a_mirror_is_undone_also_when_its_port_is_down(bridge_gear, switch, journal):
    switch.set_mirror(("p1",), "p5")
    bridge_gear.space.sh("ip link set p5 down")
    for change in reversed(journal.changes):
        switch.undo(change.undo)
    bridge_gear.space.sh("ip link set p5 up")
    switch.wait_port_up("p5", within=SOON)
    assert "disabled" not in bridge_gear.space.sh("bridge link show dev p5")


def test_a_port_is_switched_off_and_on(bridge_gear, switch):
    switch.set_port_up("p2", up=False)
    switch.wait_port_up("p2", within=SOON, up=False)
    assert not bridge_gear.wires["p2"].carrier()
    switch.set_port_up("p2", up=True)
    switch.wait_port_up("p2", within=SOON)


def test_counters_count(bridge_gear, switch):
    before = switch.counters("p1")
    for _ in range(3):
        bridge_gear.wires["p1"].send(frame(A, ALL, b"count me"))
    for _ in range(3):
        assert bridge_gear.wires["p2"].heard(b"count me")
    after = switch.counters("p1")
    assert after.rx_frames == before.rx_frames + 3


def test_a_configuration_is_compared_applied_and_restored(bridge_gear, switch, journal):
    before = switch.read_config()
    assert switch.diff_config(before) == ""
    bridge_gear.space.sh("ip link set br0 type bridge group_fwd_mask 8 mcast_snooping 0")
    bridge_gear.space.sh("ip link set p1 type bridge_slave flood off learning off hairpin on")
    bridge_gear.space.sh(f"bridge fdb add {C} dev p1 master static")
    bridge_gear.space.sh("ip link set p4 nomaster")
    wrong = switch.read_config()
    assert "+port p1 learning = on" in switch.diff_config(before)
    switch.restore_config(before)
    assert switch.read_config() == before
    assert not journal.changes
    switch.apply_config(wrong)
    assert switch.read_config() == wrong
    assert len(journal.changes) == 1
    assert "master" not in bridge_gear.space.sh("ip link show p4")


def test_undoing_twice_is_no_failure(switch, journal):
    before = switch.read_config()
    switch.add_static(MacAddr(C), "p3")
    switch.set_mirror(("p1",), "p5")
    switch.set_ageing_time(seconds(2))
    for _ in range(2):
        for change in reversed(journal.changes):
            switch.undo(change.undo)
        assert switch.read_config() == before
