"""Frames from a station restart its ageing; frames to it do not.

Three stations speak at 0 and at 0.3 T, the second time one of them by a unicast, one at another
port: all are still known at 1.12 T. From then on they are only spoken to, and are forgotten all the
same by the bench's tolerance (IEEE 802.1Q 8.7: learning looks at sources).
"""

import pytest

from testbed import (
    Bench,
    BenchError,
    Duration,
    EthFrame,
    ExpectationFailed,
    Instant,
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
TRIES = 3
"""On a bench that is held up, the time may be over before anybody is asked for."""


def flooded(bench: Bench, *stations: MacAddr) -> list[MacAddr]:
    """To which of these stations frames come out where they are not."""
    with bench.capture() as seen:
        bench.nic("b").inject(*(EthFrame(dst=station, src=PROBER) for station in stations))
        seen.settle()
    found = []
    for station in stations:
        elsewhere = seen.at("a--dut" if station == MOVER else "c--dut")
        probe = match.eth(dst=station, src=PROBER)
        if elsewhere.all(probe):
            found.append(station)
        else:
            elsewhere.expect_none(probe)  # it counts only if nothing was missed there
    return found


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
    dut = bench.switch("dut")
    ageing = Duration(max(dut.least_ageing_time, SHORTEST))
    latest = Duration(round(ageing * bench.tolerance("ageing", 2.0)))
    dut.set_ageing_time(ageing)
    for _ in range(TRIES):
        spoke, lost = refreshed(bench, ageing)
        took = Duration(bench.loop.now() - spoke)
        if not lost:
            break
        if took < ageing:
            raise ExpectationFailed(
                f"{dut.name}: {lost[0]} was forgotten though it spoke {format_duration(took)} ago, "
                f"ageing time {format_duration(ageing)}: its own frames do not refresh it"
            )
    else:
        raise BenchError(f"this bench is too slow for an ageing time of {format_duration(ageing)}")

    known = [SHOUTER, CALLER, MOVER]
    while known:
        found = flooded(bench, *known)
        known = [station for station in known if station not in found]
        if known and bench.loop.now() > spoke + latest:
            raise ExpectationFailed(
                f"{dut.name}: {known[0]} is still known {format_duration(latest)} after it last "
                f"spoke, ageing time {format_duration(ageing)}: frames to it refresh it"
            )
        bench.watch_for(milliseconds(100))


def refreshed(bench: Bench, ageing: Duration) -> tuple[Instant, list[MacAddr]]:
    """All three speak twice; when they did last, and who of them is forgotten at 1.12 T."""
    a = bench.nic("a")
    bench.switch("dut").flush_fdb()
    start = bench.loop.now()
    a.inject(*(EthFrame(MacAddr.BROADCAST, station) for station in (SHOUTER, CALLER, MOVER)))
    bench.watch_for(Duration(start + round(ageing * 0.3) - bench.loop.now()))
    spoke = bench.loop.now()
    a.inject(EthFrame(dst=MacAddr.BROADCAST, src=SHOUTER), EthFrame(dst=PROBER, src=CALLER))
    bench.nic("c").inject(EthFrame(dst=MacAddr.BROADCAST, src=MOVER))
    bench.watch_for(Duration(start + round(ageing * 1.12) - bench.loop.now()))
    return spoke, flooded(bench, SHOUTER, CALLER, MOVER)
