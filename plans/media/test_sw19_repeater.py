"""A hub repeats every frame, bad ones too, to every other port, and joins them to one domain.

IEEE 802.3 9.5: a repeater passes signals from any port on to all others and knows nothing of
addresses, lengths or check sequences; 9.6.6: who sends at the same time collides, wherever he is.
"""

import itertools

import pytest

from testbed import (
    Attempt,
    Bench,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Topology,
    VlanTag,
    match,
    milliseconds,
    seconds,
)

LEAVES = ("a", "b", "c", "d")
STATIONS = {leaf: MacAddr(f"02:00:00:00:19:0{leaf}") for leaf in LEAVES}
SPANNING_TREE = MacAddr("01:80:c2:00:00:00")
PAUSE = MacAddr("01:80:c2:00:00:01")
GROUP = MacAddr("01:00:5e:01:02:03")
UNKNOWN = MacAddr("02:00:00:00:19:99")
MARK = b"SW-19"
LINGER = milliseconds(100)  # a copy that comes late is a copy
EXPERIMENTAL = 0x88B5
LONGEST = 1500
TOGETHER = 5  # frames that each station has to send at the same time as all others


def calls_from(leaf: str) -> list[EthFrame]:
    """Frames to everybody, short and long, tagged and not, and of many types."""
    src = STATIONS[leaf]
    others = [STATIONS[other] for other in LEAVES]  # and one to itself
    text = MARK + leaf.encode() * 60
    to = (*others, UNKNOWN, MacAddr.BROADCAST, GROUP, SPANNING_TREE, PAUSE)
    frames = [EthFrame(dst, src, EXPERIMENTAL, text) for dst in to]
    frames.append(EthFrame(UNKNOWN, src, EXPERIMENTAL, text.ljust(LONGEST, b"L")))
    frames.append(EthFrame(UNKNOWN, src, EXPERIMENTAL, MARK + leaf.encode()))
    frames.append(EthFrame(UNKNOWN, src, 0x0800, text))
    frames.append(EthFrame(UNKNOWN, src, 0x8808, text))
    frames.append(EthFrame(UNKNOWN, src, EXPERIMENTAL, text, tags=(VlanTag(vid=7, pcp=5),)))
    return frames


def expect_repeated(bench: Bench) -> None:
    """Frames from every port come out of every other, once each and unaltered."""
    calls = {leaf: calls_from(leaf) for leaf in LEAVES}
    with bench.capture() as seen:
        for leaf, frames in calls.items():
            bench.nic(leaf).inject(*frames)
        bench.watch_for(LINGER)

    due = {
        leaf: [frame for other, frames in calls.items() if other != leaf for frame in frames]
        for leaf in LEAVES
    }
    for leaf, frames in due.items():
        for frame in frames:
            seen.at(f"{leaf}--dut").expect(match.raw(frame.emit(pad=True)))
    for leaf, frames in due.items():
        seen.at(f"{leaf}--dut").expect_none(match.eth(src=STATIONS[leaf]))
        seen.at(f"{leaf}--dut").expect_count(match.containing(MARK), len(frames))


@pytest.mark.behaviour("SW-19", clause="802.3 9.5")
@pytest.mark.topology(Topology.star("dut:hub", *LEAVES))
def test_every_frame_comes_out_of_every_other_port(bench: Bench) -> None:
    for _ in range(2):  # by the second time a device that learns has learned
        expect_repeated(bench)


def flaws_of(leaf: str) -> tuple[list[bytes], list[bytes]]:
    """Frames to be sent with a wrong check sequence, and runts."""
    src, dst = STATIONS[leaf], STATIONS[LEAVES[LEAVES.index(leaf) - 1]]
    head = dst.packed + src.packed + EXPERIMENTAL.to_bytes(2, "big") + MARK + leaf.encode()
    damaged = [head.ljust(size, b"D") for size in (60, 400, 1514)]
    runts = [head.ljust(size, b"R") for size in (20, 40, 59)]
    return damaged, runts


@pytest.mark.behaviour("SW-19", clause="802.3 9.5")
@pytest.mark.topology(Topology.star("dut:hub", *LEAVES))
def test_bad_frames_come_out_as_they_are(bench: Bench) -> None:
    """Runts and frames with a wrong check sequence are repeated as well, and stay what they are."""
    flaws = {leaf: flaws_of(leaf) for leaf in LEAVES}
    with bench.capture() as seen:
        for leaf, (damaged, runts) in flaws.items():
            bench.nic(leaf).inject_damaged(*damaged)
            bench.nic(leaf).inject_runt(*runts)
        bench.watch_for(LINGER)

    for leaf, other in itertools.permutations(LEAVES, 2):
        damaged, runts = flaws[other]
        for frame in damaged:
            (found,) = seen.at(f"{leaf}--dut").expect_count(match.raw(frame), 1)
            if not found.frame.damaged:
                raise ExpectationFailed(
                    f"{leaf}--dut: #{found.number} was sent with a wrong check sequence by {other} "
                    "and came with a right one"
                )
        for frame in runts:
            seen.at(f"{leaf}--dut").expect_count(match.raw(frame), 1)


def overlapping(log: tuple[Attempt, ...]) -> tuple[Attempt, Attempt] | None:
    """Two signals that were there at the same time, at least one of which took no harm."""
    for one, other in itertools.combinations(log, 2):
        meet = one.start < other.end and other.start < one.end
        if meet and (one.succeeded or other.succeeded):
            return one, other
    return None


@pytest.mark.behaviour("SW-19", clause="802.3 9.6.6")
@pytest.mark.topology(Topology.star("dut:hub", *LEAVES))
def test_all_stations_share_one_collision_domain(bench: Bench) -> None:
    """Whoever sends at the same time as another collides with it, whatever ports they are on."""
    hub = bench.hub("dut")
    frames = {
        leaf: [
            EthFrame(UNKNOWN, STATIONS[leaf], EXPERIMENTAL, (MARK + bytes([n])).ljust(1500, b"x"))
            for n in range(TOGETHER)
        ]
        for leaf in LEAVES
    }
    with bench.capture() as seen:
        mark = hub.medium_mark()
        for leaf in LEAVES:
            bench.nic(leaf).inject(*frames[leaf])
        whole = len(LEAVES) * (len(LEAVES) - 1) * TOGETHER
        bench.loop.run_until(
            lambda: (
                sum(len(seen.at(f"{leaf}--dut").all(match.eth(dst=UNKNOWN))) for leaf in LEAVES)
                >= whole
            ),
            seconds(2),
        )
        log = hub.medium_log(mark)

    pair = overlapping(log)
    if pair is not None:
        raise ExpectationFailed(
            f"{hub.name}: two stations sent at the same time and did not collide",
            f"{pair[0]}\n{pair[1]}",
        )
    # The first frame keeps all others waiting; when it is over they all begin.
    for leaf in LEAVES:
        port = bench.port("dut", toward=leaf)
        met = [each for each in log if each.port == port and each.collided]
        if not met:
            raise ExpectationFailed(
                f"{hub.name}: {len(LEAVES)} stations had frames to send at the same time, "
                f"and that at {port} never collided"
            )
    for leaf, other in itertools.permutations(LEAVES, 2):
        for frame in frames[other]:
            seen.at(f"{leaf}--dut").expect_count(match.raw(frame.emit()), 1)
