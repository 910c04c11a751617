"""A transfer survives a cable that is pulled for a while, and goes on by itself.

In the middle of a transfer both ways the cable is out, for several timeouts. TCP gives up only
after R2, 100 s at the least (RFC 9293 3.8.3); until then it resends what is not acked. When the
cable is in again, the next timeout brings the connection back: it comes no later than twice the
time that the one before it took (RFC 6298 5.5), give or take ``rto_ratio`` (0.1) and ``rto_tick``
(seconds, 0.01). It is the same connection, nobody resets it, every byte arrives intact, and both
hosts come to their end. A host that alone has something to send survives 20 s just so.
"""

import pytest

from testbed import (
    Bench,
    BenchError,
    Capture,
    Duration,
    ExpectationFailed,
    Flow,
    Instant,
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

PORT = 5129
SIZE = 60_000
PACE = Flow(chunk=3000, every=milliseconds(40))
OUTAGE = milliseconds(2500)
"""The timeouts of 0.2, 0.4 and 0.8 s pass in vain; that of 1.6 s ends when the cable is in."""
LONG_OUTAGE = seconds(20)
"""After the timeout at 12.6 s the next one is at 25.4 s."""
MIDDLE = 10
TRIES = 3
DATA = match.tcp(dst_port=PORT, longer_than=0)
FORGETFUL = "ip testbed_fault"


@pytest.mark.behaviour("TC-29", clause="RFC 9293 3.8.3")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
@drill(
    "gives up",
    faults.sysctl("net.ipv4.tcp_retries2", "1", role="client"),
    caught="client of port .* ETIMEDOUT",
)
@drill(
    "forgets a silent peer",
    # A filter that lets a connection pass as long as its last packet is less than 1 s ago.
    faults.shell(
        f"nft add table {FORGETFUL}",
        f"nft 'add set {FORGETFUL} known {{{{ type inet_service; flags dynamic,timeout; "
        "timeout 1s; }}'",
        f"nft 'add chain {FORGETFUL} fault {{{{ type filter hook input priority 0; }}}}'",
        f"nft 'add rule {FORGETFUL} fault tcp dport {PORT} tcp flags == syn "
        "add @known {{ tcp sport }} accept'",
        f"nft 'add rule {FORGETFUL} fault tcp dport {PORT} tcp sport @known "
        "update @known {{ tcp sport }} accept'",
        f"nft 'add rule {FORGETFUL} fault tcp dport {PORT} reject with tcp reset'",
        undo=(f"nft delete table {FORGETFUL} 2>/dev/null || true",),
        role="server",
    ),
    caught="ECONNRESET",
)
def test_transfer_survives_a_pulled_cable(bench: Bench) -> None:
    bench.bring_up_network()
    box = bench.box("wire")
    with bench.capture("client--wire", "wire--server") as seen:
        transfer = bench.transfer(
            "client", "server", port=PORT, up=SIZE, down=SIZE, flow=PACE, server_flow=PACE
        )
        await_middle(bench, seen)
        with box.pulled():
            out = bench.loop.wall_now()
            bench.watch_for(OUTAGE)
            back = bench.loop.wall_now()
        transfer.expect_intact(within=seconds(10))

    near, far = seen.at("client--wire"), seen.at("wire--server")
    if passed := far.sent.after(out).before(back).all(DATA):
        raise BenchError(f"{len(passed)} segments passed the box while its cable was pulled")
    flow = transfer.flow(near)
    ours = match.tcp(src_port={PORT, flow.client.port}, dst_port={PORT, flow.client.port})
    for point in (near, far):
        point.both.expect_count(ours & match.tcp(flags="SYN"), 1)
        point.both.expect_none(ours & match.tcp(has="RST"))
    expect_back(bench, flow, transfer.flow(far), out, back)


def await_middle(bench: Bench, seen: Capture) -> None:
    """Wait until some of the client's data is out."""
    bench.wait_until(
        lambda: len(seen.at("client--wire").all(DATA)) > MIDDLE,
        within=seconds(5),
        what="the middle of the transfer",
    )


@pytest.mark.behaviour("TC-29", clause="RFC 9293 3.8.3")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
@drill(
    "gives up after 15 s",
    faults.python_stack(defects.timeouts.GIVES_UP_IN_15_S, role="client"),
    caught="client of port .* ETIMEDOUT",
)
def test_transfer_survives_a_long_outage(bench: Bench) -> None:
    """Only the client sends, so that nobody but itself brings its connection back."""
    bench.bring_up_network()
    with bench.capture("client--wire", "wire--server") as seen:
        transfer = bench.transfer("client", "server", port=PORT, up=SIZE, flow=PACE)
        await_middle(bench, seen)
        with bench.box("wire").pulled():
            bench.watch_for(LONG_OUTAGE)
        transfer.expect_intact(within=LONG_OUTAGE)


def expect_back(
    bench: Bench, near: tcpflow.Connection, far: tcpflow.Connection, out: Instant, back: Instant
) -> None:
    """Both hosts tried again and again; whoever was due first after it brought the rest along."""
    ratio = bench.tolerance("rto_ratio", 0.1)
    tick = seconds(bench.tolerance("rto_tick", 0.01))
    hosts = (("client--wire", near.up, near.down), ("wire--server", far.down, far.up))
    due = []
    for point, sent, heard in hosts:
        acked = max(each.ack or 0 for each in heard if each.at < out)
        vain = [each.at for each in sent if each.seq == acked and each.tcp.span and each.at < back]
        if len(vain) < TRIES:
            raise ExpectationFailed(
                f"{point}: number {acked} was sent {len(vain)} times before the cable was in "
                f"again, expected {TRIES} or more"
            )
        due.append(vain[-1] + round(2 * (vain[-1] - vain[-2]) * (1 + ratio)) + tick)
    again = min(
        each.at for _, sent, _ in hosts for each in sent if each.tcp.span and each.at > back
    )
    waited = format_duration(Duration(again - back))
    if again > min(due):
        raise ExpectationFailed(
            f"nobody tried again until {waited} after the cable was in; the next timeout was due "
            f"{format_duration(Duration(min(due) - back))} after it at the latest"
        )
    bench.log(f"on again {waited} after the cable was in")
