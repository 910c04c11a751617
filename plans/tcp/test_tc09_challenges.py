"""A reset or a SYN that is not exactly in its place is challenged, in whatever state, and no more.

RFC 5961 3.2: a reset in the window whose number is not RCV.NXT is answered by <SEQ=SND.NXT>
<ACK=RCV.NXT><CTL=ACK>, with ACK or without, with text or without; in ESTABLISHED, also where a hole
is open, in CLOSE-WAIT and in FIN-WAIT-2. 4.2: a SYN is answered so too, "irrespective of the
sequence number". None of them ends the connection: the stream goes on to its end both ways. (Linux
also believes a reset at the end of the highest block it has reported; none is sent there.)

Hosts that limit how often they challenge one connection (RFC 5961 7) are told not to.
"""

import hashlib

import pytest

from testbed import (
    Bench,
    Capture,
    Ending,
    ExpectationFailed,
    Flow,
    Host,
    StackConfig,
    StackConnection,
    StackHost,
    TcpFlags,
    Topology,
    TracedFrame,
    defects,
    dissect,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

OPEN_PORT, HOLE_PORT, CLOSING_PORT, CLOSED_PORT = 5209, 5219, 5229, 5239
SOON = seconds(3)
MODULUS = 1 << 32
TEXT = b"all that I have to say"
SIZE = 300
PACE = Flow(chunk=SIZE // 3, every=milliseconds(300))
RST, SYN, ACK = TcpFlags.RST, TcpFlags.SYN, TcpFlags.ACK
ODD = (
    ("a RST", RST, b"", 2),
    ("a RST", RST, b"", 1000),
    ("a RST with ACK", RST | ACK, b"", 3),
    ("a RST with ACK", RST | ACK, b"", 1001),
    ("a RST with text", RST, TEXT, 100),
    ("a SYN", SYN, b"", 0),
    ("a SYN", SYN, b"", 1000),
    ("a SYN", SYN, b"", -1000),
    ("a SYN+ACK", SYN | ACK, b"", 500),
)
"""What is sent, and how far from RCV.NXT."""


@pytest.mark.behaviour("TC-09", clause="RFC 5961 3.2, 4.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "believes a RST with ACK",
    faults.python_stack(defects.resets.RST_WITH_ACK_KILLS),
    caught=r"a RST with ACK, of RCV.NXT \+ 3, ended the connection",
)
@drill(
    "believes any RST near its place",
    faults.python_stack(defects.resets.RST_NEARBY_KILLS),
    caught=r"a RST, of RCV.NXT \+ 2, ended the connection",
)
@drill(
    "ended by a SYN",
    faults.python_stack(defects.resets.SYN_KILLS),
    caught=r"a SYN, of RCV.NXT \+ \d+, ended the connection",
)
@drill(
    "believes any RST while a hole is open",
    faults.python_stack(defects.resets.RST_AT_A_HOLE_KILLS),
    caught=r"a RST into a hole, of RCV.NXT \+ 50, ended the connection",
)
@drill(
    "believes any RST of a connection that closes",
    faults.python_stack(defects.resets.RST_KILLS_CLOSING),
    caught=r"a RST in CLOSE-WAIT, of RCV.NXT \+ 100, ended the connection",
)
def test_what_is_not_in_its_place_is_challenged(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_invalid_ratelimit", "0")
    with bench.capture("peer--dut") as seen:
        established(bench, seen, peer, dut)
        with_a_hole(bench, seen, peer, dut)
        in_close_wait(bench, seen, peer, dut)
        in_fin_wait_2(bench, seen, peer, dut)


def established(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """Everything odd, one after the other, and data between."""
    dut.tcp_serve(OPEN_PORT)
    c = peer.connect("dut", OPEN_PORT, within=SOON)
    for what, flags, text, distance in ODD:
        expect_challenge(bench, seen, c, what, flags, text, distance)
        c.send(TEXT)
        c.host.run_until(lambda: bool(c.error) or not c.snapshot().flight, SOON)
        if c.snapshot().flight or c.error:
            raise ExpectationFailed(f"peer--dut: after {what} data were not acknowledged")
    c.shutdown()
    c.receive_all(within=SOON)
    expect_heard(dut, OPEN_PORT, TEXT * len(ODD))


def with_a_hole(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """Something has come ahead of its turn."""
    dut.tcp_serve(HOLE_PORT)
    c = peer.connect("dut", HOLE_PORT, within=SOON)
    before, ahead = len(answers(seen, c)), c.snapshot().snd_nxt + 200
    data = hashlib.shake_128(TEXT).digest(200) + TEXT
    c.steer.send(ACK | TcpFlags.PSH, TEXT, seq=ahead % MODULUS)
    bench.wait_until(lambda: len(answers(seen, c)) > before, SOON, "a duplicate ACK")
    expect_challenge(bench, seen, c, "a RST into a hole", RST, b"", 50)
    c.send(data)
    c.shutdown()
    c.receive_all(within=SOON)
    expect_heard(dut, HOLE_PORT, data)


def in_close_wait(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """The peer has closed, and the host has something to say yet."""
    dut.tcp_serve(CLOSING_PORT, send=SIZE, seed=CLOSING_PORT, flow=PACE)
    c = peer.connect("dut", CLOSING_PORT, within=SOON)
    c.shutdown()
    c.wait_until(lambda: not c.snapshot().flight, within=SOON, what="an ACK of the FIN")
    expect_challenge(bench, seen, c, "a RST in CLOSE-WAIT", RST, b"", 100)
    wanted = hashlib.shake_128(CLOSING_PORT.to_bytes(8, "big")).digest(SIZE)
    if c.receive_all(within=SOON) != wanted:
        raise ExpectationFailed(f"{c}: other bytes came than were sent")


def in_fin_wait_2(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """The host has closed its side, and still hears the peer."""
    dut.tcp_serve(CLOSED_PORT, flow=Flow(ending=Ending.HALF))
    c = peer.connect("dut", CLOSED_PORT, within=SOON)
    c.receive_all(within=SOON)
    seen.settle()
    expect_challenge(bench, seen, c, "a RST in FIN-WAIT-2", RST, b"", 100)
    c.send(TEXT)
    c.shutdown()
    expect_heard(dut, CLOSED_PORT, TEXT)


def expect_challenge(  # noqa: PLR0917
    bench: Bench,
    seen: Capture,
    c: StackConnection,
    what: str,
    flags: TcpFlags,
    text: bytes,
    distance: int,
) -> None:
    """What is so far from its place is answered by an ACK, and ends nothing."""
    before, now = len(answers(seen, c)), c.snapshot()
    what = f"{what}, of RCV.NXT {'-' if distance < 0 else '+'} {abs(distance)},"
    c.steer.send(flags, text, seq=(now.snd_nxt + distance) % MODULUS)
    bench.loop.run_until(lambda: len(answers(seen, c)) > before or bool(c.error), SOON)
    # A host that knows nothing of the connection any more resets an ACK.
    c.steer.send(ACK)
    seen.settle()
    came = (dissect(frame.data).tcp for frame in answers(seen, c)[before:])
    heard = [each for each in came if each is not None]
    if c.error or any(each.flags & RST for each in heard):
        raise ExpectationFailed(f"peer--dut: {what} ended the connection")
    if not heard:
        raise ExpectationFailed(f"peer--dut: {what} was not answered by a challenge ACK")
    if (heard[0].flags, heard[0].ack) != (ACK, now.snd_nxt % MODULUS):
        raise ExpectationFailed(
            f"peer--dut: {what} was answered by {heard[0].flags.name}, ack {heard[0].ack}, "
            f"expected ACK, ack {now.snd_nxt % MODULUS}"
        )


def answers(seen: Capture, c: StackConnection) -> tuple[TracedFrame, ...]:
    """What the host has sent in a connection, but for data."""
    mine = match.tcp(src_port=c.remote[1], dst_port=c.local[1], payload_length=0)
    return seen.at("peer--dut").all(mine)


def expect_heard(dut: Host, port: int, data: bytes) -> None:
    """The host's service got ``data``, and then the end."""
    received = dut.tcp_result("server", port, within=SOON)[1]
    if (received.error, received.sha256) != (None, hashlib.sha256(data).hexdigest()):
        why = f" and {received.error}" if received.error else ""
        raise ExpectationFailed(
            f"{dut.name}, server of port {port}: received {received.octets} bytes{why}, the peer "
            f"sent {len(data)}"
        )
