"""A balancer spreads connections over its servers, and keeps each on the server that it chose.

Of a dozen connections that are open at the same time every server gets some, and none more than
twice its share: whatever the method, hashing apart, that is a low bar. All that belongs to one
connection goes to one server, whatever others come in between: the bytes of the stream are whole
and in order, both ways, also when the client ends its side first (RFC 9293 3.6: the other side may
go on to send). The client sees no address but the one that it connected to. A connection that
carries nothing is kept for the time that was set, and not for ever. A server that refuses
connections, or that says nothing at all, gets no client: whoever was sent there comes to another.
One that is back gets some again.

Clients and servers are Python stacks. The time in which a server counts as dead is set to 2 s, the
idle time to 10 s; a connection may take ``balancer_connect`` (seconds, 5), where a server is silent
``balancer_silent`` (10). An idle connection is over after ``idle`` (1.5) times its time and 1 s.
"""

from contextlib import suppress
from dataclasses import dataclass, field
from ipaddress import IPv4Address

import pytest

from testbed import (
    Bench,
    Drop,
    Duration,
    ExpectationFailed,
    Nth,
    StackConfig,
    StackConnection,
    StackHost,
    StackListener,
    Topology,
    match,
    seconds,
)

PORT, BEHIND = 80, 8080
SERVERS = ("one", "two", "three")
CONNECTIONS = 12
IDLE, RETRY = seconds(10), seconds(2)
LATE = b"are you still there after all this time?"

AP06 = pytest.mark.behaviour("AP-06")
FARM = pytest.mark.topology(Topology.star("dut:balancer", "client", *SERVERS))


@dataclass
class Farm:
    """A balancer at work, a client, and servers that take connections."""

    bench: Bench
    client: StackHost
    address: IPv4Address
    listeners: dict[str, StackListener] = field(default_factory=dict)
    hosts: dict[str, StackHost] = field(default_factory=dict)

    def listen(self, name: str) -> None:
        """Have a server take connections."""
        self.listeners[name] = self.hosts[name].listen(BEHIND)

    @property
    def within(self) -> Duration:
        """How long a connection may take."""
        return seconds(self.bench.tolerance("balancer_connect", 5))

    def connect(
        self, within: Duration | None = None
    ) -> tuple[StackConnection, str, StackConnection]:
        """A connection of the client's; the server's name, and its end of it."""
        mine = self.client.connect(self.address, PORT, within=self.within)
        mine.send(b"hello\n")
        self.bench.wait_until(
            lambda: any(each.tcp.readable for each in self.listeners.values()),
            within or self.within,
            "the client's connection at a server",
        )
        name = next(each for each, found in self.listeners.items() if found.tcp.readable)
        theirs = self.listeners[name].accept()
        theirs.receive(6)
        return mine, name, theirs


def farm(bench: Bench, *listening: str) -> Farm:
    """Set all up; ``listening`` are the servers that take connections."""
    net = bench.bring_up_network()
    dut = bench.balancer("dut")
    dut.serve_balanced(PORT, [(net[name].ip, BEHIND) for name in SERVERS])
    dut.set_idle_time(IDLE)
    dut.set_retry_time(RETRY)
    made = Farm(bench, bench.host("client", StackConfig()), net.at("dut", "client--dut").ip)
    made.hosts = {name: bench.host(name, StackConfig()) for name in SERVERS}
    for name in listening:
        made.listen(name)
    return made


@AP06
@FARM
def test_every_server_gets_its_share(bench: Bench) -> None:
    made = farm(bench, *SERVERS)
    with bench.capture("client--dut") as seen:
        counts = dict.fromkeys(SERVERS, 0)
        for _ in range(CONNECTIONS):
            _, name, _ = made.connect()
            counts[name] += 1
        seen.settle()
    share = CONNECTIONS // len(SERVERS)
    if min(counts.values()) == 0 or max(counts.values()) > 2 * share:
        raise ExpectationFailed(
            f"dut: of {CONNECTIONS} connections the servers got {counts}, expected {share} each, "
            f"none without and none with more than {2 * share}"
        )


@AP06
@FARM
def test_a_flow_stays_on_its_server(bench: Bench) -> None:
    made = farm(bench, *SERVERS)
    with bench.capture() as seen:
        flows = [made.connect() for _ in range(3)]
        for part in range(4):
            for number, (mine, _, theirs) in enumerate(flows):
                marker = f"<flow {number} part {part}>".encode()
                mine.send(marker)
                expect_bytes(theirs.receive(len(marker)), marker, f"part {part} of flow {number}")
                theirs.send(marker[::-1])
                expect_bytes(mine.receive(len(marker)), marker[::-1], f"its answer {part}")
        seen.settle()
        for number, (_, name, _) in enumerate(flows):
            marker = f"<flow {number} part ".encode()
            for other in SERVERS:
                if other != name:
                    seen.at(f"{other}--dut").expect_none(match.containing(marker))
        from_dut = match.ipv4(src=made.address, dst=made.client.address)
        to_client = match.ipv4(dst=made.client.address)
        seen.at("client--dut").expect_none(to_client & ~from_dut)


@AP06
@FARM
def test_streams_are_whole_to_the_last_byte(bench: Bench) -> None:
    made = farm(bench, *SERVERS)
    mine, _, theirs = made.connect()
    up, down = bytes(range(256)) * 200, bytes(range(255, -1, -1)) * 400
    mine.send(up[:40000])
    expect_bytes(theirs.receive(40000), up[:40000], "the first bytes of the client's stream")
    mine.send(up[40000:])
    mine.shutdown()
    expect_bytes(theirs.receive_all(), up[40000:], "the client's stream")
    theirs.send(down)
    theirs.close()
    expect_bytes(mine.receive_all(), down, "the server's stream, after the client's had ended")


@AP06
@FARM
def test_a_silent_flow_is_kept_for_its_time(bench: Bench) -> None:
    made = farm(bench, *SERVERS)
    mine, _, theirs = made.connect()
    for _ in range(2):
        bench.watch_for(Duration(IDLE * 7 // 10))
        mine.send(b"still there?")
        expect_bytes(theirs.receive(12), b"still there?", "what came after a silence")
        theirs.send(b"yes")
        expect_bytes(mine.receive(3), b"yes", "the answer after a silence")


@AP06
@FARM
def test_a_flow_that_is_silent_for_longer_is_over(bench: Bench) -> None:
    made = farm(bench, *SERVERS)
    with bench.capture() as seen:
        mine, name, _ = made.connect()
        bench.watch_for(Duration(round(IDLE * bench.tolerance("idle", 1.5)) + seconds(1)))
        with suppress(ExpectationFailed):  # the client may have been told
            mine.send(LATE)
        seen.settle()
    seen.at(f"{name}--dut").expect_none(match.containing(LATE))


@AP06
@FARM
def test_a_server_that_says_nothing_keeps_nobody_waiting(bench: Bench) -> None:
    made = farm(bench, *SERVERS)
    patience = seconds(bench.tolerance("balancer_silent", 10))
    silent = Drop(Nth(*range(1, 1000), matching=match.tcp(src_port=BEHIND)))
    with made.hosts["two"].outgoing.impaired(silent):
        for _ in range(2 * len(SERVERS)):
            _, name, _ = made.connect(patience)
            if name == "two":
                raise ExpectationFailed("dut: a client was joined to a server that answers nothing")


@AP06
@FARM
def test_the_dead_get_nobody_until_they_are_back(bench: Bench) -> None:
    made = farm(bench, "one", "three")
    counts = dict.fromkeys(SERVERS, 0)
    for _ in range(6):
        _, name, _ = made.connect()
        counts[name] += 1
    made.listen("two")
    bench.watch_for(Duration(RETRY * 3 // 2))
    for _ in range(CONNECTIONS):
        _, name, _ = made.connect()
        counts[name] += 1
    if not counts["two"]:
        raise ExpectationFailed(
            f"dut: {counts} connections went to the servers; two, which was back in time, got none"
        )


def expect_bytes(got: bytes, wanted: bytes, what: str) -> None:
    """What came is what was sent."""
    if got != wanted:
        at = next((i for i, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b), None)
        where = f"byte {at}" if at is not None else f"byte {min(len(got), len(wanted))}"
        raise ExpectationFailed(
            f"dut: {what}: {len(got)} bytes came, {len(wanted)} were sent; they part at {where}"
        )
