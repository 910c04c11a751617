"""A switch holds as many addresses as its data sheet states, and loses nothing once it is full.

RFC 2889 5.7: so many stations are announced on one port, then each is probed from another; a probe
that also comes out on a third port is flooded: its station is not held. The largest number without
flooding is sought, judged against the bench file's ``stated: {fdb_capacity: N}`` (addresses), of
which the tester's own stations are a part. Tolerance ``fdb_capacity``: the share of it that must be
held, 1 unless the bench file says less, as it must where the table is hashed. The stations'
addresses are random, as RFC 2889 3.6.2 asks: a table that looks at some bits only shows.

A full table (IEEE 802.1Q 8.8.6 leaves open which entry gives way) is no reason to lose a frame:
stations that are not held are flooded to, the others are reached through their port only, a station
that speaks all the while is not driven out by newcomers, and broadcasts go everywhere.
"""

import hashlib
import math

import pytest

from testbed import (
    Bench,
    Capture,
    Duration,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Topology,
    Unsupported,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

HOME = MacAddr("02:00:00:00:11:0b")  # at b: every station speaks to it, and it asks for them
CALLER = MacAddr("02:00:00:00:11:0c")  # at c, when the table is full
LEAVES = ("a", "b", "c")
OWN = 1 + len(LEAVES)  # HOME, and the NICs' addresses: the bench's own frames come from there
SAYS, ASKS, CALLS = b"SW-11 here", b"SW-11 where", b"SW-11 call"
SPARE = bytes(30)
EXPERIMENTAL = b"\x88\xb5"  # IEEE 802: local experimental ethertype 1
CHUNK = 100  # probes sent in a row: less than any port has buffers for
PACE = 1000  # stations a second where the bench file states no learning_rate
ANSWERED = 32  # one in so many announcements: HOME is no silent station
LINGER = milliseconds(100)  # how long a switch may take from forwarding a frame to its table
STEP = 64  # the search is as fine as this
BEYOND = 1.25  # how far above the stated capacity it goes
UNSTATED = 16_384  # how far where nothing is stated


def station(number: int) -> bytes:
    """The address of a station: random, but the same each time."""
    return b"\x02" + hashlib.shake_128(b"SW-11 %d" % number).digest(5)


def stated_capacity(bench: Bench) -> int:
    """How many stations the switch must hold beside the tester's own; Unsupported if unknown."""
    stated = bench.stated("dut", "fdb_capacity")
    if stated is None:
        raise Unsupported("the bench file states no fdb_capacity of this switch")
    return round(stated * bench.tolerance("fdb_capacity", 1.0)) - OWN


def empty(bench: Bench) -> None:
    """Forget all stations but HOME."""
    dut = bench.switch("dut")
    dut.flush_fdb()
    bench.nic("b").inject(EthFrame(dst=MacAddr.BROADCAST, src=HOME))
    dut.wait_learned(HOME, on=bench.port("dut", toward="b"), within=seconds(2))


def announce(bench: Bench, numbers: range) -> Capture:
    """Have these stations, all at a, speak to HOME, which hears each and answers now and then.

    No faster than the switch is stated to learn: this is not about how fast it does.
    """
    rate = bench.stated("dut", "learning_rate") or PACE
    with bench.capture() as seen:
        start = bench.loop.now()
        for count, number in enumerate(numbers):
            due = start + math.ceil(count * seconds(1) / rate)
            if due > bench.loop.now():
                bench.watch_for(Duration(due - bench.loop.now()))
            bench.nic("a").inject(HOME.packed + station(number) + EXPERIMENTAL + SAYS + SPARE)
            if count % ANSWERED == 0:
                # No more at once than any port has buffers for: HOME has heard this one.
                heard = match.eth(src=MacAddr(station(number)))
                seen.wait_for("b--dut", heard, within=seconds(5))
                answer = station(number) + HOME.packed + EXPERIMENTAL + b"yes" + SPARE * 2
                bench.nic("b").inject(answer)
        bench.watch_for(LINGER)
    seen.at("b--dut").expect_count(match.containing(SAYS), len(numbers))
    return seen


def flooded(bench: Bench, numbers: range) -> int:
    """To how many of these stations frames are flooded; each frame arrives once in any case."""
    with bench.capture() as seen:
        for first in range(numbers.start, numbers.stop, CHUNK):
            frames = [
                station(number) + HOME.packed + EXPERIMENTAL + ASKS + SPARE
                for number in range(first, min(first + CHUNK, numbers.stop))
            ]
            bench.nic("b").inject(*frames)
            seen.settle()
    arrived = seen.at("a--dut").expect_count(match.containing(ASKS), len(numbers))
    if len({frame.data[:6] for frame in arrived}) != len(numbers):
        raise ExpectationFailed(f"{len(numbers)} frames came at a, but not one to each station")
    elsewhere = len(seen.at("c--dut").all(match.containing(ASKS)))
    if not elsewhere:
        seen.at("c--dut").expect_none(match.containing(ASKS))  # it counts if nothing was missed
    return elsewhere


def holds(bench: Bench, count: int, first: int = 0) -> bool:
    """Whether so many stations, from this one on, announced to an empty table, are all held."""
    numbers = range(first, first + count)
    empty(bench)
    announce(bench, numbers)
    return not flooded(bench, numbers)


def largest_below(bench: Bench, failed: int) -> int:
    """The largest number that is held, below one that is not, to within STEP."""
    held, first = 0, failed
    while failed - held > STEP:
        middle = (held + failed) // 2
        first += middle  # others each time: what a switch remembers of the last ones says nothing
        if holds(bench, middle, first):
            held = middle
        else:
            failed = middle
    return held


def measured(bench: Bench, addresses: int, remark: str) -> None:
    """Leave the capacity that was found among the benchmarks of the report."""
    stated = bench.stated("dut", "fdb_capacity")
    name, clause = "Address caching capacity", "RFC 2889 5.7"
    bench.measured("dut", name, clause, addresses=addresses, stated=stated, remark=remark)


def largest_above(bench: Bench, held: int, limit: int) -> str:
    """How many are held in all, where ``held`` of them are now; it is measured, and told."""
    step = STEP
    while held < limit:
        more = min(held + step, limit)
        announce(bench, range(held, more))
        lost = flooded(bench, range(more))
        if lost:
            measured(bench, more - lost + OWN, "one more is flooded")
            return f"holds {more - lost + OWN} addresses when {more + OWN} have spoken"
        held, step = more, step * 2
    measured(bench, held + OWN, "no more were tried")
    return f"holds {held + OWN} addresses at least"


@pytest.mark.behaviour("SW-11", clause="RFC 2889 5.7")
@pytest.mark.topology(Topology.star("dut", *LEAVES))
@drill(
    "capacity below the stated one",
    {
        "openvswitch": faults.shell(
            "ovs-vsctl set bridge {bridge} 'other_config:mac-table-size=\"2048\"'",
            undo=("ovs-vsctl remove bridge {bridge} other_config mac-table-size",),
        ),
        "linux_bridge": faults.repeatedly("ip link set {bridge} type bridge fdb_flush", every=0.05),
    },
    caught="addresses are held, stated are",
)
@drill(
    "takes stations for each other",
    {
        "openvswitch": faults.ovs_flow(
            "in_port={a},dl_src=00:00:00:00:00:03/00:00:00:00:00:1f", "output:{b}"
        ),
        "linux_bridge": faults.bridge_port("learning", "off", "a"),
    },
    caught="addresses are held, stated are",
)
def test_table_holds_as_many_addresses_as_stated(bench: Bench) -> None:
    """The largest number of stations without flooding is not below what is stated."""
    name = bench.switch("dut").name
    if bench.stated("dut", "fdb_capacity") is None:
        empty(bench)
        found = largest_above(bench, 0, UNSTATED)
        bench.log(f"{name} {found}")
        raise Unsupported(f"the bench file states no fdb_capacity to judge by; it {found}")
    wanted = stated_capacity(bench)
    if not holds(bench, wanted):
        most = largest_below(bench, wanted) + OWN
        measured(bench, most, f"to within {STEP}")
        raise ExpectationFailed(
            f"{name}: {most} addresses are held, stated are {wanted + OWN}: frames to some "
            f"of {wanted + OWN} stations that spoke are flooded"
        )
    bench.log(f"{name} {largest_above(bench, wanted, round(wanted * BEYOND))}")


@pytest.mark.behaviour("SW-11", clause="802.1Q 8.8")
@pytest.mark.topology(Topology.star("dut", *LEAVES))
@drill(
    "stops broadcasting",
    {
        "openvswitch": faults.ovs_flow(f"dl_src={CALLER},dl_dst=ff:ff:ff:ff:ff:ff", "drop"),
        "linux_bridge": faults.nft(
            "type filter hook forward priority 0;",
            f"ether saddr {CALLER} ether daddr ff:ff:ff:ff:ff:ff drop",
            family="bridge",
        ),
    },
    caught="expect 1 of",
)
@drill(
    "loses what it cannot learn",
    {
        "openvswitch": faults.ovs_flow(f"dl_src={HOME},dl_dst={MacAddr(station(5000))}", "drop"),
        "linux_bridge": faults.nft(
            "type filter hook forward priority 0;",
            f"ether saddr {HOME} ether daddr {MacAddr(station(4000))} drop",
            family="bridge",
        ),
    },
    caught="a--dut: expect",
)
@drill(
    "floods known unicast",
    {"openvswitch": faults.ovs_flow(f"dl_dst={HOME},dl_src={CALLER}", "flood")},
    caught="expect none",
)
@drill(
    "has no room after a clear",
    {
        "openvswitch": faults.ovs_flow(
            f"in_port={{a}},dl_src={MacAddr(station(1_000_000))}", "output:{b}"
        ),
        "linux_bridge": faults.bridge_port("learning", "off", "a"),
    },
    caught="after a clear",
)
def test_full_table_loses_nothing(bench: Bench) -> None:
    """More stations than fit: all are reached, broadcasts pass, and a clear makes room again.

    One that moves is found at its new port.
    """
    count = stated_capacity(bench) + STEP
    empty(bench)
    filling = announce(bench, range(count))
    filling.at("c--dut").expect_none(match.containing(SAYS))  # HOME is known throughout
    lost = flooded(bench, range(count))
    bench.log(f"frames to {lost} of {count} stations are flooded")

    call = EthFrame(MacAddr.BROADCAST, CALLER, payload=CALLS + b" all")
    to_home = EthFrame(HOME, CALLER, payload=CALLS + b" home")
    with bench.capture() as seen:
        bench.nic("c").inject(call, to_home)
        bench.watch_for(LINGER)
    for leaf in ("a", "b"):
        seen.at(f"{leaf}--dut").expect_count(match.raw(call.emit(pad=True)), 1)
    seen.at("b--dut").expect_count(match.raw(to_home.emit(pad=True)), 1)
    seen.at("a--dut").expect_none(match.raw(to_home.emit(pad=True)))

    moved = EthFrame(HOME, MacAddr(station(0)), payload=CALLS + b" moved")
    with bench.capture() as seen:
        bench.nic("c").inject(EthFrame(MacAddr.BROADCAST, HOME))
        seen.settle()
        bench.watch_for(LINGER)
        bench.nic("a").inject(moved)
        bench.watch_for(LINGER)
    seen.at("c--dut").expect_count(match.raw(moved.emit(pad=True)), 1)
    seen.at("b--dut").expect_none(match.raw(moved.emit(pad=True)))

    empty(bench)
    newcomers = range(1_000_000, 1_000_000 + STEP)
    announce(bench, newcomers)
    if again := flooded(bench, newcomers):
        raise ExpectationFailed(
            f"{bench.switch('dut').name}: after a clear of its full table, frames to {again} of "
            f"{STEP} stations that spoke are flooded"
        )
