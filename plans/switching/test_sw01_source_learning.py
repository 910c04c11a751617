"""A switch learns the source address of a frame and then forwards to that port only.

After one frame from A on port 1, the MAC table shows A on port 1, and a frame to A leaves port 1
and no other (IEEE 802.1Q 8.7, the learning process). That frame teaches in turn where its sender
is: a unicast teaches as well as a broadcast does.
"""

import pytest

from testbed import (
    Bench,
    EthFrame,
    MacAddr,
    Topology,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

STATION = MacAddr("02:00:00:00:01:0a")
SENDER = MacAddr("02:00:00:00:01:0b")
RELATIVE = MacAddr("02:5a:00:ff:01:0a")
GROUP_BIT = 7  # the lowest of the first byte (IEEE 802, 8.2.2): not a station's
MARK = b"SW-01"
PACE = 500  # stations a second where the bench file states no learning_rate
LINGER = milliseconds(100)  # a copy that comes late is a copy


def relative(bit: int) -> MacAddr:
    """A station whose address differs from RELATIVE in one bit, counted from the first."""
    return MacAddr((int.from_bytes(RELATIVE.packed, "big") ^ 1 << 47 - bit).to_bytes(6, "big"))


def expect_delivered(bench: Bench, frame: EthFrame, source: str, target: str) -> None:
    """``frame`` from ``source`` comes out toward ``target``, once and unaltered, and only there."""
    with bench.capture() as seen:
        bench.nic(source).inject(frame)
        bench.watch_for(LINGER)

    seen.at(f"{target}--dut").expect_count(match.raw(frame.emit(pad=True)), 1)
    seen.at(f"{target}--dut").expect_count(match.containing(MARK), 1)
    for leaf in {"a", "b", "c", "d"} - {target}:
        seen.at(f"{leaf}--dut").expect_none(match.containing(MARK))


@pytest.mark.behaviour("SW-01", clause="802.1Q 8.7")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "never learns",
    {
        "openvswitch": faults.ovs_flow("", "flood"),
        "linux_bridge": faults.bridge_port("learning", "off"),
    },
    caught="did not learn",
)
@drill(
    "floods what it has learned",
    {"openvswitch": faults.ovs_flow(f"dl_dst={STATION}", "flood")},
    caught="expect none",
)
@drill(
    "learns from broadcasts only",
    {
        "openvswitch": faults.ovs_flow(f"dl_dst={STATION}", "output:{a}"),
        "linux_bridge": faults.bridge_port("learning", "off", "b"),
    },
    caught=f"did not learn {SENDER}",
)
def test_learned_station_is_reached_through_its_port_only(bench: Bench) -> None:
    dut = bench.switch("dut")
    dut.flush_fdb()
    bench.nic("a").inject(EthFrame(dst=MacAddr.BROADCAST, src=STATION))
    dut.wait_learned(STATION, on=bench.port("dut", toward="a"), within=seconds(2))

    call = EthFrame(dst=STATION, src=SENDER, payload=MARK + bytes(range(256)))
    expect_delivered(bench, call, "b", "a")

    dut.wait_learned(SENDER, on=bench.port("dut", toward="b"), within=seconds(2))
    answer = EthFrame(dst=SENDER, src=STATION, payload=MARK + bytes(range(256)))
    expect_delivered(bench, answer, "a", "b")


@pytest.mark.behaviour("SW-01", clause="802.1Q 8.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c", "d"))
@drill(
    "tells stations apart by 24 bits",
    {
        "openvswitch": faults.ovs_flow(f"in_port={{d}},dl_dst={relative(3)}", "output:{c}"),
        "linux_bridge": faults.shell(
            f"bridge fdb replace {relative(3)} dev {{c}} master static sticky",
            undo=(f"bridge fdb del {relative(3)} dev {{c}} master 2>/dev/null || true",),
        ),
    },
    caught="did not learn|--dut: expect",
)
def test_stations_are_told_apart_by_every_bit(bench: Bench) -> None:
    """Stations whose addresses differ in one bit are learned each at its own port."""
    dut = bench.switch("dut")
    dut.flush_fdb()
    homes = {relative(bit): "abc"[bit % 3] for bit in range(48) if bit != GROUP_BIT}
    homes[RELATIVE] = "c"
    gap = seconds(1 / (bench.stated("dut", "learning_rate") or PACE))
    for station, leaf in homes.items():
        bench.nic(leaf).inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
        bench.watch_for(gap)

    calls = {station: EthFrame(station, SENDER, payload=MARK + station.packed) for station in homes}
    with bench.capture() as seen:
        bench.watch_for(LINGER)
        bench.nic("d").inject(*calls.values())
        bench.watch_for(LINGER)
    for station, home in homes.items():
        seen.at(f"{home}--dut").expect_count(match.raw(calls[station].emit(pad=True)), 1)
    for leaf in ("a", "b", "c"):
        count = sum(home == leaf for home in homes.values())
        seen.at(f"{leaf}--dut").expect_count(match.containing(MARK), count)
