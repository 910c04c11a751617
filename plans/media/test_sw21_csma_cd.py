"""Stations on a bus send in turn by CSMA/CD: they listen first, and a collision is short.

IEEE 802.3 4.2.3.2.1: a station defers while it hears another, and for a gap of 96 bit times after
that. 4.2.3.2.4: one that meets another while it sends ends its preamble,
jams for 32 bits and is silent. In the long run all get the same share of the medium.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    Hearing,
    MacAddr,
    Topology,
    match,
    milliseconds,
    seconds,
)

LEAVES = ("a", "b", "c", "d")
STATIONS = {leaf: MacAddr(f"02:00:00:00:21:0{leaf}") for leaf in LEAVES}
UNKNOWN = MacAddr("02:00:00:00:21:99")
EXPERIMENTAL = 0x88B5
SHORTEST, LONGEST = 46, 1500
SIZES = (SHORTEST, 300, LONGEST)
EACH = 12  # frames of each station in a busy time
ROUNDS = 60
FEWEST, MOST = 2, 32  # of 45 races with a chance of 1 in 3: beyond, less than 1 in 10^6 each
START = 3  # long frames that keep the medium busy for 3.7 ms at 10 Mb/s
UNDER_WAY = milliseconds(2)  # then one of these is on the medium, however slow the cable to it is
LONGEST_BACK_OFF = milliseconds(55)  # 1023 slots of 51.2 us
RACE_OVER = milliseconds(8)
DONE_WITHIN = seconds(5)


def frame_of(leaf: str, number: int, size: int) -> EthFrame:
    """The station's frame of that number, ``size`` bytes of payload."""
    text = number.to_bytes(4, "big").ljust(size, b"\0")
    return EthFrame(UNKNOWN, STATIONS[leaf], EXPERIMENTAL, text)


def let_all_send(bench: Bench, silence: Duration) -> int:
    """Until nobody has begun to send for ``silence``; what takes too long is judged later.

    Returns the newest attempt's number.
    """
    bus = bench.bus("dut")
    deadline = bench.loop.now() + DONE_WITHIN
    mark = -1
    while mark != (newest := bus.medium_mark()) and bench.loop.now() < deadline:
        mark = newest
        bench.watch_for(silence)
    return newest


def expect_delivered(seen: Capture, frames: Mapping[str, Sequence[EthFrame]]) -> None:
    """Every frame came to every other station, once and whole."""
    for leaf in LEAVES:
        view = seen.at(f"{leaf}--dut")
        sound = [each for each in view.all(match.eth(dst=UNKNOWN)) if not each.frame.damaged]
        came = {each.data for each in sound}
        due = [frame for other, sent in frames.items() if other != leaf for frame in sent]
        for frame in due:
            if frame.emit(pad=True) not in came:
                raise ExpectationFailed(
                    f"{leaf}--dut: a frame of {frame.src} did not come whole",
                    f"{len(came)} of {len(due)} came; not this one: {frame}",
                )
        for other, sent in frames.items():
            numbers = [each.data for each in sound if each.eth.src == STATIONS[other]]
            if other != leaf and numbers != [frame.emit(pad=True) for frame in sent]:
                raise ExpectationFailed(
                    f"{leaf}--dut: frames of {STATIONS[other]} came twice, or not in the order in "
                    "which they were sent"
                )
        view.expect_none(match.eth(src=STATIONS[leaf]))
        view.expect_count(match.eth(dst=UNKNOWN), len(due))


def busy_time(bench: Bench) -> tuple[Hearing, Capture, dict[str, list[EthFrame]]]:
    """A frame for each station while another sends a long one; then all send at the same time."""
    bus = bench.bus("dut")
    frames: dict[str, list[EthFrame]] = {leaf: [] for leaf in LEAVES}

    def send(leaf: str, *sizes: int) -> None:
        more = [frame_of(leaf, len(frames[leaf]) + n, size) for n, size in enumerate(sizes)]
        frames[leaf] += more
        bench.nic(leaf).inject(*more)

    with bench.capture() as seen:
        mark = bus.medium_mark()
        for leaf, other in itertools.permutations(LEAVES, 2):
            send(leaf, *[LONGEST] * START)
            bench.watch_for(UNDER_WAY)
            send(other, SHORTEST)
            bench.watch_for(RACE_OVER)
        for leaf in LEAVES:
            send(leaf, *(SIZES[n % len(SIZES)] for n in range(EACH)))
        let_all_send(bench, LONGEST_BACK_OFF)
        log = bus.medium_log(mark)
    return Hearing(log, bus.delays(), bus.bit_time()), seen, frames


@pytest.mark.behaviour("SW-21", clause="802.3 4.2.3.2.1")
@pytest.mark.topology(Topology.star("dut:bus", *LEAVES))
def test_stations_wait_until_the_medium_is_quiet(bench: Bench) -> None:
    """Nobody begins while another is heard, nor within 96 bit times after."""
    heard, seen, frames = busy_time(bench)
    for attempt in heard.log:
        other = heard.trespass(attempt)
        if other is not None:
            raise ExpectationFailed(
                f"dut: {attempt.port} began where it should have waited for {other.port}",
                f"{attempt}\n{other}\nbit time {heard.bit} ns, gap {heard.GAP} bit times",
            )
    expect_delivered(seen, frames)


@pytest.mark.behaviour("SW-21", clause="802.3 4.2.3.2.4")
@pytest.mark.topology(Topology.star("dut:bus", *LEAVES))
def test_a_collision_ends_with_a_jam(bench: Bench) -> None:
    """Who meets another ends its preamble, jams for 32 bits and is silent, within a slot."""
    heard, seen, frames = busy_time(bench)
    collisions = [attempt for attempt in heard.log if attempt.collided]
    if not collisions:
        raise ExpectationFailed(f"dut: {len(LEAVES)} busy stations never collided")
    for attempt in collisions:
        met = heard.met(attempt)
        if met is None:
            raise ExpectationFailed(
                f"dut: {attempt.port} was done before it could hear the collision", str(attempt)
            )
        after = heard.bits(met - attempt.start)
        if after > heard.SLOT:
            raise ExpectationFailed(
                f"dut: {attempt.port} met another only {after:.0f} bit times after it began",
                str(attempt),
            )
        jam = heard.bits(attempt.end - attempt.start) - max(after, heard.PREAMBLE)
        if abs(jam - heard.JAM) > heard.SLACK:
            raise ExpectationFailed(
                f"dut: {attempt.port} jammed for {jam:.0f} bits after a collision, "
                f"expected {heard.JAM}",
                str(attempt),
            )
    expect_delivered(seen, frames)


@pytest.mark.behaviour("SW-21", clause="802.3 4.1.2.1")
@pytest.mark.topology(Topology.star("dut:bus", *LEAVES))
def test_all_stations_get_their_share(bench: Bench) -> None:
    """While one sends all others get a frame: of many such races each wins its share."""
    bus = bench.bus("dut")
    frames: dict[str, list[EthFrame]] = {leaf: [] for leaf in LEAVES}
    wins: Counter[str] = Counter({bench.port("dut", toward=leaf): 0 for leaf in LEAVES})
    with bench.capture() as seen:
        mark = bus.medium_mark()
        for number in range(ROUNDS):
            starter = LEAVES[number % len(LEAVES)]
            start = [frame_of(starter, START * number + n, LONGEST) for n in range(START)]
            bench.nic(starter).inject(*start)
            frames[starter] += start
            bench.watch_for(UNDER_WAY)
            for leaf in LEAVES:
                if leaf != starter:
                    frames[leaf].append(frame_of(leaf, number, SHORTEST))
                    bench.nic(leaf).inject(frames[leaf][-1])
            newest = let_all_send(bench, RACE_OVER)
            sent = (one for one in bus.medium_log(mark) if one.succeeded and one.octets < LONGEST)
            first = next(sent, None)
            wins.update([first.port] if first else [])
            mark = newest

    if not all(FEWEST <= count <= MOST for count in wins.values()):
        told = ", ".join(f"{port} {count}" for port, count in wins.items())
        raise ExpectationFailed(f"dut: shares are not fair: of {ROUNDS} races won: {told}")
    expect_delivered(seen, frames)
