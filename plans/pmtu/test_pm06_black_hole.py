"""TCP gets through a path whose router drops what is too long and says nothing.

The router's next hop is narrow and it sends no ICMP errors. The sender notices by itself, lowers
its segments and the stream arrives whole (RFC 4821 7.7, RFC 2923 2.1). The time from the first loss
to the first smaller segment is measured, bounded by the tolerance ``black_hole_seconds``: Linux
lowers them at the first timeout that finds nothing acked for about 3 s (``tcp_retries1`` is 3),
which is after 3.2 s or, where that one came a moment too soon, 6.5 s.
"""

import pytest

from testbed import (
    Bench,
    Duration,
    ExpectationFailed,
    Topology,
    drill,
    faults,
    format_duration,
    match,
    seconds,
)

PORT = 5106
NARROW = 1280
SIZE = 100_000


@pytest.mark.behaviour("PM-06", clause="RFC 4821 7.7")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "r:router", "server:host"))
@drill(
    "hangs",
    faults.repeatedly("sysctl -qw net.ipv4.tcp_mtu_probing=0", role="client"),
    caught="no smaller segment",
)
def test_stream_gets_through_a_black_hole(bench: Bench) -> None:
    net, router, client = bench.bring_up_network(), bench.router("r"), bench.host("client")
    client.set_sysctl("net.ipv4.tcp_mtu_probing", "1")
    router.set_mtu(bench.port("r", toward="server"), NARROW)
    router.set_icmp_errors(on=False)
    limit = seconds(bench.tolerance("black_hole_seconds", 8))

    data = match.tcp(dst_port=PORT, longer_than=0)
    with bench.capture("client--wire", "wire--r") as seen:
        transfer = bench.transfer("client", "server", port=PORT, up=SIZE)
        first = seen.wait_for("client--wire", data & match.ipv4(longer_than=NARROW, df=True))
        try:
            small = seen.wait_for(
                "client--wire",
                data & match.tcp(longer_than=500) & match.ipv4(shorter_than=NARROW + 1),
                within=limit,
            )
        except ExpectationFailed as failure:
            raise ExpectationFailed(
                f"client--wire: no smaller segment {format_duration(limit)} after #{first.number}, "
                "which the path swallows",
                failure.details,
            ) from None
        transfer.expect_intact(within=seconds(20))

    bench.log(f"recovered after {format_duration(Duration(small.at - first.at))}")
    seen.at("wire--r").expect_none(match.icmpv4(type=3, code=4))
    client_side = seen.at("client--wire")
    client_side.expect_none(match.ipv4(src=net["client"].ip, fragment=True))
