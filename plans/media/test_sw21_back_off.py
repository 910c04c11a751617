"""After a collision a station waits for a number of slots by chance, from a range that doubles.

IEEE 802.3 4.2.3.2.5, truncated binary exponential back-off: after the nth collision of a frame the
number is one of 0 to 2^n - 1, of 0 to 1023 from the tenth on, of slots of 512 bit times from the
end of the jam. After sixteen collisions the frame is given up, and the next one begins anew.
"""

import math
from collections.abc import Collection, Sequence

import pytest

from testbed import (
    Bench,
    Duration,
    EthFrame,
    ExpectationFailed,
    Hearing,
    MacAddr,
    Topology,
    Try,
    match,
    milliseconds,
    seconds,
)

LEAVES = ("a", "b", "c", "d")
STATIONS = {leaf: MacAddr(f"02:00:00:00:21:1{leaf}") for leaf in LEAVES}
UNKNOWN = MacAddr("02:00:00:00:21:98")
EXPERIMENTAL = 0x88B5
SHORTEST, LONGEST = 46, 1500
ROUNDS = 40
DRAWN = 20  # numbers by which chance is judged: of good stations, one in 10^5 or fewer fails
NEVER = 1e-7  # a chance that no good station comes to
QUEUE = 60  # short frames of all stations: some meet many collisions, and no frame hides a wait
CROWD = 200  # long frames that three stations have to send: some meet sixteen collisions
WIDEST = 1024  # slots of the range at its end; a long frame takes 24, and hides no half of it
START = 3  # long frames that keep the medium busy for 3.7 ms at 10 Mb/s
UNDER_WAY = milliseconds(2)  # then one of these is on the medium, however slow the cable to it is
LONGEST_BACK_OFF = milliseconds(55)  # 1023 slots of 51.2 us
RACE_OVER = milliseconds(8)
DONE_WITHIN = seconds(10)


def frame_of(leaf: str, number: int, size: int) -> EthFrame:
    """The station's frame of that number, ``size`` bytes of payload."""
    text = number.to_bytes(4, "big").ljust(size, b"\0")
    return EthFrame(UNKNOWN, STATIONS[leaf], EXPERIMENTAL, text)


def let_all_send(bench: Bench, silence: Duration) -> None:
    """Until nobody has begun to send for ``silence``; what takes too long is judged later."""
    bus = bench.bus("dut")
    deadline = bench.loop.now() + DONE_WITHIN
    mark = -1
    while mark != (newest := bus.medium_mark()) and bench.loop.now() < deadline:
        mark = newest
        bench.watch_for(silence)


def occupy(bench: Bench, leaf: str, number: int) -> None:
    """Have a station send long frames, and let the first ones begin."""
    bench.nic(leaf).inject(*(frame_of(leaf, number + n, LONGEST) for n in range(START)))
    bench.watch_for(UNDER_WAY)


def races(bench: Bench) -> Hearing:
    """Many times, all stations get a short frame while one sends long ones."""
    bus = bench.bus("dut")
    mark = bus.medium_mark()
    for number in range(ROUNDS):
        starter = LEAVES[number % len(LEAVES)]
        occupy(bench, starter, START * number)
        for leaf in LEAVES:
            if leaf != starter:
                bench.nic(leaf).inject(frame_of(leaf, number, SHORTEST))
        let_all_send(bench, RACE_OVER)
    return Hearing(bus.medium_log(mark), bus.delays(), bus.bit_time())


def expect_whole_slots(heard: Hearing) -> list[tuple[Try, range]]:
    """Every wait was of so many slots as its range has; the slots that each may have been."""
    waits = []
    for one in heard.tries():
        if not one.collisions or one.last is None:
            continue
        slots = heard.slots(one)
        if not slots or slots.start >= one.range:
            waited = heard.bits(one.attempt.start - one.last.end)
            raise ExpectationFailed(
                f"dut: {one.attempt.port} waited {waited:.0f} bit times after collision "
                f"{one.collisions} of a frame, not a number of 0 to {one.range - 1} slots",
                f"{one.last}\n{one.attempt}\nbit time {heard.bit} ns, slot {heard.SLOT} bit times",
            )
        waits.append((one, slots))
    return waits


def crowd(bench: Bench, leaves: Sequence[str], count: int, size: int) -> Hearing:
    """Some stations have so much to send that the losers collide again and again."""
    bus = bench.bus("dut")
    mark = bus.medium_mark()
    occupy(bench, LEAVES[3], 0)  # by its end all others have more than one frame
    for number in range(count):
        for leaf in leaves:
            bench.nic(leaf).inject(frame_of(leaf, number, size))
    let_all_send(bench, LONGEST_BACK_OFF)
    return Hearing(bus.medium_log(mark), bus.delays(), bus.bit_time())


def chance_of(shares: Sequence[float]) -> float:
    """How likely it is that the product of so many numbers from 0 to 1 is this small.

    The negative logarithm of such a number has the exponential distribution, so their sum is
    the time of the last of as many events of a Poisson process.
    """
    total = -sum(math.log(min(1.0, share)) for share in shares)
    return sum(
        math.exp(n * math.log(total) - total - math.lgamma(n + 1)) if total else not n
        for n in range(len(shares))
    )


def expect_by_chance(waits: Sequence[tuple[Try, range]]) -> None:
    """No station's waits are shorter, or longer, than chance makes them of good stations."""
    for port in sorted({one.attempt.port for one, _ in waits}):
        mine = [(one.range, slots) for one, slots in waits if one.attempt.port == port]
        shares = {
            "short": [slots.stop / range_ for range_, slots in mine],
            "long": [(range_ - slots.start) / range_ for range_, slots in mine],
        }
        for which, found in shares.items():
            if chance_of(found) < NEVER:
                raise ExpectationFailed(
                    f"dut: the {len(mine)} waits of {port} are too {which} for the ranges that "
                    f"they are from: of good stations, fewer than one in {1 / NEVER:.0e} is like it"
                )


def expect_widest(waits: Sequence[tuple[Try, range]]) -> None:
    """From the tenth collision on, the slots are from both halves of a range of 1024."""
    full = [(one, slots) for one, slots in waits if one.range == WIDEST]
    lower = sum(slots.stop <= WIDEST // 2 for _, slots in full)
    upper = sum(slots.start >= WIDEST // 2 for _, slots in full)
    if len(full) >= DRAWN and len(full) in (lower, upper):
        raise ExpectationFailed(
            f"dut: all {len(full)} waits after the tenth collision and later ones were in the "
            f"{'lower' if lower else 'upper'} half of {WIDEST} slots",
            "\n".join(f"{one.attempt}: {slots.start} slots" for one, slots in full[:10]),
        )


@pytest.mark.behaviour("SW-21", clause="802.3 4.2.3.2.5")
@pytest.mark.topology(Topology.star("dut:bus", *LEAVES))
def test_slots_are_drawn_by_chance(bench: Bench) -> None:
    """Every wait is of whole slots; after first collisions, of 0 and of 1, at every station."""
    drawn: dict[str, list[int]] = {bench.port("dut", toward=leaf): [] for leaf in LEAVES}
    waits = expect_whole_slots(races(bench))
    for one, slots in waits:
        if one.collisions == 1 and len(slots) == 1:
            drawn[one.attempt.port].append(slots[0])
    for port, found in drawn.items():
        if len(found) < DRAWN:
            raise ExpectationFailed(
                f"dut: {port} met {len(found)} first collisions in {ROUNDS} races, in which all "
                "begin at once"
            )
        if set(found) != {0, 1}:
            raise ExpectationFailed(
                f"dut: {port} waited {found[0]} slots after each of {len(found)} first collisions, "
                "expected 0 and 1 by chance"
            )
    expect_by_chance([*waits, *expect_whole_slots(crowd(bench, LEAVES, QUEUE, SHORTEST))])


def expect_at_once(heard: Hearing, ports: Collection[str]) -> None:
    """Stations that always have one more frame send it once the medium is clear."""
    for one in heard.tries():
        if one.attempt.port not in ports or one.collisions or one.last is None:
            continue
        late = heard.late(one)
        if late > heard.SLACK:
            raise ExpectationFailed(
                f"dut: {one.attempt.port} had a new frame to send and let the medium be for "
                f"{late:.0f} bit times",
                f"{one.last}\n{one.attempt}",
            )


@pytest.mark.behaviour("SW-21", clause="802.3 4.2.3.2.5")
@pytest.mark.topology(Topology.star("dut:bus", *LEAVES))
def test_a_frame_is_tried_sixteen_times(bench: Bench) -> None:
    """The range grows up to 1024 slots, and the sixteenth collision ends a frame."""
    with bench.capture("d--dut") as seen:
        heard = crowd(bench, LEAVES[:3], CROWD, LONGEST)
        seen.settle()

    expect_at_once(heard, [bench.port("dut", toward=leaf) for leaf in LEAVES[:3]])
    waits = expect_whole_slots(heard)
    expect_by_chance(waits)
    expect_widest(waits)
    for leaf in LEAVES[:3]:
        port = bench.port("dut", toward=leaf)
        found = seen.at("d--dut").all(match.eth(src=STATIONS[leaf]))
        came = {each.data for each in found if not each.frame.damaged}
        lost, due = CROWD - len(came), heard.given_up(port)
        if lost < due:
            raise ExpectationFailed(
                f"dut: {port} met {due} times sixteen collisions in a row, and gave up {lost} "
                "frames: it goes on beyond the sixteenth attempt"
            )
        if lost > due:
            raise ExpectationFailed(
                f"dut: {lost} frames of {port} were lost, and {due} of them met sixteen collisions"
            )
        told = bench.bus("dut").medium_counters(port).excessive
        if told is not None and told < due:
            raise ExpectationFailed(
                f"dut: {port} counts {told} frames with excessive collisions, there were {due}"
            )
    for leaf in LEAVES[:3]:
        seen.at("d--dut").expect_count(match.eth(src=STATIONS[leaf]), range(1, CROWD + 1))
