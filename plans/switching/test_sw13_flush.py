"""A port that loses its link forgets its stations; an operator's clear forgets all; static stays.

After the link of port a goes down, or a clear of port a, its entry is gone and b's is not. After a
clear of all ports, b's is gone too. Static entries survive each of them, that of port a too, and
their stations are still reached through one port only; whoever speaks is learned anew.
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
    milliseconds,
    seconds,
)

LEAVER = MacAddr("02:00:00:00:13:0a")
STAYER = MacAddr("02:00:00:00:13:0b")
FIXED = {"a": MacAddr("02:00:00:00:13:1a"), "c": MacAddr("02:00:00:00:13:1c")}
SENDER = MacAddr("02:00:00:00:13:0d")
MARK = b"SW-13"
LINGER = milliseconds(100)  # a copy that comes late is a copy


def introduce(bench: Bench) -> dict[str, str]:
    """Have LEAVER learned at a, STAYER at b, static entries set at a and c; the leaves' ports."""
    dut = bench.switch("dut")
    port = {leaf: bench.port("dut", toward=leaf) for leaf in "abcd"}
    dut.flush_fdb()
    for leaf, station in FIXED.items():
        dut.add_static(station, port[leaf])
    for leaf, station in (("a", LEAVER), ("b", STAYER)):
        bench.nic(leaf).inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
        dut.wait_learned(station, on=port[leaf], within=seconds(2))
    return port


def expect_sought(bench: Bench, station: MacAddr, *leaves: str, among: str = "abcd") -> None:
    """A frame from d to ``station`` comes out toward these leaves, once each, and no others.

    ``among`` are the leaves whose link is up.
    """
    frame = EthFrame(dst=station, src=SENDER, payload=MARK + bytes(range(200)))
    links = [f"{leaf}--dut" for leaf in among]
    with bench.capture(*links, domains=[tuple(among)]) as seen:
        bench.nic("d").inject(frame)
        bench.watch_for(LINGER)
    for leaf in among:
        point = seen.at(f"{leaf}--dut")
        if leaf in leaves:
            point.expect_count(match.raw(frame.emit(pad=True)), 1)
            point.expect_count(match.containing(MARK), 1)
        else:
            point.expect_none(match.containing(MARK))


def expect_static(bench: Bench) -> None:
    """The static entries are in the table as they were set, and frames to them go there only."""
    dut = bench.switch("dut")
    for leaf, station in FIXED.items():
        rows = [entry for entry in dut.fdb() if entry.mac == station]
        if [(row.port, row.static) for row in rows] != [(bench.port("dut", toward=leaf), True)]:
            raise ExpectationFailed(
                f"{dut.name}: the static entry of {station} is now {rows or 'gone'}"
            )
        expect_sought(bench, station, leaf)


def expect_learned_anew(bench: Bench, port: dict[str, str]) -> None:
    """LEAVER is sought everywhere until it speaks, and is then known again."""
    expect_sought(bench, LEAVER, "a", "b", "c")
    bench.nic("a").inject(EthFrame(dst=SENDER, src=LEAVER))
    bench.switch("dut").wait_learned(LEAVER, on=port["a"], within=seconds(2))


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
    dut.wait_forgotten(LEAVER, within=seconds(2))
    dut.wait_learned(STAYER, on=port["b"], within=seconds(1))
    expect_sought(bench, STAYER, "b", among="bcd")
    expect_sought(bench, LEAVER, "b", "c", among="bcd")
    dut.set_port_up(port["a"], up=True)
    dut.wait_port_up(port["a"], within=seconds(8))

    expect_sought(bench, STAYER, "b")
    expect_static(bench)
    expect_learned_anew(bench, port)


@pytest.mark.behaviour("SW-13", clause="802.1Q 8.8.1")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "keeps an entry through a port's clear",
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
    "clears the other ports too",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={STAYER}", "flood"),
        "linux_bridge": faults.bridge_port("learning", "off", "b"),
    },
    caught=f"did not learn {STAYER}|--dut: expect none",
)
def test_clear_of_a_port_empties_that_port_only(bench: Bench) -> None:
    """An operator's clear of one port forgets the stations of that port but the static ones."""
    dut, port = bench.switch("dut"), introduce(bench)

    dut.flush_fdb(port["a"])
    dut.wait_forgotten(LEAVER, within=seconds(2))
    dut.wait_learned(STAYER, on=port["b"], within=seconds(1))

    expect_sought(bench, STAYER, "b")
    expect_static(bench)
    expect_learned_anew(bench, port)


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
        "openvswitch": faults.repeatedly(
            f"ovs-appctl fdb/del {{bridge}} 0 {FIXED['c']}", every=0.01
        ),
        "linux_bridge": faults.repeatedly(
            f"bridge fdb del {FIXED['c']} dev {{c}} master 2>/dev/null", every=0.01
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

    expect_sought(bench, STAYER, "a", "b", "c")
    expect_static(bench)
    expect_learned_anew(bench, port)
