"""A frame to a station on the port that it came in on goes nowhere.

IEEE 802.1Q 8.6.1: the reception port is never a transmission port, and the entry names no other.
"""

import pytest

from testbed import Bench, EthFrame, MacAddr, Topology, drill, faults, match, seconds

NEIGHBOUR = MacAddr("02:00:00:00:07:0a")
SENDER = MacAddr("02:00:00:00:07:0b")


@pytest.mark.behaviour("SW-07", clause="802.1Q 8.6.1")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "hairpins",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={NEIGHBOUR}", "in_port"),
        "linux_bridge": faults.bridge_port("hairpin", "on", "a"),
    },
    caught="a--dut: expect none",
)
def test_frame_between_neighbours_on_one_port_is_filtered(bench: Bench) -> None:
    dut, a = bench.switch("dut"), bench.nic("a")
    dut.flush_fdb()
    a.inject(EthFrame(dst=MacAddr.BROADCAST, src=NEIGHBOUR))
    dut.wait_learned(NEIGHBOUR, on=bench.port("dut", toward="a"), within=seconds(2))

    with bench.capture() as seen:
        a.inject(EthFrame(dst=NEIGHBOUR, src=SENDER))
        seen.settle()

    for leaf in ("a", "b", "c"):
        seen.at(f"{leaf}--dut").expect_none(match.eth(dst=NEIGHBOUR, src=SENDER))
    # Learning goes on all the same: the sender was seen on that port.
    dut.wait_learned(SENDER, on=bench.port("dut", toward="a"), within=seconds(2))
