"""An unanswered segment is resent after a timeout that doubles each time, until it gets through.

A SYN is resent after 1 s, the timeout before anything was measured (RFC 6298 2.1; tolerance
``rto-first``, seconds). A data segment that is lost four times in a row is resent after ``rto-min``
at the least (seconds, 0.2: Linux's; RFC 6298 2.4 has 1) and ``rto-first`` at the most, and from
then on each time after twice as long as the time before (5.5: RTO <- RTO * 2): ratio 2.0 within
``rto-ratio`` (0.1) and ``rto-tick`` (seconds, 0.01). What was lost arrives intact. On a path of 400
ms, longer than the least timeout, nothing is resent that was not lost: the timeout follows the
round trips (2.2, 2.3).

Each lost segment is alone on its way, so that no duplicate ACKs come. The tail loss probe (RFC 8985
7), which precedes the first timeout, is switched off.
"""

from itertools import pairwise

import pytest

from testbed import (
    Bench,
    Delay,
    Drop,
    Duration,
    ExpectationFailed,
    Flow,
    Nth,
    Topology,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
    tcpflow,
)

SYN_PORT, DATA_PORT, FAR_PORT = 5110, 5210, 5310
CHUNK = 1000
TIMES = 4
PAUSE = milliseconds(3500)
"""Until the client has more to send: longer than 0.2 + 0.4 + 0.8 + 1.6 s."""
FAR = milliseconds(200)
OUTPUT = "type filter hook output priority 0;"


@pytest.mark.behaviour("TC-10", clause="RFC 6298 5.5")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
@drill(
    "constant RTO",
    faults.all_of(
        faults.sysctl("net.ipv4.tcp_thin_linear_timeouts", "1", role="client"),
        # With others, Linux does not count a young connection as thin.
        faults.sysctl("net.ipv4.tcp_congestion_control", "reno", role="client"),
    ),
    caught="not twice",
)
@drill(
    "RTO below its least value",
    faults.sysctl("net.ipv4.tcp_rto_min_us", "20000", role="client"),
    caught="first resent after",
)
@drill(
    "never resends",
    faults.nft(
        OUTPUT,
        f"tcp dport {DATA_PORT} tcp flags & psh == psh quota over 2000 bytes drop",
        role="client",
    ),
    caught="sendings of the lost segment",
)
@drill(
    "SYN resent too late",
    faults.nft(
        OUTPUT, "tcp flags == syn limit rate over 30/minute burst 1 packets drop", role="client"
    ),
    caught="SYN .* resent after",
)
def test_timeout_doubles_until_the_segment_gets_through(bench: Bench) -> None:
    bench.bring_up_network()
    client, box = bench.host("client"), bench.box("wire")
    client.set_sysctl("net.ipv4.tcp_early_retrans", "0")
    syn = match.tcp(flags="SYN", dst_port=SYN_PORT)
    data = match.tcp(dst_port=DATA_PORT, longer_than=0)
    with (
        bench.capture("client--wire", "wire--server") as seen,
        box.toward("server").impaired(
            Drop(Nth(1, matching=syn)), Drop(Nth(*range(1, TIMES + 1), matching=data))
        ),
    ):
        opened = bench.transfer("client", "server", port=SYN_PORT, up=CHUNK)
        blocked = bench.transfer(
            "client", "server", port=DATA_PORT, up=2 * CHUNK, flow=Flow(chunk=CHUNK, every=PAUSE)
        )
        near = seen.at("client--wire")
        bench.wait_until(
            lambda: len(near.all(data)) > TIMES,
            within=seconds(8),
            what=f"{TIMES + 1} sendings of the lost segment",
        )
        expect_doubling(bench, gaps(blocked.flow(near).up, 1))
        opened.expect_intact(within=seconds(5))
        expect_first(bench, gaps(opened.flow(near).up, 0))
        blocked.expect_intact(within=seconds(5))

    box.toward("server").add(Delay(FAR))
    box.toward("client").add(Delay(FAR))
    with bench.capture("client--wire", "wire--server") as seen:
        far = bench.transfer("client", "server", port=FAR_PORT, up=20 * CHUNK)
        far.expect_intact(within=seconds(5))
    again = tcpflow.retransmissions(far.flow(seen.at("client--wire")).up)
    if again:
        once = again[0]
        raise ExpectationFailed(
            f"client--wire: #{once.segment.number} sends {once.segment.seq}..{once.segment.end} "
            f"again {format_duration(Duration(once.segment.at - once.first.at))} after the first "
            f"time, though nothing was lost on a path of {format_duration(Duration(2 * FAR))}"
        )


def gaps(sent: tuple[tcpflow.FlowSegment, ...], number: int) -> list[Duration]:
    """The times between the sendings of the segment that begins with this number."""
    times = [each.at for each in sent if each.seq == number and each.tcp.span]
    return [Duration(later - sooner) for sooner, later in pairwise(times)]


def expect_first(bench: Bench, waits: list[Duration]) -> None:
    """A SYN that was lost once came again after the initial timeout."""
    first, ratio, tick = timing(bench)
    if not first * (1 - ratio) - tick <= waits[0] <= first * (1 + ratio) + tick:
        raise ExpectationFailed(
            f"client--wire: the SYN that was lost was resent after {format_duration(waits[0])}, "
            f"expected {format_duration(first)}"
        )


def expect_doubling(bench: Bench, waits: list[Duration]) -> None:
    """The first timeout is in bounds, each later one twice the one before."""
    first, ratio, tick = timing(bench)
    least = seconds(bench.tolerance("rto-min", 0.2))
    told = ", ".join(map(format_duration, waits))
    if not least - tick <= waits[0] <= first * (1 + ratio) + tick:
        raise ExpectationFailed(
            f"client--wire: the lost segment was first resent after {format_duration(waits[0])}, "
            f"expected {format_duration(least)} to {format_duration(first)} (all: {told})"
        )
    for before, after in pairwise(waits):
        if not 2 * before * (1 - ratio) - tick <= after <= 2 * before * (1 + ratio) + tick:
            raise ExpectationFailed(
                f"client--wire: the lost segment was resent after {told}: "
                f"{format_duration(after)} is not twice {format_duration(before)}"
            )
    bench.log(f"resent after {told}")


def timing(bench: Bench) -> tuple[Duration, float, Duration]:
    """The initial timeout, the tolerance of a ratio, and that of a timer."""
    return (
        seconds(bench.tolerance("rto-first", 1.0)),
        bench.tolerance("rto-ratio", 0.1),
        seconds(bench.tolerance("rto-tick", 0.01)),
    )
