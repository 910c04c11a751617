"""The timeout follows the round trips that were measured, and those alone.

Segments go one at a time, and the peer answers each after a time of its choosing: first sooner,
then always after ``ROUND``. Nothing is sent again meanwhile, though the least timeout is shorter
than that. When an answer stays out, the segment is sent again after more than ``ROUND`` and no
later than ``rto_first`` (seconds, 1.0): SRTT and RTTVAR have settled by then (RFC 6298 2.2, 2.3;
2.4 allows rounding up to a second). The answer to what was sent twice measures nothing (3, Karn),
for who knows which of the two it is for; the next one does, and ends the back-off (5, note after
5.7): the timeout is what it was before.

The timer runs for the oldest segment: others that are sent meanwhile do not start it anew (5.1).

A bound of the timeout, if there is one, is 60 s or more (2.5): it doubles up to there.

Tolerances as in the plan on doubling: ``rto_ratio`` (0.1), ``rto_tick`` (seconds, 0.01); and
``rto_jitter`` (seconds, 0.2), for the peer of a busy bench answers late by some tens of ms, which
RTTVAR counts four times.
"""

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    ExpectationFailed,
    Receiver,
    Topology,
    defects,
    drill,
    faults,
    format_duration,
    milliseconds,
    seconds,
    tcpflow,
)

PORT, TIMER_PORT, CAP_PORT = 5410, 5411, 5412
ROUND = milliseconds(500)
SOONER = tuple(map(milliseconds, range(100, 500, 60)))
ROUNDS = 20
AT_FIRST = 4
STEP = milliseconds(150)
CAP = seconds(60)
Segment = tcpflow.FlowSegment
TC10 = pytest.mark.behaviour("TC-10", clause="RFC 6298 2, 3, 5")
ALONE = pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))


def receiver_of(bench: Bench, seen: Capture, port: int, *, segments: int) -> Receiver:
    """A host with so many segments to send, which its peer lets go one at a time.

    It does not probe before its timeout. The window was wider at first: some fill no more than half
    of the widest that they were ever offered.
    """
    bench.host("dut").set_sysctl("net.ipv4.tcp_early_retrans", "0")
    peer = bench.host("peer", Receiver.CONFIG)
    receiver = Receiver(bench, peer, seen, port, segments=AT_FIRST + segments, window=AT_FIRST)
    receiver.take(AT_FIRST)
    receiver.window = 1
    receiver.ack()
    return receiver


@TC10
@ALONE
@drill(
    "takes the last sample alone",
    faults.python_stack(defects.timeouts.LAST_SAMPLE_ALONE),
    caught="sent again after .* expected .* to 1.31 s",
)
@drill(
    "keeps to the first sample",
    faults.python_stack(defects.timeouts.FIRST_SAMPLE_FOR_EVER),
    caught="again .* though its answer was on its way",
)
@drill(
    "measures what was sent twice",
    faults.python_stack(defects.timeouts.NO_KARN),
    caught="after the back-off",
)
@drill(
    "stays backed off",
    faults.python_stack(defects.timeouts.STAYS_BACKED_OFF),
    caught="after the back-off",
)
@drill(
    "a second too much",
    faults.python_stack(defects.timeouts.A_SECOND_TOO_MUCH),
    caught="sent again after .* expected .* to 1.31 s",
)
def test_timeout_follows_the_round_trips(bench: Bench) -> None:
    with bench.capture("peer--dut") as seen:
        receiver = receiver_of(bench, seen, PORT, segments=len(SOONER) + ROUNDS + 8)
        for wait in (*SOONER, *[ROUND] * ROUNDS):
            answer(bench, receiver, wait)
        first = expect_timeout(bench, receiver, "in round trips of 500 ms")
        again = await_again(bench, receiver, Duration(round(2.5 * first)))
        bench.log(f"timeouts of {format_duration(first)}, {format_duration(again)}")
        bench.watch_for(milliseconds(50))
        receiver.ack()
        answer(bench, receiver, ROUND)  # in a timeout that is backed off still
        expect_timeout(bench, receiver, "after the back-off")
        receiver.ack()
        receiver.finish()


def answer(bench: Bench, receiver: Receiver, wait: Duration) -> None:
    """The next segment comes, once, and is acknowledged so long after it was sent."""
    sent = receiver.take(1)
    if len(sent) != 1:
        raise ExpectationFailed(
            f"{receiver.dut.name} sent {len(sent)} segments in a window of one, expected one"
        )
    bench.watch_for(Duration(max(0, sent[0].at + wait - bench.loop.wall_now())))
    if receiver.sent[-1].number != sent[0].number:
        raise ExpectationFailed(
            f"{receiver.dut.name} sent {sent[0].seq}..{sent[0].end} again "
            f"{format_duration(Duration(receiver.sent[-1].at - sent[0].at))} later, though its "
            f"answer was on its way, as long as the ones before: {format_duration(wait)}"
        )
    receiver.ack()


def expect_timeout(bench: Bench, receiver: Receiver, when: str) -> Duration:
    """The next segment has no answer: how long until it is sent again."""
    receiver.take(1)
    most = latest(bench)
    gap = await_again(bench, receiver, Duration(most + seconds(5)))
    if not ROUND <= gap <= most:
        raise ExpectationFailed(
            f"{receiver.dut.name}: a segment was sent again after {format_duration(gap)} {when}, "
            f"expected {format_duration(ROUND)} to {format_duration(most)}"
        )
    return gap


def latest(bench: Bench) -> Duration:
    """The longest that a timeout may take which was not backed off."""
    first, ratio = bench.tolerance("rto_first", 1.0), bench.tolerance("rto_ratio", 0.1)
    late = bench.tolerance("rto_tick", 0.01) + bench.tolerance("rto_jitter", 0.2)
    return seconds(first * (1 + ratio) + late)


def await_again(bench: Bench, receiver: Receiver, within: Duration) -> Duration:
    """Wait for the last segment to be sent once more: how long it took."""
    count = len(receiver.sent)
    bench.wait_until(lambda: len(receiver.sent) > count, within, "the lost segment, sent again")
    receiver.take(0)
    before, last = receiver.sent[count - 1], receiver.sent[count]
    return Duration(last.at - before.at)


@TC10
@ALONE
@drill(
    "each segment starts the timer anew",
    faults.python_stack(defects.timeouts.EACH_SEGMENT_RESTARTS),
    caught="the oldest segment was sent again after",
)
def test_timer_runs_for_the_oldest_segment(bench: Bench) -> None:
    with bench.capture("peer--dut") as seen:
        receiver = receiver_of(bench, seen, TIMER_PORT, segments=40)
        (oldest,) = receiver.take(1)[:1]

        def again() -> list[Segment]:
            return [each for each in receiver.sent if each.seq == oldest.seq][1:]

        # Each opens the window by one: none of them is a duplicate ACK (RFC 5681 2).
        for window in range(2, 16):
            if again():
                break
            bench.watch_for(STEP)
            receiver.window = window
            receiver.ack(oldest.seq)
        most = latest(bench)
        wait = Duration(again()[0].at - oldest.at) if again() else Duration(15 * STEP)
        if wait > most:
            raise ExpectationFailed(
                f"{receiver.dut.name}: the oldest segment was sent again after "
                f"{format_duration(wait)}{'' if again() else ' or never'}, as others were sent "
                f"meanwhile, expected within {format_duration(most)}"
            )
        receiver.ack()
        receiver.finish()


@pytest.mark.slow("the timeout doubles up to a minute")
@TC10
@ALONE
@drill(
    "a bound of 30 s",
    faults.python_stack(defects.timeouts.BOUND_OF_30_S),
    caught="again after 30(.0\\d*)? s, expected",
)
@drill(
    "doubles three times",
    faults.python_stack(defects.timeouts.DOUBLES_THREE_TIMES),
    caught="again after .*, expected",
)
def test_timeout_doubles_up_to_a_minute(bench: Bench) -> None:
    ratio, tick = bench.tolerance("rto_ratio", 0.1), seconds(bench.tolerance("rto_tick", 0.01))
    bench.host("dut").set_sysctl("net.ipv4.tcp_retries2", "15")
    with bench.capture("peer--dut") as seen:
        receiver = receiver_of(bench, seen, CAP_PORT, segments=1)
        receiver.take(1)
        gaps = [await_again(bench, receiver, seconds(5))]
        while gaps[-1] < CAP:
            gaps.append(await_again(bench, receiver, Duration(3 * gaps[-1] + seconds(1))))
            wanted = Duration(min(2 * gaps[-2], CAP))
            if gaps[-1] < wanted * (1 - ratio) - tick:
                raise ExpectationFailed(
                    f"{receiver.dut.name}: a segment was sent again after "
                    f"{format_duration(gaps[-1])}, expected {format_duration(wanted)} or more"
                )
            if gaps[-1] >= CAP * (1 - ratio):
                break
        receiver.ack()
        receiver.finish()
    bench.log(f"sent again after {', '.join(map(format_duration, gaps))}")
