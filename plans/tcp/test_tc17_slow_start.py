"""A connection begins with ten segments, and each ACK of one segment lets two more go.

"The initial window [...] min (10*MSS, max (2*MSS, 14600))" (RFC 6928 2): ten segments leave before
the first ACK, and no more (tolerance ``initial_window``, segments, 10; a host MAY begin with less).
"During slow start, a TCP increments cwnd by at most SMSS bytes for each ACK received that
cumulatively acknowledges new data" (RFC 5681 3.1). Where each segment has an ACK of its own, a
round doubles the window: ten ACKs, and 20 segments are in flight, exactly. With one ACK for two
segments, as receivers send them, each lets it grow by one segment, or by two where bytes are
counted (RFC 3465 2.2, L=2; RFC 9438 4.10). One ACK for all in flight adds ``stretch`` segments at
the most (tolerance; as many as it acknowledges unless set: Linux's way, where RFC 5681 has one).
Four ACKs for the parts of one segment count as much as one for the whole.

The receiver's window is ample and its ACKs come one in 2 ms, so that what is in flight is the
congestion window. Congestion control is Reno's, which sends without pacing.
"""

import pytest

from testbed import (
    Bench,
    ExpectationFailed,
    Receiver,
    Topology,
    defects,
    drill,
    faults,
    milliseconds,
)

PORT = 5117
SEGMENTS = 200
PARTS = 4
ROUTE = "ip route change $(ip route show dev {peer} proto kernel | head -n 1)"


@pytest.mark.behaviour("TC-17", clause="RFC 5681 3.1, RFC 6928 2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "sends all at once",
    faults.python_stack(defects.sender.SENDS_ALL_AT_ONCE),
    caught=r"sent \d\d+ segments before the first ACK",
)
@drill(
    "begins with forty",
    faults.python_stack(defects.sender.BEGINS_WITH_FORTY),
    caught=r"sent 40 segments before the first ACK",
)
@drill(
    "two segments for each ACK",
    faults.python_stack(defects.sender.TWO_FOR_EACH_ACK),
    caught="had an ACK of its own",
)
@drill(
    "no slow start",
    faults.python_stack(defects.sender.NO_SLOW_START),
    caught="11 are in flight, expected 20",
)
@drill(
    "counts ACKs of half segments",
    faults.python_stack(defects.sender.GROWS_BY_SPLIT_ACKS),
    caught="ACKs for parts of one segment",
)
def test_window_begins_with_ten_and_grows_by_one_for_each_ack(bench: Bench) -> None:
    bench.host("dut").set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    initial = int(bench.tolerance("initial_window", 10))
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        receiver = Receiver(bench, peer, seen, PORT, segments=SEGMENTS, window=SEGMENTS)
        burst = receiver.take(initial)
        if len(burst) != initial:
            raise ExpectationFailed(
                f"{receiver.dut.name} sent {len(burst)} segments before the first ACK, "
                f"expected {initial}"
            )

        receiver.ack_each(burst)
        second = receiver.take(2 * initial)
        expect_in_flight(receiver, 2 * initial, 2 * initial, f"{initial} had an ACK of its own")

        receiver.ack_each(second, of=2)
        third = receiver.take(3 * initial)
        expect_in_flight(
            receiver, 3 * initial, 4 * initial, f"{len(second)} had an ACK for every two"
        )

        before, first = receiver.in_flight, receiver.acked
        for part in range(1, PARTS + 1):
            receiver.ack(first + part * receiver.smss // PARTS)
            bench.watch_for(milliseconds(2))
        receiver.take(2)
        expect_in_flight(receiver, before, before + 1, f"{PARTS} ACKs for parts of one segment")

        whole = receiver.in_flight
        stretch = int(bench.tolerance("stretch", whole))
        receiver.ack()
        receiver.take(whole + 1)
        expect_in_flight(receiver, whole + 1, whole + stretch, f"{len(third)} had one ACK for all")
        receiver.finish()


def expect_in_flight(receiver: Receiver, least: int, most: int, after: str) -> None:
    """So many segments are sent and not acknowledged."""
    count = receiver.in_flight
    if not least <= count <= most:
        wanted = str(least) if least == most else f"{least} to {most}"
        raise ExpectationFailed(
            f"{receiver.dut.name}: after {after}, {count} are in flight, expected {wanted}"
        )
