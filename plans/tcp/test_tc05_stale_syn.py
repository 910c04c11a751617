"""An old SYN is cleared up by a reset, on both sides, and the new connection works.

"TCP Peer A detects that the ACK field is incorrect and returns a RST (reset) with its SEQ field
selected to make the segment believable. TCP Peer B, on receiving the RST, returns to the LISTEN
state" (RFC 9293 3.5, figure 8 and its text).

The host as the server: old SYNs come, more of them than its backlog holds, each is answered by a
SYN+ACK, and each of these by the reset that a host sends which knows nothing of it. Then the new
SYN, from the same port as the last old one, is answered as any SYN is, and not by what is left of
the old one; the bytes arrive intact. No SYN cookies help here: they are off.

The host as the client: while its SYN is under way a SYN+ACK comes that acknowledges what it never
sent. It answers by <SEQ=SEG.ACK><CTL=RST> (3.10.7.3), stays in SYN-SENT, and connects when the
right SYN+ACK comes.
"""

import hashlib

import pytest

from testbed import (
    Bench,
    Capture,
    EthFrame,
    ExpectationFailed,
    Hold,
    IPv4Packet,
    SocketOptions,
    StackConfig,
    StackConnection,
    TcpFlags,
    TcpSegment,
    Topology,
    TracedFrame,
    compose,
    defects,
    dissect,
    drill,
    faults,
    match,
    seconds,
)

SERVED, CALLED = 5150, 5151
OLD_PORTS = range(40_100, 40_116)
BACKLOG = 8
OLD_ISN, FIRST_ISN, SECOND_ISN = 1_000_000, 3_000_000_000, 3_500_000_000
STALE = 0x10000
"""How far from the host's own number is what the wrong SYN+ACK acknowledges."""
UP, DOWN = 3000, 2000
SOON = seconds(3)


@pytest.mark.behaviour("TC-05", clause="RFC 9293 3.5, 3.10.7.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "half-open leak",
    faults.python_stack(defects.syns.HALF_OPEN_LEAK),
    caught=r"expect tcp\(dst_port=40100, ack=3000000001, flags=SYN\+ACK\): it did not come",
)
@drill(
    "backlog leak",
    faults.python_stack(defects.syns.SLOT_LEAK),
    caught=r"expect tcp\(dst_port=401\d\d, ack=1000001, flags=SYN\+ACK\): it did not come",
)
@drill(
    "deaf to resets",
    faults.nft("type filter hook input priority 0;", "tcp flags & rst == rst drop"),
    caught=r"expect tcp\(dst_port=40100, ack=3000000001, flags=SYN\+ACK\): it did not come",
)
@drill(
    "takes any SYN+ACK",
    faults.python_stack(defects.syns.TAKES_ANY_SYN_ACK),
    caught="answered the stale SYN.ACK by",
)
@drill(
    "silent on a stale SYN+ACK",
    faults.python_stack(defects.syns.SILENT_ON_STALE_SYN_ACK),
    caught="did not answer the stale SYN.ACK",
)
@drill(
    "gives up at a stale SYN+ACK",
    faults.python_stack(defects.syns.ENDS_AT_STALE_SYN_ACK),
    caught="nobody connected to port 5151",
)
def test_an_old_syn_is_reset_and_the_new_one_connects(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_syncookies", "0")
    with bench.capture("peer--dut") as seen:
        dut.tcp_serve(SERVED, send=DOWN, seed=SERVED, connections=2, backlog=BACKLOG)
        # The first new SYN meets what one old SYN left, the second what many did.
        for ports, isn in ((OLD_PORTS[:1], FIRST_ISN), (OLD_PORTS[1:], SECOND_ISN)):
            for port in ports:
                forge(bench, TcpSegment(port, SERVED, OLD_ISN, flags=TcpFlags.SYN))
                heard = match.tcp(dst_port=port, flags="SYN+ACK", ack=OLD_ISN + 1)
                seen.wait_for("peer--dut", heard)
                # The peer's stack knows nothing of it.
                seen.wait_for("peer--dut", match.tcp(src_port=port, has="RST"), sent=True)
            new = peer.open("dut", SERVED, source_port=ports[-1], options=SocketOptions(isn=isn))
            answer = match.tcp(dst_port=ports[-1], flags="SYN+ACK", ack=isn + 1)
            seen.wait_for("peer--dut", answer)
            new.shutdown()
            expect_stream(new, DOWN, SERVED)

        listener, hold = peer.listen(CALLED), Hold("queue")
        with peer.incoming.impaired(hold):
            dut.tcp_connect(str(peer.address), CALLED, send=UP, seed=CALLED)
            answer_stale(bench, seen)
            hold.release()
            called = listener.accept(within=SOON)
        expect_stream(called, UP, CALLED)
        called.close()
    for role, port in (("server", SERVED), ("client", CALLED)):
        for each in dut.tcp_result(role, port, within=SOON):
            if each.error:
                raise ExpectationFailed(f"{dut.name}, {role} of port {port}: {each.error}")


def answer_stale(bench: Bench, seen: Capture) -> None:
    """Give the host a SYN+ACK that acknowledges what it never sent, and judge its answer."""
    syn = segment_of(seen.wait_for("peer--dut", match.tcp(dst_port=CALLED, flags="SYN")))
    wrong = (syn.seq + 1 + STALE) % (1 << 32)
    forge(
        bench,
        TcpSegment(CALLED, syn.src_port, OLD_ISN, wrong, TcpFlags.SYN | TcpFlags.ACK),
    )
    after = match.tcp(dst_port=CALLED) & ~match.tcp(flags="SYN")  # it may send its SYN again
    bench.loop.run_until(lambda: bool(seen.at("peer--dut").all(after)), SOON)
    answers = seen.at("peer--dut").all(after)
    if not answers:
        raise ExpectationFailed(
            "peer--dut: the host did not answer the stale SYN+ACK, expected RST"
        )
    first = segment_of(answers[0])
    if first.flags != TcpFlags.RST or first.seq != wrong:
        raise ExpectationFailed(
            f"peer--dut: the host answered the stale SYN+ACK by {first.flags.name} {first.seq}, "
            f"expected RST {wrong}"
        )


def forge(bench: Bench, segment: TcpSegment) -> None:
    """Send a segment from the peer's address of which its stack knows nothing."""
    net = bench.bring_up_network()
    peer, dut = net["peer"], net["dut"]
    bench.nic("peer").inject(
        compose(EthFrame(dut.mac, peer.mac), IPv4Packet(peer.ip, dut.ip), segment)
    )


def segment_of(frame: TracedFrame) -> TcpSegment:
    """The segment in a frame that matched as one."""
    segment = dissect(frame.data).tcp
    if segment is None:
        raise ExpectationFailed(f"#{frame.number} is no TCP segment")
    return segment


def expect_stream(connection: StackConnection, size: int, seed: int) -> None:
    """All that the host's service sends arrives, and its end."""
    came = connection.receive_all(within=SOON)
    if came != hashlib.shake_128(seed.to_bytes(8, "big")).digest(size):
        raise ExpectationFailed(f"{connection}: {len(came)} bytes came of {size} that were sent")
