"""Flooding stops as soon as the station answers; broadcasting does not.

Frames to A flood until A sends one frame; from then on they reach A's port only, while broadcasts
go on reaching everybody (IEEE 802.1Q 8.8).
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

STATION = MacAddr("02:00:00:00:09:0a")
SENDER = MacAddr("02:00:00:00:09:0b")
MARK = b"SW-09"
LINGER = milliseconds(100)  # a copy that comes late is a copy
SOON = seconds(1)
LEAVES = ("a", "b", "c", "d")


def expect_calls(bench: Bench, count: int, *leaves: str) -> None:
    """Frames from b to the station reach these leaves once each, broadcasts reach everybody."""
    calls = [EthFrame(STATION, SENDER, payload=MARK + bytes([n]) * 200) for n in range(count)]
    shout = EthFrame(MacAddr.BROADCAST, SENDER, payload=MARK + b"to all" * 20)
    with bench.capture() as seen:
        bench.nic("b").inject(*calls, shout)
        bench.watch_for(LINGER)
    wanted = {
        leaf: [*(calls if leaf in leaves else ()), *([shout] if leaf != "b" else ())]
        for leaf in LEAVES
    }
    for leaf, expected in wanted.items():
        for frame in expected:  # first: a switch that loses broadcasts loses the bench's own, too
            seen.at(f"{leaf}--dut").expect(match.raw(frame.emit(pad=True)))
    for leaf, expected in wanted.items():
        for frame in expected:
            seen.at(f"{leaf}--dut").expect_count(match.raw(frame.emit(pad=True)), 1)
        if leaf not in leaves:
            seen.at(f"{leaf}--dut").expect_none(match.eth(dst=STATION))
        seen.at(f"{leaf}--dut").expect_count(match.containing(MARK), len(expected))


def await_end_of_flood(bench: Bench) -> None:
    """Call the station until that is heard at its own port only."""
    deadline = bench.loop.now() + SOON
    while True:
        with bench.capture() as seen:
            bench.nic("b").inject(EthFrame(dst=STATION, src=SENDER))
            seen.settle()
        elsewhere = [leaf for leaf in "bcd" if seen.at(f"{leaf}--dut").all(match.eth(dst=STATION))]
        if not elsewhere:
            return
        if bench.loop.now() > deadline:
            raise ExpectationFailed(
                f"dut: {format_duration(SOON)} after {STATION} answered, frames to it still flood "
                f"toward {', '.join(elsewhere)}"
            )
        bench.watch_for(LINGER)


@pytest.mark.behaviour("SW-09", clause="802.1Q 8.8")
@pytest.mark.topology(Topology.star("dut", *LEAVES))
@drill(
    "floods forever",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={STATION}", "flood"),
        "linux_bridge": faults.bridge_port("learning", "off", "a"),
    },
    caught="still flood",
)
@drill(
    "stops broadcasting too",
    {
        "openvswitch": faults.all_of(
            faults.shell(":", undo=(f"ovs-ofctl del-flows {{bridge}} dl_src={SENDER}",)),
            faults.ovs_flow(
                f"dl_src={STATION}",
                f"learn(table=0,priority=901,eth_src={SENDER},eth_dst=ff:ff:ff:ff:ff:ff,"
                "output:in_port),normal",
            ),
        ),
    },
    caught="c--dut: expect raw",
)
@drill(
    "does not flood at first",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={STATION}", "output:{a}"),
        "linux_bridge": faults.bridge_port("flood", "off", "c"),
    },
    caught="c--dut: expect raw",
)
def test_an_answer_ends_the_flood(bench: Bench) -> None:
    bench.switch("dut").flush_fdb()
    expect_calls(bench, 8, "a", "c", "d")

    answer = EthFrame(dst=SENDER, src=STATION, payload=MARK + bytes(200))
    with bench.capture() as seen:
        bench.nic("a").inject(answer)
        bench.watch_for(LINGER)
    await_end_of_flood(bench)
    expect_calls(bench, 8, "a")

    seen.at("b--dut").expect_count(match.raw(answer.emit(pad=True)), 1)
    for leaf in ("a", "c", "d"):
        seen.at(f"{leaf}--dut").expect_none(match.containing(MARK))
