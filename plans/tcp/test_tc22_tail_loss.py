"""What is lost at the end of a flight is found by a probe, and mended without a timeout.

Behind the last segment of a flight nothing comes, and no duplicate ACK tells of its loss. With SACK
a sender probes once 2 * SRTT have passed since the last ACK: it sends the last segment again, if
there is no new one (RFC 8985 7.2, 7.3). What that one's ACK reports makes RACK find the holes below
it, and they are resent (6.2).

Of ten segments the last two, then the last three, are lost. The probe is the last segment. It comes
between ``probe_least`` and ``probe_most`` round trips after the last ACK that moved (tolerances,
1.0 and 3.0), which is sooner than any timeout: that takes a round trip and 0.2 s at least, Linux's
minimum (RFC 6298 2.4 has a second in all). The first hole is resent within ``mended`` of a round
trip (tolerance, 0.5) of the probe's ACK, the next a round trip later at the most, as congestion
control may let one segment go for one that arrived (RFC 6937). Each is resent once, and the bytes
arrive intact.

The path takes 50 ms there and back, and 60 ms for what is resent: an answer that comes sooner than
any before may be that of the first copy (RFC 8985 6.2 step 2). Each segment has an ACK at once.
"""

import hashlib

import pytest

from testbed import (
    Bench,
    Delay,
    Drop,
    Duration,
    ExpectationFailed,
    Nth,
    SocketOptions,
    StackConfig,
    StackHost,
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

PORT = 5122
SIZE = 1000
COUNT = 10
PATH, SLOWER = milliseconds(50), milliseconds(10)
RTT = Duration(PATH + SLOWER)
Segment = tcpflow.FlowSegment


@pytest.mark.behaviour("TC-22", clause="RFC 8985 6.2, 7.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "sends no probe",
    faults.sysctl("net.ipv4.tcp_early_retrans", "0"),
    caught=r"was resent first, .* expected the last",
)
@drill(
    "probes with the first",
    faults.python_stack(defects.recovery.PROBES_WITH_THE_FIRST),
    caught=r"was resent first, .* expected the last",
)
@drill(
    "probes too late",
    faults.python_stack(defects.recovery.PROBES_LATE),
    caught=r"after the last ACK, expected",
)
@drill(
    "learns nothing from the probe",
    faults.python_stack(defects.recovery.COUNTS_ONLY),
    caught=r"after the probe was acknowledged|never resent",
)
@drill(
    "resends the flight",
    faults.python_stack(defects.recovery.PROBES_WITH_ALL),
    caught="was resent beside the probe",
)
def test_lost_tail_is_mended_without_a_timeout(bench: Bench) -> None:
    bench.host("dut").set_sysctl("net.ipv4.tcp_congestion_control", "reno")
    peer = bench.host("peer", StackConfig.of(tcp={"delayed_ack": False}))
    peer.outgoing.add(Delay(PATH))
    for lost in (2, 3):
        expect_mended(bench, tail_lost(bench, peer, lost, PORT + lost), lost)


def tail_lost(bench: Bench, peer: StackHost, lost: int, port: int) -> tcpflow.Connection:
    """A transfer of ten segments, of which the last ``lost`` are lost when first sent."""
    dut, size = bench.host("dut"), COUNT * SIZE
    turns = range(COUNT - lost + 1, COUNT + 1)
    tail = Drop(Nth(*turns, matching=match.tcp(src_port=port, longer_than=0)))
    with bench.capture("peer--dut") as seen, peer.incoming.impaired(tail):
        dut.tcp_serve(port, send=size, seed=port)
        options = SocketOptions(mss=SIZE, timestamps=False)
        connection = peer.connect("dut", port, options=options)
        connection.wait_until(lambda: connection.tcp.unread > 0, what="the first segment")
        with peer.outgoing.impaired(Delay(SLOWER)):
            data = connection.receive(size, within=seconds(5))
            connection.close()
            dut.tcp_result("server", port, within=seconds(5))
    if data != hashlib.shake_128(port.to_bytes(8, "big")).digest(size):
        raise ExpectationFailed(f"{size} bytes came, but not those that {dut.name} was to send")
    return tcpflow.connection(seen.at("peer--dut").both, server_port=port)


def expect_mended(bench: Bench, flow: tcpflow.Connection, lost: int) -> None:
    """A probe after the last ACK, and the holes after the probe's."""
    sent = [each for each in flow.down if each.payload]
    again = [each.segment for each in tcpflow.retransmissions(sent)]
    holes = [1 + turn * SIZE for turn in range(COUNT - lost, COUNT)]
    where = f"peer--dut, the last {lost} of {COUNT} segments lost"
    if not again:
        raise ExpectationFailed(f"{where}: nothing was resent")
    probe, moved = again[0], last_ack(flow, holes[0])
    waited = Duration(probe.at - moved.at)
    if probe.seq != holes[-1]:
        raise ExpectationFailed(
            f"{where}: {probe.seq}..{probe.end} was resent first, {format_duration(waited)} after "
            f"the last ACK, expected the last segment as a probe"
        )
    least, most = bench.tolerance("probe_least", 1.0), bench.tolerance("probe_most", 3.0)
    if not least * RTT <= waited <= most * RTT:
        raise ExpectationFailed(
            f"{where}: the probe came {format_duration(waited)} after the last ACK, expected "
            f"{format_duration(Duration(round(least * RTT)))} to "
            f"{format_duration(Duration(round(most * RTT)))}"
        )
    expect_filled(bench, where, flow, again, holes[:-1])


def expect_filled(
    bench: Bench,
    where: str,
    flow: tcpflow.Connection,
    again: list[Segment],
    holes: list[int],
) -> None:
    """Each hole was resent once, the first as soon as the probe was acknowledged."""
    probe, *rest = again
    told = next((each for each in flow.up if probe.seq in {a for a, _ in each.sack}), None)
    if told is None:
        raise ExpectationFailed(f"{where}: the probe was not acknowledged, as its bytes had come")
    patience = Duration(round(bench.tolerance("mended", 0.5) * RTT))
    for each in rest:
        if each.seq not in holes:
            what = "was resent twice" if each.seq == probe.seq else "was resent, which was not lost"
            raise ExpectationFailed(f"{where}: {each.seq}..{each.end} {what}")
        if each.number < told.number:
            raise ExpectationFailed(
                f"{where}: {each.seq}..{each.end} was resent beside the probe, "
                f"expected nothing before its ACK"
            )
    for turn, hole in enumerate(holes):
        times = [each.at for each in rest if each.seq == hole]
        if len(times) != 1:
            raise ExpectationFailed(
                f"{where}: {hole}..{hole + SIZE} was {'resent twice' if times else 'never resent'}"
            )
        most = Duration(turn * RTT + patience)
        late = Duration(times[0] - told.at)
        if late > most:
            raise ExpectationFailed(
                f"{where}: {hole}..{hole + SIZE} was resent "
                f"{format_duration(late)} after the probe was acknowledged, "
                f"expected {format_duration(most)} at the most"
            )


def last_ack(flow: tcpflow.Connection, number: int) -> Segment:
    """The ACK of all below ``number``, as the peer sent it."""
    return next(each for each in flow.up if each.ack == number)
