"""Frames of a flow stay in order, each arrives once, and how long a switch takes is logged.

IEEE 802.1Q 6.5.3: a bridge neither reorders nor duplicates the frames of one priority between two
stations; a switch stores and forwards between links of unlike speed or MTU, and has room for a
burst. Every leaf sends bursts to every other, in turn, long and short frames mixed, and each flow
is numbered. Latency (RFC 2544 26.2, RFC 1242 3.8) is measured one frame at a time; least, mean and
most are in the log. The least is judged (tolerance ``latency``, milliseconds: 10 unless the bench
file says else), for no switch holds a frame that long which finds its port free.
"""

import itertools
import statistics

import pytest

from testbed import (
    Bench,
    Duration,
    EthFrame,
    ExpectationFailed,
    MacAddr,
    Topology,
    TracedFrame,
    drill,
    faults,
    format_duration,
    match,
    milliseconds,
    seconds,
)

LEAVES = ("a", "b", "c", "d")
STATIONS = {leaf: MacAddr(f"02:00:00:00:20:0{leaf}") for leaf in LEAVES}
FLOWS = tuple(itertools.permutations(LEAVES, 2))
MARK, TIMED = b"SW-20 flow", b"SW-20 timed"
LENGTHS = (1514, 60, 700, 60, 1514, 128)  # long and short in turn, without FCS
ROUNDS = 4
BURST = 12  # frames of one flow in a row: a switch has room for that
TRIALS = 20  # RFC 2544 26.2: "The test MUST be repeated at least 20 times"
SIZES = (64, 512, 1518)  # RFC 2544 9.1, with FCS
HEADER, FCS = 14, 4
LATENCY = 10.0  # milliseconds
LINGER = milliseconds(100)  # a copy that comes late is a copy
NEAR, FAR = STATIONS["a"], STATIONS["b"]

# Between two ports, frames from one station to another pass in pairs, the second one first.
SWAP = f"""
import socket, sys
ALL = 3
taken = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
taken.bind((sys.argv[1], ALL))
given = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL))
given.bind((sys.argv[2], 0))
ends = bytes.fromhex("{FAR}{NEAR}".replace(":", ""))
print("swapping", flush=True)
held = []
while True:
    data, where = taken.recvfrom(65536)
    if where[2] != 4 and data[:12] == ends:
        held.append(data)
        if len(held) == 2:
            given.send(held[1])
            given.send(held[0])
            held = []
"""


def numbered(bench: Bench, source: str, target: str, number: int) -> bytes:
    """A frame of a flow, as long as both its ends allow at most."""
    head = EthFrame(STATIONS[target], STATIONS[source], payload=MARK + number.to_bytes(4, "big"))
    mtu = min(bench.nic(source).mtu, bench.nic(target).mtu)
    length = min(LENGTHS[number % len(LENGTHS)], HEADER + mtu)
    return head.emit().ljust(length, bytes([number & 0xFF]))


def number_of(frame: TracedFrame) -> int:
    """The number of a frame of a flow."""
    start = HEADER + len(MARK)
    return int.from_bytes(frame.data[start : start + 4], "big")


def introduce(bench: Bench) -> None:
    """Have every station learned where it is."""
    dut = bench.switch("dut")
    dut.flush_fdb()
    for leaf, station in STATIONS.items():
        bench.nic(leaf).inject(EthFrame(dst=MacAddr.BROADCAST, src=station))
        dut.wait_learned(station, on=bench.port("dut", toward=leaf), within=seconds(2))


def expect_in_order(source: str, target: str, came: list[int], count: int) -> None:
    """The numbers of a flow came each once, and rising."""
    flow = f"{target}--dut: the flow from {source}"
    if lost := sorted(set(range(count)) - set(came)):
        raise ExpectationFailed(f"{flow} lost {len(lost)} of {count} frames: {_some(lost)}")
    if len(came) > count:
        twice = sorted(number for number in set(came) if came.count(number) > 1)
        raise ExpectationFailed(f"{flow} has frames more than once: {_some(twice)}")
    if late := [after for before, after in itertools.pairwise(came) if after < before]:
        raise ExpectationFailed(
            f"{flow} is out of order: later than a later one came {_some(late)}"
        )


def _some(numbers: list[int]) -> str:
    shown = ", ".join(f"#{number}" for number in numbers[:8])
    return f"{shown}, ..." if len(numbers) > 8 else shown


@pytest.mark.behaviour("SW-20", clause="802.1Q 6.5.3")
@pytest.mark.topology(Topology.star("dut", *LEAVES))
@drill(
    "reorders",
    {
        "openvswitch": faults.all_of(
            faults.ovs_flow(f"dl_src={NEAR},dl_dst={FAR}", "drop"),
            faults.program(SWAP, "a", "b"),
        ),
        "linux_bridge": faults.all_of(
            faults.nft(
                "type filter hook forward priority 0;",
                f"ether saddr {NEAR} ether daddr {FAR} drop",
                family="bridge",
            ),
            faults.program(SWAP, "a", "b"),
        ),
    },
    caught="out of order",
)
@drill(
    "duplicates",
    {
        "openvswitch": faults.ovs_flow(f"dl_src={NEAR},dl_dst={FAR}", "output:{b},output:{b}"),
        "linux_bridge": faults.shell(
            "tc qdisc add dev {a} clsact",
            "tc filter add dev {a} ingress protocol all u32 match u32 0 0"
            " action mirred egress mirror dev {b}",
            undo=("tc qdisc del dev {a} clsact 2>/dev/null || true",),
        ),
    },
    caught="more than once",
)
@drill(
    "loses under burst",
    faults.shell(  # a port with room for four long frames, at 20 Mbit/s
        "tc qdisc add dev {b} root tbf rate 20mbit burst 1600 limit 6000",
        undo=("tc qdisc del dev {b} root 2>/dev/null || true",),
    ),
    caught="lost",
)
def test_flows_stay_in_order_and_whole(bench: Bench) -> None:
    """Bursts of all leaves to all others: each frame once, and each flow in order."""
    introduce(bench)
    with bench.capture() as seen:
        for start in range(0, ROUNDS * BURST, BURST):
            numbers = range(start, start + BURST)
            for source in LEAVES:
                others = [leaf for leaf in LEAVES if leaf != source]
                frames = [numbered(bench, source, other, n) for n in numbers for other in others]
                bench.nic(source).inject(*frames)
            seen.settle()
        bench.watch_for(LINGER)

    count = ROUNDS * BURST
    for source, target in FLOWS:
        ends = match.eth(src=STATIONS[source], dst=STATIONS[target])
        view = seen.at(f"{target}--dut")
        expect_in_order(source, target, [number_of(each) for each in view.all(ends)], count)
        view.expect_count(ends, count)
    for leaf in LEAVES:
        seen.at(f"{leaf}--dut").expect_count(match.containing(MARK), count * (len(LEAVES) - 1))


@pytest.mark.behaviour("SW-20", clause="RFC 2544 26.2")
@pytest.mark.topology(Topology.star("dut", *LEAVES))
@drill(
    "loses the longest frames",
    faults.shell(
        "tc qdisc add dev {b} root tbf rate 1gbit burst 1513 latency 100ms",
        undo=("tc qdisc del dev {b} root 2>/dev/null || true",),
    ),
    caught="b--dut: expect 1",
)
def test_latency_is_measured(bench: Bench) -> None:
    """One frame at a time between two ports, both ways, of three sizes: each arrives once."""
    introduce(bench)
    for source, target in (("a", "b"), ("b", "a")):
        for size in SIZES:
            measure(bench, source, target, size)


def measure(bench: Bench, source: str, target: str, size: int) -> None:
    """Log how long frames of ``size`` bytes take, from the tester's NIC to its NIC."""
    ends = STATIONS[target], STATIONS[source]
    text = TIMED + f" {source} {size} ".encode()
    frames = [
        EthFrame(*ends, payload=(text + bytes([n])).ljust(size - HEADER - FCS, b"\x5a")).emit()
        for n in range(TRIALS)
    ]
    with bench.capture(f"{source}--dut", f"{target}--dut") as seen:
        for frame in frames:
            bench.nic(source).inject(frame)
            seen.settle()
    spans = []
    for frame in frames:
        (came,) = seen.at(f"{target}--dut").expect_count(match.raw(frame), 1)
        left = seen.at(f"{source}--dut").sent.expect(match.raw(frame))
        spans.append(Duration(came.at - left.at))
    least, most = format_duration(min(spans)), format_duration(max(spans))
    mean = format_duration(Duration(round(statistics.fmean(spans))))
    limit = bench.tolerance("latency", LATENCY)
    if min(spans) > milliseconds(limit):
        raise ExpectationFailed(
            f"{bench.switch('dut').name}: of {TRIALS} frames of {size} bytes from {source} to "
            f"{target} none took less than {least}: more than {limit} ms"
        )
    bench.log(
        f"latency from {source} to {target}, {size} bytes: least {least}, mean {mean}, most {most} "
        f"of {TRIALS}"
    )
