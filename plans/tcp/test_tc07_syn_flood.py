"""A flood of SYNs from nowhere costs a server bounded memory, and real clients still connect.

A server that answers SYNs from what it can compute again needs no memory for them (RFC 4987 3.6,
SYN cookies; 3.3 to 3.5 name other ways). 400 SYNs come from an address that never answers, to a
listener whose backlog is 8. A client that comes in the midst of it, and another one after it,
connect within ``connect`` (seconds, 3) and get their bytes intact.

What a server holds of a client it does not forget to ask again: the SYN+ACK is resent after 1 s
(RFC 6298 2.1). So the memory of the flood shows on the wire: that happens for ``half_open`` of the
SYNs at most (16, twice the backlog), in the time that it takes, ``late`` (seconds, 0.4) included.

An ACK that comes from nowhere and brings back no number that the server made opens nothing; it is
answered by a reset (RFC 9293 3.10.7.2).
"""

import hashlib
from collections import Counter

import pytest

from testbed import (
    Bench,
    Duration,
    EthFrame,
    ExpectationFailed,
    IPv4Packet,
    PointView,
    StackConfig,
    StackHost,
    TcpFlags,
    TcpSegment,
    Topology,
    compose,
    defects,
    dissect,
    drill,
    faults,
    match,
    seconds,
)

PORT = 5170
BACKLOG = 8
FLOOD = range(20_000, 20_400)
"""Source ports of the flood."""
FORGER = 20_999
GUESS = 0x12345678
ISN = 1_000_000
DOWN = 3000
SOON = seconds(3)
RESENT = seconds(1)


@pytest.mark.behaviour("TC-07", clause="RFC 4987 3.6")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "no cookies",
    faults.sysctl("net.ipv4.tcp_syncookies", "0"),
    caught="no connection to dut port 5170: no answer",
)
@drill(
    "backlog fills",
    faults.python_stack(defects.syns.BACKLOG_FILLS),
    caught="no connection to dut port 5170: no answer",
)
@drill(
    "memory without bound",
    faults.python_stack(defects.syns.HOLDS_EVERY_HALF_OPEN),
    caught="the host holds 400 half-open connections",
)
@drill(
    "takes any cookie",
    faults.python_stack(defects.syns.TAKES_ANY_COOKIE),
    caught="the host did not reset an ACK of 305419896",
)
def test_a_flood_of_syns_keeps_no_client_out(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    nowhere = bench.bring_up_network()["peer"].address.network.broadcast_address - 1
    dut.add_arp(bench.port("dut", toward="peer"), nowhere, peer.mac)

    def send(*segments: TcpSegment) -> None:
        outer = EthFrame(bench.bring_up_network()["dut"].mac, peer.mac)
        packet = IPv4Packet(nowhere, bench.bring_up_network()["dut"].ip)
        bench.nic("peer").inject(*(compose(outer, packet, segment) for segment in segments))

    flood = [TcpSegment(port, PORT, ISN, flags=TcpFlags.SYN) for port in FLOOD]
    dut.tcp_serve(PORT, send=DOWN, seed=PORT, connections=2, backlog=BACKLOG)
    with bench.capture("peer--dut") as seen:
        send(*flood[: len(flood) // 2])
        expect_service(bench, peer)
        send(*flood[len(flood) // 2 :])
        forged = TcpSegment(FORGER, PORT, ISN + 1, GUESS, TcpFlags.ACK)
        send(forged)
        reset = match.tcp(dst_port=FORGER, has="RST")
        bench.loop.run_until(lambda: bool(seen.at("peer--dut").all(reset)), SOON)
        if not seen.at("peer--dut").all(match.tcp(dst_port=FORGER, flags="RST", seq=GUESS)):
            raise ExpectationFailed(
                f"peer--dut: the host did not reset an ACK of {GUESS}, which it never sent"
            )
        bench.watch_for(Duration(RESENT + seconds(bench.tolerance("late", 0.4))))
        expect_few(seen.at("peer--dut"), int(bench.tolerance("half_open", 2 * BACKLOG)))
        expect_service(bench, peer)
    if errors := [each.error for each in dut.tcp_result("server", PORT, within=SOON) if each.error]:
        raise ExpectationFailed(f"{dut.name}, server of port {PORT}: {errors[0]}")


def expect_service(bench: Bench, peer: StackHost) -> None:
    """A real client connects, and gets all that it came for."""
    within = seconds(bench.tolerance("connect", 3))
    client = peer.connect("dut", PORT, within=within)
    client.shutdown()
    came = client.receive_all(within=SOON)
    if came != hashlib.shake_128(PORT.to_bytes(8, "big")).digest(DOWN):
        raise ExpectationFailed(f"{client}: {len(came)} bytes came of {DOWN} that were sent")


def expect_few(view: PointView, most: int) -> None:
    """Few SYNs of the flood are remembered: few SYN+ACKs are sent again."""
    answers = Counter(
        layers.tcp.dst_port
        for frame in view.all(match.tcp(src_port=PORT, dst_port=FLOOD, flags="SYN+ACK"))
        if (layers := dissect(frame.data)).tcp is not None
    )
    held = sum(count > 1 for count in answers.values())
    if held > most:
        raise ExpectationFailed(
            f"peer--dut: the host holds {held} half-open connections after {len(FLOOD)} SYNs, to "
            f"which it resent its SYN+ACK; its backlog is {BACKLOG}, expected {most} at most"
        )
