"""A port that loses its link forgets its stations; an operator's clear forgets all; static stays.

After the link of port a goes down, its entry is gone and b's is not. After a clear, b's is gone
too. The static entry survives both, and its station is still reached through one port only.
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
    match,
    seconds,
)

LEAVER = MacAddr("02:00:00:00:13:0a")
STAYER = MacAddr("02:00:00:00:13:0b")
FIXED = MacAddr("02:00:00:00:13:0c")
SENDER = MacAddr("02:00:00:00:13:0d")


def introduce(bench: Bench) -> dict[str, str]:
    """Have LEAVER learned at a, STAYER at b, and FIXED set at c; the ports of a, b and c."""
    dut = bench.switch("dut")
    port = {leaf: bench.port("dut", toward=leaf) for leaf in "abc"}
    dut.flush_fdb()
    dut.add_static(FIXED, port["c"])
    for leaf, station in (("a", LEAVER), ("b", STAYER)):
        bench.nic(leaf).inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
        dut.wait_learned(station, on=port[leaf], within=seconds(2))
    return port


def expect_sought(bench: Bench, station: MacAddr, *leaves: str) -> None:
    """A frame from d to ``station`` comes out toward these leaves, once each, and no others."""
    with bench.capture() as seen:
        bench.nic("d").inject(EthFrame(dst=station, src=SENDER))
        seen.settle()
    for leaf in "abcd":
        frame, point = match.eth(dst=station, src=SENDER), seen.at(f"{leaf}--dut")
        if leaf in leaves:
            point.expect_count(frame, 1)
        else:
            point.expect_none(frame)


@pytest.mark.behaviour("SW-13", clause="802.1Q 8.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "keeps the entries of a dead port",
    {
        "linux_bridge": faults.shell(
            f"bridge fdb replace {LEAVER} dev {{a}} master static",
            undo=(f"bridge fdb del {LEAVER} dev {{a}} master 2>/dev/null || true",),
        ),
    },
    caught="did not forget",
)
def test_dead_port_is_forgotten_and_no_other(bench: Bench) -> None:
    """A port that loses its link forgets its stations, and only its own."""
    bench.except_known("dut", "keeps entries of dead ports")
    dut, port = bench.switch("dut"), introduce(bench)

    dut.set_port_up(port["a"], up=False)
    dut.wait_forgotten(LEAVER, within=seconds(5))
    dut.wait_learned(STAYER, on=port["b"], within=seconds(1))
    dut.set_port_up(port["a"], up=True)
    dut.wait_port_up(port["a"], within=seconds(8))

    expect_sought(bench, LEAVER, "a", "b", "c")
    expect_sought(bench, STAYER, "b")
    expect_sought(bench, FIXED, "c")


@pytest.mark.behaviour("SW-13", clause="802.1Q 8.8.1")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "keeps an entry through a clear",
    {
        "openvswitch": faults.repeatedly(
            f"ovs-appctl fdb/add {{bridge}} {{a}} 0 {LEAVER}", every=0.01
        ),
        "linux_bridge": faults.shell(
            f"bridge fdb replace {LEAVER} dev {{a}} master static",
            undo=(f"bridge fdb del {LEAVER} dev {{a}} master 2>/dev/null || true",),
        ),
    },
    caught="did not forget",
)
@drill(
    "loses the static entry",
    {
        "openvswitch": faults.repeatedly(f"ovs-appctl fdb/del {{bridge}} 0 {FIXED}", every=0.01),
        "linux_bridge": faults.repeatedly(
            f"bridge fdb del {FIXED} dev {{c}} master 2>/dev/null", every=0.01
        ),
    },
    caught="static entry of",
)
def test_clear_empties_the_table_but_static_stays(bench: Bench) -> None:
    """An operator's clear forgets all stations but the static ones."""
    dut, port = bench.switch("dut"), introduce(bench)

    dut.flush_fdb()
    dut.wait_forgotten(STAYER, within=seconds(2))
    dut.wait_forgotten(LEAVER, within=seconds(1))
    static = [entry for entry in dut.fdb() if entry.mac == FIXED]
    if [entry.port for entry in static] != [port["c"]]:
        raise ExpectationFailed(
            f"{dut.name}: the static entry of {FIXED} is now {static or 'gone'}"
        )

    expect_sought(bench, STAYER, "a", "b", "c")
    expect_sought(bench, FIXED, "c")
