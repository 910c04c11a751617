"""A switch relearns a station that reappears behind another port.

A is seen on port 1, then on port 3: there is one entry, on port 3, and frames to A leave port 3
only (IEEE 802.1Q 8.7: the entry's port is updated), also those of a conversation that was going on
before the move. It moves there and back, announced by a broadcast and by a unicast. Its neighbour
at the first port stays there.
"""

import pytest

from testbed import (
    Bench,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Topology,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

STATION = MacAddr("02:00:00:00:02:0a")
PEER = MacAddr("02:00:00:00:02:0b")
NEIGHBOUR = MacAddr("02:00:00:00:02:0c")
MARK = b"SW-02"
LINGER = milliseconds(100)  # a copy that comes late is a copy
SOON = seconds(1)
LEAVES = ("old", "new", "peer", "other")
JOURNEY = [
    ("old", MacAddr.BROADCAST),
    ("new", MacAddr.BROADCAST),
    ("old", PEER),
    ("new", PEER),
]


def await_move(bench: Bench, place: str) -> None:
    """Frames to the station leave toward ``place`` and no other leaf, soon after it was learned."""
    deadline = bench.loop.now() + SOON
    probe, mine = EthFrame(dst=STATION, src=PEER), match.eth(dst=STATION)
    while True:
        with bench.capture() as seen:
            bench.nic("peer").inject(probe)
            seen.settle()
        came = [leaf for leaf in LEAVES if seen.at(f"{leaf}--dut").all(mine)]
        if came == [place]:
            return
        if bench.loop.now() > deadline:
            raise ExpectationFailed(
                f"dut: {format_duration(SOON)} after {STATION} was learned toward {place}, frames "
                f"to it leave toward {', '.join(came) or 'nobody'}"
            )
        bench.watch_for(LINGER)


def expect_calls(bench: Bench, place: str, station: MacAddr = STATION) -> None:
    """Each of three calls comes out toward ``place``, once and unaltered, and nowhere else."""
    calls = [EthFrame(station, PEER, payload=MARK + bytes([n]) * 250) for n in range(3)]
    with bench.capture() as seen:
        bench.nic("peer").inject(*calls)
        bench.watch_for(LINGER)
    for call in calls:
        seen.at(f"{place}--dut").expect_count(match.raw(call.emit(pad=True)), 1)
    seen.at(f"{place}--dut").expect_count(match.containing(MARK), len(calls))
    for leaf in LEAVES:
        if leaf != place:
            seen.at(f"{leaf}--dut").expect_none(match.containing(MARK))


@pytest.mark.behaviour("SW-02", clause="802.1Q 8.7")
@pytest.mark.topology(Topology.star("dut", *LEAVES))
@drill(
    "keeps the old port",
    {
        "openvswitch": faults.shell(
            f"ovs-appctl fdb/add {{bridge}} {{old}} 0 {STATION}",
            undo=(f"ovs-appctl fdb/del {{bridge}} 0 {STATION} || true",),
        ),
        "linux_bridge": faults.shell(
            f"bridge fdb replace {STATION} dev {{old}} master static sticky",
            undo=(f"bridge fdb del {STATION} dev {{old}} master 2>/dev/null || true",),
        ),
    },
    caught="did not learn",
)
@drill(
    "goes on sending to the old port too",
    {"openvswitch": faults.ovs_flow(f"dl_dst={STATION}", "output:{old},output:{new}")},
    caught="leave toward old, new",
)
@drill(
    "moves on broadcasts only",
    {
        "openvswitch": faults.ovs_flow(f"dl_src={STATION},dl_dst={PEER}", "output:{peer}"),
        "linux_bridge": faults.nft(
            "type filter hook prerouting priority 0;",
            f"ether saddr {STATION} ether daddr {PEER} drop",
            family="bridge",
        ),
    },
    caught="did not learn",
)
def test_moved_station_is_relearned(bench: Bench) -> None:
    dut = bench.switch("dut")
    dut.flush_fdb()
    bench.nic("peer").inject(EthFrame(dst=MacAddr.BROADCAST, src=PEER))
    dut.wait_learned(PEER, on=bench.port("dut", toward="peer"), within=seconds(2))
    bench.nic("old").inject(EthFrame(dst=MacAddr.BROADCAST, src=NEIGHBOUR))
    dut.wait_learned(NEIGHBOUR, on=bench.port("dut", toward="old"), within=seconds(2))
    for moves, (place, announced_to) in enumerate(JOURNEY):
        bench.nic(place).inject(EthFrame(dst=announced_to, src=STATION))
        dut.wait_learned(STATION, on=bench.port("dut", toward=place), within=seconds(2))
        if moves:
            await_move(bench, place)
            expect_calls(bench, place)
            expect_calls(bench, "old", NEIGHBOUR)
