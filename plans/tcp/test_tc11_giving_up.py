"""A host that gets no answer tries again for a while, then gives up, and tells the user.

R2 "SHOULD correspond to at least 100 seconds" for data, and for a SYN "MUST be set large enough to
provide retransmission of the segment for at least 3 minutes" (RFC 9293 3.8.3). When it is reached
the connection is closed and the application told (3.8.3 c, 3.9.1.8). Here R2 is made short. A
segment of data is never acknowledged: it is resent ``tries`` times or more (tolerance, 2), and the
service is told of a timeout (ETIMEDOUT) after R2, 1.4 s, and no later than ``r2_late`` times that
(tolerance, 2.5: Linux looks when its next timer expires, and counts from the first retransmission).
After it has given up the host knows nothing of the connection: an ACK that comes then is answered
by a reset (3.10.7.1). A SYN without an answer is sent twice, then the client is told. With a user
timeout of 0.8 s (3.9.1, RFC 5482) the service is told after that, within ``user_late`` (seconds,
0.6).

The slow one waits for R2 at its full length: 100 s or more for data, 180 s or more for a SYN.
"""

import pytest

from testbed import (
    Bench,
    BenchError,
    Drop,
    Duration,
    ExpectationFailed,
    Flow,
    Host,
    Receiver,
    StackHost,
    Topology,
    defects,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

PORT, USER_PORT, SYN_PORT = 5111, 5211, 5311
RETRIES = 2
R2 = seconds(1.4)
"""For two retries, by the least timeout of 0.2 s: 0.2 + 0.4 + 0.8 s (ip-sysctl, tcp_retries2)."""
SYNS = 2
USER = milliseconds(800)
UNDER_WAY = milliseconds(5)
"""The segment is seen when it has come, which is later than when it was sent."""


@pytest.mark.behaviour("TC-11", clause="RFC 9293 3.8.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "forever",
    faults.python_stack(defects.sliding.NEVER_GIVES_UP),
    caught="service of port 5111: .* not ended",
)
@drill(
    "after one",
    faults.python_stack(defects.sliding.GIVES_UP_AT_ONCE),
    caught="resent 0 times, expected 2",
)
@drill(
    "tells nobody",
    faults.python_stack(defects.sliding.TELLS_NOBODY),
    caught="service of port 5111: .* not ended",
)
@drill(
    "never resends",
    faults.nft(
        "type filter hook output priority 0;",
        f"tcp sport {PORT} tcp flags & psh == psh quota over 1100 bytes drop",
    ),
    caught="resent 0 times, expected 2",
)
def test_user_is_told_when_data_is_not_acknowledged(bench: Bench) -> None:
    dut = bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_retries2", str(RETRIES))
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        receiver = Receiver(bench, peer, seen, PORT, segments=1)
        receiver.take(1)
        late = bench.tolerance("r2_late", 2.5)
        told = expect_told(bench, dut, "server", PORT, within=Duration(round(late * R2) + USER))
        sent = receiver.sent
        wait = Duration(told - sent[0].at)
        tries = round(bench.tolerance("tries", RETRIES))
        if len(sent) - 1 < tries:
            raise ExpectationFailed(
                f"{dut.name}: a segment without an answer was resent {len(sent) - 1} times, "
                f"expected {tries} or more"
            )
        if not R2 <= wait <= late * R2:
            raise ExpectationFailed(
                f"{dut.name}: the user was told {format_duration(wait)} after the segment was "
                f"sent, expected R2, {format_duration(R2)}, or up to {late:.1f} times that"
            )
        receiver.ack()
        seen.wait_for("peer--dut", match.tcp(src_port=PORT, has="RST"))


@pytest.mark.behaviour("TC-11", clause="RFC 9293 3.9.1")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "ignores the user timeout",
    faults.python_stack(defects.sliding.IGNORES_USER_TIMEOUT),
    caught="service of port 5211: .* not ended",
)
def test_user_timeout_ends_a_connection_without_an_answer(bench: Bench) -> None:
    peer = bench.host("peer", Receiver.CONFIG)
    late = seconds(bench.tolerance("user_late", 0.6))
    with bench.capture("peer--dut") as seen:
        flow = Flow(user_timeout=USER)
        receiver = Receiver(bench, peer, seen, USER_PORT, segments=1, flow=flow)
        receiver.take(1)
        told = expect_told(
            bench, receiver.dut, "server", USER_PORT, within=Duration(USER + 2 * late)
        )
        wait = Duration(told - receiver.sent[0].at)
        if not USER - UNDER_WAY <= wait <= USER + late:
            raise ExpectationFailed(
                f"{receiver.dut.name}: the user was told {format_duration(wait)} after the segment "
                f"was sent, expected its timeout of {format_duration(USER)}"
            )


@pytest.mark.behaviour("TC-11", clause="RFC 9293 3.8.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "forever",
    faults.python_stack(defects.sliding.NEVER_GIVES_UP),
    caught="client of port 5311: .* not ended",
)
@drill(
    "after one",
    faults.python_stack(defects.sliding.GIVES_UP_AT_ONCE),
    caught="sent 1 SYN",
)
@drill(
    "tells nobody",
    faults.python_stack(defects.sliding.TELLS_NOBODY),
    caught="client of port 5311: .* not ended",
)
def test_user_is_told_when_a_syn_is_not_answered(bench: Bench) -> None:
    dut = bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_syn_retries", str(SYNS - 1))
    set_if_there(bench, dut, "tcp_syn_linear_timeouts", "0")
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        connect_in_vain(peer, dut)
        expect_told(bench, dut, "client", SYN_PORT, within=seconds(6))
        syns = seen.at("peer--dut").all(match.tcp(flags="SYN", dst_port=SYN_PORT))
    if len(syns) != SYNS:
        raise ExpectationFailed(
            f"{dut.name} sent {len(syns)} SYN without an answer and gave up, expected {SYNS}"
        )


@pytest.mark.slow("R2 is 100 s for data and 3 minutes for a SYN")
@pytest.mark.behaviour("TC-11", clause="RFC 9293 3.8.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "gives up within a minute",
    faults.python_stack(defects.sliding.GIVES_UP_IN_A_MINUTE),
    caught="expected 100 s or more",
)
def test_full_length_of_r2(bench: Bench) -> None:
    dut = bench.host("dut")
    dut.set_sysctl("net.ipv4.tcp_retries2", "8")
    dut.set_sysctl("net.ipv4.tcp_syn_retries", "7")
    set_if_there(bench, dut, "tcp_syn_linear_timeouts", "0")
    set_if_there(bench, dut, "tcp_rto_max_ms", "60000")
    peer = bench.host("peer", Receiver.CONFIG)
    with bench.capture("peer--dut") as seen:
        begun = bench.loop.wall_now()
        connect_in_vain(peer, dut)
        receiver = Receiver(bench, peer, seen, PORT, segments=1)
        for role, port, least in (("server", PORT, 100), ("client", SYN_PORT, 180)):
            told = expect_told(bench, dut, role, port, within=seconds(260))
            if (wait := Duration(told - begun)) < seconds(least):
                raise ExpectationFailed(
                    f"{dut.name}, {role} of port {port}: the user was told of a timeout after "
                    f"{format_duration(wait)}, expected {least} s or more"
                )
        bench.log(f"{len(receiver.sent)} times sent")


def set_if_there(bench: Bench, dut: Host, name: str, value: str) -> None:
    """Change a setting that not all kernels have; without it this takes longer."""
    try:
        dut.set_sysctl(f"net.ipv4.{name}", value)
    except BenchError:
        bench.log(f"{dut.name} has no setting {name}")


def connect_in_vain(peer: StackHost, dut: Host) -> None:
    """Let the host connect to the peer, which does not answer."""
    peer.incoming.add(Drop(match.tcp(dst_port=SYN_PORT)))
    dut.tcp_connect(str(peer.address), SYN_PORT, send=1)


def expect_told(bench: Bench, dut: Host, role: str, port: int, *, within: Duration) -> int:
    """When the service's user was told of a timeout, and of nothing else."""
    who = f"{dut.name}, {'service' if role == 'server' else role} of port {port}"
    try:
        results = dut.tcp_result(role, port, within=within)
    except ExpectationFailed as failure:
        raise ExpectationFailed(f"{who}: {failure.summary}", failure.details) from None
    told = bench.loop.wall_now()
    errors = {each.error for each in results} - {None}
    if errors != {"ETIMEDOUT"}:
        raise ExpectationFailed(
            f"{who}: the user was told {', '.join(map(str, errors)) or 'of no error'}, "
            f"expected ETIMEDOUT"
        )
    return told
