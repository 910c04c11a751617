"""No frame crosses VLANs; tags come and go per port; each VLAN learns for itself.

Access ports a and c in VLAN 10, b in VLAN 20, t a trunk of both. Broadcasts, groups, unknown
unicasts and frames to a station of the other VLAN stay in their VLAN, leave access ports untagged
and the trunk tagged, and are otherwise unaltered; what has a tag of a priority only is as untagged
(6.9.1). What is tagged for a VLAN that its port is not in, be it by one bit of its number, goes
nowhere and is not learned. One MAC address in two VLANs has two entries (IEEE 802.1Q 8.6.1, 8.6.2,
8.8: independent VLAN learning).
"""

import pytest

from testbed import (
    Bench,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Topology,
    VlanMode,
    VlanTag,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

TWIN = MacAddr("02:00:00:00:10:0a")
RESIDENT = MacAddr("02:00:00:00:10:0b")
UNKNOWN = MacAddr("02:00:00:00:10:99")
INTRUDER = MacAddr("02:00:00:00:10:0c")
GROUP = MacAddr("03:00:00:00:10:01")
RED, BLUE, FOREIGN = 10, 20, 30
PRIORITY = 0  # a tag of this VLAN tells a priority only
DOMAINS = [("a", "c", f"t@{RED}"), ("b", f"t@{BLUE}")]
LINGER = milliseconds(100)  # a copy that comes late is a copy
PORTS = {
    "a": VlanMode(access=RED),
    "b": VlanMode(access=BLUE),
    "c": VlanMode(access=RED),
    "t": VlanMode(trunk=(RED, BLUE)),
}

Journeys = list[tuple[str, int | None, MacAddr, dict[str, int | None]]]
"""From which leaf, with which tag, to whom: and toward which leaves it must leave with which."""

IN_THEIR_VLAN: Journeys = [
    ("a", None, MacAddr.BROADCAST, {"c": None, "t": RED}),
    ("a", None, UNKNOWN, {"c": None, "t": RED}),
    ("a", None, GROUP, {"c": None, "t": RED}),
    ("b", None, GROUP, {"t": BLUE}),
    ("a", PRIORITY, UNKNOWN, {"c": None, "t": RED}),
    ("b", None, MacAddr.BROADCAST, {"t": BLUE}),
    ("b", None, UNKNOWN, {"t": BLUE}),
    ("b", None, RESIDENT, {"t": BLUE}),
    ("t", RED, MacAddr.BROADCAST, {"a": None, "c": None}),
    ("t", RED, UNKNOWN, {"a": None, "c": None}),
    ("t", BLUE, MacAddr.BROADCAST, {"b": None}),
    ("t", BLUE, UNKNOWN, {"b": None}),
    ("t", BLUE, RESIDENT, {"b": None}),
    ("c", None, RESIDENT, {"a": None}),
]
TO_THE_TWINS: Journeys = [
    ("t", RED, TWIN, {"a": None}),
    ("t", BLUE, TWIN, {"b": None}),
    ("c", None, TWIN, {"a": None}),
    ("b", None, TWIN, {}),  # it is behind b itself
]
FROM_INTRUDERS: Journeys = [
    ("b", RED, MacAddr.BROADCAST, {}),
    ("b", RED, RESIDENT, {}),
    ("t", FOREIGN, MacAddr.BROADCAST, {}),
    *(("t", RED + bit, MacAddr.BROADCAST, {}) for bit in (0x100, 0x200, 0x400, 0x800)),
    ("t", None, MacAddr.BROADCAST, {}),
]


def expect_journeys(bench: Bench, journeys: Journeys, sender: MacAddr | None = None) -> None:
    """Each frame leaves where it must, once, with the right tag and unaltered, and nowhere else."""

    def frame(number: int, dst: MacAddr, vid: int | None) -> EthFrame:
        src = sender or MacAddr(b"\x02\x00\x00\x10\x01" + bytes([number]))
        tags = () if vid is None else (VlanTag(vid),)
        return EthFrame(dst, src, payload=mark(number) + bytes(100), tags=tags)

    def mark(number: int) -> bytes:
        return b"SW-10 journey %02d" % number

    with bench.capture(domains=DOMAINS) as seen:
        for number, (source, vid, dst, _) in enumerate(journeys):
            bench.nic(source).inject(frame(number, dst, vid))
        bench.watch_for(LINGER)
    for number, (_, _, dst, exits) in enumerate(journeys):
        for leaf in PORTS:
            point = seen.at(f"{leaf}--dut")
            if leaf in exits:
                point.expect_count(match.raw(frame(number, dst, exits[leaf]).emit()), 1)
                point.expect_count(match.containing(mark(number)), 1)
            else:
                point.expect_none(match.containing(mark(number)))


@pytest.mark.behaviour("SW-10", clause="802.1Q 8.6.1")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "t"))
@drill(
    "leaks between VLANs",
    {"openvswitch": faults.ovs_flow(f"in_port={{a}},dl_dst={UNKNOWN}", "output:{b},normal")},
    caught="b--dut: expect none",
)
@drill(
    "shared learning",
    {
        "openvswitch": faults.ovs_flow(
            f"in_port={{t}},dl_vlan={BLUE},dl_dst={TWIN}", "strip_vlan,output:{a}"
        )
    },
    caught="--dut: expect",
)
@drill(
    "finds stations of another VLAN",
    {"openvswitch": faults.ovs_flow(f"in_port={{b}},dl_dst={RESIDENT}", "output:{a}")},
    caught="a--dut: expect none",
)
@drill(
    "leaves the tag on at an access port",
    {
        "openvswitch": faults.ovs_flow(
            f"in_port={{t}},dl_vlan={RED},dl_dst={UNKNOWN}", "output:{a},output:{c}"
        )
    },
    caught="a--dut: expect 1",
)
@drill(
    "strips the tag on the trunk",
    {"openvswitch": faults.ovs_flow(f"in_port={{b}},dl_dst={UNKNOWN}", "output:{t}")},
    caught="t--dut: expect 1",
)
@drill(
    "lets untagged frames in at the trunk",
    {"openvswitch": faults.ovs_flow(f"in_port={{t}},vlan_tci=0,dl_src={INTRUDER}", "output:{a}")},
    caught="a--dut: expect none",
)
def test_vlans_do_not_hear_each_other(bench: Bench) -> None:
    dut = bench.switch("dut")
    port = {leaf: bench.port("dut", toward=leaf) for leaf in PORTS}
    for leaf, mode in PORTS.items():
        dut.set_vlan_mode(port[leaf], mode)
    dut.flush_fdb()

    with bench.capture(domains=DOMAINS) as seen:  # it forwards in its VLANs before they speak
        bench.nic("a").inject(EthFrame(dst=MacAddr.BROADCAST, src=RESIDENT))
        seen.settle()
    dut.wait_learned(RESIDENT, on=port["a"], vlan=RED, within=seconds(2))
    expect_journeys(bench, IN_THEIR_VLAN)

    for leaf, vlan in (("a", RED), ("b", BLUE)):
        bench.nic(leaf).inject(EthFrame(dst=MacAddr.BROADCAST, src=TWIN))
        dut.wait_learned(TWIN, on=port[leaf], vlan=vlan, within=seconds(2))
    expect_journeys(bench, TO_THE_TWINS)

    expect_journeys(bench, FROM_INTRUDERS, sender=INTRUDER)
    learned = [entry for entry in dut.fdb() if entry.mac == INTRUDER]
    if learned:
        raise ExpectationFailed(
            f"{dut.name} learned from a frame of a VLAN that its port is not in: {learned[0]}"
        )


def expect_kept(bench: Bench, tags: list[VlanTag]) -> None:
    """Frames with these tags pass from the trunk toward a to that toward t as they are."""
    dut = bench.switch("dut")
    for leaf in ("a", "t"):
        dut.set_vlan_mode(bench.port("dut", toward=leaf), VlanMode(trunk=(RED, BLUE)))
    dut.flush_fdb()
    frames = [
        EthFrame(dst, RESIDENT, payload=b"SW-10 priority" + bytes([number]) * 40, tags=(tag,))
        for number, tag in enumerate(tags)
        for dst in (MacAddr.BROADCAST, UNKNOWN)
    ]
    with bench.capture("t--dut", domains=[(f"a@{RED}", f"t@{RED}")]) as seen:
        bench.nic("a").inject(*frames)
        bench.watch_for(LINGER)
    for frame in frames:
        seen.at("t--dut").expect_count(match.raw(frame.emit(pad=True)), 1)


@pytest.mark.behaviour("SW-10", clause="802.1Q 6.9.3")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "t"))
@drill(
    "loses the priority of tags",
    {"openvswitch": faults.ovs_flow(f"dl_vlan={RED}", "mod_vlan_pcp:0,normal")},
    caught="t--dut: expect 1",
)
def test_priority_passes_from_trunk_to_trunk(bench: Bench) -> None:
    """VLAN and priority of a tag are the same on the next trunk."""
    expect_kept(bench, [VlanTag(vid, pcp) for vid in (RED, BLUE) for pcp in range(8)])


@pytest.mark.behaviour("SW-10", clause="802.1Q 6.9.3")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "t"))
def test_drop_eligibility_passes_from_trunk_to_trunk(bench: Bench) -> None:
    """The drop eligible indicator of a tag is the same on the next trunk."""
    bench.except_known("dut", "clears drop eligibility")
    expect_kept(bench, [VlanTag(RED, pcp, dei=True) for pcp in range(8)])
