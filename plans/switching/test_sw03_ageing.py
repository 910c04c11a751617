"""A switch forgets a silent station after the ageing time, and not before.

The entry is there at 0.9 T and gone by the bench's tolerance, 2 T at most (tolerance ``ageing``, a
multiple of T; IEEE 802.1Q 8.8.3, RFC 2889 5.7.3.3). Silicon that marks entries and sweeps ages in
[T, 2 T]. Judged by a probe frame: known, it leaves one port; forgotten, it floods.
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
PROBER = MacAddr("02:00:00:00:03:0b")
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


@pytest.mark.behaviour("SW-03", clause="802.1Q 8.8.3")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "never ages",
    {
        "openvswitch": faults.repeatedly(
            "ovs-vsctl set bridge {bridge} other_config:mac-aging-time=3600"
        ),
        "linux_bridge": faults.repeatedly("ip link set {bridge} type bridge ageing_time 360000"),
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

    bench.nic("a").inject(EthFrame(dst=MacAddr.BROADCAST, src=STATION))
    spoke = bench.loop.now()
    dut.wait_learned(STATION, on=bench.port("dut", toward="a"), within=seconds(1))

    early = round(ageing * 0.9)
    bench.watch_for(Duration(spoke + early - bench.loop.now()))
    if floods(bench):
        raise ExpectationFailed(
            f"{dut.name}: {STATION} was forgotten before its time: frames to it flood "
            f"{format_duration(Duration(early))} after it spoke, ageing time "
            f"{format_duration(ageing)}"
        )
    bench.watch_for(Duration(spoke + ageing - bench.loop.now()))
    while not floods(bench):
        if bench.loop.now() > spoke + latest:
            raise ExpectationFailed(
                f"{dut.name}: {STATION} is still known {format_duration(latest)} after it spoke, "
                f"ageing time {format_duration(ageing)}: frames to it do not flood"
            )
        bench.watch_for(milliseconds(100))
    bench.log(f"forgotten {format_duration(Duration(bench.loop.now() - spoke))} after it spoke")
