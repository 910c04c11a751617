"""Nobody sends tiny segments, nobody offers tiny windows, unless told to.

Sender, tiny writes. Nagle (RFC 9293 3.7.4): while data is unacknowledged, small segments wait and
are sent as one; small is what is less than a full segment, be it by little. A full one that has
come together does not wait. Linux holds a small one for an earlier small one only, not for full
ones (Minshall), which is not judged. With Nagle switched off (MUST-17, TCP_NODELAY) each write goes
at once.

Sender, tiny window (3.8.6.2.1, MUST-38). With much to send and nothing in flight, a host that is
offered a window below the segment size, far or by little, and below half the largest window it ever
saw, does not use it at once, but after the override timeout "in the range 0.1-1.0 second"
(``override_least``, ``override_most``, seconds; Linux's persist timer does it), so that nothing
hangs.

Receiver, slow reader (3.8.6.2.2, MUST-39). A host whose application reads by crumbs opens its
window by no less than a segment, or half its buffer, at a time: each ACK that moves the right edge
offers at least the smaller of the two, and there are no more of them than ``updates`` (2) to each
such step of the stream.
"""

import hashlib
from itertools import pairwise

import pytest

from testbed import (
    Bench,
    Capture,
    Delay,
    Duration,
    ExpectationFailed,
    Flow,
    Host,
    SocketOptions,
    StackConfig,
    StackHost,
    TcpFlags,
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

NAGLE_PORT, NODELAY_PORT, SLOW_PORT, LARGE_PORT = 5124, 5134, 5154, 5164
TINY = {5144: 100, 5145: 900}
"""Windows, by the port where they are offered."""
QUESTION = b"what do you say?"
CRUMB = 10
WRITES = 40
PACE = milliseconds(5)
FAR = milliseconds(30)
"""How long the peer's ACKs take: six writes."""
MSS = 1000
BUFFER = 3 * MSS
LARGE = 900
"""Bytes of a write that is nearly a segment."""
UP = 20_000
SLOW = Flow(
    receive_buffer=4096, read_after=milliseconds(200), read_chunk=100, read_every=milliseconds(3)
)
READS_ON = milliseconds(300)
"""How long the reader is busy with what its host has in its buffer: 80 crumbs."""
SOON = seconds(5)


@pytest.mark.behaviour("TC-24", clause="RFC 9293 3.8.6.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "tinygrams",
    faults.python_stack(defects.silly.NO_NAGLE),
    caught=r"sent \d+ bytes in #\d+ while",
)
@drill(
    "takes half a segment for a full one",
    faults.python_stack(defects.silly.HALF_IS_FULL),
    caught=r"sent \d+ bytes in #\d+ while \d+ of a small segment",
)
@drill(
    "holds full segments, too",
    faults.python_stack(defects.silly.HOLDS_FULL_SEGMENTS),
    caught="no full segment while",
)
@drill(
    "ignores TCP_NODELAY",
    faults.python_stack(defects.silly.NAGLE_ALWAYS),
    caught="with Nagle off, sent .* expected 20 or more",
)
@drill(
    "uses a tiny window at once",
    faults.python_stack(defects.silly.SILLY_SENDER),
    caught="into a window of 100",
)
@drill(
    "takes a quarter of the window for enough",
    faults.python_stack(defects.silly.QUARTER_IS_ENOUGH),
    caught="into a window of 900",
)
@drill(
    "waits in a tiny window for ever",
    faults.python_stack(defects.silly.NEVER_OVERRIDES),
    caught="data into the tiny window did not come",
)
@drill(
    "offers every byte that is read",
    faults.python_stack(defects.silly.SILLY_RECEIVER),
    caught="offers a window of",
)
@drill(
    "tells of every read",
    faults.python_stack(defects.silly.TALKATIVE_RECEIVER),
    caught="window was moved on",
)
def test_nothing_tiny_without_need(bench: Bench) -> None:
    config = StackConfig.of(tcp={"mss": MSS, "timestamps": False, "delayed_ack": False})
    peer, dut = bench.host("peer", config), bench.host("dut")
    with bench.capture("peer--dut") as seen:
        with peer.incoming.impaired(Delay(FAR)):
            tiny_writes(seen, peer, dut, NAGLE_PORT, nodelay=False)
            tiny_writes(seen, peer, dut, NODELAY_PORT, nodelay=True)
            large_writes(seen, peer, dut)
        for port, window in TINY.items():
            tiny_window(bench, seen, peer, dut, port, window)
        slow_reader(bench, seen, peer, dut)


def tiny_writes(seen: Capture, peer: StackHost, dut: Host, port: int, *, nodelay: bool) -> None:
    """The host's application writes a few bytes at a time."""
    size = CRUMB * WRITES
    pace = Flow(chunk=CRUMB, every=PACE, nodelay=nodelay)
    dut.tcp_serve(port, send=size, seed=port, flow=pace)
    c = peer.connect("dut", port, within=SOON)
    c.send(QUESTION)  # a host that hears something is no other one
    if c.receive(size, within=SOON) != stream(port, size):
        raise ExpectationFailed(f"{c}: {size} bytes came, but not those that were sent")
    c.shutdown()
    c.receive_all(within=SOON)
    flow = flow_of(seen, port)
    crowded = [(each, left) for each in flow.down if (left := outstanding(flow, each)) > 0]
    small = [each for each in flow.down if 0 < len(each.payload) < MSS]
    if not nodelay and crowded:
        each, left = crowded[0]
        raise ExpectationFailed(
            f"peer--dut: the host sent {len(each.payload)} bytes in #{each.number} while {left} "
            f"were unacknowledged"
        )
    if nodelay and len(small) < WRITES // 2:
        raise ExpectationFailed(
            f"peer--dut: the host, with Nagle off, sent {WRITES} writes of {CRUMB} bytes in "
            f"{len(small)} segments, expected {WRITES // 2} or more"
        )


def large_writes(seen: Capture, peer: StackHost, dut: Host) -> None:
    """The host's application writes nearly a segment at a time."""
    size = LARGE * WRITES
    dut.tcp_serve(LARGE_PORT, send=size, seed=LARGE_PORT, flow=Flow(chunk=LARGE, every=PACE))
    c = peer.connect("dut", LARGE_PORT, within=SOON)
    if c.receive(size, within=SOON) != stream(LARGE_PORT, size):
        raise ExpectationFailed(f"{c}: {size} bytes came, but not those that were sent")
    c.shutdown()
    c.receive_all(within=SOON)
    flow = flow_of(seen, LARGE_PORT)
    small = [each for each in flow.down if 0 < len(each.payload) < MSS]
    for before, each in pairwise(small):
        if (left := before.end - acked(flow, each)) > 0 and not each.tcp.flags & TcpFlags.FIN:
            raise ExpectationFailed(
                f"peer--dut: the host sent {len(each.payload)} bytes in #{each.number} while "
                f"{left} of a small segment, #{before.number}, were unacknowledged"
            )
    full = [each for each in flow.down if len(each.payload) == MSS]
    if not any(
        before.number < each.number and before.end > acked(flow, each)
        for each in full
        for before in small
    ):
        raise ExpectationFailed(
            f"peer--dut: the host, its application writing {LARGE} bytes every "
            f"{format_duration(PACE)}, sent no full segment while a small one was unacknowledged"
        )


def outstanding(flow: tcpflow.Connection, segment: tcpflow.FlowSegment) -> int:
    """Bytes unacknowledged when a segment of data came; a FIN does not wait."""
    if not segment.payload or segment.tcp.flags & TcpFlags.FIN:
        return 0
    return segment.seq - acked(flow, segment)


def acked(flow: tcpflow.Connection, segment: tcpflow.FlowSegment) -> int:
    """What the peer had acknowledged when a segment came."""
    return max(each.ack or 0 for each in flow.up if each.number < segment.number)


def tiny_window(  # noqa: PLR0917
    bench: Bench, seen: Capture, peer: StackHost, dut: Host, port: int, window: int
) -> None:
    """The host has much to send, and a window for a little."""
    size = 3 * BUFFER
    dut.tcp_serve(port, send=size, seed=port)
    c = peer.connect(
        "dut",
        port,
        within=SOON,
        options=SocketOptions(receive_buffer=BUFFER, window_scaling=False),
    )
    c.wait_until(lambda: c.tcp.unread == BUFFER, within=SOON, what="data that fills the window")
    c.steer.window(window)
    least = seconds(bench.tolerance("override_least", 0.1))
    most = seconds(bench.tolerance("override_most", 1.0))

    def fresh() -> list[tcpflow.FlowSegment]:
        flow = tcpflow.connection(seen.at("peer--dut").both, server_port=port)
        return [each for each in flow.down if each.payload and each.end > BUFFER + 1]

    bench.wait_until(
        lambda: bool(fresh()), Duration(most + seconds(1)), "data into the tiny window"
    )
    told = seen.at("peer--dut").sent.expect(match.tcp(dst_port=port, window=window))
    first = fresh()[0]
    wait = Duration(first.at - told.at)
    if not least <= wait <= Duration(most + milliseconds(200)):
        raise ExpectationFailed(
            f"peer--dut: #{first.number} has {len(first.payload)} bytes into a window of {window}, "
            f"{format_duration(wait)} after it was offered, expected {format_duration(least)} to "
            f"{format_duration(most)}"
        )
    c.steer.give_back()
    if c.receive(size, within=SOON) != stream(port, size):
        raise ExpectationFailed(f"{c}: {size} bytes came, but not those that were sent")
    c.shutdown()
    c.receive_all(within=SOON)


def slow_reader(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """The host's application reads by crumbs what the peer sends as fast as it may."""
    dut.tcp_serve(SLOW_PORT, flow=SLOW)
    c = peer.connect(
        "dut", SLOW_PORT, within=SOON, options=SocketOptions(window_scaling=False, max_segment=MSS)
    )
    data = stream(SLOW_PORT, UP)
    c.send(data, within=SOON)
    c.wait_until(lambda: not c.tcp.unsent and not c.tcp.unacked, within=SOON, what="an ACK of all")
    bench.watch_for(READS_ON)
    c.shutdown()
    received = dut.tcp_result("server", SLOW_PORT, within=SOON)[1]
    if received.error is not None or received.sha256 != hashlib.sha256(data).hexdigest():
        raise ExpectationFailed(f"{dut.name}: received {received.octets} bytes, not those sent")
    c.receive_all(within=SOON)
    flow = flow_of(seen, SLOW_PORT)
    size = max(len(each.payload) for each in flow.up)
    step = min(size, max(each.tcp.window for each in flow.down) // 2)
    edge, moves = 0, 0
    for each in flow.down:
        right = (each.ack or 0) + each.tcp.window
        if right > edge > 0 and not each.tcp.flags & TcpFlags.FIN:
            moves += 1
            if each.tcp.window < step:
                raise ExpectationFailed(
                    f"peer--dut: #{each.number} moves the window on by {right - edge} bytes and "
                    f"offers a window of {each.tcp.window}, expected {step} or more"
                )
        edge = max(edge, right)
    most = round(bench.tolerance("updates", 2) * UP / step)
    bench.log(f"the window was moved on {moves} times for {UP} bytes, in steps of {step} or more")
    if moves > most:
        raise ExpectationFailed(
            f"peer--dut: the window was moved on {moves} times for {UP} bytes, expected {most} at "
            f"most, in steps of {step}"
        )


def flow_of(seen: Capture, port: int) -> tcpflow.Connection:
    """The connection to ``port``."""
    seen.settle()
    return tcpflow.connection(seen.at("peer--dut").both, server_port=port)


def stream(port: int, size: int) -> bytes:
    """The bytes that flow in the connection to ``port``."""
    return hashlib.shake_128(port.to_bytes(8, "big")).digest(size)
