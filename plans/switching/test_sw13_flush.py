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


@pytest.mark.behaviour("SW-13", clause="802.1Q 8.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "keeps the entries of a dead port",
    {
        "openvswitch": faults.shell(
            f"ovs-appctl fdb/add {{bridge}} {{a}} 0 {LEAVER}",
            undo=(f"ovs-appctl fdb/del {{bridge}} 0 {LEAVER} || true",),
        ),
        "linux_bridge": faults.repeatedly(f"bridge fdb replace {LEAVER} dev {{a}} master dynamic"),
    },
    caught="did not forget",
)
def test_dead_port_and_clear_empty_the_table_but_static_stays(bench: Bench) -> None:
    dut, a, b, d = bench.switch("dut"), bench.nic("a"), bench.nic("b"), bench.nic("d")
    port = {leaf: bench.port("dut", toward=leaf) for leaf in "abc"}
    dut.flush_fdb()
    dut.add_static(FIXED, port["c"])
    a.inject(EthFrame(dst=MacAddr.BROADCAST, src=LEAVER))
    b.inject(EthFrame(dst=MacAddr.BROADCAST, src=STAYER))
    dut.wait_learned(LEAVER, on=port["a"], within=seconds(2))
    dut.wait_learned(STAYER, on=port["b"], within=seconds(2))

    dut.set_port_up(port["a"], up=False)
    dut.wait_forgotten(LEAVER, within=seconds(5))
    dut.wait_learned(STAYER, on=port["b"], within=seconds(1))
    dut.set_port_up(port["a"], up=True)
    dut.wait_port_up(port["a"], within=seconds(8))

    dut.flush_fdb()
    dut.wait_forgotten(STAYER, within=seconds(2))
    static = [entry for entry in dut.fdb() if entry.mac == FIXED]
    if [entry.port for entry in static] != [port["c"]]:
        raise ExpectationFailed(
            f"{dut.name}: the static entry of {FIXED} is now {static or 'gone'}"
        )

    with bench.capture() as seen:
        d.inject(EthFrame(dst=STAYER, src=SENDER), EthFrame(dst=FIXED, src=SENDER))
        seen.settle()
    for leaf in ("a", "b", "c"):  # forgotten: sought everywhere
        seen.at(f"{leaf}--dut").expect_count(match.eth(dst=STAYER, src=SENDER), 1)
    seen.at("c--dut").expect_count(match.eth(dst=FIXED, src=SENDER), 1)
    for leaf in ("a", "b", "d"):
        seen.at(f"{leaf}--dut").expect_none(match.eth(dst=FIXED, src=SENDER))
