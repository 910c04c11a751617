"""Frames to the reserved group addresses are not forwarded.

01:80:c2:00:00:00 to 01:80:c2:00:00:0f belong to the link: spanning tree, pause, LACP, LLDP and
their kin end at the bridge (IEEE 802.1Q 8.6.3, table 8-1). The next address above is forwarded.
"""

import pytest

from testbed import Bench, EthFrame, MacAddr, Topology, drill, faults, match

SENDER = MacAddr("02:00:00:00:14:0a")
RESERVED = [MacAddr(bytes.fromhex("0180c2000000")[:5] + bytes([n])) for n in range(16)]
ABOVE = MacAddr("01:80:c2:00:00:10")


@pytest.mark.behaviour("SW-14", clause="802.1Q table 8-1")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "forwards reserved addresses",
    {
        "openvswitch": faults.ovs_flow("dl_dst=01:80:c2:00:00:00/ff:ff:ff:ff:ff:f0", "flood"),
        "linux_bridge": faults.shell(
            "ip link set {bridge} type bridge group_fwd_mask 0xfff8",
            undo=("ip link set {bridge} type bridge group_fwd_mask 0",),
        ),
    },
    caught="expect none",
)
def test_reserved_addresses_end_at_the_bridge(bench: Bench) -> None:
    with bench.capture() as seen:
        for address in RESERVED:
            bench.nic("a").inject(EthFrame(dst=address, src=SENDER))
        bench.nic("a").inject(EthFrame(dst=ABOVE, src=SENDER))
        seen.settle()

    for leaf in ("b", "c"):
        seen.at(f"{leaf}--dut").expect_none(match.eth(dst=set(RESERVED), src=SENDER))
        seen.at(f"{leaf}--dut").expect_count(match.eth(dst=ABOVE, src=SENDER), 1)
