"""An unanswered segment is resent after the timeout, which doubles each time.

A SYN is resent after 1 s, the timeout before anything was measured (RFC 6298 2.1; tolerance
``rto-first``, seconds). A data segment that is lost four times in a row is resent after ``rto-min``
at the least (seconds, 0.2: Linux's; RFC 6298 2.4 has 1) and ``rto-first`` at the most, and then
each time after twice as long as before: ratio 2.0 within ``rto-ratio`` (0.1) and ``rto-tick`` (0.01
s; 5.5: "the host MUST set RTO <- RTO * 2"). When it gets through, the stream goes on and is whole.
On a path of 400 ms, which is longer than the least timeout, nothing is resent that was not lost:
the timeout follows the measured round trips (2.2, 2.3).

Each segment is alone on its way: there are no duplicate ACKs, and the tail loss probe (RFC 8985 7),
which would come before the first timeout, is switched off.
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
    Instant,
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
TIMES = 4
CHUNK = 1000
LATER = seconds(4)
"""When the client has more to send: 0.2 + 0.4 + 0.8 + 1.6 s have passed by then."""
FAR = milliseconds(200)


@pytest.mark.behaviour("TC-10", clause="RFC 6298 5.5")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
@drill(
    "constant RTO",
    faults.sysctl("net.ipv4.tcp_thin_linear_timeouts", "1", role="client"),
    caught="not twice",
)
@drill(
    "ignores the round trip",
    faults.all_of(
        faults.sysctl("net.ipv4.tcp_rto_min_us", "1000", role="client"),
        faults.sysctl("net.ipv4.tcp_rto_max_ms", "1000", role="client"),
    ),
    caught="rto-min|not twice",
)
@drill(
    "never resends",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp dport {DATA_PORT} meta length > 500 quota over 2000 bytes drop",
        role="client",
    ),
    caught="resent 0 times|has not ended",
)
def test_timeout_doubles_until_the_segment_gets_through(bench: Bench) -> None:
    bench.bring_up_network()
    client, box = bench.host("client"), bench.box("wire")
    client.set_sysctl("net.ipv4.tcp_early_retrans", "0")
    first_syn = Drop(Nth(1, matching=match.tcp(flags="SYN", dst_port=SYN_PORT)))
    data = match.tcp(dst_port=DATA_PORT, longer_than=0)
    lost = Drop(Nth(*range(1, TIMES + 1), matching=data))
    with (
        bench.capture("client--wire", "wire--server") as seen,
        box.toward("server").impaired(first_syn, lost),
    ):
        opened = bench.transfer("client", "server", port=SYN_PORT, up=CHUNK)
        flow = Flow(chunk=CHUNK, every=LATER, nodelay=True)
        blocked = bench.transfer("client", "server", port=DATA_PORT, up=2 * CHUNK, flow=flow)
        opened.expect_intact(within=seconds(5))
        blocked.expect_intact(within=seconds(10))
    print(gaps(opened.flow(seen.at("client--wire")).up, 0), gaps(blocked.flow(seen.at("client--wire")).up, 1))

    box.toward("server").add(Delay(FAR))
    box.toward("client").add(Delay(FAR))
    with bench.capture("client--wire", "wire--server") as seen:
        far = bench.transfer("client", "server", port=FAR_PORT, up=20 * CHUNK)
        far.expect_intact(within=seconds(10))
    print(tcpflow.retransmissions(far.flow(seen.at("client--wire")).up))


def gaps(sent: tuple[tcpflow.FlowSegment, ...], number: int) -> list[Duration]:
    """The times between the sendings of the segment that begins with this number."""
    times = [each.at for each in sent if each.seq == number and each.tcp.span]
    return [Duration(later - sooner) for sooner, later in pairwise(times)]
