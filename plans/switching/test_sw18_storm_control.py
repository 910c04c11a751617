"""Storm control holds the broadcasts that enter a port to its ceiling, and harms nothing else.

Above the ceiling the excess is lost: once the first second is over, in which a switch may let a
burst pass, as many leave the switch as the ceiling says (tolerance ``storm``, a share: 0.1).
Unicast and multicast of the same port, and the broadcasts of other ports, whose ceilings are their
own, lose nothing; nor do broadcasts below the ceiling. Without a ceiling all pass, before one was
set and after; after a storm the port takes broadcasts again.
"""

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest

from testbed import (
    Bench,
    Duration,
    EthFrame,
    Instant,
    MacAddr,
    PointView,
    Topology,
    VlanTag,
    drill,
    faults,
    match,
    milliseconds,
    seconds,
)

STORMER = MacAddr("02:00:00:00:18:0a")  # at a
HOME = MacAddr("02:00:00:00:18:0b")  # at b
OTHER = MacAddr("02:00:00:00:18:0c")  # at c
UNKNOWN = MacAddr("02:00:00:00:18:99")
GROUP = MacAddr("03:00:00:00:18:01")
STORM, CALM = b"SW-18 storm", b"SW-18 calm"
UNICAST, FLOODED = b"SW-18 unicast", b"SW-18 flooded"
CEILING = 200  # broadcasts per second
ABOVE, BELOW = 5 * CEILING, CEILING * 3 // 4
BURST = 2 * CEILING  # frames at once
CHUNK = 50  # frames sent in a row: less than any port has buffers for
ARP = 0x0806
START, END = seconds(1), seconds(3)  # of the storm, what is judged
RECOVERY = seconds(1.5)  # after this long without broadcasts, a port takes them again
STALL = milliseconds(20)  # a tester that is silent for longer does not storm meanwhile
LINGER = milliseconds(100)  # a copy that comes late is a copy

Sent = tuple[Duration, str, EthFrame]
"""When a frame is sent, counted from the start, by which NIC, and the frame."""


def at_rate(rate: int, until: Duration, leaf: str, *frames: EthFrame) -> list[Sent]:
    """These frames in turn, again and again, at an even pace."""
    return [
        (Duration(number * seconds(1) // rate), leaf, frames[number % len(frames)])
        for number in range(until * rate // seconds(1))
    ]


def play(bench: Bench, score: Iterable[Sent]) -> Instant:
    """Send each frame at its time, or as soon after as can be; returns when it began.

    A tester that was held up stays late: what it did not send meanwhile would come as a burst.
    """
    began, start, late = bench.loop.wall_now(), bench.loop.now(), Duration(0)
    for at, leaf, frame in sorted(score, key=lambda sent: sent[0]):
        due = start + at + late
        now = bench.loop.now()
        if due > now:
            bench.watch_for(Duration(due - now))
        elif now - due > STALL:
            late = Duration(late + now - due)
        bench.nic(leaf).inject(frame)
    return began


def introduce(bench: Bench) -> None:
    """Have each station learned where it is."""
    dut = bench.switch("dut")
    dut.flush_fdb()
    for leaf, station in (("a", STORMER), ("b", HOME), ("c", OTHER)):
        bench.nic(leaf).inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
        dut.wait_learned(station, on=bench.port("dut", toward=leaf), within=seconds(2))


def broadcast(text: bytes) -> EthFrame:
    """A broadcast of STORMER."""
    return EthFrame(MacAddr.BROADCAST, STORMER, payload=text)


def send_burst(bench: Bench, frame: EthFrame, count: int, settle: Callable[[], None]) -> None:
    """Send ``frame`` from a so many times, as fast as ports have buffers for."""
    for first in range(0, count, CHUNK):
        bench.nic("a").inject(*[frame] * min(CHUNK, count - first))
        settle()


def silent(storm: PointView) -> Duration:
    """For how long in all a tester who should have stormed did not."""
    times = [frame.at for frame in storm.all(match.containing(STORM))]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    return Duration(sum(gap for gap in gaps if gap > STALL))


def meter_of(leaf: str) -> str:
    """The number of the OpenFlow meter of a port, for a shell."""
    return f"$(ovs-vsctl get interface {{{leaf}}} ofport)"


@pytest.mark.behaviour("SW-18")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "no ceiling",
    {"openvswitch": faults.ovs_flow("dl_dst=ff:ff:ff:ff:ff:ff", "normal")},
    caught="--dut: expect [0-9]+ to",
)
@drill(
    "twice the ceiling",
    {
        "openvswitch": faults.repeatedly(
            f"ovs-ofctl -O OpenFlow13 mod-meter {{bridge}} meter={meter_of('a')},pktps,burst,"
            f"band=type=drop,rate={2 * CEILING},burst_size={CEILING}",
            every=0.3,
        )
    },
    caught="--dut: expect [0-9]+ to",
)
@drill(
    "lets no broadcast in",
    {"openvswitch": faults.ovs_flow(f"dl_src={STORMER},dl_dst=ff:ff:ff:ff:ff:ff", "drop")},
    caught="did not learn|--dut: expect [0-9]+ to",
)
@drill(
    "ceiling for unicast too",
    {
        "openvswitch": faults.shell(
            "ovs-ofctl -O OpenFlow13 add-meter {bridge} meter=99,pktps,burst,band=type=drop,"
            f"rate={CEILING},burst_size={CEILING}",
            f"ovs-ofctl -O OpenFlow13 add-flow {{bridge}} 'priority=900,dl_dst={HOME},"
            "actions=meter:99,normal'",
            undo=("ovs-ofctl -O OpenFlow13 del-meter {bridge} meter=99",),
        )
    },
    caught=f"b--dut: expect {BURST}",
)
@drill(
    "loses another port's broadcasts",
    {"openvswitch": faults.ovs_flow("in_port={c},dl_dst=ff:ff:ff:ff:ff:ff,dl_type=0x88b6", "drop")},
    caught="--dut: expect",
)
def test_broadcasts_stay_at_the_ceiling(bench: Bench) -> None:
    """A storm of five times the ceiling is cut down to it; unicast and other ports lose nothing."""
    dut = bench.switch("dut")
    introduce(bench)
    for leaf in ("a", "c"):
        for ceiling in (2 * CEILING, CEILING):  # the last word counts
            dut.set_storm_control(bench.port("dut", toward=leaf), ceiling)
    # Some have a tag that tells a priority only: broadcasts all the same.
    # Or are of ARP, or long.
    storms = (
        broadcast(STORM),
        replace(broadcast(STORM), tags=(VlanTag(vid=0, pcp=5),)),
        replace(broadcast(STORM), ethertype=ARP),
        broadcast(STORM * 100),
    )
    other = EthFrame(MacAddr.BROADCAST, OTHER, 0x88B6, CALM)
    call = EthFrame(HOME, STORMER, payload=UNICAST)
    storm = at_rate(ABOVE, END, "a", *storms)
    calm = at_rate(BELOW, END, "c", other)
    calls = at_rate(BELOW, END, "a", call)
    with bench.capture() as seen:
        began = play(bench, [*storm, *calm, *calls])
        bench.watch_for(RECOVERY)

    start, end = Instant(began + START), Instant(began + END)
    stalled = silent(seen.at("a--dut").sent.after(start).before(end)) / (END - START)
    wanted = CEILING * (END - START) / seconds(1)
    slack = bench.tolerance("storm", 0.1)
    bounds = range(round(wanted * (1 - slack - stalled)), round(wanted * (1 + slack)) + 1)
    for leaf in ("b", "c"):
        seen.at(f"{leaf}--dut").after(start).before(end).expect_count(
            match.containing(STORM), bounds
        )
    for leaf in ("a", "b"):
        seen.at(f"{leaf}--dut").expect_count(match.containing(CALM), len(calm))
    seen.at("b--dut").expect_count(match.containing(UNICAST), len(calls))
    expect_burst(bench, call, "b")
    for dst in (GROUP, UNKNOWN):
        expect_burst(bench, EthFrame(dst, STORMER, payload=FLOODED), "b", "c")


@pytest.mark.behaviour("SW-18")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "half the ceiling",
    {
        "openvswitch": faults.repeatedly(
            f"ovs-ofctl -O OpenFlow13 mod-meter {{bridge}} meter={meter_of('a')},pktps,burst,"
            f"band=type=drop,rate={CEILING // 2},burst_size=1",
            every=0.3,
        )
    },
    caught="--dut: expect",
)
def test_below_the_ceiling_nothing_is_lost(bench: Bench) -> None:
    """Broadcasts at three quarters of the ceiling all pass, everywhere."""
    introduce(bench)
    for ceiling in (CEILING // 2, CEILING):  # the last word counts
        bench.switch("dut").set_storm_control(bench.port("dut", toward="a"), ceiling)
    score = at_rate(BELOW, END, "a", broadcast(CALM))
    with bench.capture() as seen:
        play(bench, score)
        bench.watch_for(LINGER)
    for leaf in ("b", "c"):
        seen.at(f"{leaf}--dut").expect_count(match.containing(CALM), len(score))


@pytest.mark.behaviour("SW-18")
@pytest.mark.topology(Topology.star("dut", "a", "b", "c"))
@drill(
    "on by default",
    {
        "openvswitch": faults.shell(
            "ovs-ofctl -O OpenFlow13 add-meter {bridge} meter=99,pktps,burst,band=type=drop,"
            f"rate={CEILING},burst_size={CEILING}",
            "ovs-ofctl -O OpenFlow13 add-flow {bridge} 'priority=900,dl_src="
            f"{STORMER},dl_dst=ff:ff:ff:ff:ff:ff,actions=meter:99,normal'",
            undo=("ovs-ofctl -O OpenFlow13 del-meter {bridge} meter=99",),
        )
    },
    caught=f"--dut: expect {BURST}",
)
def test_without_a_ceiling_all_pass_and_after_a_storm_again(bench: Bench) -> None:
    """All pass before one is set, some again after a storm, all again once it is taken away."""
    dut, port = bench.switch("dut"), bench.port("dut", toward="a")
    introduce(bench)
    calm, storm = broadcast(CALM), broadcast(STORM)
    expect_burst(bench, calm, "b", "c")

    dut.set_storm_control(port, CEILING)
    play(bench, at_rate(ABOVE, START, "a", storm))
    bench.watch_for(RECOVERY)
    after = at_rate(BELOW, START, "a", calm)
    with bench.capture() as seen:
        play(bench, after)
        bench.watch_for(LINGER)
    for leaf in ("b", "c"):
        seen.at(f"{leaf}--dut").expect_count(match.containing(CALM), len(after))

    dut.set_storm_control(port, None)
    expect_burst(bench, calm, "b", "c")


def expect_burst(bench: Bench, frame: EthFrame, *leaves: str) -> None:
    """A burst of a frame from a comes out at these leaves, all of it."""
    with bench.capture() as seen:
        send_burst(bench, frame, BURST, seen.settle)
        bench.watch_for(LINGER)
    for leaf in leaves:
        seen.at(f"{leaf}--dut").expect_count(match.raw(frame.emit(pad=True)), BURST)
