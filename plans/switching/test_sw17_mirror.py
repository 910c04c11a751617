"""A mirror port gets each frame of the mirrored port, once per direction, in order, unaltered.

Port a is mirrored. What enters it and what leaves it appears on the mirror port byte for byte, in
the order in which it passed, short or long, tagged or not; frames between other ports do not, and
nothing comes in there. The mirrored frames themselves arrive as if nobody listened.
"""

from collections.abc import Callable

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
    milliseconds,
    seconds,
)

NEAR = MacAddr("02:00:00:00:17:0a")
FAR = MacAddr("02:00:00:00:17:0b")
OTHER = MacAddr("02:00:00:00:17:0c")
LISTENER = MacAddr("02:00:00:00:17:0d")
LINGER = milliseconds(100)  # a copy that comes late is a copy
TAG = VlanTag(7, pcp=5)
BURST = 8
LONGEST = bytes(number % 251 for number in range(1500))


def passing() -> list[tuple[str, EthFrame]]:
    """Frames that pass port a, and from where each comes."""
    burst = [("a", EthFrame(FAR, NEAR, payload=b"burst %d" % n * 20)) for n in range(BURST)]
    return [
        ("a", EthFrame(FAR, NEAR, payload=b"a to b")),
        ("b", EthFrame(NEAR, FAR, payload=b"b to a")),
        ("c", EthFrame(MacAddr.BROADCAST, OTHER, payload=b"c to all")),
        ("a", EthFrame(FAR, NEAR, payload=LONGEST)),
        ("b", EthFrame(NEAR, FAR, payload=LONGEST)),
        ("b", EthFrame(MacAddr.BROADCAST, FAR, payload=b"b to all")),
        ("a", EthFrame(MacAddr.BROADCAST, NEAR, payload=b"a to all")),
        *burst,
    ]


def spoiled(command: str) -> Callable[[Bench], None]:
    """Whenever Open vSwitch has the bench's mirror, run a command of ovs-vsctl on it."""
    return faults.repeatedly(f"ovs-vsctl wait-until mirror testbed -- {command}")


def introduce(bench: Bench) -> None:
    """Have NEAR learned at a, FAR at b, OTHER at c."""
    dut = bench.switch("dut")
    dut.flush_fdb()
    for leaf, station in (("a", NEAR), ("b", FAR), ("c", OTHER)):
        bench.nic(leaf).inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
        dut.wait_learned(station, on=bench.port("dut", toward=leaf), within=seconds(2))


@pytest.mark.behaviour("SW-17")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", mirror="m"))
@drill(
    "mirror missing",
    {
        "openvswitch": spoiled("clear bridge {bridge} mirrors"),
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
@drill(
    "mirrors what enters only",
    {
        "openvswitch": spoiled("clear mirror testbed select_dst_port"),
        "linux_bridge": faults.shell(
            "tc qdisc add dev {a} clsact",
            "tc filter add dev {a} egress pref 1 protocol all u32 match u32 0 0 flowid 1:1",
            undo=("tc qdisc del dev {a} clsact 2>/dev/null || true",),
        ),
    },
    caught="m--dut: expect 1",
)
@drill(
    "cuts mirrored frames short",
    {
        "openvswitch": spoiled("set mirror testbed snaplen=1400"),
        "linux_bridge": faults.shell(  # a bucket that a longer frame never fits into
            "tc qdisc add dev {m} root tbf rate 1gbit burst 1400 latency 100ms",
            undo=("tc qdisc del dev {m} root 2>/dev/null || true",),
        ),
    },
    caught="m--dut: expect 1",
)
@drill(
    "takes the frames away",
    {
        "openvswitch": faults.ovs_flow(f"dl_src={NEAR},dl_dst={FAR}", "drop"),
        "linux_bridge": faults.nft(
            "type filter hook forward priority 0;",
            f"ether saddr {NEAR} ether daddr {FAR} drop",
            family="bridge",
        ),
    },
    caught="b--dut: expect 1",
)
def test_mirror_shows_exactly_what_passes_the_port(bench: Bench) -> None:
    """Each frame is on the mirror once, in order, unaltered; nothing else is; nothing enters."""
    introduce(bench)
    frames = passing()
    alone, burst = frames[:-BURST], frames[-BURST:]
    with bench.mirror("dut", "a"), bench.capture() as seen:
        for leaf, frame in alone:
            bench.nic(leaf).inject(frame)
            seen.settle()  # one at a time: their order must be known
        bench.nic("a").inject(*(frame for _, frame in burst))
        seen.settle()
        bench.nic("b").inject(EthFrame(dst=OTHER, src=FAR, payload=b"b to c"))
        bench.nic("m").inject(EthFrame(dst=MacAddr.BROADCAST, src=LISTENER))
        bench.watch_for(LINGER)

    copies = [match.raw(frame.emit(pad=True)) for _, frame in frames]
    mirrored = seen.at("m--dut")
    for copy in copies:
        mirrored.expect_count(copy, 1)
    mirrored.expect_sequence(*copies)
    mirrored.expect_none(match.eth(src=FAR, dst=OTHER))
    mirrored.expect_count(match.any(), len(frames))
    for leaf, station in (("a", NEAR), ("b", FAR)):
        for source, frame in frames:
            if source != leaf and frame.dst in (station, MacAddr.BROADCAST):
                seen.at(f"{leaf}--dut").expect_count(match.raw(frame.emit(pad=True)), 1)
    for leaf in ("a", "b", "c"):
        seen.at(f"{leaf}--dut").expect_none(match.eth(src=LISTENER))


@pytest.mark.behaviour("SW-17")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", mirror="m"))
@drill(
    "loses tagged frames, or their tags",
    {
        "openvswitch": faults.ovs_flow(f"dl_vlan={TAG.vid}", "strip_vlan,normal"),
        "linux_bridge": faults.shell(
            "tc qdisc add dev {a} clsact",
            "tc filter add dev {a} ingress pref 1 protocol 802.1Q u32 match u32 0 0 flowid 1:1",
            undo=("tc qdisc del dev {a} clsact 2>/dev/null || true",),
        ),
    },
    caught="m--dut: expect 1",
)
@drill(
    "changes the priority",
    {"openvswitch": faults.ovs_flow(f"dl_vlan={TAG.vid}", "mod_vlan_pcp:0,normal")},
    caught="expect 1",
)
def test_mirror_keeps_tags(bench: Bench) -> None:
    """A tagged frame is on the mirror with the tag, and the priority, that it had."""
    dut = bench.switch("dut")
    for leaf in ("a", "b", "c"):
        dut.set_vlan_mode(bench.port("dut", toward=leaf), VlanMode())
    dut.flush_fdb()
    frames = [
        ("a", EthFrame(FAR, NEAR, payload=b"tagged, a to b" * 5, tags=(TAG,))),
        ("b", EthFrame(NEAR, FAR, payload=b"tagged, b to a" * 5, tags=(TAG,))),
    ]
    with bench.mirror("dut", "a"), bench.capture() as seen:
        for leaf, frame in frames:
            bench.nic(leaf).inject(frame)
            seen.settle()
        bench.watch_for(LINGER)

    mirrored = seen.at("m--dut")
    for _, frame in frames:
        mirrored.expect_count(match.raw(frame.emit()), 1)
    mirrored.expect_count(match.any(), len(frames))
