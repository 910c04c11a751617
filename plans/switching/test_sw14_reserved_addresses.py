"""Frames to the reserved group addresses are not forwarded.

01:80:c2:00:00:00 to 01:80:c2:00:00:0f belong to the link: spanning tree, pause, LACP, LLDP and
their kin end at the bridge (IEEE 802.1Q 8.6.3, table 8-1), whether the frame is of the protocol
that owns the address or of any other. The next address above is forwarded.
"""

import pytest

from testbed import Bench, EthFrame, MacAddr, Topology, VlanTag, drill, faults, match, milliseconds

LEAVES = ("a", "b", "c", "d")
SENDER = MacAddr("02:00:00:00:14:0a")
MARK = b"SW-14"
LINGER = milliseconds(100)  # a copy that comes late is a copy
SPANNING_TREE = MacAddr("01:80:c2:00:00:00")
RESERVED = [MacAddr(SPANNING_TREE.packed[:5] + bytes([n])) for n in range(1, 16)]
ABOVE = MacAddr("01:80:c2:00:00:10")

EXPERIMENTAL = 0x88B5
OWNERS = {
    0x0: (26, b"\x42\x42\x03"),  # spanning tree: a length, then LLC (802.1D 9.3)
    0x1: (0x8808, b"\x00\x01\x00\x00"),  # pause, of no length (802.3 31B)
    0x2: (0x8809, b"\x01\x01"),  # LACP (802.3 57A, 802.1AX)
    0x3: (0x888E, b"\x02\x01\x00\x00"),  # EAPOL-Start (802.1X)
    0xE: (0x88CC, b"\x02\x07\x04" + SENDER.packed + b"\x04\x03\x07pl\x06\x02\x00\x78\x00\x00"),
}
"""How frames of the protocol that owns an address begin: their type, and what follows it."""


def frames_to(address: MacAddr) -> list[EthFrame]:
    """A frame of no protocol in particular, and one of the protocol that owns ``address``.

    Each without a tag, and with one that tells a priority only.
    """
    kinds = [(EXPERIMENTAL, b"")]
    if address != ABOVE and address.packed[5] in OWNERS:
        kinds.append(OWNERS[address.packed[5]])
    return [
        EthFrame(address, SENDER, kind, start + MARK + bytes(60), tags)
        for kind, start in kinds
        for tags in ((), (VlanTag(vid=0, pcp=7),))
    ]


def expect_kept(bench: Bench, addresses: list[MacAddr]) -> None:
    """Frames to ``addresses`` come out nowhere; one to the address above does."""
    for source in ("a", "b"):
        above = frames_to(ABOVE)[0]
        with bench.capture() as seen:
            for address in addresses:
                bench.nic(source).inject(*frames_to(address))
            bench.nic(source).inject(above)
            bench.watch_for(LINGER)

        for leaf in LEAVES:
            point = seen.at(f"{leaf}--dut")
            if leaf != source:
                point.expect_count(match.raw(above.emit(pad=True)), 1)
            point.expect_none(match.containing(MARK) & ~match.eth(dst=ABOVE))
            point.expect_count(match.containing(MARK), 0 if leaf == source else 1)


@pytest.mark.behaviour("SW-14", clause="802.1Q table 8-1")
@pytest.mark.topology(Topology.star("dut", *LEAVES))
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
@drill(
    "forwards pause frames",
    {"openvswitch": faults.ovs_flow("dl_type=0x8808", "flood")},
    caught="expect none",
)
@drill(
    "forwards LLDP out of one port",
    {
        "openvswitch": faults.ovs_flow("in_port={b},dl_dst=01:80:c2:00:00:0e", "output:{d}"),
        "linux_bridge": faults.shell(
            "ip link set {bridge} type bridge group_fwd_mask 0x4000",
            undo=("ip link set {bridge} type bridge group_fwd_mask 0",),
        ),
    },
    caught="expect none",
)
@drill(
    "keeps the address above too",
    {"openvswitch": faults.ovs_flow(f"dl_dst={ABOVE}", "drop")},
    caught="expect 1",
)
def test_reserved_addresses_end_at_the_bridge(bench: Bench) -> None:
    """Frames to 01:80:c2:00:00:01 to :0f are not forwarded."""
    expect_kept(bench, RESERVED)


@pytest.mark.behaviour("SW-14", clause="802.1Q table 8-1")
@pytest.mark.topology(Topology.star("dut", *LEAVES))
@drill(
    "forwards BPDUs",
    {"openvswitch": faults.ovs_flow(f"dl_dst={SPANNING_TREE}", "flood")},
    caught="expect none",
)
def test_spanning_tree_frames_end_at_the_bridge(bench: Bench) -> None:
    """Frames to 01:80:c2:00:00:00, the spanning tree's own, are not forwarded."""
    bench.except_known("dut", "passes BPDUs")
    expect_kept(bench, [SPANNING_TREE])
