"""The simulated balancer: spreading, flows, the gate before them, and each of its faults."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Interface

import pytest
from appliance_rig import Rig

from testbed.sim.balancer import SimBalancer, defects
from testbed.sim.balancer.requests import Inspector, plain_path
from testbed.sim.balancer.servers import Backend, Scheduler
from testbed.stack.entropy import Entropy
from testbed.stack.lower import IcmpError
from testbed.stack.refusals import Refused
from testbed.stack.stack import Stack
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.listener import Listener
from testbed.stack.tcp.states import State
from testbed.stack.variants import Defect
from testbed.timing import Instant, milliseconds, seconds
from testbed.wire.ipv4 import IpProtocol, IPv4Packet

ALL = [value for value in vars(defects).values() if isinstance(value, Defect)]


class Farm(Rig):
    """A client on p1, and two servers."""

    def __init__(self, *found: Defect, lines: tuple[str, ...] = (), listening: int = 2) -> None:
        super().__init__(SimBalancer, 3, defects=found)
        places = [f"server {self.address(port, 2)} 8080" for port in (2, 3)]
        self.type("service port 80", *places, *lines)
        self.client = self.host(1)
        self.servers = [self.host(2), self.host(3)]
        self.listeners: list[Listener | None] = [None, None]
        for number in range(listening):
            self.listen(number)

    def listen(self, number: int) -> None:
        self.listeners[number] = self.servers[number].tcp.listen(8080, self.now)

    def open(self, source: IPv4Address | None = None) -> Connection:
        local = (source, 0) if source else None
        return self.client.tcp.connect((self.address(1), 80), self.now, local=local)

    def accept(self) -> tuple[int, Connection]:
        """The next connection at a server, and which server's it is."""
        ready = [each for each in self.listeners if each is not None and each.readable]
        assert ready, "no connection came to a server"
        made = ready[0].accept(self.now)
        assert made is not None
        return self.listeners.index(ready[0]), made

    def join_up(self) -> tuple[Connection, int, Connection]:
        mine = self.open()
        self.run(milliseconds(100))
        number, theirs = self.accept()
        return mine, number, theirs

    def exchange(self, data: bytes, here: Connection, there: Connection) -> bytes:
        assert here.send(data, self.now) == len(data)
        self.run(milliseconds(200))
        return there.receive(1 << 20, self.now) or b""


def test_connections_take_turns():
    farm = Farm()
    found = [farm.join_up()[1] for _ in range(6)]
    assert found == [0, 1, 0, 1, 0, 1]
    assert farm.show("show servers") == (
        "198.18.1.2 8080 up flows 3 total 3\n198.18.2.2 8080 up flows 3 total 3\n"
    )


def test_the_one_with_the_fewest_flows_is_chosen():
    one, two = Backend(IPv4Address(1), 1, flows=3), Backend(IPv4Address(2), 1, flows=1)
    least, turns = Scheduler("least-connections"), Scheduler("round-robin")
    assert [least.choose((one, two), [one, two]) for _ in range(3)] == [two, two, two]
    assert [turns.choose((one, two), [one, two]) for _ in range(3)] == [one, two, one]
    assert turns.choose((one, two), []) is None


@pytest.mark.parametrize("size", [1, 70_000, 400_000])
def test_streams_are_whole_and_ends_are_passed_on(size: int):
    farm = Farm()
    mine, _, theirs = farm.join_up()
    data = Entropy(size).octets(1000) * (size // 1000 + 1)
    for here, there in ((mine, theirs), (theirs, mine)):
        sent, got = 0, b""
        while len(got) < size:
            sent += here.send(data[sent:size], farm.now)
            farm.run(milliseconds(50))
            while part := there.receive(1 << 20, farm.now):
                got += part
        assert got == data[:size]
        here.shutdown(farm.now)
        farm.run(seconds(1))
        assert there.receive(1, farm.now) == b""
    farm.run(seconds(1))
    assert not farm.dut.flows
    assert farm.dut.backends[0].flows == 0


def test_a_reset_goes_through():
    farm = Farm()
    mine, _, theirs = farm.join_up()
    theirs.abort(farm.now)
    farm.run(seconds(1))
    with pytest.raises(Refused):
        mine.receive(1, farm.now)
    assert not farm.dut.flows


def test_a_slow_reader_holds_the_writer_back():
    farm = Farm()
    mine, _, theirs = farm.join_up()
    total = 0
    for _ in range(100):
        total += theirs.send(bytes(100_000), farm.now)
        farm.run(milliseconds(50))
    (flow,) = farm.dut.flows
    assert len(flow.client.waiting) <= 2 * 65536
    assert total < 4_000_000
    got = 0
    for _ in range(1000):
        got += len(mine.receive(1 << 20, farm.now) or b"")
        farm.run(milliseconds(50))
    assert got == total


def test_with_no_server_left_the_client_is_reset():
    farm = Farm(listening=0)
    mine = farm.open()
    farm.run(seconds(1))
    assert mine.error is not None
    assert "down" in farm.show("show servers")


def test_a_server_that_does_not_answer_is_passed_over():
    farm = Farm(lines=("connect 1",))
    line = farm._lines[id(farm.dut), "p2"]
    line.up = False
    mine = farm.open()
    farm.run(seconds(2))
    number, theirs = farm.accept()
    assert number == 1
    assert farm.exchange(b"hello", mine, theirs) == b"hello"


def test_silent_flows_end_when_their_time_is_over():
    farm = Farm(lines=("idle 30",))
    mine, _, _ = farm.join_up()
    farm.run(seconds(29))
    assert mine.state is State.ESTABLISHED
    farm.run(seconds(2))
    assert mine.error is not None


def test_the_limit_counts_new_connections_of_the_last_seconds():
    farm = Farm(lines=("limit 2 5 source",))
    made = [farm.open() for _ in range(4)]
    farm.run(milliseconds(200))
    assert [each.state for each in made].count(State.ESTABLISHED) == 2
    farm.run(seconds(8))
    assert [each.state for each in made].count(State.ESTABLISHED) == 4
    assert farm.show("show gate").endswith("connections over the limit\n")


def test_a_syn_that_comes_again_is_no_new_connection():
    farm = Farm(lines=("limit 2 60 source",))
    mine = farm.open()
    farm.run(milliseconds(100))
    syn = farm.frames(farm.client)[1]
    assert mine.state is State.ESTABLISHED
    for _ in range(5):
        farm.inject(farm.dut, syn.ljust(60, b"\0"), "p1")
    assert farm.open() is not None
    farm.run(milliseconds(100))
    assert len(farm.dut.flows) == 2


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/admin", b"/admin"),
        (b"/%61dm%69n", b"/admin"),
        (b"//admin//x/", b"/admin/x"),
        (b"/a/../admin/./b", b"/admin/b"),
        (b"/../../admin", b"/admin"),
        (b"http://host:80/admin?q", b"/admin"),
        (b"/admin?x=/y", b"/admin"),
        (b"/admin#z", b"/admin"),
        (b"*", b"/*"),
        (b"", b"/"),
    ],
)
def test_a_target_means_a_path(target: bytes, path: bytes):
    assert plain_path(target) == path


def test_requests_are_passed_on_one_by_one():
    inspector = Inspector(("/admin",))
    post = b"POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\n"
    assert inspector.add(post[:10]) == b""
    assert inspector.add(post[10:] + b"ab") == post + b"ab"
    assert inspector.add(b"cdGET /ad") == b"cd"
    assert inspector.add(b"ministration HTTP/1.1\r\n\r\nGET /admin HTTP/1.1\r\n\r\n") == (
        b"GET /administration HTTP/1.1\r\n\r\n"
    )
    assert inspector.refused is not None
    assert inspector.refused.startswith(b"HTTP/1.1 403 ")
    assert inspector.add(b"more") == b""


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"\x16\x03\x01 hello\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"501"),
        (b"GET / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 4000, b"400"),
    ],
)
def test_what_cannot_be_judged_is_refused(head: bytes, status: bytes):
    inspector = Inspector(("/admin",))
    inspector.add(head)
    assert inspector.refused is not None
    assert inspector.refused[9:12] == status


# Defects: what a tester would see


def hops(farm: Farm) -> object:
    mine, _, theirs = farm.join_up()
    try:
        return [farm.exchange(b"%d" % part, mine, theirs) for part in range(3)]
    except Refused:
        return "reset"


def all_to_one(farm: Farm) -> object:
    return [farm.join_up()[1] for _ in range(4)]


def dead(farm: Farm) -> object:
    farm.listeners[0].close(farm.now)
    farm.type("retry 5")
    made = [farm.open() for _ in range(4)]
    farm.run(seconds(1))
    states = [str(each.state) for each in made]
    farm.listen(0)
    farm.run(seconds(6))
    again = [farm.open() for _ in range(6)]
    farm.run(seconds(1))
    return states, [str(each.state) for each in again], farm.listeners[0].waiting


def idle(farm: Farm) -> object:
    mine, _, _ = farm.join_up()
    farm.run(seconds(20))
    return mine.state


class Mute:
    """A transport that answers nothing."""

    def receive(self, packet: IPv4Packet, now: Instant) -> None:
        pass

    def icmp_error(self, error: IcmpError, now: Instant) -> None:
        pass

    def accepts_frag_needed(self, error: IcmpError, now: Instant) -> bool:
        return False

    def path_mtu_changed(self, destination: IPv4Address, mtu: int, now: Instant) -> None:
        pass


def idle_for_long(farm: Farm) -> object:
    farm.type("idle 10")
    mine, _, _ = farm.join_up()
    farm.run(seconds(20))
    return mine.state


def silent(farm: Farm) -> object:
    muted = farm.servers[0]
    farm.listeners[0] = None
    muted.ip.register(IpProtocol.TCP, Mute())
    made = [farm.open() for _ in range(2)]
    farm.run(seconds(6))
    listener = farm.listeners[1]
    return [str(each.state) for each in made], listener and listener.waiting


def half(farm: Farm) -> object:
    mine, _, theirs = farm.join_up()
    mine.shutdown(farm.now)
    farm.run(milliseconds(200))
    try:
        theirs.send(b"late", farm.now)
        farm.run(milliseconds(200))
        return mine.receive(9, farm.now)
    except Refused:
        return "reset"


def address(farm: Farm) -> object:
    mine, _, theirs = farm.join_up()
    return farm.exchange(b"answer", theirs, mine)


def limit(farm: Farm) -> object:
    farm.type("limit 2 3 source")
    other = IPv4Address("198.18.0.9")
    farm.client.add_address("eth0", IPv4Interface((other, 24)), farm.now)
    found = []
    for source in (None, other, None):
        made = [farm.open(source) for _ in range(3)]
        farm.run(milliseconds(300))
        found.append([str(each.state) for each in made])
        for each in made:
            each.abort(farm.now)
        farm.run(seconds(3) if source else milliseconds(1))
    return found


def sources(farm: Farm) -> object:
    farm.type("deny source 198.18.0.8/31")
    first, last = IPv4Address("198.18.0.8"), IPv4Address("198.18.0.9")
    for each in (first, last):
        farm.client.add_address("eth0", IPv4Interface((each, 24)), farm.now)
    made = [farm.open(), farm.open(first), farm.open(last)]
    farm.run(milliseconds(300))
    return [str(each.state) for each in made]


def paths(farm: Farm) -> object:
    farm.type("deny path /admin")
    found = []
    for text in (b"GET /admin", b"POST /admin", b"GET /%61dmin", b"GET /"):
        mine = farm.open()
        farm.run(milliseconds(100))
        mine.send(text + b" HTTP/1.1\r\n\r\nGET /admin HTTP/1.1\r\n\r\n", farm.now)
        farm.run(milliseconds(200))
        waiting = [each for each in farm.listeners if each is not None and each.readable]
        found.append(waiting[0].accept(farm.now).receive(999, farm.now) if waiting else None)
    return found


TRICKS: dict[str, Callable[[Farm], object]] = {
    "flow hops servers": hops,
    "sends all to one server": all_to_one,
    "sends to a dead server": dead,
    "never takes a server back": dead,
    "forgets idle flows too early": idle,
    "keeps idle flows for ever": idle_for_long,
    "waits for a server that is silent": silent,
    "ends flows with the first FIN": half,
    "answers with the server's address": address,
    "ignores the rate limit": limit,
    "limits packets instead of connections": limit,
    "never lets its limit recover": limit,
    "counts all clients together": limit,
    "lets denied sources in": sources,
    "denies the neighbours too": sources,
    "lets denied paths pass": paths,
    "compares paths by the letter": paths,
    "looks at the first request only": paths,
    "looks at GET only": paths,
    "reads a prefix as one address": sources,
}


@pytest.mark.parametrize("defect", ALL, ids=lambda each: each.name)
def test_a_defect_does_what_its_name_says(defect: Defect):
    trick = TRICKS[defect.name]
    assert trick(Farm(defect)) != trick(Farm())


def test_every_trick_is_some_defects():
    assert {each.name for each in ALL} == set(TRICKS)
    assert all(each.behaviour == "AP-06" and each.story.endswith(".") for each in ALL)


def test_frames_of_nobodys_making_raise_nothing():
    farm = Farm(lines=("deny path /admin", "limit 5 1 all"))
    mine = farm.open()
    farm.run(milliseconds(100))
    mine.send(b"GET / HTTP/1.1\r\n\r\n", farm.now)
    farm.run(seconds(1))
    good = [frame.ljust(60, b"\0") for frame in farm.frames(farm.client)]
    entropy = Entropy(3)
    for count in range(3000):
        frame = bytearray(good[count % len(good)])
        for _ in range(entropy.between(1, 5)):
            frame[entropy.between(12, len(frame) - 1)] = entropy.below(256)
        farm.dut.receive(bytes(frame), farm.now, "p1")
        if not count % 100:
            farm.run(seconds(1))
    assert isinstance(farm.client, Stack)
