"""Keepalive is off unless asked for, leaves live peers alone, and finds dead ones.

RFC 9293 3.8.4. Off by default (MUST-25), with an idle time of two hours at least (MUST-28): the
host's own defaults are read, then made 1 s; still nothing is sent in a connection that did not ask.
One that asked for IDLE, INTERVAL and a number of PROBES of its own: a probe, which has no more than
one byte and the number before the next one, comes when nothing has been received for IDLE
(MUST-27), counted from the last data. A peer that answers is left alone, and probed again after
IDLE. One that is silent is probed every INTERVAL; INTERVAL after the last probe the connection is
over: the application is told ETIMEDOUT, and the peer, if it lives, by a reset. The peer's own
probes, with an old byte and with none, are answered by an ACK (3.10.7.4).

Tolerances, in seconds: ``keepalive_early`` (0.02), ``keepalive_late`` (0.4: coarse timers, and a
busy bench). Linux reads its settings in whole seconds.
"""

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    Ending,
    ExpectationFailed,
    Flow,
    Host,
    Instant,
    Keepalive,
    StackConfig,
    StackConnection,
    TcpFlags,
    Topology,
    defects,
    drill,
    faults,
    format_duration,
    match,
    seconds,
    tcpflow,
)

PORT, QUIET_PORT, ASKED_PORT = 5128, 5138, 5148
IDLE, INTERVAL, PROBES = seconds(2), seconds(1), 2
TWO_HOURS = 7200
USUAL_INTERVAL = seconds(75)
USUAL_PROBES = range(8, 11)
"""RFC 9293 names no number: 4.4BSD sends 8, Linux 9, others 10."""
FEW_SECONDS, SOON = seconds(4), seconds(5)
LINUX = "net.ipv4.tcp_keepalive_"


@pytest.mark.behaviour("TC-28", clause="RFC 9293 3.8.4")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "kills a live peer",
    faults.python_stack(defects.keepalive.DOUBTS_LIVE_PEERS),
    caught="is a reset, expected probe 3",
)
@drill(
    "the peer's answers are lost",
    faults.nft(
        "type filter hook input priority 0;",
        f"tcp sport {PORT} tcp flags == ack meta length < 60 drop",
    ),
    caught=r"probe 2, after an answer, came 1[.\d]* s after",
)
@drill(
    "on by default",
    faults.python_stack(defects.keepalive.KEEPALIVE_UNASKED),
    caught="expect none: .*5138",
)
@drill(
    "ignores the application's idle time",
    faults.python_stack(defects.keepalive.KEEPS_OWN_PACE),
    caught="probe 1, after data, came",
)
@drill(
    "probes a dead peer for ever",
    faults.python_stack(defects.keepalive.NEVER_GIVES_UP_THE_DEAD),
    caught="the reset of a dead connection did not come",
)
@drill(
    "default of ten minutes",
    faults.sysctl("net.ipv4.tcp_keepalive_time", "600"),
    caught="an idle time of 600 s by default",
)
def test_dead_peers_are_found_and_live_ones_left_alone(bench: Bench) -> None:
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    expect_default(dut)
    for name, value in (("time", "1"), ("intvl", "1"), ("probes", "1")):
        dut.set_sysctl(LINUX + name, value)
    listener, quiet = peer.listen(PORT), peer.listen(QUIET_PORT)
    with bench.capture("peer--dut") as seen:
        dut.tcp_connect(str(peer.address), QUIET_PORT, send=0, flow=Flow(ending=Ending.HOLD))
        unwatched = quiet.accept(within=SOON)
        wanted = Flow(ending=Ending.HOLD, keepalive=Keepalive(IDLE, INTERVAL, PROBES))
        dut.tcp_connect(str(peer.address), PORT, send=0, flow=wanted)
        c = listener.accept(within=SOON)
        bench.watch_for(seconds(1))  # so that the last data is something else than the handshake
        c.send(b"x")
        bench.wait_until(lambda: c.tcp.unacked == 0, SOON, "an ACK of the peer's data")
        live_then_dead(bench, seen, c)
        expect_told(dut)
        unwatched.abort()
        seen.settle()
    view = seen.at("peer--dut")
    handshake = view.expect(match.tcp(dst_port=QUIET_PORT, flags="ACK"))
    view.after(handshake).expect_none(match.tcp(dst_port=QUIET_PORT))


def expect_default(dut: Host) -> None:
    """Idle connections that ask for keepalive, and for no time, are left alone for two hours."""
    idle = int(dut.sysctl(LINUX + "time"))
    if idle < TWO_HOURS:
        raise ExpectationFailed(
            f"{dut.name} has an idle time of {idle} s by default, expected {TWO_HOURS} s or more"
        )


def live_then_dead(bench: Bench, seen: Capture, c: StackConnection) -> None:
    """The peer answers the first probe, and no other."""
    data = next(each for each in flow_of(seen).down if each.payload)
    probes = await_probes(bench, seen, 1)
    expect_gap(bench, "probe 1, after data,", data.at, probes[0], IDLE)
    bench.wait_until(lambda: answer(seen, probes[0]) is not None, SOON, "the peer's answer")
    c.steer.mute()
    answered = answer(seen, probes[0])
    probes = await_probes(bench, seen, 2)
    expect_gap(bench, "probe 2, after an answer,", answered, probes[1], IDLE)
    probes = await_probes(bench, seen, 3)
    expect_gap(bench, "probe 3, unanswered before,", probes[1].at, probes[2], INTERVAL)
    bench.wait_until(lambda: bool(resets(seen)), seconds(3), "the reset of a dead connection")
    expect_gap(bench, "the reset", probes[2].at, resets(seen)[0], INTERVAL)


def flow_of(seen: Capture) -> tcpflow.Connection:
    """The watched connection so far."""
    return tcpflow.connection(seen.at("peer--dut").both, server_port=PORT)


def resets(seen: Capture) -> list[tcpflow.FlowSegment]:
    """What the host reset."""
    return [each for each in flow_of(seen).up if each.tcp.flags & TcpFlags.RST]


def await_probes(
    bench: Bench, seen: Capture, count: int, within: Duration = FEW_SECONDS
) -> list[tcpflow.FlowSegment]:
    """Wait for so many probes: they repeat the number of the SYN, as the host sends no data."""

    def probes() -> list[tcpflow.FlowSegment]:
        return [
            each for each in flow_of(seen).up if each.seq == 0 and not each.tcp.flags & TcpFlags.SYN
        ]

    def enough() -> bool:
        if len(probes()) < count and (early := resets(seen)):
            raise ExpectationFailed(
                f"peer--dut: #{early[0].number} is a reset, expected probe {count}"
            )
        return len(probes()) >= count

    bench.wait_until(enough, within, f"probe {count}")
    latest = probes()[count - 1]
    if len(latest.payload) > 1:
        raise ExpectationFailed(
            f"peer--dut: probe #{latest.number} has {len(latest.payload)} bytes, expected 1 at most"
        )
    return probes()


def answer(seen: Capture, probe: tcpflow.FlowSegment) -> Instant | None:
    """When the peer answered a probe."""
    return next((each.at for each in flow_of(seen).down if each.number > probe.number), None)


def expect_gap(
    bench: Bench,
    what: str,
    since: Instant | None,
    segment: tcpflow.FlowSegment,
    wanted: Duration,
) -> None:
    """A segment came when it was to come."""
    early = seconds(bench.tolerance("keepalive_early", 0.02))
    late = seconds(bench.tolerance("keepalive_late", 0.4))
    gap = Duration(segment.at - (since or 0))
    if not -early <= gap - wanted <= late:
        raise ExpectationFailed(
            f"peer--dut: {what} came {format_duration(gap)} after it, in #{segment.number}, "
            f"expected {format_duration(wanted)}"
        )


def expect_told(dut: Host) -> None:
    """The application heard of it."""
    error = dut.tcp_result("client", PORT, within=SOON)[1].error
    if error != "ETIMEDOUT":
        raise ExpectationFailed(
            f"{dut.name}, client of port {PORT}: ended with {error}, expected ETIMEDOUT"
        )


@pytest.mark.behaviour("TC-28", clause="RFC 9293 3.8.4, 3.10.7.4")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "answers no probes",
    faults.python_stack(defects.keepalive.ANSWERS_NO_PROBES),
    caught="an answer to a probe of 0 bytes did not come",
)
def test_probes_of_the_peer_are_answered(bench: Bench) -> None:
    """A host that is asked says that it lives: with the numbers of both sides, and no data."""
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    dut.tcp_serve(ASKED_PORT)
    with bench.capture("peer--dut") as seen:
        c = peer.connect("dut", ASKED_PORT, within=SOON)
        exchange(bench, c)
        for old in (b"", b"?"):
            expect_answered(bench, seen, c, old)
        exchange(bench, c)
        c.abort()
        seen.settle()


def expect_answered(bench: Bench, seen: Capture, c: StackConnection, old: bytes) -> None:
    """A probe, which begins before what the host expects, has it tell where it is."""
    now = c.snapshot()
    wanted = match.tcp(
        src_port=ASKED_PORT,
        flags="ACK",
        seq=now.rcv_nxt % (1 << 32),
        ack=now.snd_nxt % (1 << 32),
        payload_length=0,
    )
    before = len(seen.at("peer--dut").all(wanted))
    c.steer.send(TcpFlags.ACK, old, seq=(now.snd_nxt - 1) % (1 << 32))
    bench.wait_until(
        lambda: len(seen.at("peer--dut").all(wanted)) > before,
        SOON,
        f"an answer to a probe of {len(old)} bytes",
    )


@pytest.mark.behaviour("TC-28", clause="RFC 9293 3.8.4, MUST-25")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@pytest.mark.slow("who is never probed is known after the two hours of those who are")
@drill(
    "on by default",
    faults.python_stack(defects.keepalive.KEEPALIVE_UNASKED),
    caught="expect none: .*5138",
)
def test_idle_connections_are_left_alone_for_hours_by_default(bench: Bench) -> None:
    """A connection that did not ask is not probed in the time of two hours and all probes.

    Nothing comes from the host, nothing ends, and the connection carries data afterwards.
    """
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    listener = peer.listen(QUIET_PORT)
    with bench.capture("peer--dut") as seen:
        dut.tcp_connect(str(peer.address), QUIET_PORT, send=0, flow=Flow(ending=Ending.HOLD))
        c = listener.accept(within=SOON)
        exchange(bench, c)
        quiet = bench.loop.wall_now()
        bench.watch_for(seconds(TWO_HOURS + 12 * 75))
        seen.settle()
        seen.at("peer--dut").after(quiet).expect_none(match.tcp(dst_port=QUIET_PORT))
        exchange(bench, c)
        c.abort()
        seen.settle()


@pytest.mark.behaviour("TC-28", clause="RFC 9293 3.8.4, MUST-28")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@pytest.mark.slow("the default idle time is two hours at the least, and passes twice")
@drill(
    "kills a live peer",
    faults.python_stack(defects.keepalive.DOUBTS_LIVE_PEERS),
    caught="came|reset",
)
def test_default_times_are_two_hours_and_ten_minutes(bench: Bench) -> None:
    """A connection that asks for keepalive, and for no times, is probed by the host's own.

    After two hours without anything, counted from the last data or answer; then, unanswered, every
    75 s, about ten times. 75 s after the last one the connection ends: by a reset, and ETIMEDOUT.
    """
    peer, dut = bench.host("peer", StackConfig()), bench.host("dut")
    expect_default(dut)
    idle = seconds(int(dut.sysctl(LINUX + "time")))
    hours = Duration(idle + SOON)
    listener = peer.listen(PORT)
    with bench.capture("peer--dut") as seen:
        wanted = Flow(ending=Ending.HOLD, keepalive=Keepalive())
        dut.tcp_connect(str(peer.address), PORT, send=0, flow=wanted)
        c = listener.accept(within=SOON)
        bench.watch_for(seconds(1))
        exchange(bench, c)
        data = next(each for each in flow_of(seen).down if each.payload)
        first = await_probes(bench, seen, 1, hours)[0]
        expect_gap(bench, "probe 1, after data,", data.at, first, idle)
        bench.wait_until(lambda: answer(seen, first) is not None, SOON, "the peer's answer")
        c.steer.mute()
        probes = await_probes(bench, seen, 2, hours)
        expect_gap(bench, "probe 2, after an answer,", answer(seen, first), probes[1], idle)
        sent = expect_dead(bench, seen)
        bench.log(f"{sent} probes without an answer")
        expect_told(dut)


def expect_dead(bench: Bench, seen: Capture) -> int:
    """From the first unanswered probe on: the usual number of them, evenly, and a reset."""
    within = Duration(USUAL_PROBES[-1] * USUAL_INTERVAL + SOON)
    bench.wait_until(lambda: bool(resets(seen)), within, "the reset of a dead connection")
    probes = [
        each for each in flow_of(seen).up if each.seq == 0 and not each.tcp.flags & TcpFlags.SYN
    ][1:]
    ends = [*probes[1:], resets(seen)[0]]
    for before, after in zip(probes, ends, strict=True):
        expect_gap(bench, "a probe, or the reset,", before.at, after, USUAL_INTERVAL)
    if len(probes) not in USUAL_PROBES:
        raise ExpectationFailed(
            f"peer--dut: {len(probes)} probes were sent to a dead peer, expected "
            f"{USUAL_PROBES[0]} to {USUAL_PROBES[-1]}"
        )
    return len(probes)


def exchange(bench: Bench, c: StackConnection) -> None:
    """The peer sends a byte, and the host takes it."""
    c.send(b"x")
    bench.wait_until(lambda: c.tcp.unacked == 0, SOON, "an ACK of the peer's data")
