"""A receiver acknowledges every second full segment at once, a lone one within half a second.

"The delay MUST be less than 0.5 seconds, and in a stream of full-sized segments there SHOULD be an
ACK for at least every second full-sized segment" (RFC 9293 3.8.6.3, MUST-40, SHLD-19). A segment
that comes out of order, and the one that fills the hole, are acknowledged "immediately" (RFC 5681
4.2), since loss recovery counts on it.

The time counts from the first segment that is not acknowledged: small ones that follow each other
do not put it off.

Tolerances, in seconds: ``ack_delay`` (0.5), and ``ack_at_once`` (0.03: less than the 40 ms which
Linux delays at least, so that "at once" is not by the timer). Linux acknowledges each of the first
segments of a connection ("quickack"): the pairs here outlast that.
"""

import pytest

from testbed import (
    Bench,
    Drop,
    Duration,
    ExpectationFailed,
    Nth,
    SocketOptions,
    StackConfig,
    StackConnection,
    Topology,
    defects,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
    tcpflow,
)

PORT = 5115
SMALL = 100
HEADERS = 40
PAIRS = 20
ALONE = 4
TRICKLE, EVERY = 6, milliseconds(150)
PATIENCE = seconds(3)
Sent = tcpflow.FlowSegment


@pytest.mark.behaviour("TC-15", clause="RFC 9293 3.8.6.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "1 s late",
    faults.python_stack(defects.receiver.ACKS_A_SECOND_LATE),
    caught=r"acknowledged after 1[.\d]* s",
)
@drill(
    "no timer for a lone segment",
    faults.python_stack(defects.receiver.ACKS_PAIRS_ONLY),
    caught="ACK of a lone segment did not come",
)
@drill(
    "acknowledges every fourth segment",
    faults.python_stack(defects.receiver.ACKS_EVERY_FOURTH),
    caught="second of two full segments, .* acknowledged after",
)
@drill(
    "delays duplicate ACKs",
    faults.python_stack(defects.receiver.DELAYS_DUPLICATE_ACKS),
    caught="out of order, .* acknowledged after",
)
@drill(
    "each segment delays the ACK anew",
    faults.python_stack(defects.streams.EACH_SEGMENT_DELAYS),
    caught="one of many small segments, .* acknowledged after",
)
@drill(
    "its ACKs are lost",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp sport {PORT} tcp flags == ack meta length < 60 limit rate over 1/hour burst 5"
        " packets drop",
    ),
    caught="ACK of two full segments did not come",
)
def test_full_segments_by_two_and_lone_ones_in_time(bench: Bench) -> None:
    config = StackConfig.of(tcp={"timestamps": False, "tlp": False})
    peer, dut = bench.host("peer", config), bench.host("dut")
    full = dut.mtu(bench.port("dut", toward="peer")) - HEADERS
    dut.tcp_serve(PORT)
    with bench.capture("peer--dut") as seen:
        c = peer.connect("dut", PORT, options=SocketOptions(nodelay=True))
        for _ in range(PAIRS):
            send(bench, c, bytes(2 * full), "two full segments")
        for turn in range(ALONE):
            send(bench, c, bytes(full if turn % 2 else SMALL), "a lone segment")
        for _ in range(TRICKLE):
            c.send(bytes(SMALL))
            bench.watch_for(EVERY)
        bench.wait_until(lambda: c.tcp.unacked == 0, PATIENCE, "an ACK of small segments")
        with peer.outgoing.impaired(Drop(Nth(1, matching=match.tcp(longer_than=0)))):
            send(bench, c, bytes(2 * full), "the segment that fills the hole")
        c.shutdown()
        c.receive_all(within=PATIENCE)
        seen.settle()
    flow = tcpflow.connection(seen.at("peer--dut").both, server_port=PORT)
    judge(bench, flow)


def send(bench: Bench, c: StackConnection, data: bytes, what: str) -> None:
    """Send ``data``, and wait until it is acknowledged."""
    c.send(data)
    bench.wait_until(lambda: c.tcp.unacked == 0, PATIENCE, f"an ACK of {what}")


def judge(bench: Bench, flow: tcpflow.Connection) -> None:
    """Every segment that calls for an ACK got it in time."""
    most = seconds(bench.tolerance("ack_delay", 0.5))
    at_once = seconds(bench.tolerance("ack_at_once", 0.03))
    data = [each for each in flow.up if each.payload]
    pairs, rest = data[: 2 * PAIRS], data[2 * PAIRS :]
    for second in pairs[1::2]:
        expect_acked(flow, second, at_once, "the second of two full segments")
    alone, (ahead, filling) = rest[:ALONE], rest[ALONE + TRICKLE : ALONE + TRICKLE + 2]
    for each in rest[ALONE : ALONE + TRICKLE]:
        expect_acked(flow, each, most, "one of many small segments")
    waits = [expect_acked(flow, each, most, "a lone segment") for each in alone]
    bench.log(f"lone segments: acknowledged after {', '.join(map(format_duration, waits))}")
    expect_acked(flow, ahead, at_once, "a segment out of order", of=filling.seq)
    expect_acked(flow, filling, at_once, "the segment that fills the hole", of=ahead.end)


def expect_acked(
    flow: tcpflow.Connection, sent: Sent, within: Duration, what: str, of: int | None = None
) -> Duration:
    """How long an ACK of ``sent``, or of the number ``of``, took; a finding if too long."""
    wanted = sent.end if of is None else of
    answers = (
        each.at
        for each in flow.down
        if each.number > sent.number and each.ack is not None and each.ack >= wanted
    )
    wait = Duration(next(answers) - sent.at)
    if wait > within:
        raise ExpectationFailed(
            f"peer--dut: {what}, #{sent.number} with {sent.seq}..{sent.end}, was acknowledged "
            f"after {format_duration(wait)}, expected within {format_duration(within)}"
        )
    return wait
