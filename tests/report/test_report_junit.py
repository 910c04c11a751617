from dataclasses import replace

from report_sample import plan

from testbed.report.junit import properties


def test_properties_are_told_in_order_and_empty_ones_left_out():
    assert properties(plan("SW-02", "sw1", 1, "fail")) == [
        ("behaviour", "SW-02"),
        ("clause", "IEEE 802.1Q-2022, 8.7"),
        ("verdict", "fail"),
        ("attempt", "1"),
        ("device.dut", "sw1"),
        ("device.old", "controller:a"),
        ("device.new", "controller:c"),
        ("device.peer", "b"),
        ("artifact", "artifacts/sw-02-sw1.pcapng#9"),
    ]


def test_values_are_fit_for_xml():
    item = replace(plan("SW-02", "sw1", 1), clause="\x00\x1b[2J\udcff\ufffe")
    assert dict(properties(item))["clause"] == r"^@^[[2J\xff\ufffe"
