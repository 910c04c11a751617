"""On a token ring only who holds the token sends, and the token comes to all in turn.

In the manner of IEEE 802.5: a station sends while it holds the token, for no longer than the
holding time (4.2.2), takes its own frames off the ring again, and passes the token to the next. A
token that is lost is replaced by the monitor (4.2.4.4).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from testbed import (
    Attempt,
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Topology,
    format_duration,
    match,
    microseconds,
    milliseconds,
    seconds,
)

LEAVES = ("a", "b", "c", "d")
STATIONS = {leaf: MacAddr(f"02:00:00:00:22:0{leaf}") for leaf in LEAVES}
UNKNOWN = MacAddr("02:00:00:00:22:99")
EXPERIMENTAL = 0x88B5
EACH = 40  # frames of every station in a busy time
LONG, SHORT = 1000, 46
START = 3  # long frames: 6 ms at 4 Mb/s
UNDER_WAY = microseconds(500)
QUIET = milliseconds(40)  # more than a whole rotation in which all hold the token for their time
DONE_WITHIN = seconds(3)
TOKEN_BACK_WITHIN = milliseconds(100)  # some ten times the monitor's 10 ms
SLACK = 10  # bit times by which a station's timers may be off


@dataclass
class Turn:
    """One station's hold of the token: what it sent, and the token that it then passed on."""

    port: str
    frames: list[Attempt] = field(default_factory=list)
    token: Attempt | None = None

    @property
    def lasted(self) -> Duration:
        """From the first frame's start to the last one's end."""
        return Duration(self.frames[-1].end - self.frames[0].start)


def frame_of(leaf: str, number: int, size: int) -> EthFrame:
    """The station's frame of that number, ``size`` bytes of payload."""
    text = number.to_bytes(4, "big").ljust(size, b"\0")
    return EthFrame(UNKNOWN, STATIONS[leaf], EXPERIMENTAL, text)


def let_all_send(bench: Bench) -> None:
    """Until nobody has sent for a while; what takes too long is judged later."""
    ring = bench.ring("dut")
    deadline = bench.loop.now() + DONE_WITHIN
    mark = -1
    while mark != (newest := ring.medium_mark()) and bench.loop.now() < deadline:
        mark = newest
        bench.watch_for(QUIET)


def busy_time(
    bench: Bench, counts: Mapping[str, int], size: int
) -> tuple[list[Attempt], Capture, dict[str, list[EthFrame]]]:
    """All stations have frames to send at the same time; the log of it, and what came of what.

    The first has a few before all others: while these are under way, all get theirs.
    """
    ring = bench.ring("dut")
    sent = {leaf: [frame_of(leaf, n, size) for n in range(count)] for leaf, count in counts.items()}
    with bench.capture() as seen:
        mark = ring.medium_mark()
        first = LEAVES[0]
        start = [frame_of(first, EACH + number, LONG) for number in range(START)]
        bench.nic(first).inject(*start)
        bench.watch_for(UNDER_WAY)
        sent[first] += start
        for number in range(max(counts.values())):
            for leaf, count in counts.items():
                if number < count:
                    bench.nic(leaf).inject(sent[leaf][number])
        let_all_send(bench)
        log = list(ring.medium_log(mark))
    return log, seen, sent


def expect_delivered(seen: Capture, sent: Mapping[str, Sequence[EthFrame]]) -> None:
    """Every frame came to every other station, once and whole, and not back to its own."""
    for leaf in LEAVES:
        view = seen.at(f"{leaf}--dut")
        sound = [each for each in view.all(match.eth(dst=UNKNOWN)) if not each.frame.damaged]
        came = {each.data for each in sound}
        due = [frame for other, frames in sent.items() if other != leaf for frame in frames]
        for frame in due:
            if frame.emit(pad=True) not in came:
                raise ExpectationFailed(
                    f"{leaf}--dut: a frame of {frame.src} did not come whole",
                    f"{len(came)} of {len(due)} came; not this one: {frame}",
                )
        view.expect_none(match.eth(src=STATIONS[leaf]))
        view.expect_count(match.eth(dst=UNKNOWN), len(due))


def expect_no_collision(log: Sequence[Attempt]) -> None:
    """No two signals met."""
    for attempt in log:
        if attempt.collided:
            raise ExpectationFailed(f"dut: two stations sent at the same time: {attempt}")


def expect_holder(turn: Turn, attempt: Attempt, rotation: Duration) -> None:
    """Whoever sends while a station has the token is that station."""
    if attempt.port == turn.port:
        return
    if attempt.token and attempt.start > turn.frames[-1].end + 2 * rotation:
        raise ExpectationFailed(
            f"dut: {turn.port} did not pass the token on: a new one came from {attempt.port}",
            f"{turn.frames[-1]}\n{attempt}",
        )
    raise ExpectationFailed(
        f"dut: {attempt.port} sent while {turn.port} had the token", f"{turn.frames[-1]}\n{attempt}"
    )


def turns_of(bench: Bench, log: Sequence[Attempt]) -> Iterator[Turn]:
    """The turns of all stations; ExpectationFailed where one sends that has not got the token.

    Where the token is follows from where it was seen last: it needs a known time to the next port.
    """
    ring = bench.ring("dut")
    facts, delays, slack = ring.ring(), ring.delays(), SLACK * ring.bit_time()
    turn: Turn | None = None
    token: Attempt | None = None
    for attempt in log:
        if turn is not None:
            expect_holder(turn, attempt, facts.rotation)
        elif token is not None and attempt.port != token.port:
            away = (attempt.start - token.start - delays[token.port, attempt.port]) % facts.rotation
            if min(away, facts.rotation - away) > slack:
                raise ExpectationFailed(
                    f"dut: {attempt.port} sent where the token was not", f"{token}\n{attempt}"
                )
        if attempt.token:
            if turn is not None:
                turn.token = attempt
                yield turn
            turn, token = None, attempt
        elif turn is None:
            turn = Turn(attempt.port, [attempt])
        else:
            turn.frames.append(attempt)
    if turn is not None:
        yield turn


def expect_passed_on(bench: Bench, turns: Sequence[Turn]) -> None:
    """Nobody held the token beyond its time, and all passed it on when they had sent."""
    facts = bench.ring("dut").ring()
    for turn in turns[:-1]:  # after the very last frame the token goes round unseen
        if turn.token is None or turn.token.start - turn.frames[-1].end > 2 * facts.rotation:
            raise ExpectationFailed(
                f"dut: {turn.port} did not pass the token on", f"{turn.frames[-1]}\n{turn.token}"
            )
    for turn in turns:
        if turn.lasted > facts.holding_time and len(turn.frames) > 1:
            raise ExpectationFailed(
                f"dut: {turn.port} sent for {format_duration(turn.lasted)} on one token, "
                f"{format_duration(facts.holding_time)} are its time",
                "\n".join(map(str, turn.frames)),
            )


def expect_all_in_turn(
    bench: Bench, turns: Sequence[Turn], sent: Mapping[str, Sequence[EthFrame]]
) -> None:
    """Of those that had frames left, none was passed over, nor had two turns in one rotation."""
    order = bench.ring("dut").ring().order
    left = {bench.port("dut", toward=leaf): len(frames) for leaf, frames in sent.items()}
    last: str | None = None
    for turn in turns:
        if last is not None:
            place = order.index(last) + 1
            ahead = [*order[place:], *order[:place]]
            due = next(port for port in ahead if left.get(port))
            if turn.port != due:
                raise ExpectationFailed(
                    f"dut: the token went from {last} to {turn.port} past {due}, which had "
                    f"{left[due]} frames to send",
                    str(turn.frames[0]),
                )
        left[turn.port] -= len(turn.frames)
        last = turn.port


@pytest.mark.behaviour("SW-22", clause="802.5 4.2.2")
@pytest.mark.topology(Topology.star("dut:ring", *LEAVES))
def test_the_token_comes_to_all_in_turn(bench: Bench) -> None:
    """Only who has the token sends, for its time; then the next one that has frames has it."""
    for size in (LONG, SHORT):
        counts = dict.fromkeys(LEAVES, EACH)
        log, seen, sent = busy_time(bench, counts, size)
        expect_no_collision(log)
        turns = list(turns_of(bench, log))
        expect_passed_on(bench, turns)
        expect_all_in_turn(bench, turns, sent)
        expect_delivered(seen, sent)


@pytest.mark.behaviour("SW-22", clause="802.5 4.2.2")
@pytest.mark.topology(Topology.star("dut:ring", *LEAVES))
def test_who_has_much_to_send_keeps_nobody_waiting(bench: Bench) -> None:
    """One station has many frames, the others a few: these need not wait for it to be done."""
    for busy in LEAVES:
        counts = {leaf: EACH if leaf == busy else 2 for leaf in LEAVES}
        log, seen, sent = busy_time(bench, counts, LONG)
        expect_no_collision(log)
        turns = list(turns_of(bench, log))
        expect_passed_on(bench, turns)
        expect_all_in_turn(bench, turns, sent)
        expect_delivered(seen, sent)


@pytest.mark.behaviour("SW-22", clause="802.5 4.2.4.4")
@pytest.mark.topology(Topology.star("dut:ring", *LEAVES))
def test_a_lost_token_is_replaced(bench: Bench) -> None:
    """A station is switched off while it sends; the others have a token again soon."""
    ring = bench.ring("dut")
    rest = LEAVES[1:]
    with bench.capture(*(f"{leaf}--dut" for leaf in rest), domains=[rest]) as seen:
        for number in range(EACH):
            bench.nic("a").inject(frame_of("a", number, LONG))
        bench.watch_for(milliseconds(3))
        mark = ring.medium_mark()
        ring.set_port_up(bench.port("dut", toward="a"), False)
        for leaf in rest:
            bench.nic(leaf).inject(frame_of(leaf, 0, SHORT))
        for leaf in rest:
            for other in rest:
                if other != leaf:
                    wanted = match.raw(frame_of(other, 0, SHORT).emit(pad=True))
                    seen.wait_for(f"{leaf}--dut", wanted, TOKEN_BACK_WITHIN)
        cut = [attempt for attempt in ring.medium_log(mark - 1) if not attempt.succeeded]
        bench.log(f"cut off: {', '.join(map(str, cut)) or 'nothing'}")
