"""Flooding stops as soon as the station answers; broadcasting does not.

Frames to A flood until A sends one frame; from then on they reach A's port only, while broadcasts
go on reaching everybody (IEEE 802.1Q 8.8).
"""

import pytest

from testbed import Bench, EthFrame, MacAddr, Topology, drill, faults, match, seconds

STATION = MacAddr("02:00:00:00:09:0a")
SENDER = MacAddr("02:00:00:00:09:0b")


def floods_forever_ovs(bench: Bench) -> None:
    """Flood what is for the station, whatever is learned."""
    bench.sabotage("dut").run(
        "for b in $(ovs-vsctl list-br); do ovs-ofctl add-flow $b"
        f" priority=900,dl_dst={STATION},actions=flood; done",
        undo=(
            "for b in $(ovs-vsctl list-br); do ovs-ofctl --strict del-flows $b"
            f" priority=900,dl_dst={STATION}; done",
        ),
    )


def floods_forever_bridge(bench: Bench) -> None:
    """Forget at once whatever was learned."""
    ports = bench.switch("dut").ports
    bench.sabotage("dut").run(
        *(f"bridge link set dev {port} learning off" for port in ports),
        undo=tuple(f"bridge link set dev {port} learning on" for port in ports),
    )


@pytest.mark.behaviour("SW-09", clause="802.1Q 8.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "floods forever",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={STATION}", "flood"),
        "linux_bridge": faults.bridge_port("learning", "off"),
    },
    caught="c--dut: expect none|did not learn",
)
def test_an_answer_ends_the_flood(bench: Bench) -> None:
    dut, a, b = bench.switch("dut"), bench.nic("a"), bench.nic("b")
    dut.flush_fdb()
    calls = [EthFrame(dst=STATION, src=SENDER, payload=text) for text in (b"before", b"after")]
    shouts = [
        EthFrame(dst=MacAddr.BROADCAST, src=SENDER, payload=text) for text in (b"before", b"after")
    ]
    with bench.capture() as seen:
        b.inject(calls[0], shouts[0])
        seen.settle()
        a.inject(EthFrame(dst=SENDER, src=STATION))
        dut.wait_learned(STATION, on=bench.port("dut", toward="a"), within=seconds(2))
        b.inject(calls[1], shouts[1])
        seen.settle()

    for leaf in ("a", "c"):
        seen.at(f"{leaf}--dut").expect_count(match.raw(calls[0].emit(pad=True)), 1)
        for shout in shouts:
            seen.at(f"{leaf}--dut").expect_count(match.raw(shout.emit(pad=True)), 1)
    seen.at("a--dut").expect_count(match.raw(calls[1].emit(pad=True)), 1)
    seen.at("c--dut").expect_none(match.raw(calls[1].emit(pad=True)))
