"""A frame to a learned station leaves the learned port, once, and no other.

IEEE 802.1Q 8.6.3 and 8.8: the filtering database names the only port. Checked in both directions,
for several frames in a row, each of which must arrive unaltered.
"""

import pytest

from testbed import Bench, EthFrame, MacAddr, Topology, drill, faults, match, seconds

NEAR = MacAddr("02:00:00:00:05:0a")
FAR = MacAddr("02:00:00:00:05:0b")


@pytest.mark.behaviour("SW-05", clause="802.1Q 8.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "copies to one more port",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={NEAR}", "normal,output:{c}"),
        "linux_bridge": faults.shell(
            "tc qdisc add dev {b} clsact",
            "tc filter add dev {b} ingress protocol all u32 match u32 0 0"
            " action mirred egress mirror dev {c}",
            undo=("tc qdisc del dev {b} clsact 2>/dev/null || true",),
        ),
    },
    caught="c--dut: expect none",
)
def test_known_station_gets_one_copy_and_nobody_else_any(bench: Bench) -> None:
    dut, a, b = bench.switch("dut"), bench.nic("a"), bench.nic("b")
    dut.flush_fdb()
    for nic, station in ((a, NEAR), (b, FAR)):
        nic.inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
    dut.wait_learned(NEAR, on=bench.port("dut", toward="a"), within=seconds(2))
    dut.wait_learned(FAR, on=bench.port("dut", toward="b"), within=seconds(2))

    there = [EthFrame(dst=NEAR, src=FAR, payload=bytes([n]) * 60) for n in range(5)]
    back = [EthFrame(dst=FAR, src=NEAR, payload=bytes([n]) * 60) for n in range(5)]
    with bench.capture() as seen:
        b.inject(*there)
        a.inject(*back)
        seen.settle()

    for frame in there:
        seen.at("a--dut").expect_count(match.raw(frame.emit(pad=True)), 1)
    for frame in back:
        seen.at("b--dut").expect_count(match.raw(frame.emit(pad=True)), 1)
    ours = match.eth(dst={NEAR, FAR})
    seen.at("c--dut").expect_none(ours)
    seen.at("a--dut").expect_count(ours, len(there))
    seen.at("b--dut").expect_count(ours, len(back))
