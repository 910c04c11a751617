"""Both sides close at the same time: CLOSING, then TIME-WAIT.

RFC 9293 3.6 (figure 13). The FINs cross: the host gets one that does not acknowledge its own. It
acknowledges it within ``ack_delay`` (seconds, 0.5), with the number behind its own FIN, and is in
CLOSING: as its FIN is still not acknowledged, it resends it, with the same number (within
``rto_first``, seconds, 1; RFC 6298 2.1). When the ACK comes, it is in TIME-WAIT: its FIN is not
sent again, though time for it passes, and the peer's FIN, sent again, is acknowledged again and not
reset.

The peer's stack takes no notice of the host's FIN until the host has resent it. Tail loss probes
are switched off on both sides: they would resend FINs before what is asked for is due.
"""

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    ExpectationFailed,
    Flow,
    StackConfig,
    StackConnection,
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

PORT = 5126
SOON = seconds(5)
QUIET = milliseconds(200)
"""Besides twice the first timeout: how long no FIN may come any more."""


@pytest.mark.behaviour("TC-26", clause="RFC 9293 3.6")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "stuck",
    faults.nft(
        "type filter hook input priority 0;",
        f"tcp sport {PORT} tcp flags == ack meta length < 60 drop",
    ),
    caught="FIN again .* had been acknowledged",
)
@drill(
    "deaf in CLOSING",
    faults.python_stack(defects.closing.DEAF_IN_CLOSING),
    caught="FIN again .* had been acknowledged",
)
@drill(
    "takes the peer's FIN for the ACK of its own",
    faults.python_stack(defects.closing.SKIPS_CLOSING),
    caught="the host's FIN again did not come",
)
@drill(
    "resets a FIN that crosses its own",
    faults.python_stack(defects.closing.RESETS_CROSSING_FIN),
    caught="is a reset",
)
@drill(
    "sends a second FIN",
    faults.python_stack(defects.closing.SENDS_SECOND_FIN),
    caught="is a second FIN of the host's",
)
@drill(
    "no TIME-WAIT",
    faults.python_stack(defects.closing.NO_TIME_WAIT),
    caught="is a reset",
)
@drill(
    "does not acknowledge a FIN that crosses its own",
    faults.python_stack(defects.closing.SILENT_IN_CLOSING),
    caught="an ACK of the peer's FIN did not come",
)
def test_fins_that_cross(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig.of(tcp={"tlp": False})), bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_early_retrans", "0")
    listener = peer.listen(PORT)
    with bench.capture("peer--dut") as seen:
        dut.tcp_connect(str(peer.address), PORT, send=0, flow=Flow(end_after=milliseconds(200)))
        c = listener.accept(within=SOON)
        c.steer.ignore(lambda segment: bool(segment.flags & TcpFlags.FIN))
        fins = match.tcp(dst_port=PORT, has="FIN")
        bench.wait_until(lambda: bool(seen.at("peer--dut").all(fins)), SOON, "the host's FIN")
        c.close()
        await_fin_acked(bench, seen)
        gap = await_second_fin(bench, seen, c)
        c.wait_for(State.TIME_WAIT, within=SOON)
        bench.watch_for(Duration(2 * gap + QUIET))
        c.steer.send(TcpFlags.FIN | TcpFlags.ACK, seq=(c.tcp.snd_nxt - 1) % (1 << 32))
        seen.settle()
        bench.watch_for(milliseconds(20))
        seen.settle()
    judge(tcpflow.connection(seen.at("peer--dut").both, server_port=PORT))


def so_far(seen: Capture) -> tcpflow.Connection:
    """The connection as far as it has come; a reset by the host is a finding."""
    flow = tcpflow.connection(seen.at("peer--dut").both, server_port=PORT)
    expect_no_reset(flow)
    return flow


def expect_no_reset(flow: tcpflow.Connection) -> None:
    """The host reset nothing."""
    for each in flow.up:
        if each.tcp.flags & TcpFlags.RST:
            raise ExpectationFailed(
                f"peer--dut: #{each.number} is a reset, though both sides only close"
            )


def await_fin_acked(bench: Bench, seen: Capture) -> None:
    """The host acknowledges the peer's FIN in time, with the number behind its own."""
    most = seconds(bench.tolerance("ack_delay", 0.5))

    def acked() -> bool:
        flow = so_far(seen)
        fins = [each for each in flow.down if each.tcp.flags & TcpFlags.FIN]
        own = next(each.end for each in flow.up if each.tcp.flags & TcpFlags.FIN)
        return bool(fins) and any(each.ack == fins[0].end and each.seq == own for each in flow.up)

    bench.wait_until(acked, most, "an ACK of the peer's FIN")


def await_second_fin(bench: Bench, seen: Capture, c: StackConnection) -> Duration:
    """The host resends its FIN, and the peer now takes it; how long that took."""
    latest = Duration(seconds(bench.tolerance("rto_first", 1.0)) + seconds(1))

    def fins() -> list[tcpflow.FlowSegment]:
        return [each for each in so_far(seen).up if each.tcp.flags & TcpFlags.FIN]

    c.steer.ignore(None)
    bench.wait_until(lambda: len(fins()) > 1, latest, "the host's FIN again")
    gap = Duration(fins()[1].at - fins()[0].at)
    bench.log(f"in CLOSING, the FIN was resent after {format_duration(gap)}")
    return gap


def judge(flow: tcpflow.Connection) -> None:
    """The host ended in TIME-WAIT."""
    expect_no_reset(flow)
    fin = next(each for each in flow.up if each.tcp.flags & TcpFlags.FIN)
    theirs = [each for each in flow.down if each.tcp.flags & TcpFlags.FIN]
    acked = next(each for each in flow.down if each.ack == fin.end)
    for each in flow.up:
        if each.tcp.flags & TcpFlags.FIN and each.end != fin.end:
            raise ExpectationFailed(
                f"peer--dut: #{each.number} is a second FIN of the host's, with number "
                f"{each.end - 1}; its first one had {fin.end - 1}"
            )
        if each.tcp.flags & TcpFlags.FIN and each.number > acked.number:
            raise ExpectationFailed(
                f"peer--dut: #{each.number} is the host's FIN again "
                f"{format_duration(Duration(each.at - acked.at))} after #{acked.number}, by which "
                f"it had been acknowledged"
            )
    answers = [
        each
        for each in flow.up
        if each.number > theirs[-1].number and each.ack == theirs[-1].end and each.seq == fin.end
    ]
    if not answers:
        raise ExpectationFailed(
            f"peer--dut: the peer's FIN, sent again in #{theirs[-1].number}, was not acknowledged"
        )
