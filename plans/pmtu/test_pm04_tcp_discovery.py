"""A TCP sender that is told of a narrower link resends at once, in segments that fit.

The client's first full segments carry DF and are too long for the router's next hop. As soon as
the ICMP 3/4 reaches it, well before the retransmission timeout, it sends the lost bytes again in
segments that fit; nothing longer follows, nothing is ever fragmented, and the stream arrives whole
(RFC 1191 6.5; tolerance ``pmtu_resend_ms``, the time from the ICMP to the resend: the path has a
round trip of 40 ms, and Linux' timeout is 200 ms and that at the least).
"""

import pytest

from testbed import (
    Bench,
    Capture,
    Delay,
    Duration,
    ExpectationFailed,
    Instant,
    Matcher,
    Topology,
    Transfer,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
    tcpflow,
)

PORT = 5104
NARROW = 1280
LATENCY = milliseconds(20)
SIZE = 200_000
NEEDED = "icmp type destination-unreachable icmp code 4"


@pytest.mark.behaviour("PM-04", clause="RFC 1191 6.5")
@pytest.mark.topology(Topology.chain("client:host", "wire:box", "r:router", "server:host"))
@drill(
    "waits for the timeout",
    # Those about the first ten segments, the initial window, do not get in; later ones do.
    faults.nft(
        "type filter hook input priority 0;",
        f"{NEEDED} limit rate over 1/hour burst 10 packets accept",
        f"{NEEDED} drop",
        role="client",
    ),
    caught="later resent",
)
@drill(
    "fragments",
    faults.sysctl("net.ipv4.ip_no_pmtu_disc", "1", role="client"),
    caught="without DF",
)
@drill(
    "does not believe the message",
    faults.nft("type filter hook input priority 0;", f"{NEEDED} drop", role="client"),
    caught="did not resend",
)
def test_told_sender_goes_on_at_once_in_smaller_segments(bench: Bench) -> None:
    net, box = bench.bring_up_network(), bench.box("wire")
    bench.router("r").set_mtu(bench.port("r", toward="server"), NARROW)
    for node in ("r", "client"):
        box.toward(node).add(Delay(LATENCY))
    limit = milliseconds(bench.tolerance("pmtu_resend_ms", 100))

    with bench.capture("client--wire", "wire--r") as seen:
        transfer = bench.transfer("client", "server", port=PORT, up=SIZE)
        expect_quick_resend(bench, seen, transfer, limit)
        transfer.expect_intact(within=seconds(10))

    mine = match.tcp(dst_port=PORT)
    client = seen.at("client--wire")
    told = client.sent.expect(match.icmpv4(type=3, code=4, next_hop_mtu=NARROW))
    client.expect_none(mine & match.ipv4(df=False))
    client.expect_none(match.ipv4(src=net["client"].ip, fragment=True))
    # One more may have been on its way when the message came.
    client.after(Instant(told.at + LATENCY)).expect_none(mine & match.ipv4(longer_than=NARROW))
    learned = bench.host("client").path_mtu(net["server"].ip)
    if learned != NARROW:
        raise ExpectationFailed(f"client: its path MTU is {learned}, it was told {NARROW}")


def expect_quick_resend(bench: Bench, seen: Capture, transfer: Transfer, limit: Duration) -> None:
    """What was too long leaves the client again, shorter, within ``limit`` of the first ICMP."""
    seen.wait_for("client--wire", match.tcp(flags="SYN", dst_port=PORT))
    too_long, fits = match.ipv4(longer_than=NARROW), match.ipv4(shorter_than=NARROW + 1)

    def sent(which: Matcher) -> list[tcpflow.FlowSegment]:
        up = transfer.flow(seen.at("client--wire")).up
        return [each for each in up if each.payload and which(each.traced.data)]

    bench.wait_until(lambda: bool(sent(too_long)), seconds(3), "a segment that is too long")
    lost = sent(too_long)[0]
    if not match.ipv4(df=True)(lost.traced.data):
        raise ExpectationFailed(
            f"client--wire: the client sent #{lost.number}, {len(lost.traced.data) - 14} bytes, "
            "without DF"
        )
    ours = match.tcp(src_port=lost.tcp.src_port, dst_port=PORT)
    message = match.icmpv4(type=3, code=4, next_hop_mtu=NARROW, quoting=ours)
    told = seen.wait_for("client--wire", message, sent=True)

    def again() -> list[tcpflow.FlowSegment]:
        return [
            each
            for each in sent(fits)
            if each.number > told.number and each.seq <= lost.seq < each.end
        ]

    if not bench.loop.run_until(lambda: bool(again()), seconds(1)):
        raise ExpectationFailed(
            f"client--wire: told of the MTU by #{told.number}, the client did not resend what "
            f"#{lost.number} lost in segments that fit"
        )
    resent = again()[0]
    span = Duration(resent.at - told.at)
    if span > limit:
        raise ExpectationFailed(
            f"client--wire: told of the MTU by #{told.number}, the client only "
            f"{format_duration(span)} later resent what #{lost.number} lost (#{resent.number}); "
            f"allowed {format_duration(limit)}"
        )
