"""One ACK covers all below it, the window slides with it, and no more goes than it allows.

An ACK says that all below its number has come (RFC 9293 3.4), and what may be sent reaches up to
SND.UNA + SND.WND (3.8.6), or as far as the congestion window does, "the minimum of cwnd and rwnd"
(RFC 5681 3.1). In a window of five segments five are sent, and not one more. An ACK of two lets two
go; one that acknowledges nothing and opens the window by three lets three go; one that covers all
lets five go. In a window of a hundred the congestion window holds: no more than ten, and one for
each segment that was acknowledged. Nothing ever goes beyond the right edge that was offered, not by
a byte, also where a window is no multiple of a segment; a probe of a closed one may.

Without SACK all of a flight goes again after a timeout, in order, as fast as slow start has it
(go-back-N): of five segments without an answer the first is resent alone, and as each is
acknowledged the others, once each, before any new data. Where the first alone was lost, the ACK of
its copy covers all five: none of the others is resent, and new data goes on.

Congestion control is Reno's, the peer offers no SACK. F-RTO (RFC 5682), which sends new data after
a timeout to find out whether it was spurious, is off. A timeout comes within ``rto_first``
(tolerance, seconds, 1.0).
"""

import hashlib

import pytest

from testbed import (
    Bench,
    Capture,
    ExpectationFailed,
    Receiver,
    SocketOptions,
    StackHost,
    TcpFlags,
    Topology,
    defects,
    drill,
    faults,
    milliseconds,
    seconds,
    tcpflow,
)

PORT = 5113
SEGMENTS = 100
WINDOW = 5
ODD = 701
"""Bytes of a window that no segment fits into."""
Segment = tcpflow.FlowSegment


@pytest.mark.behaviour("TC-13", clause="RFC 9293 3.8.6, RFC 5681 2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "ignores the window",
    faults.python_stack(defects.sliding.IGNORES_WINDOW),
    caught=r"sent 10 segments first in a window of 5",
)
@drill(
    "ignores the congestion window",
    faults.python_stack(defects.sender.SENDS_ALL_AT_ONCE),
    caught=r"in a window of 100, expected",
)
@drill(
    "stop and wait",
    faults.python_stack(defects.sliding.STOPS_AND_WAITS),
    caught=r"sent 1 segments first in a window of 5",
)
@drill(
    "ignores window updates",
    faults.python_stack(defects.sliding.IGNORES_WINDOW_UPDATES),
    caught=r"sent [01] segments as the window opens by 3",
)
@drill(
    "a byte beyond the window",
    faults.python_stack(defects.windows.ONE_BYTE_OVER),
    caught=r"goes beyond the window by 1 byte",
)
def test_window_slides_with_the_cumulative_ack(bench: Bench) -> None:
    quiet_dut(bench)
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        slide(bench, peer, seen)
        to_the_byte(bench, peer, seen)


@pytest.mark.behaviour("TC-13", clause="RFC 5681 3.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "resends what was acknowledged",
    faults.python_stack(defects.sliding.RESENDS_ACKNOWLEDGED),
    caught="resent .* which was acknowledged",
)
@drill(
    "resends the first alone",
    faults.python_stack(defects.sliding.FORGETS_THE_REST),
    caught="of the flight: 1, expected",
)
def test_flight_without_an_answer_goes_again_from_the_first_on(bench: Bench) -> None:
    quiet_dut(bench)
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        go_back(bench, peer, seen)
        only_first(bench, peer, seen)


def quiet_dut(bench: Bench) -> None:
    """Reno, nothing that looks beyond the ACKs."""
    dut = bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    dut.set_sysctl("net.ipv4.tcp_frto", "0")


def slide(bench: Bench, peer: StackHost, seen: Capture) -> None:
    """Five, then as many as each ACK lets go; then the congestion window."""
    receiver = Receiver(bench, peer, seen, PORT, segments=SEGMENTS, window=WINDOW)
    size = receiver.smss
    expect_sent(receiver, receiver.take(WINDOW), WINDOW, "first", "of 5")
    receiver.ack(1 + 2 * size)
    expect_sent(receiver, receiver.take(2), 2, "at an ACK of 2", "of 5")
    receiver.window = WINDOW + 3
    receiver.ack(1 + 2 * size)
    expect_sent(receiver, receiver.take(3), 3, "as the window opens by 3", "of 8")
    receiver.window = WINDOW
    receiver.ack(1 + 10 * size)
    expect_sent(receiver, receiver.take(WINDOW), WINDOW, "at an ACK of 8 at once", "of 5")
    receiver.window = SEGMENTS
    allowed = 10 + 15
    receiver.ack()
    sent = receiver.take(10)
    if not 10 <= len(sent) <= allowed:
        raise ExpectationFailed(
            f"{receiver.dut.name} sent {len(sent)} segments in a window of {SEGMENTS}, expected no "
            f"more than its congestion window of 10 to {allowed}"
        )
    receiver.finish()
    expect_inside(receiver.flow, scale=3)


def to_the_byte(bench: Bench, peer: StackHost, seen: Capture) -> None:
    """A window that is less than a segment, filled and opened again."""
    port, size = PORT + 3, 3 * ODD
    bench.host("dut").tcp_serve(port, send=size, seed=port)
    options = SocketOptions(
        mss=1000, window_scaling=False, timestamps=False, receive_buffer=ODD, quickack=True
    )
    c = peer.connect("dut", port, options=options)
    bench.watch_for(milliseconds(100))
    if c.receive(size, within=seconds(5)) != stream(port, size):
        raise ExpectationFailed(f"{c}: {size} bytes came, but not those that were sent")
    c.shutdown()
    c.receive_all(within=seconds(5))
    view = seen.at("peer--dut").both
    expect_inside(tcpflow.connection(view, server_port=port), scale=0)


def expect_inside(flow: tcpflow.Connection, *, scale: int) -> None:
    """No segment goes beyond what was offered; into a closed window one byte may, as a probe."""
    edge = 0
    for each in sorted((*flow.up, *flow.down), key=lambda segment: segment.number):
        if each in flow.up:
            syn = bool(each.tcp.flags & TcpFlags.SYN)
            edge = max(edge, (each.ack or 1) + (each.tcp.window << (0 if syn else scale)))
        elif (over := each.end - edge) > 0 and each.payload and each.seq < edge:
            raise ExpectationFailed(
                f"peer--dut: #{each.number}, {each.seq}..{each.end}, goes beyond the window by "
                f"{over} byte{'s' if over > 1 else ''}; {edge} is its right edge"
            )
        elif over > 0 and len(each.payload) > 1:
            raise ExpectationFailed(
                f"peer--dut: #{each.number}, {each.seq}..{each.end}, is beyond the window, whose "
                f"right edge is {edge}"
            )


def expect_sent(
    receiver: Receiver, sent: tuple[Segment, ...], count: int, when: str, window: str
) -> None:
    """So many new segments, no more and no less."""
    if len(sent) != count:
        raise ExpectationFailed(
            f"{receiver.dut.name} sent {len(sent)} segments {when} in a window {window}, "
            f"expected {count}"
        )


def go_back(bench: Bench, peer: StackHost, seen: Capture) -> None:
    """Nothing of the flight is acknowledged: it goes again from the first on."""
    receiver, flight = timed_out(bench, peer, seen, PORT + 1)
    wanted = [each.seq for each in flight]
    order, step = wanted[:1], receiver.sent[-1:]
    while step and order[-1] < flight[-1].end:
        receiver.ack_each(step)
        step = receiver.take(1)
        order += [each.seq for each in step]
    again = [seq for seq in order if seq < flight[-1].end]
    if again != wanted or order[: len(wanted)] != wanted:
        raise ExpectationFailed(
            f"{receiver.dut.name}, no answer to a flight from {named(wanted)} on: it sent "
            f"{named(order)}, of the flight: {len(again)}, expected all, each once, before new data"
        )
    receiver.finish()


def only_first(bench: Bench, peer: StackHost, seen: Capture) -> None:
    """The ACK of the first one's copy covers all: only new data follows."""
    receiver, flight = timed_out(bench, peer, seen, PORT + 2)
    receiver.ack(flight[-1].end)
    step = receiver.take(1)
    if not step:
        raise ExpectationFailed(
            f"{receiver.dut.name}: nothing new was sent once all of the flight was acknowledged"
        )
    for each in step:
        if each.seq < flight[-1].end:
            raise ExpectationFailed(
                f"{receiver.dut.name} resent {each.seq}..{each.end}, which was acknowledged"
            )
    receiver.finish()


def timed_out(
    bench: Bench, peer: StackHost, seen: Capture, port: int
) -> tuple[Receiver, tuple[Segment, ...]]:
    """A flight of five, of which the first was resent by timeout, alone."""
    receiver = Receiver(bench, peer, seen, port, segments=SEGMENTS, window=WINDOW)
    flight = receiver.take(WINDOW)
    expect_sent(receiver, flight, WINDOW, "first", f"of {WINDOW}")
    again = receiver.take(1, within=seconds(bench.tolerance("rto_first", 1.0) * 1.1))
    if [each.seq for each in again] != [flight[0].seq]:
        raise ExpectationFailed(
            f"{receiver.dut.name}: at the timeout it sent {named([each.seq for each in again])}, "
            f"expected {flight[0].seq} alone"
        )
    return receiver, flight


def named(numbers: list[int]) -> str:
    """Segments by their first numbers."""
    return ", ".join(map(str, numbers)) or "nothing"


def stream(port: int, size: int) -> bytes:
    """The bytes that flow in the connection to ``port``."""
    return hashlib.shake_128(port.to_bytes(8, "big")).digest(size)
