"""The side that closed first waits 2 MSL, and answers for the connection until they are over.

RFC 9293 3.6.1 (MUST-13) and 3.10.7.4. The host closes first. In TIME-WAIT "the only thing that can
arrive in this state is a retransmission of the remote FIN. Acknowledge it, and restart the 2 MSL
timeout": a FIN sent again is acknowledged each time within ``ack_delay`` (seconds, 0.5), and so are
old data; nothing is reset. A reset does not end TIME-WAIT (RFC 1337 3 (F1)): Linux obeys it unless
told otherwise by ``tcp_rfc1337``, which is set here. And it is the side that closes first that
waits: a host that closed second has forgotten the connection once its FIN is acknowledged.

TIME-WAIT lasts ``time_wait`` (seconds, 60: Linux's; RFC 9293 3.4.2 has 2 x 2 minutes): the slow
plan sends a FIN again shortly before that is over, twice, as each one starts it anew, and after
``time_wait_over`` (seconds, 5) more than that has the host know nothing.

Linux answers out-of-window segments twice a second at most (``tcp_invalid_ratelimit``); here that
limit is lifted.
"""

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    ExpectationFailed,
    Host,
    StackConfig,
    StackConnection,
    StackHost,
    State,
    TcpFlags,
    Topology,
    defects,
    drill,
    faults,
    match,
    seconds,
    tcpflow,
)

PORT, PASSIVE_PORT, SLOW_PORT = 5127, 5137, 5147
QUESTION = b"the last words"
SOON = seconds(5)
TIMES = 3
MODULUS = 1 << 32


@pytest.mark.behaviour("TC-27", clause="RFC 9293 3.6.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "RST to the resent FIN",
    faults.python_stack(defects.closing.NO_TIME_WAIT),
    caught="is a reset, expected an ACK of the FIN",
)
@drill(
    "a firewall resets the resent FIN",
    faults.nft(
        "type filter hook input priority 0;",
        f"tcp sport {PORT} tcp flags & fin == fin limit rate over 1/hour burst 1 packets"
        " reject with tcp reset",
    ),
    caught="is a reset, expected an ACK of the FIN",
)
@drill(
    "silent in TIME-WAIT",
    faults.python_stack(defects.closing.SILENT_TIME_WAIT),
    caught="ACK 2 of the peer's FIN did not come",
)
@drill(
    "a reset ends TIME-WAIT",
    faults.python_stack(defects.closing.RESET_ENDS_TIME_WAIT),
    caught="after a reset had come: .* is a reset",
)
@drill(
    "Linux unless told otherwise",
    faults.repeatedly("sysctl -qw net.ipv4.tcp_rfc1337=0", every=0.02),
    caught="after a reset had come: .* is a reset",
)
@drill(
    "TIME-WAIT on both sides",
    faults.python_stack(defects.closing.LINGERS_AFTER_LAST_ACK),
    caught="has=RST.* did not come",
)
def test_time_wait_answers_for_the_connection(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    prepare(dut)
    with bench.capture("peer--dut") as seen:
        c = closed_by_host(bench, seen, peer, PORT)
        for turn in range(2, TIMES + 1):
            resend_fin(bench, seen, c, turn)
        heard = len(acks(seen, c))
        c.steer.send(TcpFlags.ACK | TcpFlags.PSH, QUESTION, seq=first_number(c))
        expect_ack(bench, seen, c, heard + 1, f"ACK {heard + 1}, of old data,")
        heard = len(acks(seen, c))
        c.steer.send(TcpFlags.RST, seq=c.tcp.snd_nxt % MODULUS)
        try:
            resend_fin(bench, seen, c, heard + 1)
        except ExpectationFailed as failure:
            raise ExpectationFailed(f"after a reset had come: {failure}") from None
        closed_second(seen, peer, dut)


@pytest.mark.slow("TIME-WAIT is 60 s at least, and is begun three times")
@pytest.mark.behaviour("TC-27", clause="RFC 9293 3.4.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "TIME-WAIT of 5 s",
    faults.python_stack(defects.closing.SHORT_TIME_WAIT),
    caught="is a reset, expected an ACK of the FIN",
)
def test_time_wait_lasts_two_segment_lifetimes(bench: Bench) -> None:
    span = seconds(bench.tolerance("time_wait", 60))
    over = seconds(bench.tolerance("time_wait_over", 5))
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    prepare(dut)
    with bench.capture("peer--dut") as seen:
        c = closed_by_host(bench, seen, peer, SLOW_PORT)
        for turn in (2, 3):
            bench.watch_for(Duration(span - seconds(2)))
            heard = len(acks(seen, c))
            resend_fin(bench, seen, c, max(turn, heard + 1))
        bench.watch_for(Duration(span + over))
        c.steer.send(TcpFlags.FIN | TcpFlags.ACK, seq=(c.tcp.snd_nxt - 1) % MODULUS)
        seen.wait_for("peer--dut", match.tcp(dst_port=SLOW_PORT, has="RST"), SOON)


def prepare(dut: Host) -> None:
    """Settings of Linux that the plan relies on."""
    dut.set_sysctl("net.ipv4.tcp_rfc1337", "1")
    dut.set_sysctl("net.ipv4.tcp_invalid_ratelimit", "0")


def closed_by_host(bench: Bench, seen: Capture, peer: StackHost, port: int) -> StackConnection:
    """A connection that the host closed first, then the peer, which pretends to hear no ACK."""
    listener = peer.listen(port)
    bench.host("dut").tcp_connect(str(peer.address), port, send=0)
    c = listener.accept(within=SOON)
    c.wait_for(State.CLOSE_WAIT, within=SOON)
    c.send(QUESTION)
    bench.wait_until(lambda: c.tcp.unacked == 0, SOON, "an ACK of the peer's data")
    c.steer.ignore(lambda _: True)
    c.close()
    expect_ack(bench, seen, c, 1, "ACK 1 of the peer's FIN")
    c.steer.mute()  # else it resends its FIN of its own accord
    return c


def first_number(c: StackConnection) -> int:
    """The first byte's sequence number in the peer's stream."""
    return (c.tcp.snd_nxt - 1 - len(QUESTION)) % MODULUS


def from_host(seen: Capture, c: StackConnection) -> tuple[tcpflow.FlowSegment, ...]:
    """What the host sent in this connection."""
    return tcpflow.connection(seen.at("peer--dut").both, server_port=c.local[1]).up


def acks(seen: Capture, c: StackConnection) -> list[tcpflow.FlowSegment]:
    """The host's ACKs of the peer's FIN."""
    number = c.tcp.snd_nxt % MODULUS
    return [
        each
        for each in from_host(seen, c)
        if each.tcp.ack == number and not each.tcp.flags & TcpFlags.RST
    ]


def resend_fin(bench: Bench, seen: Capture, c: StackConnection, turn: int) -> None:
    """Send the peer's FIN again; it is acknowledged for the ``turn``-th time."""
    c.steer.send(TcpFlags.FIN | TcpFlags.ACK, seq=(c.tcp.snd_nxt - 1) % MODULUS)
    expect_ack(bench, seen, c, turn, f"ACK {turn} of the peer's FIN")


def expect_ack(bench: Bench, seen: Capture, c: StackConnection, count: int, what: str) -> None:
    """The host has acknowledged the peer's FIN so many times, and reset nothing."""

    def acked() -> bool:
        resets = [each for each in from_host(seen, c) if each.tcp.flags & TcpFlags.RST]
        if resets:
            raise ExpectationFailed(
                f"peer--dut: #{resets[0].number} is a reset, expected an ACK of the FIN"
            )
        return len(acks(seen, c)) >= count

    bench.wait_until(acked, seconds(bench.tolerance("ack_delay", 0.5)), what)


def closed_second(seen: Capture, peer: StackHost, dut: Host) -> None:
    """The host closed after the peer: it has nothing to wait for."""
    dut.tcp_serve(PASSIVE_PORT)
    c = peer.connect("dut", PASSIVE_PORT, within=SOON)
    c.close()
    c.wait_for(State.TIME_WAIT, within=SOON)
    dut.tcp_result("server", PASSIVE_PORT, within=SOON)
    c.steer.send(TcpFlags.ACK)
    seen.wait_for("peer--dut", match.tcp(src_port=PASSIVE_PORT, has="RST"), SOON)
