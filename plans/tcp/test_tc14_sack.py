"""Ten segments in flight, four lost: the receiver reports the holes, the sender fills just those.

Both SYNs permit SACK. Every ACK that leaves a hole carries blocks (kind 5) of bytes that did come
above it, the block of the segment that provoked it first, no more than 4, or 3 beside timestamps,
and all of them where they fit (RFC 2018 3, 4). The sender resends exactly the four, each once (RFC
6675 5). A segment that comes twice is reported as a duplicate, also above a hole (RFC 2883 4), and
nothing is resent for it. The bytes arrive intact.

Ten full segments are the initial window (RFC 6928). Congestion control is Reno's, so that they
leave at once and unpaced, and the path is long (80 ms) compared to what a busy machine adds to it.
"""

from typing import NamedTuple

import pytest

from testbed import (
    Bench,
    Capture,
    Delay,
    Drop,
    Duplicate,
    ExpectationFailed,
    Nth,
    TcpFlags,
    Topology,
    Transfer,
    defects,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
    tcpflow,
)

PORT = 5114
SEGMENTS = 10
LOST = (2, 4, 6, 8)
HOLE, ABOVE = 4, 8
"""Of a segment that comes twice, and is not the first above the hole: not a block of its own."""
LATENCY = milliseconds(40)
DATA = match.tcp(dst_port=PORT, longer_than=0)
INPUT = "type filter hook input priority 0;"
Range = tuple[int, int]


@pytest.mark.behaviour("TC-14", clause="RFC 2018 4, RFC 6675 5")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
@drill(
    "resends all",
    faults.nft(INPUT, f"tcp sport {PORT} reset tcp option sack", role="client"),
    caught="client resent .* not lost",
)
@drill(
    "does not agree to SACK",
    faults.sysctl("net.ipv4.tcp_sack", "0", role="server"),
    caught=r"wire--server: expect tcp\(.*SYN\+ACK, sack_permitted=True\): it did not come",
)
@drill(
    "reports no holes",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp sport {PORT} reset tcp option sack",
        role="server",
    ),
    caught="server's #.* reports no blocks",
)
@drill(
    "reports no duplicates",
    faults.sysctl("net.ipv4.tcp_dsack", "0", role="server"),
    caught="came twice",
)
@drill(
    "reports no duplicates above a hole",
    faults.python_stack(defects.resending.NO_DUPLICATES_ABOVE_HOLES, role="server"),
    caught="came twice above a hole",
)
def test_only_the_holes_are_filled(bench: Bench) -> None:
    bench.bring_up_network()
    box = bench.box("wire")
    bench.host("client").set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    box.toward("server").add(Delay(LATENCY))
    box.toward("client").add(Delay(LATENCY))

    for timestamps in (True, False):
        for role in ("client", "server"):
            bench.host(role).set_sysctl("net.ipv4.tcp_timestamps", str(int(timestamps)))
        with (
            bench.capture("client--wire", "wire--server") as seen,
            box.toward("server").impaired(Drop(Nth(*LOST, matching=DATA))),
        ):
            flight = ten_segments(bench, seen, timestamps=timestamps)
        expect_reports(flight.transfer.flow(seen.at("wire--server")), 3 if timestamps else 4)
        holes = [flight.sent[turn - 1] for turn in LOST]
        expect_resent(flight.transfer.flow(seen.at("client--wire")), holes)

    expect_duplicate_told(bench, SEGMENTS)
    expect_duplicate_told(bench, ABOVE, lost=(HOLE,))


def expect_duplicate_told(bench: Bench, turn: int, lost: tuple[int, ...] = ()) -> None:
    """The segment of that turn comes twice: the server tells it, and no more is resent than lost.

    Where the duplicate is part of a block above a hole, that block comes second (RFC 2883 4.2).
    """
    impairments = (
        Duplicate(Nth(turn, matching=DATA)),
        *(Drop(Nth(each, matching=DATA)) for each in lost),
    )
    with (
        bench.capture("client--wire", "wire--server") as seen,
        bench.box("wire").toward("server").impaired(*impairments),
    ):
        flight = ten_segments(bench, seen, timestamps=False)
    expect_resent(
        flight.transfer.flow(seen.at("client--wire")), [flight.sent[each - 1] for each in lost]
    )
    low, high = twice = flight.sent[turn - 1]
    for answer in flight.transfer.flow(seen.at("wire--server")).down:
        held = [(0, answer.ack or 0), *answer.sack[1:]]
        if answer.sack[:1] == (twice,) and any(a <= low and high <= b for a, b in held):
            return
    where = " above a hole" if lost else ""
    raise ExpectationFailed(
        f"wire--server: {span(twice)} came twice{where}, and no ACK of the server says so"
    )


class Flight(NamedTuple):
    """A transfer of ten segments, and what each of them carried when it was first sent."""

    transfer: Transfer
    sent: list[Range]


def ten_segments(bench: Bench, seen: Capture, *, timestamps: bool) -> Flight:
    """Send ten full segments at once; wait until all has arrived."""
    places = [(role, bench.port(role, toward="wire")) for role in ("client", "server")]
    mtu = min(bench.host(role).mtu(port) for role, port in places)
    size = mtu - (52 if timestamps else 40)  # less IP, TCP, and the timestamps with their padding
    transfer = bench.transfer("client", "server", port=PORT, up=SEGMENTS * size)
    seen.wait_for("client--wire", match.tcp(flags="SYN", dst_port=PORT, sack_permitted=True))
    seen.wait_for("wire--server", match.tcp(flags="SYN+ACK", src_port=PORT, sack_permitted=True))
    transfer.expect_intact(within=seconds(5))
    flow = transfer.flow(seen.at("client--wire"))
    first_ack = next(each.number for each in flow.down if (each.ack or 0) > 1)
    sent = [(each.seq, each.end) for each in flow.up if each.payload and each.number < first_ack]
    if sent != [(1 + turn * size, 1 + (turn + 1) * size) for turn in range(SEGMENTS)]:
        raise ExpectationFailed(
            f"client--wire: the client sent {', '.join(map(span, sent))} before the first ACK, "
            f"expected {SEGMENTS} segments of {size} bytes"
        )
    return Flight(transfer, sent)


def expect_resent(flow: tcpflow.Connection, holes: list[Range]) -> None:
    """The client sent just these again, each once."""
    again = [(each.segment.seq, each.segment.end) for each in tcpflow.retransmissions(flow.up)]
    wrong = [span(each) for each in again if each not in holes or again.count(each) > 1]
    if wrong:
        raise ExpectationFailed(
            f"client--wire: the client resent {', '.join(wrong)}, which was not lost or had been "
            f"resent; lost: {', '.join(map(span, holes)) or 'nothing'}"
        )
    missing = [span(each) for each in holes if each not in again]
    if missing:
        raise ExpectationFailed(
            f"client--wire: {', '.join(missing)} was lost and the client did not resend it"
        )


def expect_reports(flow: tcpflow.Connection, limit: int) -> None:
    """Every ACK of the server tells what had come when it was sent, in ``limit`` blocks at most.

    A segment that the server has not looked at yet may be on its cable already, so an ACK may
    tell of the past, but never of what the ACKs before it had left behind.
    """
    came = [each for each in flow.up if each.tcp.span]
    known = 0
    for answer in flow.down:
        if answer.ack is None or answer.tcp.flags & TcpFlags.SYN:
            continue
        last = sum(each.number < answer.number for each in came)
        fits = (count for count in range(known, last + 1) if tells(answer, came[:count], limit))
        found = next(fits, None)
        if found is None:
            done, islands = holdings(came[:last])
            raise ExpectationFailed(
                f"wire--server: the server's #{answer.number} acks {answer.ack} and reports "
                f"{', '.join(map(span, answer.sack)) or 'no blocks'}; {done} was next, and of "
                f"what had come above it, {', '.join(map(span, islands)) or 'nothing'}, it must "
                f"report {min(limit, len(islands))}, the latest first"
            )
        known = found


def tells(answer: tcpflow.FlowSegment, came: list[tcpflow.FlowSegment], limit: int) -> bool:
    """Whether an ACK is what the last of these segments must provoke."""
    done, islands = holdings(came)
    blocks, last = list(answer.sack), (came[-1].seq, came[-1].end) if came else (0, 0)
    if blocks[:1] == [last] and holdings(came[:-1]) == (done, islands):
        del blocks[0]  # it came a second time
        limit -= 1
    elif last[0] >= done and not (blocks and blocks[0][0] <= last[0] < blocks[0][1]):
        return False
    inside = set(blocks) <= set(islands)
    return answer.ack == done and inside and len(set(blocks)) == min(limit, len(islands))


def holdings(came: list[tcpflow.FlowSegment]) -> tuple[int, list[Range]]:
    """The next number after what has come without a hole, and the ranges above it."""
    done, islands = 1, list[Range]()
    for start, end in sorted((each.seq, each.end) for each in came):
        if start <= done:
            done = max(done, end)
        elif islands and start <= islands[-1][1]:
            islands[-1] = (islands[-1][0], max(end, islands[-1][1]))
        else:
            islands.append((start, end))
    return done, islands


def span(numbers: Range) -> str:
    """A range for people; the end is the number after it, as in a SACK block."""
    return f"{numbers[0]}..{numbers[1]}"
