"""A switch relearns a station that reappears behind another port.

A is seen on port 1, then on port 3: there is one entry, on port 3, and frames to A leave port 3
only (IEEE 802.1Q 8.7: the entry's port is updated).
"""

import pytest

from testbed import Bench, EthFrame, MacAddr, Topology, drill, faults, match, seconds

STATION = MacAddr("02:00:00:00:02:0a")
HELLO = EthFrame(dst=MacAddr.BROADCAST, src=STATION)


@pytest.mark.behaviour("SW-02", clause="802.1Q 8.7")
@pytest.mark.topology(Topology.star("dut", "old", "new", "peer"))
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
def test_moved_station_is_relearned(bench: Bench) -> None:
    dut, peer = bench.switch("dut"), bench.nic("peer")
    dut.flush_fdb()
    for place in ("old", "new"):  # the second announcement is the move
        bench.nic(place).inject(HELLO)
        dut.wait_learned(STATION, on=bench.port("dut", toward=place), within=seconds(2))

    call = EthFrame(dst=STATION, src=peer.mac, payload=bytes(range(256)))
    with bench.capture() as seen:
        peer.inject(call)
        seen.settle()

    seen.at("new--dut").expect_count(match.raw(call.emit(pad=True)), 1)
    seen.at("new--dut").expect_count(match.eth(dst=STATION), 1)
    for place in ("old", "peer"):
        seen.at(f"{place}--dut").expect_none(match.eth(dst=STATION))
