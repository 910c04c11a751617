"""A closed window stops the sender, which probes it until it opens, however long that takes.

RFC 9293 3.8.6.1. Into a window of zero nothing is sent but probes: one byte at most, the first when
the window has been closed for the retransmission timeout (SHLD-29: from ``rto_min``, seconds, 0.2,
Linux's, to ``rto_first``, 1, RFC 6298 2.1), the next ones each after twice as long as the one
before (SHLD-30; ``probe_ratio``, 0.2, and ``probe_tick``, seconds, 0.03: coarse timers). As long as
they are answered the connection stays (MUST-36), even where the host would have given it up long
ago had they not been. When the window opens, the data goes on within ``resume`` (seconds, 0.1). If
that update is lost, the next probe brings it to light, and the stream comes to its end.

Linux probes with a byte that was acknowledged already, or rather with none; RFC 9293 MUST-35 has
one of new data. It gives up after ``tcp_retries2`` probes that nothing answers.
"""

import hashlib

import pytest

from testbed import (
    Bench,
    Capture,
    Drop,
    Duration,
    ExpectationFailed,
    Nth,
    StackConfig,
    StackConnection,
    TcpFlags,
    Topology,
    defects,
    drill,
    faults,
    format_duration,
    match,
    seconds,
    tcpflow,
)

PORT = 5123
MSS = 1000
BUFFER = 4 * MSS
DOWN = 5 * BUFFER
PROBES = 4
RETRIES = 3
"""Unanswered, a probe more than these would be the end."""
SOON = seconds(5)
OUTPUT, INPUT = "type filter hook output priority 0;", "type filter hook input priority 0;"
Segment = tcpflow.FlowSegment


@pytest.mark.behaviour("TC-23", clause="RFC 9293 3.8.6.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "deadlock",
    faults.nft(OUTPUT, f"tcp sport {PORT} tcp flags == ack meta length < 60 drop"),
    caught="probe 1 did not come",
)
@drill(
    "never probes",
    faults.python_stack(defects.windows.NEVER_PROBES),
    caught="probe 1 did not come",
)
@drill(
    "probes at a constant pace",
    faults.python_stack(defects.windows.PROBES_STEADILY),
    caught="probe 2 came",
)
@drill(
    "gives up a peer that answers",
    faults.python_stack(defects.windows.GIVES_UP_CLOSED_WINDOWS),
    caught="probe 4 did not come|is a reset",
)
@drill(
    "the answers are lost",
    faults.nft(INPUT, f"tcp dport {PORT} tcp window 0 limit rate over 1/hour burst 1 packets drop"),
    caught="probe 4 did not come|is a reset",
)
@drill(
    "sends on into the closed window",
    faults.python_stack(defects.windows.PROBES_WITH_SEGMENTS),
    caught="has 1000 bytes, into a closed window",
)
@drill(
    "takes no window from an ACK of nothing new",
    faults.python_stack(defects.windows.DEAF_TO_UPDATES),
    caught="data into the open window did not come",
)
def test_closed_window_is_probed_until_it_opens(bench: Bench) -> None:
    config = StackConfig.of(tcp={"mss": MSS, "timestamps": False, "receive_buffer": BUFFER})
    peer, dut = bench.host("peer", config), bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_retries2", str(RETRIES))
    dut.tcp_serve(PORT, send=DOWN, seed=PORT)
    with bench.capture("peer--dut") as seen:
        c = peer.connect("dut", PORT, within=SOON)
        got = probed(bench, seen, c)
        await_closed(bench, seen, c)
        closed = closing_ack(seen)
        update = match.tcp(dst_port=PORT, payload_length=0, window=range(1, 1 << 16))
        with peer.outgoing.impaired(Drop(Nth(1, matching=update))):
            got += c.read(BUFFER) or b""
            await_data(bench, seen, closed, lost_update_within(bench))
        got += c.receive(DOWN - len(got), within=SOON)
        c.shutdown()
        c.receive_all(within=SOON)
        sent, _ = dut.tcp_result("server", PORT, within=SOON)
    if got != hashlib.shake_128(PORT.to_bytes(8, "big")).digest(DOWN) or sent.error is not None:
        raise ExpectationFailed(f"{c}: {len(got)} bytes came, but not those that were sent")


def probed(bench: Bench, seen: Capture, c: StackConnection) -> bytes:
    """Leave the window closed for some probes, then open it; what was read."""
    await_closed(bench, seen, c)
    closed = closing_ack(seen)
    expect_doubling(bench, seen, closed)
    got = c.read(BUFFER) or b""
    await_data(bench, seen, latest_ack(seen), seconds(bench.tolerance("resume", 0.1)))
    return got


def await_closed(bench: Bench, seen: Capture, c: StackConnection) -> None:
    """The host fills the window, and this is acknowledged."""
    bench.wait_until(
        lambda: c.tcp.unread == BUFFER and latest_ack(seen).tcp.window == 0,
        SOON,
        "data that fills the window",
    )


def flow_of(seen: Capture) -> tcpflow.Connection:
    """The connection so far; a reset by the host is a finding."""
    flow = tcpflow.connection(seen.at("peer--dut").both, server_port=PORT)
    for each in flow.down:
        if each.tcp.flags & TcpFlags.RST:
            raise ExpectationFailed(
                f"peer--dut: #{each.number} is a reset, though the peer had answered every probe"
            )
    return flow


def latest_ack(seen: Capture) -> Segment:
    """What the peer said last."""
    return flow_of(seen).up[-1]


def closing_ack(seen: Capture) -> Segment:
    """The ACK that closed the window, the first one of the latest to say so."""
    acks = flow_of(seen).up
    number = acks[-1].ack
    return next(each for each in acks if each.ack == number and each.tcp.window == 0)


def expect_doubling(bench: Bench, seen: Capture, closed: Segment) -> None:
    """Probes come after the timeout, then after twice as long each time."""
    ratio, tick = bench.tolerance("probe_ratio", 0.2), seconds(bench.tolerance("probe_tick", 0.03))
    least = Duration(seconds(bench.tolerance("rto_min", 0.2)) - tick)
    most = lost_update_within(bench)
    before, gaps = closed, list[Duration]()
    for turn in range(1, PROBES + 1):
        probe = await_probe(bench, seen, closed, turn, within=Duration(most + seconds(1)))
        gaps.append(Duration(probe.at - before.at))
        if not least <= gaps[-1] <= most:
            raise ExpectationFailed(
                f"peer--dut: probe {turn} came {format_duration(gaps[-1])} after "
                f"{'the one before' if turn > 1 else 'the window closed'}, expected "
                f"{format_duration(least)} to {format_duration(most)}"
            )
        least = Duration(round(2 * gaps[-1] * (1 - ratio)) - tick)
        most = Duration(round(2 * gaps[-1] * (1 + ratio)) + tick)
        before = probe
    bench.log(f"probed after {', '.join(map(format_duration, gaps))}")


def await_probe(
    bench: Bench, seen: Capture, closed: Segment, turn: int, *, within: Duration
) -> Segment:
    """The ``turn``-th segment into the closed window, which carries next to nothing."""

    def probes() -> list[Segment]:
        return [each for each in flow_of(seen).down if each.number > closed.number]

    bench.wait_until(lambda: len(probes()) >= turn, within, f"probe {turn}")
    probe = probes()[turn - 1]
    if len(probe.payload) > 1:
        raise ExpectationFailed(
            f"peer--dut: #{probe.number} has {len(probe.payload)} bytes, into a closed window"
        )
    return probe


def lost_update_within(bench: Bench) -> Duration:
    """When the first probe comes at the latest."""
    ratio, tick = bench.tolerance("probe_ratio", 0.2), seconds(bench.tolerance("probe_tick", 0.03))
    return Duration(round(seconds(bench.tolerance("rto_first", 1.0)) * (1 + ratio)) + tick)


def await_data(bench: Bench, seen: Capture, since: Segment, within: Duration) -> None:
    """The host goes on sending."""
    bench.wait_until(
        lambda: any(
            len(each.payload) > 1 and each.number > since.number for each in flow_of(seen).down
        ),
        within,
        "data into the open window",
    )
