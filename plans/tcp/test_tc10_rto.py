"""An unanswered segment is resent after a timeout that doubles each time, until it gets through.

A SYN is resent after 1 s, the timeout before anything was measured (RFC 6298 2.1; tolerance
``rto_first``, seconds). A data segment that is lost four times in a row is resent after ``rto_min``
at the least (seconds, 0.2: Linux's; RFC 6298 2.4 has 1) and ``rto_first`` at the most, and from
then on each time after twice as long as the time before (5.5: RTO <- RTO * 2): ratio 2.0 within
``rto_ratio`` (0.1) and ``rto_tick`` (seconds, 0.01). What was lost arrives intact. On a path of 400
ms, longer than the least timeout, nothing is resent that was not lost: the timeout follows the
round trips (2.2, 2.3).

Each lost segment is alone on its way, so that no duplicate ACKs come. The tail loss probe (RFC 8985
7), which precedes the first timeout, is switched off.
"""

from collections.abc import Callable
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
    TracedFrame,
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
"""Until the client has the rest to send, one byte, and closes: 0.2 + 0.4 + 0.8 + 1.6 s and some."""
REST = match.tcp(dst_port=DATA_PORT, payload_length=1)
SLACK = seconds(1)
"""How much longer than a timeout may take a busy bench waits for it."""
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
    caught="the last is not in",
)
@drill(
    "RTO below its least value",
    faults.sysctl("net.ipv4.tcp_rto_min_us", "20000", role="client"),
    caught="resent after [0-9.]+ ms: the last is not in",
)
@drill(
    "RTO capped at 1 s",
    faults.sysctl("net.ipv4.tcp_rto_max_ms", "1000", role="client"),
    caught="the last is not in",
)
@drill(
    "never resends",
    faults.nft(
        OUTPUT,
        f"tcp dport {DATA_PORT} tcp flags & psh == psh quota over 2000 bytes drop",
        role="client",
    ),
    caught="sending 2 of the lost segment did not come",
)
@drill(
    "resends what was not lost",
    faults.nft(OUTPUT, f"tcp dport {FAR_PORT} meta length > 500 dup to ip daddr", role="client"),
    caught="though nothing was lost",
)
@drill(
    "SYN resent too late",
    faults.nft(
        OUTPUT,
        f"tcp dport {SYN_PORT} tcp flags == syn limit rate over 30/minute burst 1 packets drop",
        role="client",
    ),
    caught="SYN .* resent after",
)
def test_timeout_doubles_until_the_segment_gets_through(bench: Bench) -> None:
    bench.bring_up_network()
    client, box = bench.host("client"), bench.box("wire")
    client.set_sysctl("net.ipv4.tcp_early_retrans", "0")
    syn = match.tcp(flags="SYN", dst_port=SYN_PORT)
    head = match.tcp(dst_port=DATA_PORT, payload_length=CHUNK)
    four_times = Nth(*range(1, TIMES + 1), matching=head)

    def behind_it(frame: bytes) -> bool:
        """Whether a segment would overtake the lost one, and have it resent for that reason."""
        return four_times.seen <= TIMES and REST(frame)

    with (
        bench.capture("client--wire", "wire--server") as seen,
        box.toward("server").impaired(
            Drop(Nth(1, matching=syn)), Drop(four_times), Drop(behind_it)
        ),
    ):
        opened = bench.transfer("client", "server", port=SYN_PORT, up=CHUNK)
        pace = Flow(chunk=CHUNK, every=PAUSE)
        blocked = bench.transfer("client", "server", port=DATA_PORT, up=CHUNK + 1, flow=pace)
        near = seen.at("client--wire")
        expect_doubling(bench, lambda: near.all(head))
        opened.expect_intact(within=seconds(5))
        expect_initial(bench, gaps(near.all(syn)))
        blocked.expect_intact(within=seconds(10))

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


def gaps(sent: tuple[TracedFrame, ...]) -> list[Duration]:
    """The times between sendings."""
    return [Duration(later.at - sooner.at) for sooner, later in pairwise(sent)]


def expect_initial(bench: Bench, waits: list[Duration]) -> None:
    """A SYN that was lost once came again after the initial timeout."""
    first, ratio, tick = timing(bench)
    if not first * (1 - ratio) - tick <= waits[0] <= first * (1 + ratio) + tick:
        raise ExpectationFailed(
            f"client--wire: the SYN that was lost was resent after {format_duration(waits[0])}, "
            f"expected {format_duration(first)}"
        )


def expect_doubling(bench: Bench, sendings: Callable[[], tuple[TracedFrame, ...]]) -> None:
    """The first timeout is in bounds, each later one twice the one before."""
    first, ratio, tick = timing(bench)
    least, most = seconds(bench.tolerance("rto_min", 0.2)) - tick, first
    for turn in range(1, TIMES + 1):
        latest = Duration(round(most * (1 + ratio)) + tick)
        waits = gaps(await_count(bench, sendings, turn + 1, within=Duration(latest + SLACK)))
        if not least <= waits[-1] <= latest:
            raise ExpectationFailed(
                f"client--wire: the lost segment was resent after "
                f"{', '.join(map(format_duration, waits))}: the last is not in "
                f"{format_duration(Duration(least))} to {format_duration(latest)}"
            )
        most = Duration(2 * waits[-1])
        least = Duration(round(most * (1 - ratio)) - tick)
    bench.log(f"resent after {', '.join(map(format_duration, waits))}")


def await_count(
    bench: Bench,
    sendings: Callable[[], tuple[TracedFrame, ...]],
    count: int,
    within: Duration,
) -> tuple[TracedFrame, ...]:
    """Wait until a segment has been sent so many times."""
    bench.wait_until(
        lambda: len(sendings()) >= count, within, f"sending {count} of the lost segment"
    )
    return sendings()[:count]


def timing(bench: Bench) -> tuple[Duration, float, Duration]:
    """The initial timeout, the tolerance of a ratio, and that of a timer."""
    return (
        seconds(bench.tolerance("rto_first", 1.0)),
        bench.tolerance("rto_ratio", 0.1),
        seconds(bench.tolerance("rto_tick", 0.01)),
    )
