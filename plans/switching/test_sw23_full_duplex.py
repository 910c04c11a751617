"""A full-duplex link carries both directions at line rate at the same time, and loses nothing.

IEEE 802.3 4.1.1 b: in full duplex there is no contention and no collision, so what goes one way
takes as long as it would alone. RFC 2544 26.1 and RFC 2889 5.1 measure so, back to back frames in
both directions at once; line rate is that of 802.3 4.4.2: frame, preamble of 8 bytes, gap of 12.
"""

import pytest

from testbed import (
    Bench,
    Duration,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Topology,
    Unsupported,
    format_duration,
    match,
    microseconds,
    milliseconds,
    seconds,
)

STATIONS = {"a": MacAddr("02:00:00:00:23:0a"), "b": MacAddr("02:00:00:00:23:0b")}
OTHER = {"a": "b", "b": "a"}
EXPERIMENTAL = 0x88B5
SIZES = (46, 1500)
COUNT = 300
AROUND = 24  # bytes of FCS, preamble and gap
THROUGH = microseconds(100)  # that cables and the device may take for the first frame
SLACK = 0.02  # of the time: clocks may differ by 200 ppm, and a switch stores a frame or two
LINGER = milliseconds(10)  # for what came later than it should


def frames_of(leaf: str, size: int) -> list[EthFrame]:
    """Numbered frames to the other station."""
    return [
        EthFrame(
            STATIONS[OTHER[leaf]],
            STATIONS[leaf],
            EXPERIMENTAL,
            number.to_bytes(4, "big").ljust(size, b"\0"),
        )
        for number in range(COUNT)
    ]


def line_rate(bench: Bench) -> int:
    """Mbit/s of both links; Unsupported where there is no one rate."""
    speeds = {link: bench.speed(link) for link in ("a--dut", "b--dut")}
    for link, speed in speeds.items():
        if speed is None:
            raise Unsupported(f"the bench file states no speed for {link}: there is no line rate")
    rates = {speed for speed in speeds.values() if speed is not None}
    if len(rates) != 1:
        told = " and ".join(f"{rate} Mbit/s" for rate in sorted(rates))
        raise Unsupported(f"the two links have different speeds, {told}")
    return rates.pop()


def ideal(size: int, rate: int) -> Duration:
    """The time from the first frame's end to the last one's at line rate."""
    return Duration((COUNT - 1) * (size + 14 + AROUND) * 8 * 1000 // rate)


def measure(bench: Bench, size: int, *senders: str) -> dict[str, Duration]:
    """Let these send at the same time: how long it took from the first bit to the last frame.

    Nothing may be lost, doubled or out of order.
    """
    with bench.capture() as seen:
        for leaf in senders:
            bench.nic(leaf).inject(*frames_of(leaf, size))
        bench.watch_for(Duration(3 * ideal(size, line_rate(bench)) + LINGER))
    taken = {}
    for leaf in senders:
        stream = match.eth(src=STATIONS[leaf], dst=STATIONS[OTHER[leaf]])
        sent = seen.at(f"{leaf}--dut").sent.all(stream)
        if sent[-1].at - sent[0].at > ideal(size, line_rate(bench)):
            raise Unsupported(f"{leaf} cannot send {COUNT} frames at line rate")
        view = seen.at(f"{OTHER[leaf]}--dut")
        came = view.expect_count(stream, COUNT)
        if [each.data for each in came] != [one.emit(pad=True) for one in frames_of(leaf, size)]:
            raise ExpectationFailed(f"{view.point}: frames from {leaf} came altered or reordered")
        taken[leaf] = Duration(came[-1].at - sent[0].at)
    return taken


def expect_line_rate(taken: dict[str, Duration], size: int, limit: Duration, when: str) -> None:
    """What came took no longer than the limit."""
    for leaf, span in taken.items():
        if span > limit * (1 + SLACK):
            raise ExpectationFailed(
                f"dut: {COUNT} frames of {size + 14} bytes from {leaf} took "
                f"{format_duration(span)} {when}, expected {format_duration(limit)}"
            )


@pytest.mark.behaviour("SW-23", clause="802.3 4.1.1")
@pytest.mark.topology(Topology.star("dut", "a", "b"))
def test_both_directions_have_line_rate_at_the_same_time(bench: Bench) -> None:
    dut = bench.switch("dut")
    rate = line_rate(bench)
    for leaf, station in STATIONS.items():
        bench.nic(leaf).inject(EthFrame(MacAddr.BROADCAST, station, EXPERIMENTAL, b"hello"))
        dut.wait_learned(station, on=bench.port("dut", toward=leaf), within=seconds(2))
    ports = [bench.port("dut", toward=leaf) for leaf in STATIONS]
    before = [dut.counters(port) for port in ports]

    for size in SIZES:
        alone = {leaf: measure(bench, size, leaf)[leaf] for leaf in STATIONS}
        expect_line_rate(alone, size, Duration(ideal(size, rate) + THROUGH), "alone")
        for leaf, span in measure(bench, size, "a", "b").items():
            expect_line_rate({leaf: span}, size, alone[leaf], "with both sending")

    for port, old in zip(ports, before, strict=True):
        new = dut.counters(port)
        bad = new.rx_errors + new.tx_errors - old.rx_errors - old.tx_errors
        if bad:
            raise ExpectationFailed(f"dut: {port} counted {bad} errors; full duplex has none")
