"""A frame to an unknown station leaves every port but the one it came in on, once.

IEEE 802.1Q 8.8: without an entry, all ports of the VLAN are potential transmission ports; 8.6.1
excludes the reception port.
"""

import pytest

from testbed import Bench, EthFrame, MacAddr, Topology, drill, faults, match

UNKNOWN = MacAddr("02:00:00:00:06:99")
SENDER = MacAddr("02:00:00:00:06:0a")


@pytest.mark.behaviour("SW-06", clause="802.1Q 8.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "misses one port",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={UNKNOWN}", "output:{b},output:{d}"),
        "linux_bridge": faults.bridge_port("flood", "off", "c"),
    },
    caught="c--dut: expect 1",
)
@drill(
    "echoes to the ingress",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={UNKNOWN}", "flood,in_port"),
        "linux_bridge": faults.bridge_port("hairpin", "on", "a"),
    },
    caught="a--dut: expect none",
)
def test_unknown_station_is_sought_on_every_other_port(bench: Bench) -> None:
    bench.switch("dut").flush_fdb()
    with bench.capture() as seen:
        bench.nic("a").inject(EthFrame(dst=UNKNOWN, src=SENDER))
        seen.settle()

    frame = match.eth(dst=UNKNOWN, src=SENDER)
    for leaf in ("b", "c", "d"):
        seen.at(f"{leaf}--dut").expect_count(frame, 1)
    seen.at("a--dut").expect_none(frame)
