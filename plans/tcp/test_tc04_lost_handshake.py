"""What is lost of a handshake is sent again, and a half-open connection is released in the end.

The host's SYN is resent, with the number that it had, after 1 s and after 2 s more: the initial
RTO, doubled (RFC 6298 2.1, 5.5). So is its SYN+ACK, to a client that is silent; a client that
answers the second one is connected. Each connection then carries its bytes intact. The times hold
to ``early`` (seconds, 0.05: a timer may be an old tick short) and ``late`` (seconds, 0.4).

Some hosts do not back off at once: Linux from 6.5 on only after so many timeouts of a SYN as
``net.ipv4.tcp_syn_linear_timeouts`` says, 4 as a rule. It is set to 0 here, where it exists.

A client that never answers is given up after R2 (RFC 9293 3.8.3, set to one retransmission here):
two SYN+ACKs come, no more, and when the time is over nothing is left: the ACK that would have
completed the handshake is answered by a reset (3.10.7.2).

A client whose ACK was lost gets the SYN+ACK a second time. Whatever it has sent meanwhile, it then
sends an ACK, within ``ack_delay`` (seconds, 0.5): "irrespective of the sequence number, TCP MUST
send an ACK" (RFC 5961 4.2).
"""

import contextlib
import hashlib
from functools import partial
from itertools import pairwise

import pytest

from testbed import (
    Bench,
    Drop,
    Duration,
    EthFrame,
    ExpectationFailed,
    Host,
    IPv4Packet,
    Matcher,
    Nth,
    StackConfig,
    StackConnection,
    TcpFlags,
    TcpSegment,
    TestbedError,
    Topology,
    TracedFrame,
    compose,
    defects,
    dissect,
    drill,
    faults,
    format_duration,
    match,
    seconds,
)

ACTIVE, PASSIVE, LAST = 5140, 5141, 5142
UP, DOWN = 3000, 2000
HOST_SYN = match.tcp(dst_port=ACTIVE, flags="SYN")
SOON = seconds(3)
GIVEN_UP = seconds(4.5)
"""When all that is lost must long have been sent again."""
LINEAR = "net.ipv4.tcp_syn_linear_timeouts"
HALF_OPEN, AGAIN = 5143, 5144
CLIENTS = range(40_001, 40_004)
ISN = 1_000_000
RELEASED = seconds(3)
"""1 s until the SYN+ACK is resent, and 2 s for an answer to it."""


@pytest.mark.behaviour("TC-04", clause="RFC 6298 2, 5; RFC 9293 3.8.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "never resends its SYN+ACK",
    faults.python_stack(defects.handshake.NEVER_RESENDS_SYN_ACK),
    caught=r"the host's SYN\+ACK was sent 1 time",
)
@drill(
    "no back-off",
    faults.python_stack(defects.handshake.FORGETS_TO_BACK_OFF),
    caught=r"came again after 1(\.0\d*)? s, expected 2 s",
)
@drill(
    "a new number for each SYN",
    faults.python_stack(defects.handshake.RENUMBERS_RESENT_SYN),
    caught="the host's SYN came from .* initial sequence numbers",
)
@drill(
    "gives up after one",
    faults.sysctl("net.ipv4.tcp_syn_retries", "1"),
    caught=r"the host's SYN was sent 2 times",
)
def test_what_is_lost_of_a_handshake_is_sent_again(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    with contextlib.suppress(TestbedError):  # older kernels have no such thing
        dut.sysctl(LINEAR)
        dut.set_sysctl(LINEAR, "0")
    listener = peer.listen(ACTIVE)
    for port in (PASSIVE, LAST):
        dut.tcp_serve(port, send=DOWN, seed=port)
    with (
        bench.capture("peer--dut") as seen,
        peer.incoming.impaired(
            Drop(Nth(1, 2, matching=HOST_SYN)),
            Drop(Nth(1, 2, matching=match.tcp(src_port=PASSIVE, flags="SYN+ACK"))),
        ),
        peer.outgoing.impaired(
            # The client does not help: its SYN goes out once.
            Drop(Nth(*range(2, 9), matching=match.tcp(dst_port=PASSIVE, flags="SYN"))),
            Drop(Nth(1, matching=match.tcp(dst_port=LAST, flags="ACK"))),
        ),
    ):
        dut.tcp_connect(str(peer.address), ACTIVE, send=UP, seed=ACTIVE)
        clients = [peer.open("dut", port) for port in (PASSIVE, LAST)]

        def sent(matcher: Matcher) -> tuple[TracedFrame, ...]:
            return seen.at("peer--dut").all(matcher)

        expected = {
            "SYN": (HOST_SYN, (1.0, 2.0)),
            "SYN+ACK": (match.tcp(src_port=PASSIVE, flags="SYN+ACK"), (1.0, 2.0)),
            "SYN+ACK, the third ACK lost,": (
                match.tcp(src_port=LAST, flags="SYN+ACK"),
                (1.0,),
            ),
        }
        bench.loop.run_until(
            lambda: all(len(sent(each)) > len(gaps) for each, gaps in expected.values()), GIVEN_UP
        )
        for what, (matcher, gaps) in expected.items():
            expect_resent(bench, f"the host's {what}", sent(matcher), gaps)
        server = listener.accept(within=SOON)
        expect_bytes(dut, ("client", ACTIVE), server, up=UP)
        for port, client in zip((PASSIVE, LAST), clients, strict=True):
            expect_bytes(dut, ("server", port), client, down=DOWN)
    for what, (matcher, gaps) in expected.items():  # and no more of them
        expect_resent(bench, f"the host's {what}", sent(matcher), gaps)


@pytest.mark.behaviour("TC-04", clause="RFC 9293 3.8.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "never released",
    faults.python_stack(defects.handshake.NEVER_RELEASES_HALF_OPEN),
    caught=r"tcp\(.*RST.*\): it did not come",
)
@drill(
    "never gives up",
    faults.python_stack(defects.handshake.NEVER_GIVES_UP_HALF_OPEN),
    caught=r"expect 2 of tcp\(.*SYN\+ACK\): [34] came",
)
@drill(
    "says nothing to a late ACK",
    faults.nft("type filter hook output priority 0;", "tcp flags & rst == rst drop"),
    caught=r"tcp\(.*RST.*\): it did not come",
)
def test_a_half_open_connection_is_released(bench: Bench) -> None:
    net, dut = bench.bring_up_network(), bench.host("dut")
    late = seconds(bench.tolerance("late", 0.4))
    dut.set_sysctl("net.ipv4.tcp_synack_retries", "1")
    dut.tcp_serve(HALF_OPEN, connections=len(CLIENTS))

    def send(segment: TcpSegment) -> None:
        bench.nic("peer").inject(
            compose(
                EthFrame(net["dut"].mac, net["peer"].mac),
                IPv4Packet(net["peer"].ip, net["dut"].ip),
                segment,
            )
        )

    with bench.capture("peer--dut") as seen:
        point = partial(seen.at, "peer--dut")
        for client in CLIENTS:
            send(TcpSegment(client, HALF_OPEN, ISN, flags=TcpFlags.SYN))
        for client in CLIENTS:
            seen.wait_for("peer--dut", match.tcp(dst_port=client, flags="SYN+ACK", ack=ISN + 1))
        bench.watch_for(Duration(RELEASED + late))
        seen.settle()
        answers = [
            point().expect_count(match.tcp(dst_port=client, flags="SYN+ACK"), 2)
            for client in CLIENTS
        ]
        for client, (first, _) in zip(CLIENTS, answers, strict=True):
            number = (tcp_of(first).seq + 1) % (1 << 32)
            send(TcpSegment(client, HALF_OPEN, ISN + 1, number, TcpFlags.ACK))
            seen.wait_for("peer--dut", match.tcp(dst_port=client, flags="RST", seq=number))
    for client in CLIENTS:
        point().expect_count(match.tcp(dst_port=client), 3)


@pytest.mark.behaviour("TC-04", clause="RFC 9293 3.10.7.4, RFC 5961 4.2")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "deaf to a second SYN+ACK",
    faults.python_stack(defects.streams.DEAF_TO_SYN_ACKS),
    caught=r"flags=ACK.*it did not come",
)
@drill(
    "resets at a second SYN+ACK",
    faults.python_stack(defects.streams.RESETS_SYN_ACKS),
    caught=r"flags=ACK.*it did not come",
)
def test_a_third_ack_that_was_lost_is_sent_again(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    listener = peer.listen(AGAIN)
    syn_acks = match.tcp(src_port=AGAIN, flags="SYN+ACK")
    with bench.capture("peer--dut") as seen:
        with peer.incoming.impaired(Drop(match.tcp(dst_port=AGAIN, has="ACK"))):
            dut.tcp_connect(str(peer.address), AGAIN, send=UP, seed=AGAIN)
            bench.wait_until(
                lambda: len(seen.at("peer--dut").sent.all(syn_acks)) > 1,
                GIVEN_UP,
                "the peer's second SYN+ACK",
            )
            second = seen.at("peer--dut").sent.all(syn_acks)[1]
            number = (tcp_of(second).seq + 1) % (1 << 32)
            again = match.tcp(dst_port=AGAIN, flags="ACK", ack=number, payload_length=0)
            view = seen.at("peer--dut").after(second)
            within = seconds(bench.tolerance("ack_delay", 0.5))
            bench.loop.run_until(lambda: bool(view.all(again)), within)
            view.expect(again)
        server = listener.accept(within=SOON)
        expect_bytes(dut, ("client", AGAIN), server, up=UP)


def tcp_of(frame: TracedFrame) -> TcpSegment:
    """The segment in a frame that matched as one."""
    segment = dissect(frame.data).tcp
    if segment is None:
        raise ExpectationFailed(f"#{frame.number} is no TCP segment")
    return segment


def expect_resent(
    bench: Bench, what: str, sent: tuple[TracedFrame, ...], gaps: tuple[float, ...]
) -> None:
    """One and the same was sent so many times, so far apart in seconds."""
    numbers = {tcp_of(frame).seq for frame in sent}
    if len(numbers) > 1:
        raise ExpectationFailed(f"{what} came from {len(numbers)} initial sequence numbers")
    if len(sent) != len(gaps) + 1:
        raise ExpectationFailed(
            f"{what} was sent {len(sent)} times, expected {len(gaps) + 1}: it was lost"
            f" {len(gaps)} times"
        )
    early, late = bench.tolerance("early", 0.05), bench.tolerance("late", 0.4)
    for (before, after), gap in zip(pairwise(sent), gaps, strict=True):
        found = Duration(after.at - before.at)
        if not seconds(gap - early) <= found <= seconds(gap + late):
            raise ExpectationFailed(
                f"{what} came again after {format_duration(found)}, expected {gap:g} s "
                f"({early:g} s early and {late:g} s late at most)"
            )


def expect_bytes(
    dut: Host, service: tuple[str, int], connection: StackConnection, *, up: int = 0, down: int = 0
) -> None:
    """The connection is as good as any: what the host sends arrives, and it ends without error."""
    seed, size = service[1], up + down
    connection.shutdown()
    came = connection.receive_all(within=SOON)
    if came != hashlib.shake_128(seed.to_bytes(8, "big")).digest(size):
        raise ExpectationFailed(f"{connection}: {len(came)} bytes came of {size} that were sent")
    errors = [each.error for each in dut.tcp_result(*service, within=SOON) if each.error]
    if errors:
        raise ExpectationFailed(f"{dut.name}, {service[0]} of port {seed}: {errors[0]}")
