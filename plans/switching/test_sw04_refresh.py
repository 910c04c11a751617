"""Frames from a station restart its ageing; frames to it do not.

A speaks at 0 and at 0.7 T: it is still known at 1.4 T. From then on it is only spoken to, and is
forgotten all the same by the bench's tolerance (IEEE 802.1Q 8.7: learning looks at sources).
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

STATION = MacAddr("02:00:00:00:04:0a")
PROBER = MacAddr("02:00:00:00:04:0b")
HELLO = EthFrame(dst=MacAddr.BROADCAST, src=STATION)
SHORTEST = seconds(2)


def floods(bench: Bench) -> bool:
    """Whether a frame to the station comes out where the station is not."""
    with bench.capture("b--dut", "c--dut") as seen:
        bench.nic("b").inject(EthFrame(dst=STATION, src=PROBER))
        seen.settle()
    elsewhere, probe = seen.at("c--dut"), match.eth(dst=STATION, src=PROBER)
    if elsewhere.all(probe):
        return True
    elsewhere.expect_none(probe)  # it counts only if nothing was missed there
    return False


@pytest.mark.behaviour("SW-04", clause="802.1Q 8.7")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "destination traffic refreshes",
    {
        "openvswitch": faults.repeatedly(f"ovs-appctl fdb/add {{bridge}} {{a}} 0 {STATION}"),
        "linux_bridge": faults.repeatedly(f"bridge fdb replace {STATION} dev {{a}} master dynamic"),
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
    a.inject(HELLO)
    bench.watch_for(Duration(round(ageing * 0.7)))
    spoke = bench.loop.now()
    a.inject(HELLO)
    bench.watch_for(Duration(start + round(ageing * 1.4) - bench.loop.now()))
    if floods(bench):
        raise ExpectationFailed(
            f"{dut.name}: {STATION} was forgotten though it spoke "
            f"{format_duration(Duration(bench.loop.now() - spoke))} ago, ageing time "
            f"{format_duration(ageing)}: its own frames do not refresh it"
        )
    while not floods(bench):
        if bench.loop.now() > spoke + latest:
            raise ExpectationFailed(
                f"{dut.name}: {STATION} is still known {format_duration(latest)} after it last "
                f"spoke, ageing time {format_duration(ageing)}: frames to it refresh it"
            )
        bench.watch_for(milliseconds(200))
