"""Several losses in one window are mended in one recovery, which halves the window once.

Twenty segments are in flight, two or three of them are lost. The first is resent at the third
duplicate ACK (TC-20). Without SACK, an ACK that covers some of the flight but not all of it "is
treated as an indication that another segment was lost", and the next hole is resent at once, with
no duplicates and no timeout (RFC 6582 3.2, partial acknowledgments). With SACK, all holes are
filled while the ACKs of the rest come in (RFC 6675 5). Either way nothing else is resent, new data
goes on leaving (RFC 5681 3.2 step 5; ``least_new``, tolerance, segments, 3), and what is in flight
once all is acknowledged is half of the flight: not less, as after a second halving or a slow start,
nor more, as with a window that is still inflated (``window``, tolerance, segments, 2), and about
the same a round later.

Each ACK comes 2 ms after the other, each segment has its own. Congestion control is Reno's.
"""

from collections.abc import Sequence

import pytest

from testbed import (
    Bench,
    Capture,
    ExpectationFailed,
    Receiver,
    StackHost,
    Topology,
    defects,
    drill,
    faults,
    milliseconds,
    tcpflow,
)

PORT = 5121
SEGMENTS = 120
FULL = 20
"""Segments in flight: the initial window, and a round of slow start."""
Range = tuple[int, int]
Segment = tcpflow.FlowSegment


@pytest.mark.behaviour("TC-21", clause="RFC 6582 3.2, RFC 6675 5")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "falls to slow start",
    faults.python_stack(defects.recovery.FALLS_TO_SLOW_START),
    caught="without SACK: [0-2] new segments",
)
@drill(
    "leaves at a partial ACK",
    faults.python_stack(defects.recovery.LEAVES_AT_PARTIAL_ACK),
    caught="without SACK: .* was not resent at the ACK",
)
@drill(
    "halves again",
    faults.python_stack(defects.recovery.HALVES_AGAIN),
    caught=r"without SACK: .* in flight after",
)
@drill(
    "never deflates",
    faults.python_stack(defects.recovery.NEVER_DEFLATES),
    caught=r"without SACK: .* in flight after",
)
def test_losses_of_one_window_halve_it_once(bench: Bench) -> None:
    dut = bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    dut.set_sysctl("net.ipv4.tcp_early_retrans", "0")
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        without_sack(bench, peer, seen)


@pytest.mark.behaviour("TC-21", clause="RFC 6675 5")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "falls to slow start",
    faults.python_stack(defects.recovery.FALLS_TO_SLOW_START),
    caught="with SACK: [0-2] new segments",
)
@drill(
    "halves again",
    faults.python_stack(defects.recovery.HALVES_AGAIN),
    caught=r"with SACK: .* in flight after",
)
def test_holes_are_filled_by_sack_and_halve_it_once(bench: Bench) -> None:
    dut = bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    dut.set_sysctl("net.ipv4.tcp_early_retrans", "0")
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        with_sack(bench, peer, seen)


def without_sack(bench: Bench, peer: StackHost, seen: Capture) -> None:
    """The first and the fifth of the flight are lost; the receiver has no SACK."""
    how = "without SACK"
    receiver, flight = full_flight(bench, peer, seen, sack=False)
    first, second = flight[0], flight[4]
    receiver.ack(first.seq, times=FULL - 2)
    recovery = list(receiver.take(1))
    expect_resent(how, flight, recovery, [first])
    expect_new(bench, how, flight, recovery)
    receiver.ack(second.seq)
    partial = receiver.take(1)
    if not any(each.seq == second.seq for each in partial):
        raise ExpectationFailed(
            f"{how}: {second.seq}..{second.end} was not resent at the ACK of all below it, "
            f"a partial one"
        )
    expect_resent(how, flight, [*recovery, *partial], [first, second])
    # RFC 6582's recover: what was sent when the recovery began, limited transmit included.
    start = next(turn for turn, each in enumerate(recovery) if each.seq == first.seq)
    receiver.ack(recovery[start - 1].end if start else flight[-1].end)
    expect_half(bench, receiver, how)
    receiver.finish()


def with_sack(bench: Bench, peer: StackHost, seen: Capture) -> None:
    """The first, fifth and ninth of the flight are lost, and the receiver reports what came."""
    how = "with SACK"
    receiver, flight = full_flight(bench, peer, seen, sack=True)
    lost = [flight[0], flight[4], flight[8]]
    came: list[Segment] = []
    for each in flight:
        if each not in lost:
            came.append(each)
            receiver.ack(flight[0].seq, sack=blocks(came))
            bench.watch_for(milliseconds(2))
    recovery = list(receiver.take(len(lost)))
    expect_new(bench, how, flight, recovery)
    expect_resent(how, flight, recovery, lost)
    for each in recovery:  # arrives in its turn
        came.append(each)
        done = cumulative(flight[0].seq, came)
        receiver.ack(done, sack=[block for block in blocks(came) if block[0] > done])
        bench.watch_for(milliseconds(2))
    expect_half(bench, receiver, how)
    receiver.finish()


def full_flight(
    bench: Bench, peer: StackHost, seen: Capture, *, sack: bool
) -> tuple[Receiver, list[Segment]]:
    """A connection with a flight of twenty segments."""
    receiver = Receiver(bench, peer, seen, PORT, segments=SEGMENTS, sack=sack, window=SEGMENTS)
    receiver.ack_each(receiver.take(10))
    flight = list(receiver.take(FULL))
    if len(flight) != FULL:
        raise ExpectationFailed(f"{len(flight)} segments came in the second round, expected {FULL}")
    return receiver, flight


def cumulative(start: int, came: Sequence[Segment]) -> int:
    """The number that a receiver of these acknowledges."""
    for each in sorted(came, key=lambda each: each.seq):
        if each.seq == start:
            start = each.end
    return start


def blocks(came: Sequence[Segment]) -> list[Range]:
    """SACK blocks of what came, the latest first, no more than three."""
    found = list[Range]()
    for each in came:
        inside = next((block for block in found if each.seq == block[1]), None)
        if inside is None:
            found.insert(0, (each.seq, each.end))
        else:
            found.remove(inside)
            found.insert(0, (inside[0], each.end))
    return found[:3]


def expect_resent(
    how: str, flight: Sequence[Segment], sent: Sequence[Segment], lost: Sequence[Segment]
) -> None:
    """Of the flight, what was lost was sent again, each once, and nothing else."""
    top = flight[-1].end
    again = [each.seq for each in sent if each.seq < top]
    again += [each.segment.seq for each in tcpflow.retransmissions(sent) if each.segment.seq >= top]
    wanted = [each.seq for each in lost]
    for seq in again:
        if seq not in wanted:
            raise ExpectationFailed(
                f"{how}: the segment from {seq} on was resent, which was not lost; "
                f"lost: {', '.join(map(str, wanted))}"
            )
    for seq in wanted:
        if again.count(seq) != 1:
            raise ExpectationFailed(
                f"{how}: the segment from {seq} on was lost and resent {again.count(seq)} times"
            )


def expect_new(bench: Bench, how: str, flight: Sequence[Segment], sent: Sequence[Segment]) -> None:
    """New data went on leaving during the recovery."""
    new, least = sum(each.seq >= flight[-1].end for each in sent), bench.tolerance("least_new", 3)
    if new < least:
        raise ExpectationFailed(
            f"{how}: {new} new segments were sent while the ACKs of {FULL} came, of which half "
            f"is the window, expected {least:.0f} or more"
        )


def expect_half(bench: Bench, receiver: Receiver, how: str) -> None:
    """The flight is acknowledged: half of it is in flight, and after a round about as much."""
    slack = round(bench.tolerance("window", 2))
    half = FULL // 2
    found = []
    for _ in range(2):
        receiver.take(0 if receiver.in_flight >= half else 1)
        found.append(receiver.in_flight)
        if not half - slack <= found[-1] <= half + slack:
            raise ExpectationFailed(
                f"{how}: {', '.join(map(str, found))} segments are in flight after the recovery, "
                f"expected {half}, half of what was in flight when the loss was found"
            )
        receiver.ack_each(receiver.sent[-receiver.in_flight :])
    receiver.take(1)
