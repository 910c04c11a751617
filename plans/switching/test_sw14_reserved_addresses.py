"""Frames to the reserved group addresses are not forwarded.

01:80:c2:00:00:00 to 01:80:c2:00:00:0f belong to the link: spanning tree, pause, LACP, LLDP and
their kin end at the bridge (IEEE 802.1Q 8.6.3, table 8-1). The next address above is forwarded.
"""

import pytest

from testbed import Bench, EthFrame, MacAddr, Topology, drill, faults, match

SENDER = MacAddr("02:00:00:00:14:0a")
SPANNING_TREE = MacAddr("01:80:c2:00:00:00")
RESERVED = [MacAddr(SPANNING_TREE.packed[:5] + bytes([n])) for n in range(1, 16)]
ABOVE = MacAddr("01:80:c2:00:00:10")


def expect_kept(bench: Bench, addresses: list[MacAddr]) -> None:
    """Frames to ``addresses`` come out nowhere; one to the address above does."""
    with bench.capture() as seen:
        for address in addresses:
            bench.nic("a").inject(EthFrame(dst=address, src=SENDER))
        bench.nic("a").inject(EthFrame(dst=ABOVE, src=SENDER))
        seen.settle()

    for leaf in ("b", "c"):
        seen.at(f"{leaf}--dut").expect_none(match.eth(dst=set(addresses), src=SENDER))
        seen.at(f"{leaf}--dut").expect_count(match.eth(dst=ABOVE, src=SENDER), 1)


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
    """Frames to 01:80:c2:00:00:01 to :0f are not forwarded."""
    expect_kept(bench, RESERVED)


@pytest.mark.behaviour("SW-14", clause="802.1Q table 8-1")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "forwards BPDUs",
    {"openvswitch": faults.ovs_flow(f"dl_dst={SPANNING_TREE}", "flood")},
    caught="expect none",
)
def test_spanning_tree_frames_end_at_the_bridge(bench: Bench) -> None:
    """Frames to 01:80:c2:00:00:00, the spanning tree's own, are not forwarded."""
    bench.except_known("dut", "passes BPDUs")
    expect_kept(bench, [SPANNING_TREE])
