"""A router with several routes to a place shares them among flows, and does without a lost one.

Routes of one metric share: each flow keeps to one of them, in order, and every path gets its part
(RFC 2991 5, RFC 2992 1). When the link to a next hop is lost, or the next hop itself where the
router watches them, its flows go by the route that is left within ``failover`` (3 s) or
``dead_hop`` (8 s: an ARP entry of 1.5 s, and requests in vain), the others go on without a gap,
nothing comes twice, and the flows return when the path does (RFC 1812 5.2.4.3). Of routes
with unlike metrics the lowest is used alone, the next one in its absence.

The outage of a flow is the time from its last packet on the old path to its first on the new one;
the report has the longest of each plan.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    Instant,
    IPv4Packet,
    PointView,
    Topology,
    UdpDatagram,
    compose,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

MARK = b"IP-16 "
FAR = IPv4Network("203.0.113.0/24")
PATHS = ("b", "c")
MANY, FEW = 127, 31
"""Odd, and sent in another order each time: by turns is not the same path each time."""
ROUNDS = 6
STEP = milliseconds(20)
LONG_ENOUGH = milliseconds(200)
TABLE = "ip testbed_fault"


@dataclass(frozen=True, slots=True)
class Arrival:
    """A packet of a flow at the end of a path."""

    at: Instant
    path: str
    flow: int
    round: int


class Flows:
    """``count`` flows from a to far away, and where their packets come out.

    ``net[leaf]`` is the next hop at the end of each path. ``metrics`` are those of the routes.
    """

    def __init__(self, bench: Bench, count: int, metrics: tuple[int, int] = (0, 0)) -> None:
        self.bench = bench
        self.net = bench.bring_up_network()
        self.count = count
        self.sent = 0
        """How many packets of each flow were sent."""
        for path, metric in zip(PATHS, metrics, strict=True):
            bench.router("dut").add_route(FAR, self.net[path].ip, metric)

    def send(self) -> None:
        """One packet of each flow."""
        a = self.net["a"]
        for place in range(self.count):
            flow = (place + 3 * self.sent) % self.count
            packet = IPv4Packet(a.ip, FAR[flow + 1], ident=self.sent + 1)
            data = MARK + b"%03d %05d " % (flow, self.sent)
            datagram = UdpDatagram(40000 + flow, 50000 - flow, data)
            self.bench.nic("a").inject(
                compose(EthFrame(a.gateway_mac, a.mac), packet, datagram, pad=True)
            )
        self.sent += 1

    @contextmanager
    def flowing(self, every: Duration = STEP) -> Iterator[None]:
        """Packets of all flows all the time, one each ``every`` so long."""
        loop = self.bench.loop

        def tick() -> None:
            self.send()
            loop.call_at(Instant(loop.now() + every), tick, name=self)

        tick()
        try:
            yield
        finally:
            loop.cancel(self)

    def arrivals(self, seen: Capture) -> list[Arrival]:
        """What came out so far, by time."""
        found = [one for path in PATHS for one in arrived(seen.at(f"{path}--dut"), path)]
        return sorted(found, key=lambda one: one.at)

    def await_on(
        self, seen: Capture, path: str, flows: set[int], since: Instant, within: Duration
    ) -> None:
        """Wait until all ``flows`` were on ``path`` after ``since``; ExpectationFailed if not."""
        deadline = self.bench.loop.now() + within
        while True:
            view = seen.at(f"{path}--dut").after(since)
            missing = flows - {one.flow for one in arrived(view, path)}
            if not missing:
                return
            if self.bench.loop.now() >= deadline:
                raise ExpectationFailed(
                    f"{path}--dut: {len(missing)} of {len(flows)} flows did not come this way "
                    f"within {format_duration(within)}"
                )
            self.bench.watch_for(STEP)


def arrived(view: PointView, path: str) -> Iterator[Arrival]:
    """The plan's packets at one point."""
    for frame in view.all(match.containing(MARK)):
        start = frame.data.index(MARK) + len(MARK)
        flow, turn = frame.data[start : start + 9].split()
        yield Arrival(frame.at, path, int(flow), int(turn))


def users(arrivals: list[Arrival], path: str) -> set[int]:
    """The flows that took ``path``."""
    return {one.flow for one in arrivals if one.path == path}


def expect_shared(arrivals: list[Arrival], count: int, least: float) -> None:
    """Each path has its part of the flows, and no flow takes two."""
    shares = {path: users(arrivals, path) for path in PATHS}
    for path, flows in shares.items():
        if len(flows) < least * count:
            raise ExpectationFailed(
                f"{len(flows)} of {count} flows went by {path}, expected {round(least * count)} "
                "or more"
            )
    if both := shares["b"] & shares["c"]:
        raise ExpectationFailed(f"{len(both)} of {count} flows went by both paths, expected none")


def expect_once_in_order(arrivals: list[Arrival]) -> None:
    """No packet came twice, and on a path none overtook another of its flow."""
    times = Counter((one.flow, one.round) for one in arrivals)
    if twice := [key for key, count in times.items() if count > 1]:
        flow, turn = twice[0]
        raise ExpectationFailed(
            f"{len(twice)} packets came more than once, packet {turn} of flow {flow} for one"
        )
    latest: dict[tuple[str, int], int] = defaultdict(lambda: -1)
    for one in arrivals:
        if one.round < latest[one.path, one.flow]:
            raise ExpectationFailed(
                f"packet {one.round} of flow {one.flow} came after packet "
                f"{latest[one.path, one.flow]}, on {one.path}"
            )
        latest[one.path, one.flow] = one.round


def expect_undisturbed(arrivals: list[Arrival], staying: set[int], rounds: range) -> None:
    """The flows whose path was not lost went on by it, without a gap."""
    if strays := users(arrivals, "c") & staying:
        raise ExpectationFailed(f"{len(strays)} of {len(staying)} flows left b, which was not lost")
    expect_all(arrivals, staying, rounds)


def expect_all(arrivals: list[Arrival], flows: set[int], rounds: range) -> None:
    """Every packet of these flows came."""
    came = {(one.flow, one.round) for one in arrivals}
    lost = [(flow, turn) for flow in flows for turn in rounds if (flow, turn) not in came]
    if lost:
        raise ExpectationFailed(f"{len(lost)} packets lost of {len(flows)} flows that had a path")


def log_outage(bench: Bench, arrivals: list[Arrival], moved: set[int]) -> None:
    """The longest time that one of the flows took to move."""
    longest = Duration(0)
    for flow in moved:
        mine = [one for one in arrivals if one.flow == flow]
        first = next(one.at for one in mine if one.path == "b")
        last = max(one.at for one in mine if one.path == "c" and one.at < first)
        longest = max(longest, Duration(first - last))
    bench.log(f"{len(moved)} flows moved from c to b, outage {longest / 1e6:.1f} ms")


def by_table(*routes: str) -> Callable[[Bench], None]:
    """Routes that are asked before all others; ``{b}`` is the next hop at the end of path b."""

    def fault(bench: Bench) -> None:
        net = bench.bring_up_network()
        hops = {path: f"via {net[path].ip}" for path in PATHS}
        bench.sabotage("dut").run(
            *(f"ip route add {FAR} table 77 {route.format(**hops)}" for route in routes),
            "ip rule add pref 77 lookup 77",
            undo=(
                "ip rule del pref 77 2>/dev/null || true",
                "ip route flush table 77 2>/dev/null || true",
            ),
        )

    return fault


def by_turns(bench: Bench) -> None:
    """Each packet takes the other path than the one before it."""
    net = bench.bring_up_network()
    bench.sabotage("dut").run(
        f"nft add table {TABLE}",
        f"nft 'add chain {TABLE} fault {{ type filter hook prerouting priority -150; }}'",
        f"nft 'add rule {TABLE} fault ip daddr {FAR} meta mark set numgen inc mod 2'",
        *(
            f"ip route add {FAR} via {net[path].ip} table {77 + mark}; "
            f"ip rule add pref 77 fwmark {mark}/1 lookup {77 + mark}"
            for mark, path in enumerate(PATHS)
        ),
        undo=(
            f"nft delete table {TABLE} 2>/dev/null || true",
            "while ip rule del pref 77 2>/dev/null; do :; done",
            "ip route flush table 77 2>/dev/null; ip route flush table 78 2>/dev/null || true",
        ),
    )


def remembers(*rules: str, span: str = "1h") -> Callable[[Bench], None]:
    """A filter that knows for ``span`` which destinations it ``added`` to the set @known."""
    return faults.shell(
        f"nft add table {TABLE}",
        f"nft 'add set {TABLE} known {{{{ type ipv4_addr; flags dynamic,timeout; "
        f"timeout {span}; }}}}'",
        f"nft 'add chain {TABLE} fault {{{{ type filter hook postrouting priority 0; }}}}'",
        *(f"nft 'add rule {TABLE} fault ip daddr {FAR} {rule}'" for rule in rules),
        undo=(f"nft delete table {TABLE} 2>/dev/null || true",),
    )


NO_WAY_TO_B = (
    'oifname "{c}" update @known {{ ip daddr }}',
    'oifname "{b}" ip daddr @known drop',
)
NO_WAY_BACK = (
    'oifname "{b}" update @known {{ ip daddr }}',
    'oifname "{c}" ip daddr @known drop',
)


def copied_to(path: str) -> Callable[[Bench], None]:
    """What leaves by b is also sent by ``path``."""

    def fault(bench: Bench) -> None:
        hop = bench.bring_up_network()[path].ip
        faults.nft(
            "type filter hook forward priority 0;",
            f'oifname "{{b}}" ip daddr {FAR} dup to {hop} device "{{{path}}}"',
        )(bench)

    return fault


NOT_ON_B = "b--dut: [0-9]+ of [0-9]+ flows did not come this way within 3 s"
NOT_ON_C = "c--dut: [0-9]+ of [0-9]+ flows did not come this way within 3 s"
TOPOLOGY = Topology.star("dut:router", "a", "b", "c")


@pytest.mark.behaviour("IP-16", clause="RFC 2992 1")
@pytest.mark.topology(TOPOLOGY)
@drill("all flows on one path", by_table("{b}"), caught="0 of 127 flows went by c")
@drill("per-packet spraying", by_turns, caught="flows went by both paths")
@drill("sends by both", copied_to("c"), caught="flows went by both paths")
@drill("duplicates", copied_to("b"), caught="packets came more than once")
def test_flows_share_the_paths_and_each_keeps_to_its_own(bench: Bench) -> None:
    """Between routes of one metric the flows are shared: a quarter (``share``) each at least."""
    flows = Flows(bench, MANY)
    with bench.capture() as seen:
        for _ in range(ROUNDS):
            flows.send()
            seen.settle()
    arrivals = flows.arrivals(seen)
    expect_shared(arrivals, MANY, bench.tolerance("share", 0.25))
    expect_once_in_order(arrivals)
    expect_all(arrivals, set(range(MANY)), range(ROUNDS))
    came = {path: sum(one.path == path for one in arrivals) for path in PATHS}
    for path in PATHS:
        out = match.eth(src=flows.net.at("dut", f"{path}--dut").mac, dst=flows.net[path].mac)
        header = match.ipv4(src=flows.net["a"].ip, dst=str(FAR), ttl=63, bad_checksum=False)
        seen.at(f"{path}--dut").expect_count(
            out & header & match.udp(bad_checksum=False), came[path]
        )
    seen.at("a--dut").expect_none(match.containing(MARK))


@pytest.mark.behaviour("IP-16", clause="RFC 1812 5.2.4.3")
@pytest.mark.topology(TOPOLOGY)
@drill("never fails over", remembers(*NO_WAY_TO_B), caught=NOT_ON_B)
@drill("fails over late", remembers(*NO_WAY_TO_B, span="4s"), caught=NOT_ON_B)
@drill("never returns", remembers(*NO_WAY_BACK), caught=NOT_ON_C)
def test_flows_of_a_lost_link_take_the_other_and_return(bench: Bench) -> None:
    """A link that goes down takes no flow with it, and its flows return when it is up again."""
    flows = Flows(bench, FEW)
    with bench.capture() as seen, flows.flowing():
        bench.watch_for(LONG_ENOUGH)
        before = flows.arrivals(seen)
        expect_shared(before, FEW, 1 / FEW)
        moving, staying = users(before, "c"), users(before, "b")
        rounds = lose_and_return(flows, seen, moving)
    arrivals = flows.arrivals(seen)
    expect_once_in_order(arrivals)
    log_outage(bench, arrivals, moving)
    expect_undisturbed(arrivals, staying, rounds)


def lose_and_return(flows: Flows, seen: Capture, moving: set[int]) -> range:
    """The link to c goes down, and up again; which packets of each flow were sent before that."""
    bench, dut = flows.bench, flows.bench.router("dut")
    lost = bench.port("dut", toward="c")
    within = seconds(bench.tolerance("failover", 3))
    down = bench.loop.wall_now()
    dut.set_port_up(lost, up=False)
    flows.await_on(seen, "b", moving, down, within)
    bench.watch_for(LONG_ENOUGH)
    up, rounds = bench.loop.wall_now(), range(flows.sent - 1)
    dut.set_port_up(lost, up=True)
    dut.wait_port_up(lost, within=seconds(8))
    flows.await_on(seen, "c", moving, up, within)
    bench.watch_for(LONG_ENOUGH)
    return rounds


@pytest.mark.behaviour("IP-16", clause="RFC 1812 5.2.4.3")
@pytest.mark.topology(TOPOLOGY)
@drill("never fails over", remembers(*NO_WAY_TO_B), caught=NOT_ON_B)
@drill("never returns", remembers(*NO_WAY_BACK), caught=NOT_ON_C)
@drill(
    "ignores the metric",
    by_table("nexthop {b} nexthop {c}"),
    caught="flows went by b, which is the second choice",
)
def test_the_next_best_route_stands_in_for_a_lost_one(bench: Bench) -> None:
    """A route of a higher metric is used while the better one has no link, and then only."""
    flows, everyone = Flows(bench, FEW, metrics=(10, 1)), set(range(FEW))
    with bench.capture() as seen, flows.flowing():
        bench.watch_for(LONG_ENOUGH)
        if strays := users(flows.arrivals(seen), "b"):
            raise ExpectationFailed(
                f"{len(strays)} of {FEW} flows went by b, which is the second choice"
            )
        lose_and_return(flows, seen, everyone)
        back = bench.loop.wall_now()
        bench.watch_for(LONG_ENOUGH)
    arrivals = flows.arrivals(seen)
    expect_once_in_order(arrivals)
    log_outage(bench, arrivals, everyone)
    seen.at("b--dut").after(back).expect_none(match.containing(MARK))


@pytest.mark.behaviour("IP-16", clause="RFC 1122 3.3.1.4")
@pytest.mark.topology(TOPOLOGY)
@drill(
    "never notices a dead next hop",
    faults.repeatedly("sysctl -qw net.ipv4.fib_multipath_use_neigh=0", every=0.05),
    caught="b--dut: [0-9]+ of [0-9]+ flows did not come this way within 8 s",
)
@drill("never returns", remembers(*NO_WAY_BACK), caught=NOT_ON_C)
def test_flows_of_a_dead_next_hop_take_the_other_and_return(bench: Bench) -> None:
    """A next hop whose link stays up and that answers no ARP is passed over once it is noticed."""
    flows, dut = Flows(bench, FEW), bench.router("dut")
    station = flows.net.station("c")
    dut.set_arp_timeout(bench.port("dut", toward="c"), seconds(1))
    dut.flush_arp()  # an entry may be fresh for as long as was set when it was made
    dut.set_next_hop_tracking(on=True)
    with bench.capture() as seen, flows.flowing(milliseconds(100)):
        bench.watch_for(seconds(0.4))
        before = flows.arrivals(seen)
        expect_shared(before, FEW, 1 / FEW)
        moving, staying = users(before, "c"), users(before, "b")
        dead = bench.loop.wall_now()
        station.answer_arp = False
        flows.await_on(seen, "b", moving, dead, seconds(bench.tolerance("dead_hop", 8)))
        noticed = format_duration(Duration(bench.loop.wall_now() - dead))
        bench.log(f"flows moved {noticed} after their next hop fell silent")
        bench.watch_for(seconds(0.3))
        station.answer_arp = True
        alive, rounds = bench.loop.wall_now(), flows.sent - 1
        station.announce()
        flows.await_on(seen, "c", moving, alive, seconds(bench.tolerance("failover", 3)))
    arrivals = flows.arrivals(seen)
    expect_once_in_order(arrivals)
    expect_undisturbed(arrivals, staying, range(rounds))
