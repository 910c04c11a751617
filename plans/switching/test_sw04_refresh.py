"""Frames from a station restart its ageing; frames to it do not.

Three stations speak at 0 and at 0.2 T, the second time one of them by a unicast, one at another
port: all are still known at 1.12 T. From then on they are only spoken to, and are forgotten all the
same by the bench's tolerance (IEEE 802.1Q 8.7: learning looks at sources).
"""

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
    format_duration,
    match,
    milliseconds,
    seconds,
)

SHOUTER = MacAddr("02:00:00:00:04:0a")
CALLER = MacAddr("02:00:00:00:04:0b")
MOVER = MacAddr("02:00:00:00:04:0d")
PROBER = MacAddr("02:00:00:00:04:0c")
SHORTEST = seconds(2)


def floods(bench: Bench, station: MacAddr) -> bool:
    """Whether a frame to ``station`` comes out where it is not."""
    leaf = "a" if station == MOVER else "c"
    with bench.capture("b--dut", f"{leaf}--dut") as seen:
        bench.nic("b").inject(EthFrame(dst=station, src=PROBER))
        seen.settle()
    elsewhere, probe = seen.at(f"{leaf}--dut"), match.eth(dst=station, src=PROBER)
    if elsewhere.all(probe):
        return True
    elsewhere.expect_none(probe)  # it counts only if nothing was missed there
    return False


def refreshed_by_bridge(station: MacAddr) -> str:
    """What restarts the ageing of an entry that the bridge has: its change into another kind."""
    return "; ".join(
        f"bridge fdb replace {station} dev {{a}} master {kind}" for kind in ("static", "dynamic")
    )


@pytest.mark.behaviour("SW-04", clause="802.1Q 8.7")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "destination traffic refreshes",
    {
        "openvswitch": faults.repeatedly(f"ovs-appctl fdb/add {{bridge}} {{a}} 0 {SHOUTER}"),
        "linux_bridge": faults.repeatedly(refreshed_by_bridge(SHOUTER)),
    },
    caught="is still known",
)
@drill(
    "the station's own frames do not refresh it",
    {
        "openvswitch": faults.repeatedly("ovs-appctl fdb/flush", every=0.4),
        "linux_bridge": faults.repeatedly("ip link set {bridge} type bridge fdb_flush", every=0.4),
    },
    caught="do not refresh it",
)
def test_only_the_stations_own_frames_refresh_it(bench: Bench) -> None:
    dut, a = bench.switch("dut"), bench.nic("a")
    ageing = Duration(max(dut.least_ageing_time, SHORTEST))
    latest = Duration(round(ageing * bench.tolerance("ageing", 2.0)))
    dut.set_ageing_time(ageing)
    dut.flush_fdb()

    start = bench.loop.now()
    for station in (SHOUTER, CALLER, MOVER):
        a.inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
    bench.watch_for(Duration(start + round(ageing * 0.2) - bench.loop.now()))
    spoke = bench.loop.now()
    a.inject(EthFrame(dst=MacAddr.BROADCAST, src=SHOUTER), EthFrame(dst=PROBER, src=CALLER))
    bench.nic("c").inject(EthFrame(dst=MacAddr.BROADCAST, src=MOVER))
    bench.watch_for(Duration(start + round(ageing * 1.12) - bench.loop.now()))
    for station in (SHOUTER, CALLER, MOVER):
        if floods(bench, station):
            raise ExpectationFailed(
                f"{dut.name}: {station} was forgotten though it spoke "
                f"{format_duration(Duration(bench.loop.now() - spoke))} ago, ageing time "
                f"{format_duration(ageing)}: its own frames do not refresh it"
            )
    known = [SHOUTER, CALLER, MOVER]
    while known := [station for station in known if not floods(bench, station)]:
        if bench.loop.now() > spoke + latest:
            raise ExpectationFailed(
                f"{dut.name}: {known[0]} is still known {format_duration(latest)} after it last "
                f"spoke, ageing time {format_duration(ageing)}: frames to it refresh it"
            )
        bench.watch_for(milliseconds(100))
