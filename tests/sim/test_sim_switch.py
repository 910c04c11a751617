"""The simulated switch, rule by rule, in virtual time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from switch_bed import ALL, Bed, eth, station, tagged

from testbed.sim.frames import BadFcs
from testbed.timing import Duration, Instant, microseconds, milliseconds, seconds

A, B, C, D = (station(number) for number in (1, 2, 3, 4))


@pytest.fixture
def bed() -> Bed:
    return Bed()


def others(port, ports=5):
    return [f"p{n}" for n in range(1, ports + 1) if f"p{n}" != port]


# Learning


def test_a_station_is_found_where_it_spoke_and_one_that_did_not_is_sought_everywhere(bed):
    assert bed.exits("p2", eth(A, B)) == others("p2")
    assert bed.send("p1", eth(B, A)) == {"p2": [eth(B, A)]}
    assert bed.send("p2", eth(A, B)) == {"p1": [eth(A, B)]}
    assert bed.exits("p3", eth(D, C)) == others("p3")
    assert bed.table() == {(0, A): "p1", (0, B): "p2", (0, C): "p3"}


def test_a_station_that_speaks_elsewhere_has_moved(bed):
    bed.introduce(p1=[1])
    bed.introduce(p3=[1])
    assert bed.table() == {(0, A): "p3"}
    assert bed.exits("p2", eth(A, B)) == ["p3"]


def test_what_is_known_on_its_own_port_goes_nowhere(bed):
    bed.introduce(p1=[1, 2])
    assert bed.send("p1", eth(A, B)) == {}


def test_broadcasts_and_groups_reach_all_others_and_groups_are_no_stations(bed):
    group = b"\x01\x00\x5e\x00\x00\x01"
    assert bed.exits("p1", eth(ALL, A)) == others("p1")
    assert bed.exits("p4", eth(group, A)) == others("p4")
    assert bed.exits("p1", eth(ALL, group)) == others("p1")
    assert bed.exits("p2", eth(group, ALL)) == others("p2")
    assert bed.table() == {(0, A): "p4"}


# Ageing


def test_a_silent_station_is_forgotten_after_the_ageing_time_and_not_before(bed):
    bed.introduce(p1=[1])
    spoke = bed.now - milliseconds(100)
    bed.now = Instant(spoke + seconds(300) - 1)
    assert bed.switch.fdb.find(0, A, bed.now) is not None
    bed.now = Instant(spoke + seconds(300))
    assert bed.switch.fdb.find(0, A, bed.now) is None
    assert bed.knows(1) is None
    assert bed.exits("p2", eth(A, B)) == others("p2")


def test_only_what_a_station_says_keeps_it_young(bed):
    bed.configure("mac address-table aging-time 10")
    bed.introduce(p1=[1], p2=[2])
    for _ in range(4):
        bed.wait(seconds(4))
        bed.send("p2", eth(A, B))
    assert bed.knows(1) is None
    assert bed.knows(2) == "p2"


def test_the_ageing_time_holds_for_what_is_known_already(bed):
    bed.introduce(p1=[1])
    bed.wait(seconds(20))
    bed.configure("mac address-table aging-time 15")
    assert bed.knows(1) is None


def test_eight_thousand_stations_age_without_a_single_event():
    bed = Bed()
    for number in range(8000):
        bed.switch.receive(eth(ALL, station(number)), bed.now, "p1")
    bed.wait(milliseconds(1))
    assert len(bed.table()) == 8000
    assert bed.switch.poll_timeout() is None
    bed.wait(seconds(300))
    assert bed.table() == {}


# VLANs


def vlan_bed():
    bed = Bed()
    bed.configure(
        "interface p1",
        "switchport access vlan 10",
        "interface p2",
        "switchport access vlan 20",
        "interface p3",
        "switchport trunk allowed vlan 10,20",
        "interface p4",
        "switchport trunk allowed vlan 20,30-32",
        "switchport trunk native vlan 10",
    )
    return bed


def test_frames_stay_in_their_vlan_and_are_tagged_as_the_port_has_it():
    bed, frame = vlan_bed(), eth(ALL, A, b"x" * 50)
    red, blue = tagged(10, frame), tagged(20, frame)
    # p5 has no mode: it carries every VLAN with its tag.
    assert bed.send("p1", frame) == {"p3": [red], "p4": [frame], "p5": [red]}
    assert bed.send("p2", frame) == {"p3": [blue], "p4": [blue], "p5": [blue]}
    assert bed.send("p3", red) == {"p1": [frame], "p4": [frame], "p5": [red]}
    assert bed.send("p4", frame) == {"p1": [frame], "p3": [red], "p5": [red]}
    assert bed.send("p5", blue) == {"p2": [frame], "p3": [blue], "p4": [blue]}


def test_what_a_port_is_not_in_does_not_enter_and_teaches_nothing():
    bed, frame = vlan_bed(), eth(ALL, A)
    for port, one in (("p1", tagged(10, frame)), ("p3", frame), ("p3", tagged(30, frame))):
        assert bed.send(port, one) == {}
    assert bed.send("p5", tagged(4095, frame)) == {}
    assert bed.table() == {}
    assert bed.switch.ports["p3"].counters.rx_dropped == 2


def test_a_priority_tag_is_of_the_ports_own_vlan_and_its_priority_travels():
    bed, frame = vlan_bed(), eth(ALL, A, b"x" * 50)
    out = bed.send("p1", tagged(0, frame, pcp=5))
    assert out == {
        "p3": [tagged(10, frame, pcp=5)],
        "p4": [frame],
        "p5": [tagged(10, frame, pcp=5)],
    }


def test_each_vlan_learns_for_itself_or_all_learn_together():
    bed = vlan_bed()
    bed.send("p1", eth(ALL, A))
    bed.send("p2", eth(ALL, A))
    assert bed.table() == {(10, A): "p1", (20, A): "p2"}
    bed.configure("vlan learning shared")
    assert bed.table() == {}
    bed.send("p1", eth(ALL, A))
    assert bed.switch.fdb.find(20, A, bed.now).port.name == "p1"
    # Known, but not in VLAN 20: it does not leave its VLAN, nor does it flood.
    assert bed.send("p2", eth(A, B)) == {}
    bed.send("p2", eth(ALL, A))
    assert bed.table() == {(20, A): "p2", (20, B): "p2"}


def test_a_port_without_a_mode_carries_every_frame_as_it_comes(bed):
    frame = tagged(7, eth(ALL, A), pcp=3)
    assert bed.send("p1", frame)["p2"] == [frame]
    nothing = tagged(0, eth(ALL, A), pcp=6)
    assert bed.send("p1", nothing)["p2"] == [nothing]
    assert bed.table() == {(7, A): "p1", (0, A): "p1"}
    assert bed.exits("p3", eth(A, B)) == ["p1"]
    assert bed.exits("p3", tagged(8, eth(A, B))) == others("p3")


def test_a_frame_that_loses_its_tag_is_padded():
    bed = vlan_bed()
    short = (ALL + A + b"\x81\x00\x00\x0a\x88\xb5abc").ljust(60, b"\xee")
    assert bed.send("p3", short)["p1"] == [short[:12] + short[16:] + bytes(4)]


# Flushing, static entries


def test_flush_of_a_port_a_dead_link_and_a_new_mode_forget_what_was_learned_there(bed):
    bed.introduce(p1=[1], p2=[2], p3=[3], p4=[4])
    bed.configure(f"mac address-table static {station(9).hex(':')} vlan 0 interface p1")
    bed.type("clear mac address-table dynamic interface p1")
    assert bed.knows(1) is None
    bed.switch.set_link("p2", False, bed.now)
    assert bed.knows(2) is None
    bed.configure("interface p3", "shutdown")
    assert bed.knows(3) is None
    assert bed.knows(4) == "p4"
    assert bed.exits("p4", eth(ALL, D)) == ["p1", "p5"]
    bed.type("clear mac address-table dynamic")
    assert bed.table() == {(0, station(9)): "p1"}
    assert bed.exits("p5", eth(station(9), A)) == ["p1"]


def test_a_static_entry_neither_moves_nor_ages_until_it_is_removed(bed):
    text = A.hex(":")
    bed.introduce(p2=[1])
    bed.configure(f"mac address-table static {text} vlan 0 interface p1")
    bed.introduce(p3=[1])
    bed.wait(seconds(1_000_000))
    assert bed.knows(1) == "p1"
    assert f"0     {text}  static  -       p1" in bed.type("show mac address-table")
    bed.configure(f"no mac address-table static {text} vlan 0")
    assert bed.knows(1) is None


# The table's limits


def test_a_full_table_learns_no_more_floods_what_it_lacks_and_goes_on_broadcasting():
    bed = Bed(stated={"fdb_capacity": 100})
    bed.introduce(p1=range(100))
    bed.introduce(p2=[100])
    assert len(bed.table()) == 100
    assert bed.exits("p3", eth(station(100), station(5))) == others("p3")
    assert bed.exits("p3", eth(station(50), station(5))) == ["p1"]
    assert bed.exits("p2", eth(ALL, station(101))) == others("p2")
    assert "Total capacity: 100" in bed.type("show mac address-table count")


def test_room_is_made_by_age_alone():
    bed = Bed(stated={"fdb_capacity": 4})
    bed.introduce(p1=[0, 1])
    bed.wait(seconds(200))
    bed.introduce(p1=[2, 3, 0])
    bed.wait(seconds(101))
    bed.introduce(p2=[7, 8])  # 1 is gone, 0 has spoken since: there is room for one
    assert sorted(mac for _, mac in bed.table()) == [station(n) for n in (0, 2, 3, 7)]


def test_new_addresses_above_the_learning_rate_are_lost_and_known_ones_are_not():
    bed = Bed(stated={"learning_rate": 1000})
    for number in range(500):
        bed.send("p1", eth(ALL, station(number)), gap=Duration(0))
        bed.now = Instant(bed.now - milliseconds(99))  # one a millisecond
    assert len(bed.table()) == 500
    bed.type("clear mac address-table dynamic")
    for number in range(500):
        bed.switch.receive(eth(ALL, station(number)), bed.now, "p1")
        bed.now = Instant(bed.now + microseconds(500))
    assert 250 <= len(bed.table()) <= 265


# Bad frames and reserved addresses


def test_reserved_addresses_end_here_and_the_next_one_does_not(bed):
    for last in range(16):
        assert bed.send("p1", eth(b"\x01\x80\xc2\x00\x00" + bytes([last]), A)) == {}
    assert bed.exits("p1", eth(b"\x01\x80\xc2\x00\x00\x10", A)) == others("p1")
    assert bed.knows(1) == "p1"


def test_bad_frames_go_nowhere_teach_nothing_and_are_counted_by_their_kind(bed):
    longest = eth(ALL, A, bytes(1500))
    for bad in (eth(ALL, A)[:59], b"", longest + b"\0", BadFcs(eth(ALL, A))):
        assert bed.send("p1", bad) == {}
    counters = bed.switch.ports["p1"].counters
    assert (counters.runts, counters.giants, counters.bad_fcs) == (2, 1, 1)
    assert (counters.rx_errors, counters.rx_frames) == (4, 0)
    assert bed.table() == {}
    assert bed.send("p1", longest)["p2"] == [longest]
    assert bed.send("p1", tagged(5, longest))["p2"] == [tagged(5, longest)]
    assert bed.send("p1", tagged(5, longest) + b"\0") == {}


def test_jumbo_frames_pass_between_ports_that_are_set_to_them(bed):
    jumbo = eth(ALL, A, bytes(range(256)) * 35)
    assert bed.send("p1", jumbo) == {}
    bed.configure("interface p1", "mtu 9000", "interface p2", "mtu 9000")
    assert bed.send("p1", jumbo) == {"p2": [jumbo]}
    assert bed.switch.ports["p3"].counters.tx_dropped == 1
    bed.configure("interface p1", "no mtu")
    assert bed.send("p1", jumbo) == {}


# Mirror, storm control, order


def test_a_mirror_shows_each_frame_once_per_direction_and_nothing_else(bed):
    bed.introduce(p1=[1], p2=[2], p3=[3])
    bed.configure(
        "monitor session 1 source interface p1,p2", "monitor session 1 destination interface p5"
    )
    there, back, tag = eth(B, A, b"there"), eth(A, B, b"back"), tagged(9, eth(ALL, C))
    reserved = eth(b"\x01\x80\xc2\x00\x00\x0e", A)
    assert bed.send("p1", there)["p5"] == [there, there]
    assert bed.send("p1", eth(D, A)) == {
        "p2": [eth(D, A)], "p3": [eth(D, A)], "p4": [eth(D, A)], "p5": [eth(D, A)] * 2,
    }  # fmt: skip
    assert bed.send("p3", back)["p5"] == [back]
    assert bed.send("p3", tag)["p5"] == [tag, tag]
    assert bed.send("p1", reserved) == {"p5": [reserved]}
    assert bed.send("p5", eth(ALL, D)) == {}
    assert bed.knows(4) is None
    bed.configure("no monitor session 1")
    assert bed.exits("p5", eth(ALL, D)) == others("p5")


def test_the_broadcast_ceiling_is_held_and_nothing_else_is_touched(bed):
    bed.introduce(p2=[2])
    bed.configure("interface p1", "storm-control broadcast level pps 100")
    start = bed.now
    for number in range(4000):  # four seconds, ten times the ceiling
        bed.now = Instant(start + number * milliseconds(1))
        bed.switch.receive(eth(ALL, A), bed.now, "p1")
        bed.switch.receive(eth(B, A), bed.now, "p1")
        bed.switch.receive(eth(b"\x01\x00\x5e\x00\x00\x01", A), bed.now, "p1")
        bed.switch.receive(eth(ALL, C), bed.now, "p3")
    out = bed.wait(seconds(1))
    passed = out["p2"].count(eth(ALL, A))
    assert 396 <= passed <= 404
    assert out["p2"].count(eth(B, A)) == 4000
    assert out["p2"].count(eth(ALL, C)) == 4000
    assert out["p4"].count(eth(b"\x01\x00\x5e\x00\x00\x01", A)) == 4000
    assert bed.switch.ports["p1"].counters.storm_dropped == 4000 - passed
    bed.configure("interface p1", "no storm-control broadcast")
    assert len(bed.send("p1", *[eth(ALL, A)] * 50)["p2"]) == 50


def test_frames_leave_in_order_after_one_latency(bed):
    bed.introduce(p2=[2])
    frames = [eth(B, A, number.to_bytes(2, "big") * (number + 1)) for number in range(200)]
    came = bed.now
    bed.switch.receive(frames[0], came, "p1")
    assert bed.switch.poll_transmit(came) is None
    assert bed.switch.poll_timeout() == came + microseconds(4)
    assert bed.send("p1", *frames[1:], gap=Duration(100))["p2"] == frames


def test_what_waits_for_a_port_whose_link_goes_is_lost(bed):
    bed.switch.receive(eth(ALL, A), bed.now, "p1")
    bed.switch.set_link("p2", False, bed.now)
    assert sorted(bed.wait(seconds(1))) == ["p3", "p4", "p5"]


def test_ports_count_frames_and_bytes(bed):
    bed.introduce(p1=[1], p2=[2])
    bed.type("clear counters")
    bed.send("p1", eth(B, A, bytes(100)))
    one, two = bed.switch.ports["p1"].counters, bed.switch.ports["p2"].counters
    assert (one.rx_frames, one.rx_bytes, one.tx_frames) == (1, 114, 0)
    assert (two.tx_frames, two.tx_bytes, two.rx_frames) == (1, 114, 0)


# Whatever comes


@given(
    frames=st.lists(
        st.tuples(
            st.integers(1, 5),
            st.binary(max_size=80)
            | st.builds(
                lambda dst, src, rest: (dst + src + rest).ljust(60, b"\0"),
                st.sampled_from([A, B, ALL, b"\x01\x80\xc2\0\0\0", b"\x01\0\x5e\0\0\1"]),
                st.sampled_from([A, B, C, ALL]),
                st.binary(max_size=60) | st.binary(max_size=9).map(lambda b: b"\x81\x00" + b),
            ),
        ),
        max_size=40,
    ),
    lines=st.lists(st.sampled_from(["p1", "p3", "p4"]), max_size=2),
)
def test_no_frame_raises_comes_back_or_is_short(frames, lines):
    bed = vlan_bed()
    for port in lines:
        bed.configure(f"interface {port}", "no switchport")
    for number, frame in frames:
        out = bed.send(f"p{number}", frame)
        assert f"p{number}" not in out
        for got in out.values():
            assert len(got) == 1
            assert len(got[0]) >= 60
            assert got[0][:12] == frame[:12]


@given(
    st.lists(
        st.tuples(st.integers(0, 12), st.sampled_from(["p1", "p2"]), st.integers(0, 200)),
        max_size=60,
    )
)
def test_the_table_is_what_a_plain_model_says(steps):
    bed = Bed(stated={"fdb_capacity": 6})
    model: dict[int, tuple[str, int]] = {}
    for number, port, pause in steps:
        bed.now = Instant(bed.now + seconds(pause))
        bed.switch.receive(eth(ALL, station(number)), bed.now, port)
        model = {n: (p, t) for n, (p, t) in model.items() if bed.now - t < seconds(300)}
        if number in model or len(model) < 6:
            model[number] = (port, bed.now)
        assert bed.table() == {(0, station(n)): p for n, (p, _) in model.items()}
