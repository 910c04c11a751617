"""A transfer survives a cable that is pulled for a while, and goes on by itself.

In the middle of a transfer both ways the cable is out for some seconds, well under R2 (100 s, RFC
9293 3.8.3). Nobody resets or opens a connection anew; once the cable is back the next
retransmission gets through and the transfer ends whole. Timeouts double, so that the wait after
the cable is back is at most as long as it was out, plus one timeout (tolerance
``resume_extra_seconds``).
"""

import pytest

from testbed import (
    Bench,
    Duration,
    ExpectationFailed,
    Flow,
    Topology,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

PORT = 5129
SIZE = 400_000
OUT = seconds(3)
STEADY = Flow(chunk=8192, every=milliseconds(20))
"""About a second of transfer: there is always something under way when the cable is pulled."""


@pytest.mark.behaviour("TC-29", clause="RFC 9293 3.8.3")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "server:host"))
@drill(
    "gives up after a few retransmissions",
    faults.sysctl("net.ipv4.tcp_retries2", "2", role="client"),
    caught="ended with|RST",
)
@drill(
    "does not come back",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp sport {PORT} tcp flags & (syn|fin) == 0 limit rate over 1/hour burst 20 packets drop",
        role="server",
    ),
    caught="did not go on|has not ended|ended with",
)
def test_transfer_goes_on_when_the_cable_is_back(bench: Bench) -> None:
    bench.bring_up_network()
    extra = seconds(bench.tolerance("resume_extra_seconds", 2))
    data = match.tcp(dst_port=PORT, longer_than=0)
    back = match.tcp(src_port=PORT, longer_than=0)

    with bench.capture("client--wire", "wire--server") as seen:
        transfer = bench.transfer(
            "client", "server", port=PORT, up=SIZE, down=SIZE, flow=STEADY, server_flow=STEADY
        )
        for way in (data, back):
            seen.wait_for("client--wire", way, sent=way is back)
        with bench.box("wire").pulled():
            pulled = bench.loop.wall_now()
            bench.watch_for(OUT)
        plugged = bench.loop.wall_now()
        limit = Duration(OUT + extra)
        arrived = seen.at("wire--server").sent.after(plugged)
        if not bench.loop.run_until(lambda: bool(arrived.all(data)), limit):
            raise ExpectationFailed(
                f"the transfer did not go on within {format_duration(limit)} of the cable's return"
            )
        resumed = arrived.all(data)[0]
        transfer.expect_intact(within=seconds(10))

    out, waited = Duration(plugged - pulled), Duration(resumed.at - plugged)
    bench.log(f"cable out {format_duration(out)}, went on {format_duration(waited)} later")
    for point in ("client--wire", "wire--server"):
        seen.at(point).expect_none(match.tcp(has="RST"))
        seen.at(point).sent.expect_none(match.tcp(has="RST"))
    seen.at("client--wire").expect_count(match.tcp(flags="SYN"), 1)
    again = seen.at("client--wire").after(pulled).before(plugged)
    again.expect_at_least(data, 2)  # it kept trying while nobody could hear it
