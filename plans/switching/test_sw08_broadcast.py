"""A broadcast leaves every port but its own, whatever the table holds; groups are never learned.

One copy on each other port, with an empty table and with a filled one. A frame with a group
address as its source leaves no entry (IEEE 802.1Q 8.7: individual source addresses are learned).
"""

import pytest

from testbed import (
    Bench,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Topology,
    drill,
    faults,
    match,
    seconds,
)

SENDER = MacAddr("02:00:00:00:08:0a")
GROUP_SOURCE = MacAddr("03:00:00:00:08:0b")
LAST = MacAddr("02:00:00:00:08:ff")
CROWD = 200


@pytest.mark.behaviour("SW-08", clause="802.1Q 8.7")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "keeps broadcasts from a port",
    {
        "openvswitch": faults.ovs_flow(
            f"dl_src={SENDER},dl_dst=ff:ff:ff:ff:ff:ff", "output:{b},output:{d}"
        ),
        "linux_bridge": faults.bridge_port("bcast_flood", "off", "c"),
    },
    caught="c--dut: expect 1",
)
@drill(
    "sends broadcasts back",
    {
        "openvswitch": faults.ovs_flow(f"dl_src={SENDER}", "flood,in_port"),
        "linux_bridge": faults.bridge_port("hairpin", "on", "a"),
    },
    caught="a--dut: expect none",
)
def test_broadcast_reaches_everybody_and_teaches_no_group(bench: Bench) -> None:
    dut, a = bench.switch("dut"), bench.nic("a")
    dut.flush_fdb()
    first = EthFrame(dst=MacAddr.BROADCAST, src=SENDER, payload=b"empty table")
    second = EthFrame(dst=MacAddr.BROADCAST, src=SENDER, payload=b"filled table")
    with bench.capture() as seen:
        a.inject(first)
        seen.settle()
        for number in range(CROWD):
            station = MacAddr(b"\x02\x00\x00\x08" + number.to_bytes(2, "big"))
            bench.nic("b").inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
        a.inject(second)
        a.inject(EthFrame(dst=MacAddr.BROADCAST, src=GROUP_SOURCE))
        a.inject(EthFrame(dst=MacAddr.BROADCAST, src=LAST))
        seen.settle()

    for frame in (first, second):
        copy = match.raw(frame.emit(pad=True))
        for leaf in ("b", "c", "d"):
            seen.at(f"{leaf}--dut").expect_count(copy, 1)
        seen.at("a--dut").expect_none(copy)
    dut.wait_learned(LAST, on=bench.port("dut", toward="a"), within=seconds(2))
    groups = [entry for entry in dut.fdb() if entry.mac == GROUP_SOURCE]
    if groups:
        raise ExpectationFailed(f"{dut.name} learned a group address: {groups[0]}")
