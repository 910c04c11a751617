"""Whatever order segments come in, and however often, the application gets its stream as sent.

Both ways at once, each segment is late by a time of its own, so that they overtake one another, and
one in ten comes twice. Each application reads every byte once and in order (RFC 9293 3.4, 3.10.7.4:
segments beyond the next one expected are kept until those before them have come). No ACK ever
covers a byte that has not come, nobody resets, and both directions come to their end.

In the second plan the pieces are cut anew each time, so that they overlap in part, and their
numbers go beyond 2**32 - 1, where they begin again at 0 (3.4).
"""

import hashlib
from collections.abc import Callable

import pytest

from testbed import (
    Bench,
    BenchError,
    Capture,
    Chance,
    Delay,
    Duplicate,
    ExpectationFailed,
    SocketOptions,
    StackConfig,
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

PORT, PROXY_PORT, WRAP_PORT = 5116, 6116, 5216
MODULUS = 1 << 32
PIECES = (
    (1500, 2000),
    (500, 1000),
    (2500, 2750),
    (750, 1750),
    (2250, 3100),
    (0, 800),
    (1700, 2600),
    (2850, 3501),
)
"""Where each piece begins and ends: some lie in others, some reach into them, from either side."""
SIZE = 200_000
LATENCY, JITTER = milliseconds(10), milliseconds(10)
TWICE = 0.1
LEAST = 10
"""So many segments must have come early, and so many twice, or nothing has been tried."""
POINTS = {"client": "client--wire", "server": "wire--server"}

PROXY = """
import socket, threading

def pass_on(source, sink, spoil):
    while data := source.recv(4096):
        sink.sendall(spoil(data))
    sink.shutdown(socket.SHUT_WR)

listener = socket.create_server(("", {proxy}))
print("ready", flush=True)
while True:
    near = listener.accept()[0]
    far = socket.create_connection(("127.0.0.1", {port}))
    threading.Thread(target=pass_on, args=(near, far, {spoil})).start()
    threading.Thread(target=pass_on, args=(far, near, bytes)).start()
"""


def hands_over(spoil: str) -> Callable[[Bench], None]:
    """The server's application is handed what ``spoil`` makes of each piece of its stream."""
    return faults.all_of(
        faults.program(PROXY.format(proxy=PROXY_PORT, port=PORT, spoil=spoil), role="server"),
        faults.nft(
            "type nat hook prerouting priority -100;",
            f"tcp dport {PORT} redirect to :{PROXY_PORT}",
            role="server",
        ),
    )


@pytest.mark.behaviour("TC-16", clause="RFC 9293 3.10.7.4")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
@drill(
    "out of order",
    hands_over("lambda data: data[len(data) // 2 :] + data[: len(data) // 2]"),
    caught="server .* not those that the peer sent",
)
@drill(
    "delivers twice",
    hands_over("lambda data: data + data[-1:]"),
    caught="server .* received [0-9]+ octets, the peer sent",
)
@drill(
    "acks what has not come",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp sport {PORT} tcp flags == ack meta length < 80 tcp ackseq set tcp ackseq | 0x3ff",
        role="server",
    ),
    caught="the server acked",
)
@drill(
    "resets",
    faults.nft(
        "type filter hook input priority 0;",
        f"tcp dport {PORT} tcp flags & syn == 0 numgen inc mod 100 == 99 reject with tcp reset",
        role="server",
    ),
    caught="ECONNRESET|has=RST",
)
def test_the_stream_is_whole_whatever_comes(bench: Bench) -> None:
    bench.bring_up_network()
    box = bench.box("wire")
    for seed, node in enumerate(POINTS):
        box.toward(node).add(Duplicate(Chance(TWICE, seed, matching=match.tcp(longer_than=0))))
        box.toward(node).add(Delay(LATENCY, JITTER, seed=seed))
    with bench.capture("client--wire", "wire--server") as seen:
        transfer = bench.transfer("client", "server", port=PORT, up=SIZE, down=SIZE)
        transfer.expect_intact(within=seconds(10))
        bench.wait_until(
            lambda: all(end_of(heard(seen, transfer, role)[1]) for role in POINTS),
            within=seconds(2),
            what="the last FIN's ACK",
        )

    ours = match.tcp(src_port=PORT) | match.tcp(dst_port=PORT)
    for role, point in POINTS.items():
        sent, came = heard(seen, transfer, role)
        expect_tried(came, point)
        expect_honest_acks(sent, came, f"{point}: the {role}")
        # From its end on the server has no connection, and resets what still comes.
        seen.at(point).before(end_of(came)[0].traced).expect_none(ours & match.tcp(has="RST"))


def heard(
    seen: Capture, transfer: Transfer, role: str
) -> tuple[tuple[tcpflow.FlowSegment, ...], tuple[tcpflow.FlowSegment, ...]]:
    """What a host sent and what came to it, where it is plugged in."""
    flow = transfer.flow(seen.at(POINTS[role]))
    return (flow.up, flow.down) if role == "client" else (flow.down, flow.up)


def end_of(came: tuple[tcpflow.FlowSegment, ...]) -> list[tcpflow.FlowSegment]:
    """What ends a connection at a host: the peer's FIN or the ACK of its own, the later of them."""
    fin = next((each for each in came if each.tcp.flags & TcpFlags.FIN), None)
    acked = next((each for each in came if each.ack == SIZE + 2), None)
    return [max(fin, acked, key=lambda each: each.number)] if fin and acked else []


def expect_tried(came: tuple[tcpflow.FlowSegment, ...], point: str) -> None:
    """Enough of what came was out of its order, and enough came twice."""
    reached = overtaken = twice = 0
    known: set[int] = set()
    for segment in came:
        if segment.payload:
            twice += segment.seq in known
            overtaken += segment.seq < reached and segment.seq not in known
            known.add(segment.seq)
            reached = max(reached, segment.end)
    if min(overtaken, twice) < LEAST:
        raise BenchError(
            f"{point}: {overtaken} segments were overtaken and {twice} came twice, expected "
            f"{LEAST} of each: the fault box did not do its work"
        )


def expect_honest_acks(
    sent: tuple[tcpflow.FlowSegment, ...], came: tuple[tcpflow.FlowSegment, ...], who: str
) -> None:
    """Every ACK covers only what had come by then, all of it in the end."""
    done, position, early = 0, 0, dict[int, int]()
    for segment in sent:
        while position < len(came) and came[position].number < segment.number:
            start, end = came[position].seq, came[position].end
            early[start] = max(end, early.get(start, 0))
            position += 1
        while reachable := [start for start in early if start <= done]:
            done = max(done, *(early.pop(start) for start in reachable))
        if (segment.ack or 0) > done:
            raise ExpectationFailed(
                f"{who} acked {segment.ack} in #{segment.number}, when {done} had not come"
            )
    last = max((segment.ack or 0) for segment in sent)
    if last != SIZE + 2:
        raise ExpectationFailed(
            f"{who} acked {last} in the end, expected {SIZE + 2}: a SYN, {SIZE} bytes and a FIN"
        )


@pytest.mark.behaviour("TC-16", clause="RFC 9293 3.4, 3.10.7.4")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "ends where numbers begin again",
    faults.python_stack(defects.streams.ENDS_AT_THE_WRAP),
    caught="pieces that overlap",
)
@drill(
    "muddles what overlaps",
    faults.python_stack(defects.streams.MUDDLES_OVERLAPS),
    caught="pieces that overlap",
)
def test_pieces_that_overlap_where_numbers_begin_again(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    data = hashlib.shake_128(b"TC-16").digest(PIECES[-1][1])
    dut.tcp_serve(WRAP_PORT)
    with bench.capture("peer--dut") as seen:
        wrap = SocketOptions(isn=-len(data) // 2 % MODULUS, timestamps=False)
        c = peer.connect("dut", WRAP_PORT, options=wrap)
        first = c.tcp.snd_nxt
        c.steer.mute()  # else it has its own say about the ACKs of what is sent by hand
        for start, end in PIECES:
            fin = TcpFlags.FIN if end == len(data) else TcpFlags.PSH
            piece = data[start:end]
            c.steer.send(TcpFlags.ACK | fin, piece, seq=(first + start) % MODULUS)
            bench.watch_for(milliseconds(1))
        last = match.tcp(src_port=WRAP_PORT, ack=(first + len(data) + 1) % MODULUS)
        told = f"{dut.name}: pieces that overlap, whose numbers go beyond 2**32"
        try:
            seen.wait_for("peer--dut", last, seconds(2))
            received = dut.tcp_result("server", WRAP_PORT, within=seconds(2))[1]
        except ExpectationFailed as failure:
            raise ExpectationFailed(f"{told}: {failure.summary}", failure.details) from None
        if (received.error, received.sha256) != (None, hashlib.sha256(data).hexdigest()):
            raise ExpectationFailed(
                f"{told}: received {received.octets} bytes"
                f"{f' and {received.error}' if received.error else ''}, not the {len(data)} sent"
            )
        c.steer.give_back()
        c.abort()
