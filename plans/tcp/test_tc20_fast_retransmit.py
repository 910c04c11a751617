"""The third duplicate ACK has a lost segment resent before its timeout; two duplicates do not.

"The TCP sender SHOULD use the 'fast retransmit' algorithm [...] after the arrival of 3 duplicate
ACKs" (RFC 5681 3.2). Ten segments are in flight. The fifth is lost: it is resent when the third
duplicate comes, not at the second, and not by timeout. The eighth is lost, which leaves two
duplicates: it is resent by timeout only, ``rto_min`` (seconds, 0.2: Linux's, RFC 6298 2.4 has 1)
or more after the last new ACK. The fifth comes behind two others: nothing is resent.

Counted without SACK, where duplicates are all that a sender has: with it, RACK (RFC 8985) also goes
by time. With SACK, what is asked is that the lost segment is resent within ``fast_retransmit``
(seconds, 0.05) of the third duplicate and that slight reordering provokes nothing. The duplicates
are let through one in 10 ms, so that it is plain which of them was answered.

An ACK is a duplicate if it carries no data, no SYN and no FIN, and offers the same window as the
one before (RFC 5681 2): data of a peer that speaks, too, and window updates are not counted, and
what was counted is forgotten when an ACK moves on.
"""

import pytest

from testbed import (
    Bench,
    Delay,
    Drop,
    Duration,
    ExpectationFailed,
    Flow,
    Nth,
    RateLimit,
    Receiver,
    Reorder,
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

PORT, COUNT_PORT = 5120, 5121
SEGMENTS = 10
MANY = 100
LATENCY = milliseconds(40)
ACK_RATE = 72_000  # bits per second on the wire: one bare ACK of 90 bytes, gap and all, in 10 ms
UNREAD = milliseconds(300)
"""How long the server reads nothing: a window that grows makes an ACK no duplicate (RFC 5681 2)."""
THRESHOLD = 3
"""RFC 5681 3.2: how many duplicates it takes."""
DATA = match.tcp(dst_port=PORT, longer_than=0)
FIN = match.tcp(dst_port=PORT, has="FIN")
Gone = tcpflow.FlowSegment
PUSH = TcpFlags.ACK | TcpFlags.PSH
WORD = b"a peer that speaks"
AT_ONCE = milliseconds(50)
"""How soon a fast retransmission comes; no timeout does."""


@pytest.mark.behaviour("TC-20", clause="RFC 5681 3.2")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
@drill(
    "waits for the timeout",
    faults.sysctl("net.ipv4.tcp_reordering", "127", role="client"),
    caught="resent after [4-9] duplicate",
)
@drill(
    "fires at one",
    faults.sysctl("net.ipv4.tcp_reordering", "1", role="client"),
    caught="resent after 1 duplicate",
)
@drill(
    "fires at two",
    faults.sysctl("net.ipv4.tcp_reordering", "2", role="client"),
    caught="resent after 2 duplicate",
)
@drill(
    "sends no duplicate ACKs",
    faults.nft(
        "type filter hook output priority 0;",
        # What is no longer than IP and TCP headers and has been said lately.
        f"tcp sport {PORT} tcp flags == ack meta length < 60 limit rate over 20/second burst 6"
        " packets drop",
        role="server",
    ),
    caught="duplicate ACKs came",
)
def test_third_duplicate_ack_resends_and_two_do_not(bench: Bench) -> None:
    bench.bring_up_network()
    client, box = bench.host("client"), bench.box("wire")
    client.set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    fast = seconds(bench.tolerance("fast_retransmit", 0.05))
    rto_min = seconds(bench.tolerance("rto_min", 0.2))
    box.toward("server").add(Delay(LATENCY))

    client.set_sysctl("net.ipv4.tcp_sack", "0")
    with box.toward("client").impaired(RateLimit(ACK_RATE)):
        with box.toward("server").impaired(Drop(Nth(5, matching=DATA))):
            flow = ten_segments(bench)
        expect_fast(flow, 5, within=fast, exactly=True)
        with box.toward("server").impaired(Drop(Nth(8, matching=DATA)), Drop(Nth(1, matching=FIN))):
            flow = ten_segments(bench)
        expect_slow(flow, 8, after=rto_min)
        with box.toward("server").impaired(Reorder(Nth(5, matching=DATA), 2, overtaken_by=DATA)):
            flow = ten_segments(bench)
        expect_calm(flow, 5)

    client.set_sysctl("net.ipv4.tcp_sack", "1")
    with box.toward("server").impaired(Drop(Nth(5, matching=DATA))):
        flow = ten_segments(bench)
    expect_fast(flow, 5, within=fast, exactly=False)
    with box.toward("server").impaired(Reorder(Nth(5, matching=DATA), 2, overtaken_by=DATA)):
        flow = ten_segments(bench)
    expect_calm(flow, 5)


def ten_segments(bench: Bench) -> tcpflow.Connection:
    """Send ten full segments at once, to a good end; the connection as the client saw it."""
    host, port = bench.host("client"), bench.port("client", toward="wire")
    size = host.mtu(port) - 52  # less IP, TCP, and timestamps with their padding
    with bench.capture("client--wire", "wire--server") as seen:
        transfer = bench.transfer(
            "client", "server", port=PORT, up=SEGMENTS * size, server_flow=Flow(read_after=UNREAD)
        )
        transfer.expect_intact(within=seconds(5))
    return transfer.flow(seen.at("client--wire"))


def duplicates(flow: tcpflow.Connection, turn: int) -> tuple[Gone, tuple[Gone, ...]]:
    """The segment whose turn it was, and the duplicate ACKs that asked for it."""
    first = [each for each in flow.up if each.payload][turn - 1]
    acks = tcpflow.duplicate_acks(flow.down, flow.up)
    return first, tuple(each for each in acks if each.ack == first.seq)


def resent(flow: tcpflow.Connection, first: Gone) -> tuple[Gone, ...]:
    """What was sent again of a segment; it is a finding if anything else was."""
    again = [each.segment for each in tcpflow.retransmissions(flow.up)]
    others = [each for each in again if each.payload and each.seq != first.seq]
    if others:
        raise ExpectationFailed(
            f"client--wire: the client resent {others[0].seq}..{others[0].end}, which was not lost"
        )
    return tuple(each for each in again if each.payload)


def expect_fast(flow: tcpflow.Connection, turn: int, *, within: Duration, exactly: bool) -> None:
    """A lost segment was resent at the third duplicate."""
    first, asked = duplicates(flow, turn)
    if len(asked) < THRESHOLD:
        raise ExpectationFailed(
            f"client--wire: {len(asked)} duplicate ACKs came for {first.seq}..{first.end}, which "
            f"was lost, expected {THRESHOLD} or more"
        )
    again = resent(flow, first)
    if len(again) != 1:
        raise ExpectationFailed(
            f"client--wire: {first.seq}..{first.end} was lost and resent {len(again)} times"
        )
    before = sum(each.number < again[0].number for each in asked)
    late = Duration(again[0].at - asked[THRESHOLD - 1].at)
    if late > within or (exactly and before != THRESHOLD):
        when = f"{format_duration(late)} after" if late > 0 else "before"
        raise ExpectationFailed(
            f"client--wire: {first.seq}..{first.end} was resent after {before} duplicate ACKs, "
            f"{when} the third, expected at the third"
        )


def expect_slow(flow: tcpflow.Connection, turn: int, *, after: Duration) -> None:
    """A lost segment with two duplicates was resent by timeout."""
    first, asked = duplicates(flow, turn)
    if len(asked) != THRESHOLD - 1:
        raise ExpectationFailed(
            f"client--wire: {len(asked)} duplicate ACKs came for {first.seq}..{first.end}, which "
            f"two others overtook"
        )
    again = resent(flow, first)
    if len(again) != 1:
        raise ExpectationFailed(
            f"client--wire: {first.seq}..{first.end} was lost and resent {len(again)} times"
        )
    acked = next(each for each in flow.down if each.ack == first.seq)
    gap = Duration(again[0].at - acked.at)
    if gap < after:
        raise ExpectationFailed(
            f"client--wire: {first.seq}..{first.end} was resent after 2 duplicate ACKs, "
            f"{format_duration(gap)} after the last new one, expected by timeout only"
        )


def expect_calm(flow: tcpflow.Connection, turn: int) -> None:
    """A segment that came behind two others was not resent, nor was anything else."""
    first, asked = duplicates(flow, turn)
    if len(asked) != THRESHOLD - 1:
        raise ExpectationFailed(
            f"client--wire: {len(asked)} duplicate ACKs came for {first.seq}..{first.end}, which "
            f"two others overtook"
        )
    again = tcpflow.retransmissions(flow.up)
    if again:
        raise ExpectationFailed(
            f"client--wire: the client resent {again[0].segment.seq}..{again[0].segment.end}; "
            f"nothing was lost, {first.seq}..{first.end} came behind two others"
        )


@pytest.mark.behaviour("TC-20", clause="RFC 5681 2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "counts data as duplicate ACKs",
    faults.python_stack(defects.resending.COUNTS_DATA),
    caught="resent .* after 4 segments of data",
)
@drill(
    "counts window updates as duplicate ACKs",
    faults.python_stack(defects.resending.COUNTS_WINDOW_UPDATES),
    caught="resent .* after 4 window updates",
)
@drill(
    "goes on counting after progress",
    faults.python_stack(defects.resending.NEVER_COUNTS_ANEW),
    caught="resent .* after 2 duplicates, an ACK of more, and one duplicate of it",
)
def test_only_bare_and_unchanged_acks_in_a_row_count(bench: Bench) -> None:
    bench.host("dut").set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        receiver = Receiver(bench, peer, seen, COUNT_PORT, segments=MANY)
        size = receiver.smss
        receiver.take(SEGMENTS)
        receiver.ack(1 + 2 * size)
        receiver.take(2)
        speak(receiver)
        expect_none_again(bench, receiver, "4 segments of data")
        receiver.ack(1 + 3 * size)
        receiver.take(1)
        for _ in range(THRESHOLD + 1):
            receiver.window += 1
            receiver.ack(receiver.acked)
        expect_none_again(bench, receiver, "4 window updates")
        receiver.ack(1 + 4 * size)
        receiver.take(1)
        receiver.ack(receiver.acked, times=2)
        receiver.ack(1 + 5 * size)
        receiver.ack(receiver.acked)
        what = "2 duplicates, an ACK of more, and one duplicate of it"
        expect_none_again(bench, receiver, what)
        receiver.ack(receiver.acked, times=2)
        if receiver.acked not in [each.seq for each in receiver.take(1, within=AT_ONCE)]:
            raise ExpectationFailed(
                f"peer--dut: {receiver.acked}..{receiver.acked + size} was not resent at the third "
                f"duplicate in a row"
            )
        receiver.finish()


def speak(receiver: Receiver) -> None:
    """Four segments of data that acknowledge nothing new."""
    steer, start = receiver.connection.steer, receiver.connection.snapshot().snd_nxt
    ack = receiver.absolute(receiver.acked)
    for turn in range(THRESHOLD + 1):
        steer.send(PUSH, WORD, seq=(start + turn * len(WORD)) % (1 << 32), ack=ack)
    steer.send(PUSH, WORD * (THRESHOLD + 1), ack=ack, advance=True)  # all once more, and counted


def expect_none_again(bench: Bench, receiver: Receiver, after: str) -> None:
    """Nothing that was sent before comes at once; what a timeout brings on a slow bench may."""
    receiver.take(MANY, within=AT_ONCE)
    flow, rto_min = receiver.flow, seconds(bench.tolerance("rto_min", 0.2))
    moved = next(each for each in flow.up if each.ack == receiver.acked)
    for again in (each.segment for each in tcpflow.retransmissions(flow.down)):
        if 0 < again.at - moved.at < rto_min:
            raise ExpectationFailed(
                f"peer--dut: the host resent {again.seq}..{again.end} after {after}, which are no "
                f"three duplicate ACKs"
            )
