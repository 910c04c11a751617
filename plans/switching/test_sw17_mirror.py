"""A mirror port gets each frame of the mirrored port, once per direction, in order, unaltered.

Port a is mirrored. What enters it and what leaves it appears on the mirror port byte for byte, in
the order in which it passed; frames between other ports do not.
"""

import pytest

from testbed import Bench, EthFrame, MacAddr, Topology, drill, faults, match, seconds

NEAR = MacAddr("02:00:00:00:17:0a")
FAR = MacAddr("02:00:00:00:17:0b")
OTHER = MacAddr("02:00:00:00:17:0c")


@pytest.mark.behaviour("SW-17")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", mirror="m"))
@drill(
    "mirror missing",
    {
        "openvswitch": faults.repeatedly("ovs-vsctl clear bridge {bridge} mirrors"),
        # A filter in front of the mirror's matches everything and ends the look-up.
        "linux_bridge": faults.shell(
            "tc qdisc add dev {a} clsact",
            "tc filter add dev {a} ingress pref 1 protocol all u32 match u32 0 0 flowid 1:1",
            undo=("tc qdisc del dev {a} clsact 2>/dev/null || true",),
        ),
    },
    caught="m--dut: expect",
)
@drill(
    "doubles mirrored frames",
    {
        "openvswitch": faults.ovs_flow(f"in_port={{a}},dl_dst={FAR}", "output:{m},normal"),
        "linux_bridge": faults.shell(
            "tc qdisc add dev {b} clsact",
            "tc filter add dev {b} egress protocol all u32 match u32 0 0"
            " action mirred egress mirror dev {m}",
            undo=("tc qdisc del dev {b} clsact 2>/dev/null || true",),
        ),
    },
    caught="m--dut: expect",
)
def test_mirror_shows_exactly_what_passes_the_port(bench: Bench) -> None:
    dut, a, b, c = bench.switch("dut"), bench.nic("a"), bench.nic("b"), bench.nic("c")
    dut.flush_fdb()
    for nic, station in ((a, NEAR), (b, FAR), (c, OTHER)):
        nic.inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
        dut.wait_learned(station, on=bench.port("dut", toward=nic.role), within=seconds(2))

    passing = [
        (a, EthFrame(dst=FAR, src=NEAR, payload=b"a to b")),
        (b, EthFrame(dst=NEAR, src=FAR, payload=b"b to a")),
        (c, EthFrame(dst=MacAddr.BROADCAST, src=OTHER, payload=b"c to all")),
        (a, EthFrame(dst=FAR, src=NEAR, payload=bytes(range(256)) * 5)),
        (a, EthFrame(dst=MacAddr.BROADCAST, src=NEAR, payload=b"a to all")),
    ]
    with bench.mirror("dut", "a"), bench.capture("m--dut", "b--dut") as seen:
        for nic, frame in passing:
            nic.inject(frame)
            seen.settle()  # one at a time: their order must be known
        b.inject(EthFrame(dst=OTHER, src=FAR, payload=b"b to c"))
        seen.settle()

    mirrored = seen.at("m--dut")
    for _, frame in passing:
        mirrored.expect_count(match.raw(frame.emit(pad=True)), 1)
    mirrored.expect_sequence(*(match.raw(frame.emit(pad=True)) for _, frame in passing))
    mirrored.expect_none(match.eth(src=FAR, dst=OTHER))
    mirrored.expect_count(match.any(), len(passing))
