"""Runts, oversize frames and frames with a bad FCS are neither forwarded nor learned from.

RFC 2889 5.9 (errored frames filtering) and IEEE 802.1Q 8.5: what is no valid frame goes no further
than the port, to a known station no more than to an unknown one or to all; its source address
teaches nothing; the port's counters rise; and good frames in between pass. Each kind is judged
where the tester's NIC can send it: a runt where it does not pad, an oversize frame where the
NIC sends longer ones than the switch's port takes (whose MTU is lowered where that is needed), a
bad FCS where the NIC can leave it wrong.

Tolerance ``oversize_bytes``: how much longer than its MTU says a port may take frames, 0 unless the
bench file says more. Many chips have room for one VLAN tag whether there is one or not: 4.
"""

from collections.abc import Callable

import pytest

from testbed import (
    Bench,
    BenchError,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Topology,
    Unsupported,
    VlanTag,
    match,
    milliseconds,
    seconds,
)

CULPRIT = MacAddr("02:00:00:00:15:0a")  # whose frames are bad
HONEST = MacAddr("02:00:00:00:15:1a")  # at the same port
HOME = MacAddr("02:00:00:00:15:0b")  # at b
UNKNOWN = MacAddr("02:00:00:00:15:99")
GOOD, PROBE = b"SW-15 good", b"SW-15 probe"
HEADER, TAG = 14, 4
LEAST = 60  # IEEE 802.3 4.4.2: 64 bytes with the FCS
RUNTS = (HEADER, 20, 32, 46, 58, LEAST - 1)
LENGTHS = (LEAST, 128, 1514)
LINGER = milliseconds(100)  # a copy that comes late is a copy
COUNTED = seconds(2)  # how old counters may be

Send = Callable[[bytes], None]
Make = Callable[[Bench, MacAddr, MacAddr], list[bytes]]
"""Makes the bad frames of one kind, from a station to a station."""

BAD = match.where(
    lambda data: data[6:12] == CULPRIT.packed or data[:6] == UNKNOWN.packed, "a bad frame"
)


def filled(dst: MacAddr, src: MacAddr, length: int, *, tagged: bool = False) -> bytes:
    """A frame of so many bytes."""
    tag = VlanTag(vid=0, pcp=1) if tagged else None
    frame = EthFrame(dst, src, 0x88B5, b"SW-15 bad", () if tag is None else (tag,)).emit()
    return frame[:length].ljust(length, b"\xa5")


def runts(bench: Bench, dst: MacAddr, src: MacAddr) -> list[bytes]:
    """Frames that are too short."""
    del bench
    return [filled(dst, src, length) for length in RUNTS]


def oversize(bench: Bench, dst: MacAddr, src: MacAddr) -> list[bytes]:
    """Frames that are too long for the port, by a byte and by many, tagged ones too."""
    dut, port = bench.switch("dut"), bench.port("dut", toward="a")
    slack = round(bench.tolerance("oversize_bytes", 0))
    longest = bench.nic("a").mtu
    if dut.mtu(port) + slack + TAG >= longest:
        dut.set_mtu(port, longest - 100)
    limit = dut.mtu(port) + slack + HEADER
    top = longest + HEADER
    frames = [filled(dst, src, length) for length in sorted({limit + 1, limit + TAG + 1, top})]
    return [*frames, filled(dst, src, limit + TAG + 1, tagged=True)]


def damaged(bench: Bench, dst: MacAddr, src: MacAddr) -> list[bytes]:
    """Frames that are to be sent with a bad FCS."""
    del bench
    return [filled(dst, src, length) for length in LENGTHS]


def introduce(bench: Bench) -> None:
    """Have HOME learned at b, and nobody else."""
    dut = bench.switch("dut")
    dut.flush_fdb()
    bench.nic("b").inject(EthFrame(dst=MacAddr.BROADCAST, src=HOME))
    dut.wait_learned(HOME, on=bench.port("dut", toward="b"), within=seconds(2))


def offer(send: Send, frame: bytes) -> None:
    """Send a bad frame; Unsupported where the NIC, or its cable, does not take it."""
    try:
        send(frame)
    except BenchError as error:
        raise Unsupported(f"this frame of {len(frame)} bytes cannot be sent: {error}") from None


def expect_thrown_away(bench: Bench, make: Make, send: Send) -> None:
    """Bad frames to all sorts of stations come out nowhere and teach nothing; good ones pass."""
    ends = [(dst, CULPRIT) for dst in (HOME, UNKNOWN, MacAddr.BROADCAST)]
    # The last ones are of a station that is known elsewhere: it has not moved.
    bad = [frame for pair in (*ends, (UNKNOWN, HOME)) for frame in make(bench, *pair)]
    introduce(bench)
    good = [EthFrame(HOME, HONEST, payload=GOOD + bytes([number])) for number in range(len(bad))]
    with bench.capture() as seen:
        for wrong, right in zip(bad, good, strict=True):
            offer(send, wrong)
            bench.nic("a").inject(right)
        bench.watch_for(LINGER)
    for leaf in ("a", "b", "c"):
        seen.at(f"{leaf}--dut").expect_none(BAD)
    for right in good:
        seen.at("b--dut").expect_count(match.raw(right.emit(pad=True)), 1)
    expect_not_learned(bench)


def expect_not_learned(bench: Bench) -> None:
    """CULPRIT is not in the table, and a frame to it is flooded."""
    dut = bench.switch("dut")
    probe = EthFrame(CULPRIT, HOME, payload=PROBE)
    with bench.capture() as seen:
        bench.nic("b").inject(probe)
        bench.watch_for(LINGER)
    for leaf in ("a", "c"):
        seen.at(f"{leaf}--dut").expect_count(match.raw(probe.emit(pad=True)), 1)
    if rows := [row for row in dut.fdb() if row.mac == CULPRIT]:
        raise ExpectationFailed(f"{dut.name} learned from a bad frame: {rows[0]}")


@pytest.mark.behaviour("SW-15", clause="RFC 2889 5.9")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
def test_runts_go_nowhere(bench: Bench) -> None:
    """Frames of 14 to 59 bytes (18 to 63 with the FCS) are thrown away."""
    expect_thrown_away(bench, runts, bench.nic("a").inject_runt)


@pytest.mark.behaviour("SW-15", clause="RFC 2889 5.9")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
def test_oversize_frames_go_nowhere(bench: Bench) -> None:
    """Frames that are longer than the port's MTU allows are thrown away."""
    expect_thrown_away(bench, oversize, bench.nic("a").inject)


@pytest.mark.behaviour("SW-15", clause="RFC 2889 5.9")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
def test_damaged_frames_go_nowhere(bench: Bench) -> None:
    """Frames with a bad FCS, short or long, are thrown away."""
    expect_thrown_away(bench, damaged, bench.nic("a").inject_damaged)


@pytest.mark.behaviour("SW-15", clause="RFC 2889 5.9")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
def test_bad_frames_are_counted(bench: Bench) -> None:
    """Each kind that this NIC can send makes the port's error or drop counters rise by as many."""
    nic, reasons = bench.nic("a"), []
    kinds: tuple[tuple[str, Make, Send], ...] = (
        ("runts", runts, nic.inject_runt),
        ("oversize frames", oversize, nic.inject),
        ("damaged frames", damaged, nic.inject_damaged),
    )
    for kind, make, send in kinds:
        try:
            expect_counted(bench, kind, make(bench, UNKNOWN, CULPRIT), send)
        except Unsupported as error:
            reasons.append(str(error))
    if len(reasons) == len(kinds):
        raise Unsupported("; ".join(reasons))


def expect_counted(bench: Bench, kind: str, frames: list[bytes], send: Send) -> None:
    """The counters of a's port rise by the number of ``frames``."""
    dut, port = bench.switch("dut"), bench.port("dut", toward="a")

    def thrown_away() -> int:
        counters = dut.counters(port)
        return counters.rx_errors + counters.rx_dropped

    before = thrown_away()
    for frame in frames:
        offer(send, frame)
    bench.wait_until(
        lambda: thrown_away() - before >= len(frames),
        COUNTED,
        f"{dut.name}: a rise of the counters of {port} by {len(frames)} {kind}",
    )
