"""A switch learns every address that comes at the rate which its data sheet states.

RFC 2889 5.8: new stations speak on one port at a steady rate; then each is probed from another
port, and a probe that also comes out on a third port is flooded: its station was not learned. The
highest rate at which all are learned is sought, and judged against the bench file's
``stated: {learning_rate: N}`` (addresses per second; tolerance ``learning_rate``: the share of it
that must be reached, 1 unless the bench file says less). Stations that come faster still are no
reason to learn fewer than at that rate.
"""

import hashlib

import pytest

from testbed import (
    Bench,
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

HOME = MacAddr("02:00:00:00:12:0b")  # at b: every station speaks to it, and it asks for them
SAYS, ASKS = b"SW-12 here", b"SW-12 where"
SPARE = bytes(30)
EXPERIMENTAL = b"\x88\xb5"  # IEEE 802: local experimental ethertype 1
CHUNK = 100  # probes sent in a row: less than any port has buffers for
LINGER = milliseconds(100)  # how long a switch may take from forwarding a frame to its table
MOST = 1000  # stations of one trial: a second's worth, or as many as this
TRIALS = 3  # at the stated rate, unless the first is good
HALVINGS = 2  # how finely the rate is sought: to a quarter of the span in which it is
DOUBLINGS = 3  # how far above the stated rate, and below it
OVERLOADED = 0.8  # the share of the stated rate that is kept when addresses come faster
ON_TIME = 0.9  # a tester that keeps less than this share of a rate does not offer it


def crowd(rate: int, attempt: int, count: int) -> list[bytes]:
    """The addresses of a trial's stations: random, the same each time, and no other trial's.

    What a switch remembers of a station beyond its table says nothing about another.
    """
    seed = f"SW-12 {rate} {attempt}"
    return [
        b"\x02" + hashlib.shake_128(f"{seed} {number}".encode()).digest(5)
        for number in range(count)
    ]


def announce(bench: Bench, rate: int, stations: list[bytes]) -> float:
    """Have stations at a speak to HOME at this rate; returns the rate as it was."""
    nic, loop = bench.nic("a"), bench.loop
    with bench.capture():
        start = loop.now()
        for number, station in enumerate(stations):
            due = start + -(-number * seconds(1) // rate)  # rounded up: never faster
            if due > loop.now():
                bench.watch_for(Duration(due - loop.now()))
            nic.inject(HOME.packed + station + EXPERIMENTAL + SAYS + SPARE)
        took = loop.now() - start
        bench.watch_for(LINGER)
    return (len(stations) - 1) * seconds(1) / took if took else float(rate)


def flooded(bench: Bench, stations: list[bytes]) -> int:
    """To how many of the stations frames are flooded; each frame arrives once in any case."""
    with bench.capture() as seen:
        for first in range(0, len(stations), CHUNK):
            frames = [
                station + HOME.packed + EXPERIMENTAL + ASKS + SPARE
                for station in stations[first : first + CHUNK]
            ]
            bench.nic("b").inject(*frames)
            seen.settle()
    seen.at("a--dut").expect_count(match.containing(ASKS), len(stations))
    elsewhere = len(seen.at("c--dut").all(match.containing(ASKS)))
    if not elsewhere:
        seen.at("c--dut").expect_none(match.containing(ASKS))  # it counts if nothing was missed
    return elsewhere


def missed(bench: Bench, rate: int, stated: int, attempt: int = 0) -> tuple[int, int] | None:
    """Of how many stations that spoke at this rate how many were missed; None: not that fast.

    However fast they come, as many as are stated are learned in the time.
    """
    dut = bench.switch("dut")
    count = max(2, min(MOST, rate))
    stations = crowd(rate, attempt, count)
    dut.flush_fdb()
    bench.nic("b").inject(EthFrame(dst=MacAddr.BROADCAST, src=HOME))
    dut.wait_learned(HOME, on=bench.port("dut", toward="b"), within=seconds(2))
    if announce(bench, rate, stations) < rate * ON_TIME:
        return None
    lost = flooded(bench, stations)
    if rate > stated and count - lost < OVERLOADED * count * stated / rate:
        raise ExpectationFailed(
            f"{dut.name}: {lost} of {count} addresses were not learned when they came at {rate} "
            f"per second: the stated {stated} per second are not kept under overload"
        )
    return lost, count


def highest(bench: Bench, stated: int, good: int, bad: int | None) -> int:
    """The highest rate at which all are learned, from one that is good to one that is not.

    Without a bad one yet, higher rates are tried.
    """
    while bad is None and good < stated << DOUBLINGS:
        trial = missed(bench, good * 2, stated)
        if trial is None:
            return good
        if trial[0]:
            bad = good * 2
        else:
            good *= 2
    for _ in range(HALVINGS if bad else 0):
        middle = (good + (bad or good)) // 2
        trial = missed(bench, middle, stated)
        if trial is not None and not trial[0]:
            good = middle
        else:
            bad = middle
    return good


def measured(bench: Bench, rate: int) -> None:
    """Leave the rate that was found among the benchmarks of the report."""
    stated = bench.stated("dut", "learning_rate")
    name, clause = "Address learning rate", "RFC 2889 5.8"
    bench.measured("dut", name, clause, addresses_per_second=rate, stated=stated)


def best_of(bench: Bench, rate: int) -> tuple[int, int] | None:
    """The best of some trials at the stated rate: a software switch may be held up in one."""
    best = None
    for attempt in range(TRIALS):
        trial = missed(bench, rate, rate, attempt)
        if trial is not None and (best is None or trial < best):
            best = trial
        if best is not None and not best[0]:
            break
    return best


@pytest.mark.behaviour("SW-12", clause="RFC 2889 5.8")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "loses addresses above a rate",
    {
        "openvswitch": faults.repeatedly("ovs-appctl fdb/flush", every=0.3),
        "linux_bridge": faults.repeatedly("ip link set {bridge} type bridge fdb_flush", every=0.3),
    },
    caught="were not learned|did not learn",
)
@drill(
    "loses one address in sixteen",
    {
        "openvswitch": faults.ovs_flow(
            "in_port={a},dl_src=00:00:00:00:00:03/00:00:00:00:00:0f", "output:{b}"
        ),
    },
    caught="were not learned",
)
@drill(
    "learns none at the port",
    {"linux_bridge": faults.bridge_port("learning", "off", "a")},
    caught="were not learned",
)
def test_every_address_is_learned_at_the_stated_rate(bench: Bench) -> None:
    """All stations that speak at the stated rate are learned, and how much faster they may."""
    name = bench.switch("dut").name
    stated = bench.stated("dut", "learning_rate")
    if not stated:
        raise Unsupported("the bench file states no learning_rate of this switch")
    wanted = max(1, round(stated * bench.tolerance("learning_rate", 1.0)))
    trial = best_of(bench, wanted)
    if trial is None:
        raise Unsupported(f"this tester cannot send {wanted} frames per second at an even pace")
    lost, count = trial
    if lost:
        below = highest(bench, wanted, max(1, wanted >> DOUBLINGS), wanted)
        measured(bench, below)
        raise ExpectationFailed(
            f"{name}: {lost} of {count} addresses were not learned at the stated {wanted} per "
            f"second: frames to them flood; tried again from below, {below} per second were learned"
        )
    best = highest(bench, wanted, wanted, None)
    measured(bench, best)
    bench.log(f"{name} learns {best} addresses per second, stated are {wanted}")
