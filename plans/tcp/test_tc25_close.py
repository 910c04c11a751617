"""A connection closes from either side, and a side that has closed still hears the other one.

RFC 9293 3.6. The peer closes first: the host acknowledges the FIN within ``ack_delay`` (seconds,
0.5), and again if it comes again; it goes on sending all it has, when it has it (CLOSE-WAIT), then
its own FIN, and once that is acknowledged it knows the connection no more (LAST-ACK, CLOSED): a
segment is answered by a reset. The host closes first: what the peer sends then still reaches its
application (FIN-WAIT-2), and is acknowledged as soon, also by a host whose FIN is not acknowledged
yet (FIN-WAIT-1). A FIN that comes together with the last data, or with the ACK of the host's own,
is taken for both. A FIN behind a hole ends nothing until the hole is filled. A FIN that is lost is
resent within ``rto_first`` (seconds, 1; RFC 6298 2.1), in LAST-ACK too, whatever other ACKs come. A
host that has closed for receiving, too, resets a peer that goes on sending ("SHOULD send a RST to
show that data was lost", 3.6.1).
"""

import hashlib

import pytest

from testbed import (
    Bench,
    Capture,
    Drop,
    Duration,
    Ending,
    ExpectationFailed,
    Flow,
    Host,
    Nth,
    StackConfig,
    StackConnection,
    StackHost,
    State,
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

PORT, MERGED_PORT, LOST_PORT, HOLE_PORT, GONE_PORT, PASSIVE_PORT, OUT_PORT = range(5125, 5195, 10)
LAST_PORT = 5195
UP, DOWN, REST = 30_000, 20_000, 500
"""What the host sends first is more than an initial window: its FIN goes with the last of it."""
QUESTION = b"all that I have to say" * 30
LITTLE = 3000
A_WHILE = seconds(2)
PACE = Flow(chunk=LITTLE // 3, every=milliseconds(600))
"""Between the chunks, no data carries the ACK of the peer's FIN."""
SOON = seconds(5)
FIN = match.tcp(has="FIN")
DATA = match.tcp(longer_than=0)


@pytest.mark.behaviour("TC-25", clause="RFC 9293 3.6")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "data after FIN lost",
    faults.python_stack(defects.closing.LOSES_DATA_AFTER_OWN_FIN),
    caught="received 0 bytes, the peer sent 20000",
)
@drill(
    "a firewall forgets a half-closed connection",
    faults.shell(
        "nft add table ip half",
        "nft 'add set ip half closed {{ type inet_service; flags dynamic; timeout 1m; }}'",
        "nft 'add chain ip half out {{ type filter hook output priority 0; }}'",
        "nft 'add chain ip half in {{ type filter hook input priority 0; }}'",
        "nft 'add rule ip half out tcp flags & fin == fin add @closed {{ tcp dport }}'",
        "nft 'add rule ip half in tcp sport @closed meta length > 60 drop'",
        undo=("nft delete table ip half 2>/dev/null || true",),
    ),
    caught="received 0",
)
@drill(
    "takes a half-close for a whole one",
    faults.python_stack(defects.closing.DEAF_AFTER_OWN_FIN),
    caught="is a reset, though the host had only shut down",
)
@drill(
    "deaf until its FIN is acknowledged",
    faults.python_stack(defects.closing.DEAF_IN_FIN_WAIT_1),
    caught="an ACK of data that crossed the host's FIN did not come",
)
@drill(
    "loses data that comes with the FIN",
    faults.python_stack(defects.closing.LOSES_DATA_WITH_FIN),
    caught=r"received \d+ bytes, the peer sent",
)
@drill(
    "takes a FIN behind a hole for the end",
    faults.python_stack(defects.closing.ENDS_AT_A_HOLE),
    caught="acknowledged the FIN behind a hole",
)
@drill(
    "does not resend its FIN",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp dport {LOST_PORT} tcp flags & fin == fin limit rate over 1/hour burst 1 packets drop",
    ),
    caught="the lost FIN again did not come",
)
@drill(
    "does not acknowledge a FIN until it closes itself",
    faults.python_stack(defects.closing.ACKS_FIN_LATE),
    caught="acknowledged the FIN after",
)
@drill(
    "waits a second for the other half",
    faults.python_stack(defects.streams.IMPATIENT_HALF_CLOSED),
    caught="the host had only shut down|received",
)
@drill(
    "forgets what it had to send",
    faults.python_stack(defects.closing.CLOSES_WITH_THE_PEER),
    caught="the peer ended the stream after 1000 bytes of 3000|once more did not come",
)
@drill(
    "holds what it has to say until it closes",
    faults.python_stack(defects.halves.HOLDS_IN_CLOSE_WAIT),
    caught="only .* before the last of it",
)
@drill(
    "does not acknowledge a FIN again",
    faults.python_stack(defects.halves.SILENT_IN_CLOSE_WAIT),
    caught="the ACK of the FIN, which came again, once more did not come",
)
@drill(
    "takes any ACK for that of its last FIN",
    faults.python_stack(defects.halves.ANY_ACK_IS_THE_LAST),
    caught="the lost last FIN again did not come",
)
@drill(
    "loses the last byte before its FIN",
    faults.python_stack(defects.halves.LOSES_LAST_BYTE),
    caught="(other bytes|end) .*",
)
@drill(
    "does not acknowledge the peer's FIN",
    faults.python_stack(defects.halves.SILENT_ON_LAST_FIN),
    caught="acknowledged the FIN after",
)
def test_closes_from_either_side(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig.of(tcp={"tlp": False})), bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_early_retrans", "0")
    with bench.capture("peer--dut") as seen:
        peer_closes_first(bench, seen, peer, dut)
        host_closes_first(bench, seen, peer, dut)
        own_fin_out(bench, seen, peer, dut)
        merged(seen, peer, dut)
        lost(bench, seen, peer, dut)
        last_lost(bench, seen, peer, dut)
        behind_a_hole(seen, peer, dut)
        closed_for_good(seen, peer, dut)


def flow_of(seen: Capture, port: int) -> tcpflow.Connection:
    """The connection to ``port`` so far."""
    seen.settle()
    return tcpflow.connection(seen.at("peer--dut").both, server_port=port)


def expect_heard(dut: Host, role: str, port: int, data: bytes) -> None:
    """The host's application got ``data``, and then the end."""
    received = dut.tcp_result(role, port, within=SOON)[1]
    if (received.error, received.sha256) != (None, hashlib.sha256(data).hexdigest()):
        why = f" and {received.error}" if received.error else ""
        raise ExpectationFailed(
            f"{dut.name}, {role} of port {port}: received {received.octets} bytes{why}, the peer "
            f"sent {len(data)}"
        )


def expect_no_reset(mine: tuple[tcpflow.FlowSegment, ...], when: str) -> None:
    """The host reset nothing."""
    for segment in mine:
        if segment.tcp.flags & TcpFlags.RST:
            raise ExpectationFailed(f"peer--dut: #{segment.number} is a reset, {when}")


def peer_closes_first(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """CLOSE-WAIT, LAST-ACK, CLOSED."""
    dut.tcp_serve(PASSIVE_PORT, send=LITTLE, seed=PASSIVE_PORT, flow=PACE)
    c = peer.connect("dut", PASSIVE_PORT, within=SOON)
    c.send(QUESTION)
    c.shutdown()
    c.host.run_until(lambda: not c.snapshot().flight, SOON)
    expect_acked_again(bench, seen, c)
    if c.receive(LITTLE, within=SOON) != stream(PASSIVE_PORT)[:LITTLE]:
        raise ExpectationFailed(f"{c}: {LITTLE} bytes came, but not those that were sent")
    c.wait_for(State.TIME_WAIT, within=SOON)
    expect_heard(dut, "server", PASSIVE_PORT, QUESTION)
    flow = flow_of(seen, PASSIVE_PORT)
    expect_no_reset(flow.down, "though the peer had only closed")
    expect_fin_acked(bench, flow.up, flow.down)
    expect_in_time(flow)
    c.steer.send(TcpFlags.ACK)  # RFC 9293 3.5.2: the reset 'takes its sequence number from the ACK'
    number = c.tcp.rcv_nxt % (1 << 32)
    seen.wait_for("peer--dut", match.tcp(src_port=PASSIVE_PORT, has="RST", seq=number), SOON)


def expect_acked_again(bench: Bench, seen: Capture, c: StackConnection) -> None:
    """The peer's FIN comes once more, as if its ACK had been lost."""
    ack = match.tcp(src_port=c.remote[1], ack=c.snapshot().snd_nxt % (1 << 32))
    before = len(seen.at("peer--dut").all(ack))
    c.steer.send(TcpFlags.FIN | TcpFlags.ACK, seq=(c.snapshot().snd_nxt - 1) % (1 << 32))
    bench.wait_until(
        lambda: len(seen.at("peer--dut").all(ack)) > before,
        seconds(bench.tolerance("ack_delay", 0.5)),
        "the ACK of the FIN, which came again, once more",
    )


def expect_in_time(flow: tcpflow.Connection) -> None:
    """What the host had to say after the peer's FIN came when it was said."""
    starts = [1 + PACE.chunk * turn for turn in range(3)]
    times = [next(each.at for each in flow.down if each.seq <= at < each.end) for at in starts]
    if times[2] - times[1] < PACE.every // 2:
        raise ExpectationFailed(
            f"peer--dut: the host sent what it had to say after the peer's FIN only "
            f"{format_duration(Duration(times[2] - times[1]))} before the last of it, its "
            f"application had said it {format_duration(PACE.every)} before"
        )


def expect_fin_acked(
    bench: Bench,
    theirs: tuple[tcpflow.FlowSegment, ...],
    mine: tuple[tcpflow.FlowSegment, ...],
) -> None:
    """The host acknowledged the peer's FIN in time."""
    most = seconds(bench.tolerance("ack_delay", 0.5))
    fin = next(each for each in theirs if each.tcp.flags & TcpFlags.FIN)
    acks = (each for each in mine if each.ack == fin.end and each.number > fin.number)
    wait = Duration(next(acks).at - fin.at)
    if wait > most:
        raise ExpectationFailed(
            f"peer--dut: the host acknowledged the FIN after {format_duration(wait)}, expected "
            f"within {format_duration(most)}"
        )


def host_closes_first(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """FIN-WAIT-1, FIN-WAIT-2, TIME-WAIT; the peer has much to say in between, after a while."""
    listener = peer.listen(PORT)
    dut.tcp_connect(str(peer.address), PORT, send=UP, seed=PORT)
    c = listener.accept(within=SOON)
    if c.receive_all(within=SOON) != stream(PORT, UP):
        raise ExpectationFailed(f"{c}: other bytes came before the host's FIN than were sent")
    bench.watch_for(A_WHILE)
    c.send(stream(PORT)[:-REST], within=SOON)
    c.host.run_until(lambda: bool(c.error) or not c.snapshot().flight, SOON)
    expect_no_reset(flow_of(seen, PORT).up, "though the host had only shut down its sending side")
    c.options.cork = True  # the last data goes with the FIN
    c.send(stream(PORT)[-REST:])
    c.shutdown()
    expect_no_reset(flow_of(seen, PORT).up, "though the host had only shut down its sending side")
    expect_heard(dut, "client", PORT, stream(PORT))
    c.wait_for(State.CLOSED, within=SOON)
    flow = flow_of(seen, PORT)
    expect_no_reset(flow.up, "though both sides have closed in order")
    expect_fin_acked(bench, flow.down, flow.up)


def own_fin_out(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """FIN-WAIT-1: the peer takes no notice of the host's FIN, and sends data."""
    listener = peer.listen(OUT_PORT)
    dut.tcp_connect(str(peer.address), OUT_PORT, send=0, flow=Flow(end_after=milliseconds(200)))
    c = listener.accept(within=SOON)
    c.steer.ignore(lambda segment: bool(segment.flags & TcpFlags.FIN))
    seen.wait_for("peer--dut", match.tcp(dst_port=OUT_PORT, has="FIN"), SOON)
    c.send(QUESTION)
    ack = match.tcp(dst_port=OUT_PORT, ack=c.snapshot().snd_nxt % (1 << 32))
    bench.wait_until(
        lambda: bool(seen.at("peer--dut").all(ack)),
        seconds(bench.tolerance("ack_delay", 0.5)),
        "an ACK of data that crossed the host's FIN",
    )
    c.steer.ignore(None)
    c.wait_for(State.CLOSE_WAIT, within=SOON)
    c.shutdown()
    c.wait_for(State.CLOSED, within=SOON)
    expect_heard(dut, "client", OUT_PORT, QUESTION)
    expect_no_reset(flow_of(seen, OUT_PORT).up, "though both sides have closed in order")


def merged(seen: Capture, peer: StackHost, dut: Host) -> None:
    """Data, the ACK of the host's FIN and the peer's FIN come in one segment."""
    listener = peer.listen(MERGED_PORT)
    dut.tcp_connect(str(peer.address), MERGED_PORT, send=0)
    c = listener.accept(within=SOON)
    c.steer.withhold_acks()
    c.wait_for(State.CLOSE_WAIT, within=SOON)
    c.options.cork = True
    c.send(QUESTION)
    c.shutdown()
    c.wait_for(State.CLOSED, within=SOON)
    expect_heard(dut, "client", MERGED_PORT, QUESTION)
    flow = flow_of(seen, MERGED_PORT)
    expect_no_reset(flow.up, "though the peer had closed in order")
    fin = next(each.number for each in flow.down if each.tcp.flags & TcpFlags.FIN)
    again = [each for each in tcpflow.retransmissions(flow.up) if each.segment.number > fin]
    if again:
        raise ExpectationFailed(
            f"peer--dut: #{again[0].segment.number} sends the FIN again, which the peer's FIN had "
            f"acknowledged"
        )


def lost(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """The host's FIN is lost once."""
    latest = Duration(seconds(bench.tolerance("rto_first", 1.0)) + seconds(1))
    listener = peer.listen(LOST_PORT)
    mine = match.tcp(dst_port=LOST_PORT, has="FIN")
    with peer.incoming.impaired(Drop(Nth(1, matching=FIN))):
        dut.tcp_connect(str(peer.address), LOST_PORT, send=0)
        c = listener.accept(within=SOON)
        bench.wait_until(
            lambda: len(seen.at("peer--dut").all(mine)) > 1, latest, "the lost FIN again"
        )
    c.wait_for(State.CLOSE_WAIT, within=SOON)
    c.shutdown()
    c.wait_for(State.CLOSED, within=SOON)
    dut.tcp_result("client", LOST_PORT, within=SOON)


def last_lost(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """LAST-ACK: the host's FIN is lost once, and an ACK comes that is not for it."""
    latest = Duration(seconds(bench.tolerance("rto_first", 1.0)) + seconds(1))
    dut.tcp_serve(LAST_PORT)
    c = peer.connect("dut", LAST_PORT, within=SOON)
    mine = match.tcp(src_port=LAST_PORT, has="FIN")
    with peer.incoming.impaired(Drop(Nth(1, matching=FIN))):
        c.shutdown()
        seen.wait_for("peer--dut", mine, SOON)
        c.steer.send(TcpFlags.ACK)
        bench.wait_until(
            lambda: len(seen.at("peer--dut").all(mine)) > 1, latest, "the lost last FIN again"
        )
    c.wait_for(State.TIME_WAIT, within=SOON)
    expect_heard(dut, "server", LAST_PORT, b"")


def behind_a_hole(seen: Capture, peer: StackHost, dut: Host) -> None:
    """The peer's last data is lost, its FIN is not."""
    dut.tcp_serve(HOLE_PORT)
    c = peer.connect("dut", HOLE_PORT, within=SOON)
    with peer.outgoing.impaired(Drop(Nth(1, matching=DATA))):
        c.send(QUESTION)
        c.shutdown()
        c.wait_for(State.TIME_WAIT, State.CLOSED, within=SOON)
    flow = flow_of(seen, HOLE_PORT)
    fin = next(each for each in flow.up if each.tcp.flags & TcpFlags.FIN)
    filled = next((each.number for each in flow.up if each.payload), 1 << 62)
    for each in flow.down:
        if each.ack == fin.end and each.number < filled:
            raise ExpectationFailed(
                f"peer--dut: #{each.number} acknowledged the FIN behind a hole of "
                f"{len(QUESTION)} bytes, which is not filled"
            )
    expect_heard(dut, "server", HOLE_PORT, QUESTION)


def closed_for_good(seen: Capture, peer: StackHost, dut: Host) -> None:
    """The host's application has closed the socket, and the peer goes on."""
    dut.tcp_serve(GONE_PORT, send=100, flow=Flow(ending=Ending.CLOSE))
    c = peer.connect("dut", GONE_PORT, within=SOON)
    c.receive_all(within=SOON)
    dut.tcp_result("server", GONE_PORT, within=SOON)
    c.send(QUESTION)
    seen.wait_for("peer--dut", match.tcp(src_port=GONE_PORT, has="RST"), SOON)


def stream(port: int, size: int = DOWN) -> bytes:
    """What flows down, or back, in the connection to ``port``."""
    return hashlib.shake_128(port.to_bytes(8, "big")).digest(size)
