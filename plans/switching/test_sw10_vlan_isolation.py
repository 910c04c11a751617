"""No frame crosses VLANs; tags come and go per port; each VLAN learns for itself.

Access ports a and c in VLAN 10, b in VLAN 20, t a trunk of both. Broadcasts and unknown unicasts
stay in their VLAN, leave access ports untagged and the trunk tagged, and one MAC address in two
VLANs has two entries (IEEE 802.1Q 8.6.1, 8.8: independent VLAN learning).
"""

import pytest

from testbed import (
    Bench,
    EthFrame,
    MacAddr,
    Topology,
    VlanMode,
    VlanTag,
    drill,
    faults,
    match,
    seconds,
)

TWIN = MacAddr("02:00:00:00:10:0a")
SENDER = MacAddr("02:00:00:00:10:0b")
UNKNOWN = MacAddr("02:00:00:00:10:99")
INTRUDER = MacAddr("02:00:00:00:10:0c")
RED, BLUE, FOREIGN = 10, 20, 30
DOMAINS = [("a", "c", f"t@{RED}"), ("b", f"t@{BLUE}")]


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
def test_vlans_do_not_hear_each_other(bench: Bench) -> None:
    dut = bench.switch("dut")
    modes = {
        "a": VlanMode(access=RED),
        "b": VlanMode(access=BLUE),
        "c": VlanMode(access=RED),
        "t": VlanMode(trunk=(RED, BLUE)),
    }
    for leaf, mode in modes.items():
        dut.set_vlan_mode(bench.port("dut", toward=leaf), mode)
    dut.flush_fdb()
    a, b, t = bench.nic("a"), bench.nic("b"), bench.nic("t")

    with bench.capture(domains=DOMAINS) as seen:
        a.inject(EthFrame(dst=MacAddr.BROADCAST, src=SENDER, payload=b"to all"))
        a.inject(EthFrame(dst=UNKNOWN, src=SENDER, payload=b"to one"))
        seen.settle()
    for dst in (MacAddr.BROADCAST, UNKNOWN):
        seen.at("c--dut").expect_count(match.eth(src=SENDER, dst=dst, tagged=False), 1)
        seen.at("t--dut").expect_count(match.eth(src=SENDER, dst=dst) & match.vlan(vid=RED), 1)
        seen.at("b--dut").expect_none(match.eth(src=SENDER, dst=dst))
    seen.at("c--dut").expect_count(match.eth(src=SENDER), 2)
    seen.at("t--dut").expect_count(match.eth(src=SENDER), 2)

    with bench.capture(domains=DOMAINS) as hops:
        # A station of VLAN 20 that tags its frames for VLAN 10, and a VLAN that the trunk has not.
        b.inject(EthFrame(MacAddr.BROADCAST, INTRUDER, tags=(VlanTag(RED),)))
        t.inject(EthFrame(MacAddr.BROADCAST, INTRUDER, tags=(VlanTag(FOREIGN),)))
        hops.settle()
    for leaf in ("a", "c"):
        hops.at(f"{leaf}--dut").expect_none(match.eth(src=INTRUDER))
    hops.at("t--dut").expect_none(match.eth(src=INTRUDER) & match.vlan(vid={RED, FOREIGN}))
    hops.at("b--dut").expect_none(match.eth(src=INTRUDER))

    for nic, vlan in ((a, RED), (b, BLUE)):
        nic.inject(EthFrame(dst=MacAddr.BROADCAST, src=TWIN))
        port = bench.port("dut", toward=nic.role)
        dut.wait_learned(TWIN, on=port, vlan=vlan, within=seconds(2))
    with bench.capture(domains=DOMAINS) as twins:
        for vlan in (RED, BLUE):
            t.inject(EthFrame(TWIN, t.mac, payload=b"vlan %d" % vlan, tags=(VlanTag(vlan),)))
        twins.settle()
    for leaf, vlan in (("a", RED), ("b", BLUE)):
        mine = match.eth(dst=TWIN, tagged=False, payload=b"vlan %d" % vlan)
        twins.at(f"{leaf}--dut").expect_count(mine, 1)
        twins.at(f"{leaf}--dut").expect_count(match.eth(dst=TWIN), 1)
    twins.at("c--dut").expect_none(match.eth(dst=TWIN))
