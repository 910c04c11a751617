"""A closed window stops the sender, which probes it until it opens, however long that takes.

RFC 9293 3.8.6.1. Into a window of zero nothing is sent but probes: one byte at most, the first when
the window has been closed for the retransmission timeout (SHLD-29: from ``rto_min``, seconds, 0.2,
Linux's, to ``rto_first``, 1, RFC 6298 2.1), the next ones each after twice as long as the one
before (SHLD-30; ``probe_ratio``, 0.2, and ``probe_tick``, seconds, 0.03: coarse timers). As
long as they are answered the connection stays (MUST-36), even where the host would have given it up
long ago had they not been. When the window opens, the data goes on within ``resume`` (seconds,
0.1), from the byte on that the peer waits for. If that update is lost, the next probe brings it to
light, and the stream comes to its end.

A host whose own window is closed answers every probe with what it expects next and the window it
has ("must still send an acknowledgment"), loses none of their bytes, and hears what is acknowledged
meanwhile (3.10.7.4: "special allowance should be made to accept valid ACKs"). When its application
has read, it tells of the window by itself: ``window_updates`` (1) is 0 on benches whose hosts leave
that to the probes.

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
    Flow,
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
    milliseconds,
    seconds,
    tcpflow,
)

PORT, HEARS_PORT = 5123, 5133
MSS = 1000
BUFFER = 4 * MSS
DOWN = 5 * BUFFER
PROBES = 4
RETRIES = 3
"""Unanswered, a probe more than these would be the end."""
SOON = seconds(5)
SPEAKS = 400
CLOSED = Flow(
    chunk=100, every=milliseconds(200), receive_buffer=4096, read_after=milliseconds(2500)
)
"""The host's application is busy for a while: it reads nothing, but says something now and then."""
UP = 30_000
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
@drill(
    "probes with a byte of its own",
    faults.python_stack(defects.windows.PROBES_WITH_GARBAGE),
    caught="carries .* which is no byte of the stream",
)
@drill(
    "takes the probe's byte for sent",
    faults.python_stack(defects.windows.SKIPS_PROBED_BYTE),
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
    if got != stream(PORT, DOWN) or sent.error is not None:
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
    if probe.payload and probe.payload != stream(PORT, DOWN)[probe.seq - 1 : probe.seq]:
        raise ExpectationFailed(
            f"peer--dut: #{probe.number}, a probe, carries {probe.payload.hex()} as "
            f"{probe.seq}, which is no byte of the stream"
        )
    return probe


def lost_update_within(bench: Bench) -> Duration:
    """When the first probe comes at the latest."""
    ratio, tick = bench.tolerance("probe_ratio", 0.2), seconds(bench.tolerance("probe_tick", 0.03))
    return Duration(round(seconds(bench.tolerance("rto_first", 1.0)) * (1 + ratio)) + tick)


def await_data(bench: Bench, seen: Capture, since: Segment, within: Duration) -> None:
    """The host goes on sending, from the byte on that the peer waits for."""
    bench.wait_until(
        lambda: any(
            len(each.payload) > 1 and each.seq <= since.ack < each.end
            for each in flow_of(seen).down
            if each.number > since.number and since.ack is not None
        ),
        within,
        "data into the open window",
    )


@pytest.mark.behaviour("TC-23", clause="RFC 9293 3.8.6.1, 3.10.7.4")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "silent on probes",
    faults.python_stack(defects.windows.SILENT_ON_PROBES),
    caught="a probe, was not answered",
)
@drill(
    "loses a probe's byte",
    faults.python_stack(defects.windows.LOSES_PROBED_BYTE),
    caught="received .* the peer sent",
)
@drill(
    "deaf while its window is closed",
    faults.python_stack(defects.windows.DEAF_WHILE_CLOSED),
    caught="resent .* which was acknowledged",
)
@drill(
    "does not tell of its window",
    faults.python_stack(defects.windows.NEVER_TELLS),
    caught="told of its open window only when it was asked",
)
def test_host_with_a_closed_window_answers_and_loses_nothing(bench: Bench) -> None:
    config = StackConfig.of(tcp={"mss": MSS, "timestamps": False, "persist_min": milliseconds(400)})
    peer, dut = bench.host("peer", config), bench.host("dut")
    with bench.capture("peer--dut") as seen:
        dut.tcp_serve(HEARS_PORT, send=SPEAKS, seed=HEARS_PORT, flow=CLOSED)
        c = peer.connect("dut", HEARS_PORT, within=SOON)
        data = stream(HEARS_PORT, UP)
        c.send(data, within=SOON)
        c.wait_until(lambda: c.tcp.snd_wnd == 0, within=SOON, what="a window of zero")
        c.wait_until(lambda: c.tcp.snd_wnd > 0, within=SOON, what="an open window")
        c.shutdown()
        if c.receive_all(within=SOON) != stream(HEARS_PORT, SPEAKS):
            raise ExpectationFailed(f"{c}: other bytes came than were sent")
        received = dut.tcp_result("server", HEARS_PORT, within=SOON)[1]
        seen.settle()
    if received.error is not None or received.sha256 != hashlib.sha256(data).hexdigest():
        raise ExpectationFailed(
            f"{dut.name}: received {received.octets} bytes, not those that the peer sent"
        )
    flow = tcpflow.connection(seen.at("peer--dut").both, server_port=HEARS_PORT)
    expect_answers(bench, flow)
    for again in (each.segment for each in tcpflow.retransmissions(flow.down)):
        if any(each.number < again.number and each.ack == again.end for each in flow.up):
            raise ExpectationFailed(
                f"peer--dut: the host resent {again.seq}..{again.end} in #{again.number}, which "
                f"was acknowledged"
            )


def expect_answers(bench: Bench, flow: tcpflow.Connection) -> None:
    """Each probe was answered, and the window's opening was told without one."""
    opened = first_open(flow)
    within = seconds(bench.tolerance("ack_delay", 0.5))
    closed = next(each for each in flow.down if each.tcp.window == 0)
    probes = [each for each in flow.up if closed.number < each.number < opened.number]
    probes = [each for each in probes if len(each.payload) == 1]
    for probe in probes:
        answers = (each for each in flow.down if each.number > probe.number)
        if (answer := next(answers, None)) is None or answer.at - probe.at > within:
            raise ExpectationFailed(
                f"peer--dut: #{probe.number}, a probe, was not answered within "
                f"{format_duration(within)}"
            )
    before = max(probes, key=lambda each: each.number, default=None)
    told = [each for each in flow.down if before is None or each.number > before.number]
    if told and told[0] is opened and bench.tolerance("window_updates", 1):
        raise ExpectationFailed(
            f"peer--dut: the host told of its open window only when it was asked, in "
            f"#{opened.number}"
        )


def first_open(flow: tcpflow.Connection) -> Segment:
    """The first segment of the host that tells of a window after it was closed."""
    closed = next(each for each in flow.down if each.tcp.window == 0)
    return next(each for each in flow.down if each.number > closed.number and each.tcp.window > 0)


def stream(port: int, size: int) -> bytes:
    """The bytes that flow in the connection to ``port``."""
    return hashlib.shake_128(port.to_bytes(8, "big")).digest(size)
