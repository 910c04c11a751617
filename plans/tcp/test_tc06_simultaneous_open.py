"""Two hosts that open to each other at once both reach ESTABLISHED, in one connection.

The SYNs cross. In SYN-SENT, on a SYN without an ACK: "enter SYN-RECEIVED, form a SYN,ACK segment
<SEQ=ISS><ACK=RCV.NXT><CTL=SYN,ACK> and send it" (RFC 9293 3.10.7.3; 3.5, MUST-10); the peer's
SYN+ACK, or any ACK of the SYN, leads to ESTABLISHED (figure 7). So the host sends one SYN+ACK with
the number of its SYN, never a reset, and the bytes arrive intact both ways, ends included. The same
holds where the peer's SYN+ACK, or the host's, is lost: the ACK of the first data does its work.

A host whose FIN is acknowledged in LAST-ACK is CLOSED and owes nobody anything: the second ACK, of
a FIN that was sent again meanwhile, it may answer by a reset (3.10.7.1).
"""

import hashlib
from functools import partial

import pytest

from testbed import (
    Bench,
    Drop,
    ExpectationFailed,
    Hold,
    Host,
    Matcher,
    Nth,
    PointView,
    StackConfig,
    StackConnection,
    State,
    TcpFlags,
    TcpSegment,
    Topology,
    TracedFrame,
    defects,
    dissect,
    drill,
    faults,
    match,
    seconds,
)

PEER_PORT, APART = 5160, 40_000
UP, DOWN = 4000, 5000
SOON = seconds(5)
SYN_ACK = match.tcp(flags="SYN+ACK")
CASES = (  # and which SYN+ACK that is: the peer's, the host's
    ("nothing is lost", False, False),
    ("the peer's SYN+ACK is lost", True, False),
    ("the host's SYN+ACK is lost", False, True),
)


@pytest.mark.behaviour("TC-06", clause="RFC 9293 3.5")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "RST",
    faults.python_stack(defects.syns.RESETS_CROSSING_SYN),
    caught=r"answered a SYN that crossed its own by RST",
)
@drill(
    "a filter that rejects SYNs",
    faults.nft(
        "type filter hook input priority 0;",
        f"tcp dport {PEER_PORT + APART} tcp flags == syn reject with tcp reset",
    ),
    caught=r"answered a SYN that crossed its own by (ACK\|)?RST",
)
@drill(
    "a filter that drops SYNs",
    faults.nft(
        "type filter hook input priority 0;", f"tcp dport {PEER_PORT + APART} tcp flags == syn drop"
    ),
    caught=r"did not answer a SYN that crossed its own",
)
@drill(
    "a new number for its SYN+ACK",
    faults.python_stack(defects.syns.RENUMBERS_CROSSING_SYN),
    caught=r"answered a SYN that crossed its own from \d+, its SYN was \d+",
)
@drill(
    "SYN+ACK for SYN+ACK",
    faults.python_stack(defects.syns.REPEATS_SYN_ACK),
    caught=r"sent 2 SYN\+ACKs",
)
def test_hosts_that_open_to_each_other_meet(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    net = bench.bring_up_network()
    # What comes to the peer is going to be held back: let there be no ARP among it.
    dut.add_arp(bench.port("dut", toward="peer"), peer.address, peer.mac)
    peer.stack.interface("eth0").neighbours.set(net["dut"].ip, net["dut"].mac, peer.now())
    for port, (case, out, back) in enumerate(CASES, PEER_PORT):
        source, hold = port + APART, Hold("queue")
        ours = match.tcp(src_port=source, dst_port=port)
        with (
            bench.capture("peer--dut") as seen,
            peer.incoming.impaired(hold, *lost(back)),
            peer.outgoing.impaired(*lost(out)),
        ):
            dut.tcp_connect(str(peer.address), port, send=UP, seed=port, source_port=source)
            first = seen.wait_for("peer--dut", ours & match.tcp(flags="SYN"))
            connection = peer.open("dut", source, source_port=port)
            second = seen.wait_for("peer--dut", match.tcp(dst_port=source, flags="SYN"), sent=True)
            answers = partial(seen.at("peer--dut").all, ours & ~match.tcp(flags="SYN"))
            bench.loop.run_until(lambda: bool(answers()), SOON)  # noqa: B023 - used here
            expect_answer(case, segment_in(first), segment_in(second), answers())
            hold.release()
            exchange(dut, connection, port, case)
        expect_no_reset(seen.at("peer--dut"), ours, match.tcp(src_port=port, dst_port=source))
        repeated = len(seen.at("peer--dut").all(ours & SYN_ACK))
        if repeated != 1 and not back:
            raise ExpectationFailed(
                f"{case}: the host sent {repeated} SYN+ACKs, expected the one that was not lost"
            )


def lost(some: bool) -> tuple[Drop, ...]:
    """What takes the first SYN+ACK away, if it is to be lost."""
    return (Drop(Nth(1, matching=SYN_ACK)),) if some else ()


def expect_answer(
    case: str, first: TcpSegment, second: TcpSegment, answers: tuple[TracedFrame, ...]
) -> None:
    """To the SYN ``second`` the host, whose SYN was ``first``, answered by SYN+ACK."""
    if not answers:
        raise ExpectationFailed(f"{case}: the host did not answer a SYN that crossed its own")
    answer = segment_in(answers[0])
    did = f"{case}: the host answered a SYN that crossed its own"
    if answer.flags != TcpFlags.SYN | TcpFlags.ACK:
        raise ExpectationFailed(f"{did} by {answer.flags.name}, expected SYN+ACK")
    if answer.seq != first.seq:
        raise ExpectationFailed(f"{did} from {answer.seq}, its SYN was {first.seq}")
    if answer.ack != (second.seq + 1) % (1 << 32):
        raise ExpectationFailed(f"{did} by an ACK of {answer.ack}, the SYN was {second.seq}")


def expect_no_reset(seen: PointView, ours: Matcher, peers: Matcher) -> None:
    """The host sends none as long as there is a connection: until the peer has its FIN."""
    ends = seen.all(ours & match.tcp(has="FIN"))
    if ends:
        fin = segment_in(ends[0])
        last = peers & match.tcp(ack=(fin.seq + len(fin.payload) + 1) % (1 << 32))
        over = seen.sent.first(last)
        if over is not None:
            seen = seen.before(over)
    seen.expect_none(ours & match.tcp(has="RST"))


def exchange(dut: Host, connection: StackConnection, port: int, case: str) -> None:
    """Both reach ESTABLISHED and carry bytes both ways, to the end."""
    down = hashlib.shake_128(b"TC-06").digest(DOWN)
    connection.wait_for(State.ESTABLISHED, State.CLOSE_WAIT, within=SOON)
    connection.send(down)
    connection.shutdown()
    up = connection.receive_all(within=SOON)
    sent, received = dut.tcp_result("client", port, within=SOON)
    error = sent.error or received.error
    if error or (sent.sha256, received.sha256) != (digest(up), digest(down)):
        raise ExpectationFailed(
            f"{case}: {dut.name} sent {sent.octets} bytes and received {received.octets}"
            f"{f', {error}' if error else ''}; the peer received {len(up)} and sent {DOWN}"
        )


def digest(data: bytes) -> str:
    """As services tell it."""
    return hashlib.sha256(data).hexdigest()


def segment_in(frame: TracedFrame) -> TcpSegment:
    """The segment in a frame that matched as one."""
    segment = dissect(frame.data).tcp
    if segment is None:
        raise ExpectationFailed(f"#{frame.number} is no TCP segment")
    return segment
