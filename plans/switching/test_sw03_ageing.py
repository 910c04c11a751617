"""A switch forgets a silent station after the ageing time, and not before.

The entry is there at 0.9 T and gone by the bench's tolerance, 2 T at most (tolerance ``ageing``, a
multiple of T; IEEE 802.1Q 8.8.3, RFC 2889 5.7.3.3). Silicon that marks entries and sweeps ages in
[T, 2 T]. Judged by a probe frame: known, it leaves one port; forgotten, it floods. Each station
ages for itself: one that spoke later is still known.
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

STATION = MacAddr("02:00:00:00:03:0a")
LATER = MacAddr("02:00:00:00:03:0b")
PROBER = MacAddr("02:00:00:00:03:0c")
SHORTEST = seconds(2)


def floods(bench: Bench, station: MacAddr) -> bool:
    """Whether a frame to ``station`` comes out where it is not."""
    with bench.capture("b--dut", "c--dut") as seen:
        bench.nic("b").inject(EthFrame(dst=station, src=PROBER))
        seen.settle()
    elsewhere, probe = seen.at("c--dut"), match.eth(dst=station, src=PROBER)
    if elsewhere.all(probe):
        return True
    elsewhere.expect_none(probe)  # it counts only if nothing was missed there
    return False


@pytest.mark.behaviour("SW-03", clause="802.1Q 8.8.3")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "never ages",
    {
        "openvswitch": faults.shell(
            f"ovs-appctl fdb/add {{bridge}} {{a}} 0 {STATION}",
            undo=(f"ovs-appctl fdb/del {{bridge}} 0 {STATION} || true",),
        ),
        "linux_bridge": faults.shell(
            f"bridge fdb replace {STATION} dev {{a}} master static",
            undo=(f"bridge fdb del {STATION} dev {{a}} master 2>/dev/null || true",),
        ),
    },
    caught="still known",
)
@drill(
    "ages too early",
    {
        "openvswitch": faults.repeatedly("ovs-appctl fdb/flush", every=0.4),
        "linux_bridge": faults.repeatedly("ip link set {bridge} type bridge fdb_flush", every=0.4),
    },
    caught="before its time|did not learn",
)
def test_silent_station_is_forgotten_in_time(bench: Bench) -> None:
    dut = bench.switch("dut")
    ageing = Duration(max(dut.least_ageing_time, SHORTEST))
    latest = Duration(round(ageing * bench.tolerance("ageing", 2.0)))
    dut.set_ageing_time(ageing)
    if dut.ageing_time() != ageing:
        raise ExpectationFailed(
            f"{dut.name}: ageing time is {format_duration(dut.ageing_time())}, "
            f"it was set to {format_duration(ageing)}"
        )
    dut.flush_fdb()

    a = bench.nic("a")
    a.inject(EthFrame(dst=MacAddr.BROADCAST, src=STATION))
    spoke = bench.loop.now()
    dut.wait_learned(STATION, on=bench.port("dut", toward="a"), within=seconds(1))
    bench.watch_for(Duration(spoke + round(ageing * 0.5) - bench.loop.now()))
    a.inject(EthFrame(dst=MacAddr.BROADCAST, src=LATER))

    early = round(ageing * 0.9)
    bench.watch_for(Duration(spoke + early - bench.loop.now()))
    if floods(bench, STATION):
        raise ExpectationFailed(
            f"{dut.name}: {STATION} was forgotten before its time: frames to it flood "
            f"{format_duration(Duration(early))} after it spoke, ageing time "
            f"{format_duration(ageing)}"
        )
    bench.watch_for(Duration(spoke + ageing - bench.loop.now()))
    while not floods(bench, STATION):
        if bench.loop.now() > spoke + latest:
            raise ExpectationFailed(
                f"{dut.name}: {STATION} is still known {format_duration(latest)} after it spoke, "
                f"ageing time {format_duration(ageing)}: frames to it do not flood"
            )
        bench.watch_for(milliseconds(100))
    forgotten = Duration(bench.loop.now() - spoke)
    bench.log(f"forgotten {format_duration(forgotten)} after it spoke")
    if forgotten < ageing * 1.4 and floods(bench, LATER):
        raise ExpectationFailed(
            f"{dut.name}: {LATER} was forgotten before its time, together with {STATION}: it spoke "
            f"half of the ageing time {format_duration(ageing)} later"
        )
    dut.wait_forgotten(STATION, within=seconds(2))
