"""A switch learns the source address of a frame and then forwards to that port only.

After one frame from A on port 1, the MAC table shows A on port 1, and a frame to A leaves port 1
and no other (IEEE 802.1Q 8.7, the learning process).
"""

import pytest

from testbed import Bench, EthFrame, MacAddr, Topology, drill, faults, match, seconds

STATION = MacAddr("02:00:00:00:01:0a")
SENDER = MacAddr("02:00:00:00:01:0b")


@pytest.mark.behaviour("SW-01", clause="802.1Q 8.7")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "never learns",
    {
        "openvswitch": faults.ovs_flow("", "flood"),
        "linux_bridge": faults.bridge_port("learning", "off"),
    },
    caught="did not learn",
)
def test_learned_station_is_reached_through_its_port_only(bench: Bench) -> None:
    dut, a, b = bench.switch("dut"), bench.nic("a"), bench.nic("b")
    dut.flush_fdb()
    a.inject(EthFrame(dst=MacAddr.BROADCAST, src=STATION))
    dut.wait_learned(STATION, on=bench.port("dut", toward="a"), within=seconds(2))

    call = EthFrame(dst=STATION, src=SENDER, payload=bytes(range(256)))
    with bench.capture() as seen:
        b.inject(call)
        seen.settle()

    seen.at("a--dut").expect_count(match.raw(call.emit(pad=True)), 1)
    seen.at("a--dut").expect_count(match.eth(dst=STATION), 1)
    seen.at("c--dut").expect_none(match.eth(src=SENDER, dst=STATION))
    seen.at("b--dut").expect_none(match.eth(src=SENDER, dst=STATION))
