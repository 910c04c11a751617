"""After a timeout a sender begins with one segment, and slow start ends at half of what was lost.

When the timer expires, ssthresh is "max (FlightSize / 2, 2*SMSS)" and cwnd "MUST be set to no more
than the loss window, LW, which equals 1 full-sized segment" (RFC 5681 3.1, equation 4). Twenty
segments are in flight and nothing is acknowledged: one is resent at the timeout, and the same one
alone at the next, which is not sooner than twice as long after it (RFC 6298 5.5, tolerance
``rto_ratio``, 0.1). The second does not change ssthresh: "the value of ssthresh is held constant"
for a segment that was resent by timeout before. Then each segment has its ACK, and the rounds are
of 1, 2, 4 and 8 segments, then, past the threshold of 10, of one more each time (tolerance
``growth``, segments, 1).

The path is switched to what RFC 5681 describes: no SACK, no F-RTO (RFC 5682), Reno's congestion
control. The first timeout comes within ``rto_first`` (seconds, 1.0).
"""

from itertools import pairwise

import pytest

from testbed import (
    Bench,
    Duration,
    ExpectationFailed,
    Receiver,
    Topology,
    defects,
    drill,
    faults,
    format_duration,
    seconds,
)

PORT = 5119
SEGMENTS = 120
FULL = 20
"""Segments in flight: the initial window, and a round of slow start."""
SLOW_START = [1, 2, 4, 8]
PAST = 3
"""Rounds looked at past the threshold."""


@pytest.mark.behaviour("TC-19", clause="RFC 5681 3.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "cwnd kept",
    faults.python_stack(defects.sender.KEEPS_WINDOW),
    caught=r"at the timeout .* sent \d\d segments, expected 1|rounds of 1, 20, .* expected",
)
@drill(
    "restarts with the initial window",
    faults.python_stack(defects.sender.RESTARTS_WITH_INITIAL_WINDOW),
    caught=r"at the timeout .* sent 10 segments, expected 1|rounds of 1, 10, .* expected",
)
@drill(
    "forgets the threshold",
    faults.python_stack(defects.sender.KEEPS_SSTHRESH),
    caught=r"rounds of 1, 2, 4, 8, 1[2-9].* expected",
)
@drill(
    "halves at each timeout",
    faults.python_stack(defects.sender.HALVES_AT_EACH_TIMEOUT),
    caught=r"rounds of 1, 2, 3.* expected",
)
def test_timeout_takes_the_window_down_to_one_segment(bench: Bench) -> None:
    dut = bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    dut.set_sysctl("net.ipv4.tcp_sack", "0")
    dut.set_sysctl("net.ipv4.tcp_frto", "0")
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        receiver = Receiver(bench, peer, seen, PORT, segments=SEGMENTS, window=SEGMENTS)
        receiver.ack_each(receiver.take(10))
        flight = receiver.take(FULL)
        if len(flight) != FULL:
            raise ExpectationFailed(
                f"{len(flight)} segments came in the second round, expected {FULL}"
            )
        begun = receiver.acked
        expect_timeouts(bench, receiver)
        rounds = [1]
        while receiver.acked < receiver.highest and len(rounds) < len(SLOW_START) + PAST:
            resent = receiver.sent[-rounds[-1] :]
            receiver.ack_each(resent)
            rounds.append(len(receiver.take(2 * rounds[-1])))
        expect_rounds(bench, rounds)
        bench.log(f"rounds of {rounds} from {begun} on")
        receiver.finish()


def expect_timeouts(bench: Bench, receiver: Receiver) -> None:
    """Two timeouts, at each of which the first segment alone is resent."""
    first = seconds(bench.tolerance("rto_first", 1.0))
    ratio = bench.tolerance("rto_ratio", 0.1)
    oldest = next(each for each in receiver.sent if each.seq == receiver.acked)
    last, times, within = receiver.sent[-1], [receiver.sent[-1].at], first
    for turn in ("timeout", "second timeout"):
        again = receiver.take(1, within=Duration(round(within * (1 + ratio))))
        if [each.seq for each in again] != [oldest.seq]:
            wrong = ", ".join(f"{each.seq}..{each.end}" for each in again[:3])
            raise ExpectationFailed(
                f"{receiver.dut.name}: at the {turn} of {oldest.seq}..{oldest.end} it sent "
                f"{len(again)} segments, expected 1: {wrong or 'nothing'}"
                f"{' ...' if len(again) > 3 else ''}"
            )
        times.append(again[0].at)
        within = Duration(2 * first)
    waits = [Duration(later - sooner) for sooner, later in pairwise(times)]
    if waits[1] < 2 * (1 - ratio) * waits[0]:
        raise ExpectationFailed(
            f"{receiver.dut.name}: {oldest.seq}..{oldest.end} was resent after "
            f"{', '.join(map(format_duration, waits))}, expected twice as long each time "
            f"(the last of the flight was {last.seq}..{last.end})"
        )


def expect_rounds(bench: Bench, rounds: list[int]) -> None:
    """Slow start up to half of the flight, then one more in each round."""
    slack = round(bench.tolerance("growth", 1))
    past = rounds[len(SLOW_START) :]
    threshold = FULL // 2
    fits = all(
        threshold - slack <= count - turn <= threshold + slack for turn, count in enumerate(past)
    )
    if rounds[: len(SLOW_START)] != SLOW_START or not past or not fits:
        raise ExpectationFailed(
            f"after two timeouts of one of {FULL} segments it sent rounds of "
            f"{', '.join(map(str, rounds))}, expected 1, 2, 4, 8, and then about "
            f"{', '.join(str(threshold + turn) for turn in range(PAST))}"
        )
