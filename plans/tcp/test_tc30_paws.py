"""An old duplicate is known by its timestamp, and dropped; what is new is taken.

PAWS (RFC 7323 5.3). A segment whose number is just the next one, with a timestamp older than the
latest, is not delivered, but acknowledged with what is really expected (R1). "Older" is modulo
2**32: a timestamp clock that goes round once is followed all the way. A segment behind a hole does
not move the latest timestamp on (4.3 (2)): the ACK of it echoes the one before, and what fills the
hole with an older timestamp than it had is taken. A reset is not judged by its timestamp (5.2: "RST
segments MUST NOT be subject to PAWS").

The host's own timestamps go on as time does (5.4: values "at least approximately proportional to
real time", a cycle no shorter than 255 s; ``clock_ratio``, 0.5, and a tick or two, between three
spans alike), never back, and each of its segments echoes one that the peer has sent (3.2).

The ACK of an old duplicate comes within ``ack_delay`` (seconds, 0.5). The old timestamps here are
much older than 1 ms, which Linux forgives.
"""

import hashlib
from itertools import pairwise

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    ExpectationFailed,
    Flow,
    Host,
    SocketOptions,
    StackConfig,
    StackConnection,
    StackHost,
    TcpFlags,
    Timestamps,
    Topology,
    defects,
    drill,
    faults,
    format_duration,
    milliseconds,
    seconds,
    tcpflow,
)

PORT, ROUND_PORT, HOLE_PORT, RESET_PORT, CLOCK_PORT = 5130, 5140, 5150, 5160, 5170
FIRST, OLD, SECOND = b"the first part, ", b"an old duplicate", b"the second part"
AGE = 5000
MODULUS = 1 << 32
LEAP = MODULUS // 4
SOON = seconds(5)
SPEAKS, CRUMB = 400, 100
STEADY = Flow(chunk=CRUMB, every=milliseconds(1100))
"""5.4: a tick of a timestamp clock takes between 1 ms and 1 s."""
FASTEST = MODULUS // 2 / 255
"""Ticks in a second, of a clock that goes half round in the longest life of a segment."""
PUSH = TcpFlags.ACK | TcpFlags.PSH


@pytest.mark.behaviour("TC-30", clause="RFC 7323 5.3")
@pytest.mark.topology(Topology.chain("peer:nic", "dut:host"))
@drill(
    "accepts",
    faults.python_stack(defects.receiver.NO_PAWS),
    caught="acknowledged an old duplicate",
)
@drill(
    "drops without a word",
    faults.python_stack(defects.receiver.SILENT_PAWS),
    caught="ACK of what is expected did not come",
)
@drill(
    "compares timestamps as plain numbers",
    faults.python_stack(defects.receiver.PLAIN_TIMESTAMPS),
    caught="once round the clock",
)
@drill(
    "remembers timestamps from behind a hole",
    faults.python_stack(defects.receiver.TIMESTAMPS_FROM_ANYWHERE),
    caught="behind a hole",
)
@drill(
    "judges resets by their timestamps",
    faults.python_stack(defects.receiver.PAWS_ON_RESETS),
    caught="reset .* ECONNRESET",
)
@drill(
    "its clock stands still",
    faults.python_stack(defects.stamps.CLOCK_STANDS),
    caught="stood still",
)
@drill(
    "its clock goes back",
    faults.python_stack(defects.stamps.CLOCK_GOES_BACK),
    caught="went back",
)
@drill(
    "its clock goes too fast",
    faults.python_stack(defects.stamps.CLOCK_RACES),
    caught="ticks in a second, expected",
)
@drill(
    "echoes nothing",
    faults.python_stack(defects.stamps.ECHOES_NOTHING),
    caught="echoes 0, ",
)
@drill(
    "has no timestamps",
    faults.sysctl("net.ipv4.tcp_timestamps", "0"),
    caught="agreed to no timestamps",
)
def test_old_duplicates_are_dropped(bench: Bench) -> None:
    peer = bench.host("peer", StackConfig.of(tcp={"paws": False}))  # takes the host's as they are
    dut = bench.host("dut")
    with bench.capture("peer--dut") as seen:
        old_duplicate(bench, seen, peer, dut)
        round_the_clock(bench, seen, peer, dut)
        behind_a_hole(bench, seen, peer, dut)
        old_reset(bench, seen, peer, dut)
        own_clock(bench, seen, peer, dut)


class Stream:
    """A connection to the host whose segments are made by hand, timestamps and all."""

    def __init__(self, bench: Bench, seen: Capture, peer: StackHost, dut: Host, port: int) -> None:
        dut.tcp_serve(port)
        self.bench, self.seen, self.dut, self.port = bench, seen, dut, port
        self.c: StackConnection = peer.connect(
            "dut", port, within=SOON, options=SocketOptions(sack=False)
        )
        if not self.c.tcp.ts_on:
            raise ExpectationFailed(f"{dut.name} agreed to no timestamps")
        self.c.steer.ignore(lambda _: True)  # it knows nothing of what is sent by hand
        self.stamp = stamp_of(self.flow().up[0])
        self.data = b""

    def flow(self) -> tcpflow.Connection:
        """The segments so far."""
        return tcpflow.connection(self.seen.at("peer--dut").both, server_port=self.port)

    def send(
        self, payload: bytes, stamp: int, at: int | None = None, flags: TcpFlags = PUSH
    ) -> None:
        """Send ``payload`` with a timestamp, at a byte of the stream or as the next ones."""
        start = len(self.data) if at is None else at
        self.c.steer.send(
            flags,
            payload,
            seq=(self.c.tcp.iss + 1 + start) % MODULUS,
            options=(Timestamps(stamp % MODULUS, self.c.tcp.ts_recent),),
        )
        if at is None:
            self.data += payload

    def await_ack(self, number: int, count: int, what: str) -> tcpflow.FlowSegment:
        """Wait for the ACK that asks for a byte of the stream, or for its ``count``-th."""

        def found() -> list[tcpflow.FlowSegment]:
            return [each for each in self.flow().down if each.ack == number + 1]

        within = Duration(seconds(self.bench.tolerance("ack_delay", 0.5)))
        self.bench.wait_until(lambda: len(found()) >= count, within, what)
        return found()[count - 1]

    def end(self) -> None:
        """Close; the host's application has got ``data``, and nothing else."""
        self.send(b"", self.stamp, flags=TcpFlags.FIN | TcpFlags.ACK)
        got = self.dut.tcp_result("server", self.port, within=SOON)[1]
        if got.error is not None or got.sha256 != hashlib.sha256(self.data).hexdigest():
            raise ExpectationFailed(
                f"{self.dut.name}, server of port {self.port}: received {got.octets} bytes"
                f"{f' and {got.error}' if got.error else ''}, the peer sent {self.data!r}"
            )
        self.send(b"", self.stamp, at=len(self.data) + 1, flags=TcpFlags.RST)
        self.c.steer.mute()
        self.c.abort()


def stamp_of(segment: tcpflow.FlowSegment) -> int:
    """The timestamp that a segment has."""
    option = segment.tcp.option(Timestamps)
    if option is None:
        raise ExpectationFailed(f"peer--dut: #{segment.number} has no timestamp")
    return option.value


def old_duplicate(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """The next number, with a timestamp of long ago."""
    stream = Stream(bench, seen, peer, dut, PORT)
    stream.stamp += AGE
    stream.send(FIRST, stream.stamp)
    stream.await_ack(len(FIRST), 1, "an ACK of the first part")
    before = len(stream.flow().down)
    stream.send(OLD, stream.stamp - AGE, at=len(FIRST))

    def answered() -> bool:
        latest = stream.flow().down[before:]
        wrong = [each for each in latest if each.ack != len(FIRST) + 1]
        if wrong:
            raise ExpectationFailed(
                f"peer--dut: the host acknowledged an old duplicate, whose timestamp is {AGE} ms "
                f"older than the latest, in #{wrong[0].number}"
            )
        return bool(latest)

    within = seconds(bench.tolerance("ack_delay", 0.5))
    bench.wait_until(answered, within, "an ACK of what is expected")
    stream.send(SECOND, stream.stamp + 1)
    stream.stamp += 1
    stream.await_ack(len(FIRST + SECOND), 1, "an ACK of the second part")
    stream.end()


def round_the_clock(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """Timestamps that go round once, in leaps of a quarter."""
    stream = Stream(bench, seen, peer, dut, ROUND_PORT)
    for turn in range(5):
        stream.stamp += LEAP
        stream.send(FIRST, stream.stamp)
        stream.await_ack(
            len(stream.data), 1, f"an ACK of leap {turn + 1}, of 5, once round the clock,"
        )
    stream.end()


def behind_a_hole(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """What is ahead of its turn has a timestamp of its own."""
    stream = Stream(bench, seen, peer, dut, HOLE_PORT)
    stream.stamp += 10
    stream.send(FIRST, stream.stamp)
    stream.await_ack(len(FIRST), 1, "an ACK of the first part")
    hole = len(stream.data)
    stream.send(SECOND, stream.stamp + AGE, at=hole + len(OLD))
    asked = stream.await_ack(hole, 2, "a duplicate ACK")
    option = asked.tcp.option(Timestamps)
    if option is None or option.echo != stream.stamp % MODULUS:
        raise ExpectationFailed(
            f"peer--dut: #{asked.number}, the ACK of a segment behind a hole, echoes "
            f"{option.echo if option else 'no timestamp'}, expected {stream.stamp % MODULUS}"
        )
    stream.stamp += 1
    stream.send(OLD, stream.stamp)
    stream.data += SECOND
    stream.await_ack(len(stream.data), 1, "an ACK of all, with what was behind a hole,")
    stream.stamp += 1 + AGE
    stream.end()


def old_reset(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """A reset with the right number, and a timestamp of long ago."""
    stream = Stream(bench, seen, peer, dut, RESET_PORT)
    stream.stamp += AGE
    stream.send(FIRST, stream.stamp)
    stream.await_ack(len(FIRST), 1, "an ACK of the first part")
    stream.send(b"", stream.stamp - AGE, flags=TcpFlags.RST)
    try:
        error = dut.tcp_result("server", RESET_PORT, within=SOON)[1].error
    except ExpectationFailed as failure:
        error = str(failure)
    if error != "ECONNRESET":
        raise ExpectationFailed(
            f"{dut.name}, server of port {RESET_PORT}: after a reset with an old timestamp "
            f"{error or 'the stream just ended'}, expected ECONNRESET"
        )


def own_clock(bench: Bench, seen: Capture, peer: StackHost, dut: Host) -> None:
    """The host says something now and then, and its timestamps tell when."""
    dut.tcp_serve(CLOCK_PORT, send=SPEAKS, seed=CLOCK_PORT, flow=STEADY)
    c = peer.connect("dut", CLOCK_PORT, within=SOON)
    c.receive(SPEAKS, within=SOON)
    c.shutdown()
    c.receive_all(within=SOON)
    seen.settle()
    flow = tcpflow.connection(seen.at("peer--dut").both, server_port=CLOCK_PORT)
    told = {stamp_of(each) for each in flow.up}
    for each in flow.down:
        option = each.tcp.option(Timestamps)
        if option is None or option.echo not in told:
            raise ExpectationFailed(
                f"peer--dut: #{each.number} echoes {option.echo if option else 'no timestamp'}, "
                f"which the peer never sent"
            )
    firsts = {each.seq: each for each in reversed(flow.down) if each.payload}
    expect_steady(bench, [firsts[at] for at in sorted(firsts)])


def expect_steady(bench: Bench, spoken: list[tcpflow.FlowSegment]) -> None:
    """These segments' timestamps are as far apart as the segments are in time."""
    rates = list[float]()
    for before, after in pairwise(spoken):
        ticks, span = (stamp_of(after) - stamp_of(before)) % MODULUS, after.at - before.at
        what = f"peer--dut: the timestamps of #{before.number} and #{after.number}"
        if ticks == 0 or ticks > MODULUS // 2:
            raise ExpectationFailed(
                f"{what}, {format_duration(Duration(span))} apart, "
                f"{'went back' if ticks else 'stood still'}"
            )
        rates.append(ticks * 1e9 / span)
        spread = bench.tolerance("clock_ratio", 0.5) * rates[0] + 2e9 / span
        if rates[-1] > FASTEST or abs(rates[-1] - rates[0]) > spread:
            raise ExpectationFailed(
                f"{what} are {rates[-1]:.0f} ticks in a second, expected {FASTEST:.0f} at most, "
                f"and as many in each span alike; the first had {rates[0]:.0f}"
            )
