"""A broadcast leaves every port but its own, whatever the table holds; groups are never learned.

One copy on each other port, from every side, with an empty table and with a full one. A frame
with a group address as its source leaves no entry (IEEE 802.1Q 8.7: individual source addresses are
learned), and broadcasts still reach everybody after it.
"""

from collections import Counter

import pytest

from testbed import (
    Bench,
    Duration,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Topology,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

LEAVES = ("a", "b", "c", "d")
SENDERS = "02:00:00:18:00:00/ff:ff:ff:ff:00:00"
GROUP_SOURCES = (MacAddr("03:00:00:00:08:0b"), MacAddr.BROADCAST)
MARK = b"SW-08"
LINGER = milliseconds(100)  # a copy that comes late is a copy
PAUSE = milliseconds(5)
CROWD = 1000  # stations that fill the table where nobody says how many do
PACE = 1000  # stations a second where the bench file states no learning_rate
ARP, EXPERIMENTAL = 0x0806, 0x88B5
ROUNDS = 4  # of broadcasts from each leaf: enough to miss what is lost now and then
LENGTHS = (200, 1400)  # of a broadcast's text


def crowd(number: int) -> MacAddr:
    """One of many stations."""
    return MacAddr(b"\x02\x00\x00\x08" + number.to_bytes(2, "big"))


def fill_table(bench: Bench) -> None:
    """Have as many stations learned behind port b as the table is stated to hold, or a crowd.

    By frames that stay there, no faster than the switch is stated to learn.
    """
    dut, b = bench.switch("dut"), bench.nic("b")
    b.inject(EthFrame(dst=MacAddr.BROADCAST, src=crowd(0)))
    dut.wait_learned(crowd(0), on=bench.port("dut", toward="b"), within=seconds(2))
    count = int(bench.stated("dut", "fdb_capacity") or CROWD)
    gap = seconds(1 / (bench.stated("dut", "learning_rate") or PACE))
    with bench.capture("a--dut"):
        start = bench.loop.now()
        for number in range(1, count):
            due = start + number * gap
            if due > bench.loop.now():
                bench.watch_for(Duration(due - bench.loop.now()))
            b.inject(EthFrame(dst=crowd(0), src=crowd(number)))
        bench.watch_for(LINGER)


def expect_broadcasts(bench: Bench, state: int) -> None:
    """Broadcasts from each leaf, by a station new to the switch, reach every other leaf once.

    So do frames to a group that was a source: had it been learned, they would leave one port.
    """
    shouts = {
        leaf: [
            EthFrame(
                dst,
                MacAddr(b"\x02\x00\x00\x18" + bytes([state, number])),
                kind,
                MARK + bytes([turn]) + leaf.encode() * length,
            )
            for turn in range(ROUNDS)
            for length in LENGTHS
            for dst, kind in (
                (MacAddr.BROADCAST, ARP),
                (MacAddr.BROADCAST, EXPERIMENTAL),
                (GROUP_SOURCES[0], EXPERIMENTAL),
            )
        ]
        for number, leaf in enumerate(LEAVES)
    }
    with bench.capture() as seen:
        for leaf, frames in shouts.items():
            bench.nic(leaf).inject(*frames)
            bench.watch_for(PAUSE)  # no more at once than ports have buffers for
        bench.watch_for(LINGER)
    expected = {
        leaf: [frame for other, frames in shouts.items() if other != leaf for frame in frames]
        for leaf in LEAVES
    }
    came = {leaf: Counter(each.data for each in seen.at(f"{leaf}--dut").frames) for leaf in LEAVES}
    for leaf, others in expected.items():
        for data in (frame.emit(pad=True) for frame in others):
            if not came[leaf][data]:  # first: a switch that loses these loses the bench's own, too
                seen.at(f"{leaf}--dut").expect(match.raw(data))
    for leaf, others in expected.items():
        for data in (frame.emit(pad=True) for frame in others):
            if came[leaf][data] != 1:
                seen.at(f"{leaf}--dut").expect_count(match.raw(data), 1)
        seen.at(f"{leaf}--dut").expect_none(match.eth(src=shouts[leaf][0].src))
        seen.at(f"{leaf}--dut").expect_count(match.containing(MARK), len(others))


@pytest.mark.behaviour("SW-08", clause="802.1Q 8.7")
@pytest.mark.topology(Topology.star("dut", *LEAVES))
@drill(
    "keeps broadcasts from a port",
    {
        "openvswitch": faults.ovs_flow(
            f"in_port={{a}},dl_src={SENDERS},dl_dst=ff:ff:ff:ff:ff:ff",
            "output:{b},output:{d}",
        ),
        "linux_bridge": faults.bridge_port("bcast_flood", "off", "c"),
    },
    caught="c--dut: expect raw",
)
@drill(
    "sends broadcasts back",
    {
        "openvswitch": faults.ovs_flow(f"in_port={{a}},dl_src={SENDERS}", "flood,in_port"),
        "linux_bridge": faults.bridge_port("hairpin", "on", "a"),
    },
    caught="a--dut: expect none",
)
@drill(
    "stops broadcasting once the table is full",
    {
        # The 500th station's first frame makes the rule that drops broadcasts.
        "openvswitch": faults.all_of(
            faults.shell(
                ":",
                undo=("ovs-ofctl del-flows {bridge} dl_dst=ff:ff:ff:ff:ff:ff",),
            ),
            faults.ovs_flow(
                f"dl_src={crowd(500)}",
                "learn(table=0,priority=901,eth_dst=ff:ff:ff:ff:ff:ff),normal",
            ),
        ),
        # The set has room for 500 stations: broadcasts of any other are dropped.
        "linux_bridge": faults.shell(
            "nft add table bridge full",
            "nft 'add set bridge full known {{ type ether_addr; size 500; flags dynamic; }}'",
            "nft 'add chain bridge full fault {{ type filter hook prerouting priority 0; }}'",
            "nft 'add rule bridge full fault add @known {{ ether saddr }} accept'",
            "nft 'add rule bridge full fault ether daddr ff:ff:ff:ff:ff:ff ether type 0x0806 drop'",
            undo=("nft delete table bridge full 2>/dev/null || true",),
        ),
    },
    caught="--dut: expect raw",
)
@drill(
    "learns a group source",
    {
        "openvswitch": faults.shell(
            f"ovs-appctl fdb/add {{bridge}} {{a}} 0 {GROUP_SOURCES[0]}",
            # No command deletes such an entry; a port that changes forgets all of its own.
            undo=(
                "ovs-vsctl set port {a} protected=true",
                "ovs-vsctl set port {a} protected=false",
            ),
        ),
    },
    caught="learned a group address",
)
def test_broadcast_reaches_everybody_and_teaches_no_group(bench: Bench) -> None:
    dut, a = bench.switch("dut"), bench.nic("a")
    dut.flush_fdb()
    expect_broadcasts(bench, state=0)

    for group in GROUP_SOURCES:
        a.inject(EthFrame(dst=MacAddr.BROADCAST, src=group))
    fill_table(bench)
    groups = [entry for entry in dut.fdb() if entry.mac in GROUP_SOURCES]
    if groups:
        raise ExpectationFailed(f"{dut.name} learned a group address: {groups[0]}")
    expect_broadcasts(bench, state=1)
