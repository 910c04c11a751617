"""A connection opens by SYN x, SYN+ACK y acking x+1, ACK of y+1; every number follows from these.

SYN and FIN cost one sequence number each, a byte costs one, a bare ACK nothing; an ACK never
covers what has not come, never goes back, and the last one covers the FIN (RFC 9293 3.4, 3.5,
3.6). The SYN+ACK carries no option that the SYN did not offer. Each step is held in the cable
until the kernels have told their states: LISTEN, SYN-SENT, SYN-RECEIVED, ESTABLISHED, FIN-WAIT-1,
TIME-WAIT, CLOSED (3.3.2). The bytes arrive intact both ways.
"""

from collections.abc import Callable

import pytest

from testbed import (
    Bench,
    Capture,
    Drop,
    ExpectationFailed,
    Hold,
    TcpFlags,
    Topology,
    Transfer,
    defects,
    drill,
    faults,
    format_duration,
    match,
    seconds,
    tcpflow,
)

PORT = 5101
UP, DOWN = 5000, 3000
POINTS = {"client": "client--wire", "server": "wire--server"}
SOON = seconds(2)
OUTPUT = "type filter hook output priority 0;"


def server_sends(rule: str) -> Callable[[Bench], None]:
    """What the server sends in this connection meets an nft rule."""
    return faults.nft(OUTPUT, f"tcp sport {PORT} {rule}", role="server")


@pytest.mark.behaviour("TC-01", clause="RFC 9293 3.5")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
@drill(
    "acks x",
    # Where x+1 is even this acks x+2, which is just as wrong.
    server_sends("tcp flags == (syn|ack) tcp ackseq set tcp ackseq ^ 1"),
    caught=r"wire--server: expect tcp\(ack=\d+, flags=SYN\+ACK\): it did not come",
)
@drill(
    "acks x exactly",
    faults.python_stack(defects.handshake.ACKS_X, role="server"),
    caught=r"wire--server: expect tcp\(ack=\d+, flags=SYN\+ACK\): it did not come",
)
@drill(
    "acks y exactly",
    faults.python_stack(defects.handshake.ACKS_Y, role="client"),
    caught=r"the client sent #\d+, an ACK of 0:",
)
@drill(
    "acks y",
    faults.nft(
        OUTPUT, f"tcp dport {PORT} tcp flags == ack tcp ackseq set tcp ackseq ^ 1", role="client"
    ),
    caught=r"the client sent #\d+, an ACK of [02]:",
)
@drill(
    "never answers a SYN",
    server_sends("tcp flags == (syn|ack) drop"),
    caught=r"wire--server: expect tcp\(.*SYN\+ACK\): it did not come",
)
@drill(
    "misplaces its FIN",
    server_sends("tcp flags & fin == fin tcp sequence set tcp sequence ^ 1"),
    caught="server .* FIN of",
)
@drill(
    "a bare ACK costs one",
    server_sends("tcp flags == ack meta length < 60 tcp sequence set tcp sequence ^ 1"),
    caught="server .* bare ACK of",
)
@drill(
    "never closes",
    server_sends("tcp flags & fin == fin drop"),
    caught=r"wire--server: expect tcp\(.*FIN\): it did not come",
)
def test_every_number_of_a_connection_follows_from_its_syns(bench: Bench) -> None:
    net, box = bench.bring_up_network(), bench.box("wire")
    # The cable is going to hold everything back: let there be no ARP among it.
    for node, other in (("client", "server"), ("server", "client")):
        port = bench.port(node, toward="wire")
        bench.host(node).add_arp(port, net[other].ip, net[other].mac)

    up, down = Hold("queue"), Hold("queue")
    box.toward("server").add(up)
    box.toward("client").add(down)
    with bench.capture("client--wire", "wire--server") as seen:
        transfer = bench.transfer("client", "server", port=PORT, up=UP, down=DOWN)
        seen.wait_for("client--wire", match.tcp(flags="SYN", dst_port=PORT))
        opening = transfer.flow(seen.at("client--wire"))
        x, end = opening.up[0].tcp.seq, str(opening.client)
        ours = match.tcp(src_port={PORT, opening.client.port}, dst_port={PORT, opening.client.port})
        expect_states(bench, end, client={"SYN-SENT"}, server={"LISTEN"})

        up.release()
        seen.wait_for("wire--server", match.tcp(flags="SYN+ACK", ack=plus(x, 1)))
        up.hold()
        expect_states(bench, end, client={"SYN-SENT"}, server={"LISTEN", "SYN-RECV"})

        down.release()
        seen.wait_for("client--wire", ours & match.tcp(seq=plus(x, 1), has="ACK"))
        expect_numbers(seen, transfer)  # y + 1 among them
        expect_states(bench, end, client={"FIN-WAIT-1"}, server={"LISTEN", "SYN-RECV"})
        with box.toward("server").impaired(Drop(match.tcp(has="FIN"))):
            up.release()
            expect_states(bench, end, client={"FIN-WAIT-1"}, server={"ESTAB"})
        for point in POINTS.values():
            seen.wait_for(point, ours & match.tcp(has="FIN"))
        # Now, for a wrong number may keep the connection from ever ending.
        expect_numbers(seen, transfer)
        transfer.expect_intact(within=seconds(5))
        expect_states(bench, end, client={"TIME-WAIT"}, server=set())

    for point in POINTS.values():
        seen.at(point).expect_none(ours & match.tcp(has="RST"))
        seen.at(point).expect_none(ours & match.tcp(bad_checksum=True))
    expect_numbers(seen, transfer)
    expect_last_acks(seen, transfer)
    expect_agreed_options(transfer.flow(seen.at("wire--server")))


def plus(number: int, more: int) -> int:
    """Sequence numbers are modulo 2**32."""
    return (number + more) % (1 << 32)


def expect_states(bench: Bench, end: str, **expected: set[str]) -> None:
    """The kernels soon tell these states of the listener and of the connection to ``end``."""
    for role, states in expected.items():
        host, deadline = bench.host(role), bench.loop.now() + SOON
        while (found := states_of(bench, role, end)) != states:
            if bench.loop.now() > deadline:
                raise ExpectationFailed(
                    f"{role} {host.name} is in {', '.join(sorted(found)) or 'no state'} after "
                    f"{format_duration(SOON)}, expected {', '.join(sorted(states)) or 'none'}"
                )


def states_of(bench: Bench, role: str, end: str) -> set[str]:
    """The states of a host's sockets that listen for the connection or are an end of it."""
    return {
        each.state
        for each in bench.host(role).sockets()
        if end in (each.local, each.remote)
        or (each.state == "LISTEN" and each.local.endswith(f":{PORT}"))
    }


def expect_numbers(seen: Capture, transfer: Transfer) -> None:
    """Every number that a host sends fits its stream and what the cable had brought it by then."""
    for role, point in POINTS.items():
        mine, peers = both_ways(seen, transfer, role)
        stream = transfer.up if role == "client" else transfer.down
        came = greatest = following = position = 0
        for segment in mine:
            while position < len(peers) and peers[position].number < segment.number:
                came = max(came, peers[position].end)
                position += 1
            wrong = misnumbered(segment, stream, following)
            if segment.ack is not None and not max(greatest, 1) <= segment.ack <= came:
                wrong = f"an ACK of {segment.ack}: it had acked {greatest}, and {came} had come"
            if wrong:
                raise ExpectationFailed(
                    f"{point}: the {role} sent #{segment.number}, {wrong} (counted from the SYN's)"
                )
            following = max(following, segment.end)
            greatest = max(greatest, segment.ack or 0)


def misnumbered(segment: tcpflow.FlowSegment, stream: bytes, following: int) -> str:
    """What is wrong with a segment's place in its sender's stream; ``following`` is next."""
    flags, fin = segment.tcp.flags, len(stream) + 1
    if flags & TcpFlags.SYN:
        return "" if (segment.seq, segment.end) == (0, 1) else f"a SYN of {segment.seq}"
    if segment.ack is None:
        return "a segment without an ACK"
    if flags & TcpFlags.FIN and segment.end != fin + 1:
        return f"a FIN of {segment.end - 1}, expected {fin}"
    if segment.payload != stream[segment.seq - 1 :][: len(segment.payload)]:
        return f"{len(segment.payload)} bytes as number {segment.seq} that are not its stream's"
    if not segment.tcp.span and segment.seq != following:
        return f"a bare ACK of sequence number {segment.seq}, expected {following}"
    return ""


def expect_last_acks(seen: Capture, transfer: Transfer) -> None:
    """In the end SYN, stream and FIN are acked: the bytes, and two."""
    for role, point in POINTS.items():
        last = max(segment.ack or 0 for segment in both_ways(seen, transfer, role)[0])
        size = len(transfer.down if role == "client" else transfer.up)
        if last != size + 2:
            raise ExpectationFailed(
                f"{point}: the {role} acked {last} in the end, expected {size + 2}: "
                f"a SYN, {size} bytes and a FIN"
            )


def expect_agreed_options(flow: tcpflow.Connection) -> None:
    """The SYN+ACK has no option that the SYN did not offer."""
    offer, answer = flow.up[0].tcp.options, flow.down[0].tcp.options
    extra = {type(option) for option in answer} - {type(option) for option in offer}
    if extra:
        names = ", ".join(sorted(kind.__name__ for kind in extra))
        raise ExpectationFailed(f"the server agreed to options that were not offered: {names}")


def both_ways(
    seen: Capture, transfer: Transfer, role: str
) -> tuple[tuple[tcpflow.FlowSegment, ...], tuple[tcpflow.FlowSegment, ...]]:
    """What a host sent and what it was sent, where it is plugged in."""
    flow = transfer.flow(seen.at(POINTS[role]))
    return (flow.up, flow.down) if role == "client" else (flow.down, flow.up)
