"""A bump in the wire: frames a second that pass it, and how much later they come by it.

near -- x1 [relay] x2 -- far, on veths in a namespace of their own. Frames are sent by XDP, and a
program at the far end keeps the time of each and how old it was. How late frames are by a relay is
the median of that less the median on one veth pair without any, at 10,000 frames a second, in the
same round. Of our own relay the frames that were sent, passed on, counted by the kernel and heard
at the far end are compared, to the frame, in every round.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from cable import CABLE, FRAME, NEAR, WITHIN
from harness import Benchmark, Goal, Measure

from testbed.hosts import FaultBox, RealLoop, Tap
from testbed.labs.bypass import open_bypass
from testbed.labs.interfaces import bring_up
from testbed.link.afpacket import AfPacketPort
from testbed.link.ebpf import (
    R0,
    R1,
    R2,
    R3,
    R6,
    R7,
    Assembler,
    Helper,
    Program,
    SharedArray,
    XdpAction,
    XdpLink,
)
from testbed.link.impair import Chance, Delay, Drop
from testbed.link.impair.stage import Stage
from testbed.link.netlink import RouteNetlink
from testbed.link.streams import SENT_AT, SEQUENCE, Blend, Frames, Job, Pace
from testbed.link.streams.job import Outlet
from testbed.link.streams.xdp import XdpSender
from testbed.timing import Duration, milliseconds

__all__ = ["benchmarks"]

ROUNDS = 5
KEPT = 1 << 21
STAMP = 50
"""Where in the frame it says when it was sent."""
EVERY = 64
"""Of a stream of frames at top speed one of so many is kept: it costs as much as all else."""
GOOD = FRAME[:24] + b"\xee\x96" + FRAME[26:]
"""With the checksum that its IP header should have: a bridge with filters drops others."""
STILL = Frames(GOOD)
MARKED = Frames(GOOD, vary={"payload[0:8]": SEQUENCE, "payload[8:16]": SENT_AT})
TOP, SLOW, SLOW_RATE = 2_000_000, 4_000, 10_000
FEW = 200_000
QUIET = 0.3
"""Seconds without a frame after which no more is to come."""


@dataclass
class Relay:
    """What passes frames on, while it is open."""

    close: Callable[[], object] = lambda: None
    passed: Callable[[], int] | None = None
    """How many frames it says it has passed on, where it says so."""
    source: str = NEAR
    overloaded: bool = False
    """Whether more may come than it can take: what it loses it must say."""


def aging(count: int, ages: int, times: int) -> bytes:
    """Keep of each frame, or one of a few, when it came and how old it was, and drop it."""
    asm = Assembler()
    asm.load(R2, R1, 0, size=4).load(R3, R1, 4, size=4).mov(R6, R2).add(R6, STAMP + 8)
    asm.jump_if(R6, ">", R3, "out").load(R7, R2, STAMP).to_big_endian(R7, 64)
    asm.load_map_value(R1, count).load(R6, R1).mov(R2, R6).add(R2, 1).store(R1, 0, R2)
    asm.load(R2, R1, 8).mov(R3, R6).mod(R3, R2).jump_if(R3, "!=", 0, "out")
    asm.bit_and(R6, KEPT - 1).shift_left(R6, 3).call(Helper.KTIME_GET_NS)
    asm.load_map_value(R1, times).add(R1, R6).store(R1, 0, R0).sub(R0, R7)
    asm.load_map_value(R1, ages).add(R1, R6).store(R1, 0, R0)
    return asm.label("out").mov(R0, XdpAction.DROP).exit().assemble()


class Bump:
    """The veths, and the ears at the two far ends."""

    def __init__(self) -> None:
        self.open = False

    def make(self) -> None:
        """Make all, once."""
        if self.open:
            return
        CABLE.open()
        self.open = True
        for pair in (("in", "x1"), ("x2", "out")):
            subprocess.run(
                ["ip", "link", "add", pair[0], "type", "veth", "peer", "name", pair[1]], check=True
            )
            for end in pair:
                bring_up(end)
        # What is sent to x1 by XDP arrives while x1 merges frames or has a program.
        subprocess.run(["ethtool", "-K", "x1", "gro", "on"], check=True, capture_output=True)
        self.count, self.ages = SharedArray(16, "count"), SharedArray(8 * KEPT, "ages")
        self.times = SharedArray(8 * KEPT, "times")
        self.program = Program(aging(self.count.fd, self.ages.fd, self.times.fd), "aging")
        self.link = XdpLink(self.program, socket.if_nametoindex("out"))
        CABLE.held[0].replace(self.program)
        CABLE.held += [self.link, self.program, self.count, self.ages, self.times]

    def send(self, path: Relay, frames: Frames, count: int, pace: Pace, every: int) -> int:
        """Send frames, of which one of ``every`` is kept, and wait for the last; how many."""
        came = self.count.view("u8")
        came[:] = 0, every
        sender = XdpSender(Job(Blend([frames]), pace, count=count), Outlet.find(path.source))
        sender.start()
        sender.wait(WITHIN)
        sender.stop()
        last, at = -1, time.monotonic()
        while int(came[0]) < sender.sent and time.monotonic() - at < QUIET:
            if int(came[0]) != last:
                last, at = int(came[0]), time.monotonic()
            time.sleep(0.002)
        return sender.sent

    def rate(self, path: Relay, count: int) -> float:
        """Millions of frames a second that passed."""
        with kernel_counts() as counts:
            before = path.passed() if path.passed else 0
            sent = self.send(path, STILL, count, Pace(), EVERY)
            came = int(self.count.view("u8")[0])
            if path.passed:
                require(sent, path.passed() - before, counts(), came, path.overloaded)
        times = self.times.view("i8", came)[::EVERY]
        return float((len(times) - 1) * EVERY / (times[-1] - times[0]) * 1000)

    def age(self, path: Relay) -> float:
        """How old frames were at the far end, in microseconds, the median."""
        sent = self.send(path, MARKED, SLOW, Pace(SLOW_RATE), 1)
        came = int(self.count.view("u8")[0])
        if came < sent * 0.9:
            raise RuntimeError(f"only {came} of {sent} frames came")
        return float(np.median(self.ages.view("i8", came)) / 1000)


BUMP = Bump()


@contextmanager
def kernel_counts() -> Iterator[Callable[[], tuple[int, int]]]:
    """What the kernel counted as received at x1 and as sent at x2 since."""
    with RouteNetlink() as route:
        indices = [socket.if_nametoindex(end) for end in ("x1", "x2")]
        before = [route.traffic(index) for index in indices]

        def now() -> tuple[int, int]:
            after = [route.traffic(index) for index in indices]
            return after[0].received - before[0].received, after[1].sent - before[1].sent

        yield now


def require(sent: int, passed: int, counted: tuple[int, int], came: int, overloaded: bool) -> None:
    """RuntimeError unless all counts are the same, before the relay and behind it."""
    if sent != counted[0] or not passed == counted[1] == came or (sent > came and not overloaded):
        raise RuntimeError(
            f"sent {sent}, passed on {passed}, the kernel counted {counted} at x1 and x2, "
            f"and {came} came"
        )


def direct() -> Relay:
    """One veth pair, and nothing between."""
    return Relay(source=NEAR)


def ours(*stages: Callable[[], Stage], kernel: bool = True, overloaded: bool = False) -> Relay:
    """A fault box; the kernel's, or else Python's in a process of its own."""
    if not kernel:
        return forked(lambda: run_box(*stages))
    loop = RealLoop()
    taps = [Tap(AfPacketPort(end, end), loop) for end in ("x1", "x2")]
    box = FaultBox("box", *taps, loop, open_bypass)
    box.start()
    way = box.directions[0]
    for stage in stages:
        way.add(stage())
    loop.run_until(lambda: False, milliseconds(1))
    if way.engine != "XDP":
        raise RuntimeError(way.why)

    def close() -> None:
        if not overloaded:
            box.check_alive()
        box.stop()
        for tap in taps:
            tap.close()
        loop.close()

    return Relay(close, passed=lambda: way.sent, source="in", overloaded=overloaded)


def run_box(*stages: Callable[[], Stage]) -> None:
    """A fault box in Python, for ever."""
    loop = RealLoop()
    box = FaultBox("box", *(Tap(AfPacketPort(end, end), loop) for end in ("x1", "x2")), loop)
    box.start()
    for stage in stages:
        box.directions[0].add(stage())
    while True:
        loop.run_until(lambda: False, milliseconds(100))


def receive_and_send() -> None:
    """What everybody writes first."""
    source = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    source.setsockopt(socket.SOL_SOCKET, 33, 64 << 20)  # SO_RCVBUFFORCE
    source.bind(("x1", 3))
    sink = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    sink.bind(("x2", 0))
    while True:
        sink.send(source.recv(2048))


def forked(run: Callable[[], None]) -> Relay:
    """A relay in a process of its own."""
    child = os.fork()
    if not child:
        try:
            run()
        finally:
            os._exit(1)
    time.sleep(0.5)

    def close() -> None:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)

    return Relay(close, source="in")


def bridge() -> Relay:
    """The kernel's bridge."""
    batch = ["link add name br0 type bridge", "link set br0 up"]
    batch += [f"link set {end} master br0" for end in ("x1", "x2")]
    for line in batch:
        subprocess.run(["ip", *line.split()], check=True)
    return Relay(lambda: subprocess.run(["ip", "link", "del", "br0"], check=True), source="in")


def traffic_control() -> Relay:
    """A tc filter that redirects all."""
    subprocess.run(["tc", "qdisc", "add", "dev", "x1", "clsact"], check=True)
    rule = "filter add dev x1 ingress u32 match u32 0 0 action mirred egress redirect dev x2"
    subprocess.run(["tc", *rule.split()], check=True)
    remove = ["tc", "qdisc", "del", "dev", "x1", "clsact"]
    return Relay(lambda: subprocess.run(remove, check=True), source="in")


def rate_of(make: Callable[[], Relay], count: int) -> Callable[[], Measure]:
    """Frames a second by a relay that is there while it is measured."""

    def maker() -> Measure:
        BUMP.make()

        def measure() -> float:
            path = make()
            try:
                return BUMP.rate(path, count)
            finally:
                path.close()

        return measure

    return maker


def added_by(make: Callable[[], Relay]) -> Callable[[], Measure]:
    """Microseconds that a relay adds."""

    def maker() -> Measure:
        BUMP.make()

        def measure() -> float:
            alone = BUMP.age(direct())
            path = make()
            try:
                return BUMP.age(path) - alone
            finally:
                path.close()

        return measure

    return maker


def slow() -> Stage:
    """A delay of 5 ms."""
    return Delay(milliseconds(5))


def nothing() -> Stage:
    """A delay of nothing: all frames go through slots."""
    return Delay(Duration(0))


def off_by(make: Callable[[], Relay]) -> Callable[[], Measure]:
    """By how many microseconds frames are later than the 5 ms that they are to be late."""
    added = added_by(make)

    def maker() -> Measure:
        measure = added()
        return lambda: measure() - 5000

    return maker


def python_box() -> Relay:
    """The user-space stages' box, as a wire."""
    return ours(kernel=False)


def benchmarks() -> Iterator[Benchmark]:
    """Rates and latencies."""
    yield Benchmark(
        "relay: 60-byte frames passed on, a wire",
        "Mpps",
        rate_of(ours, TOP),
        {
            "kernel bridge": rate_of(bridge, TOP),
            "tc redirect": rate_of(traffic_control, TOP),
            "user-space stages": rate_of(python_box, FEW),
            "Python recv and send": rate_of(lambda: forked(receive_and_send), FEW),
        },
        goals=[Goal(2.0)],
        better="more",
        rounds=ROUNDS,
    )
    yield Benchmark(
        "relay: median added to a direct cable, a wire",
        "us",
        added_by(ours),
        {
            "kernel bridge": added_by(bridge),
            "tc redirect": added_by(traffic_control),
            "user-space stages": added_by(python_box),
            "Python recv and send": added_by(lambda: forked(receive_and_send)),
        },
        goals=[Goal(5.0)],
        rounds=ROUNDS,
    )
    yield Benchmark(
        "relay: 60-byte frames passed on, with a seeded chance to be lost of nil",
        "Mpps",
        rate_of(lambda: ours(lambda: Drop(Chance(0, 1))), TOP),
        better="more",
        rounds=ROUNDS,
    )
    yield Benchmark(
        "relay: 60-byte frames passed on by a delay line, offered more than it can take",
        "Mpps",
        rate_of(lambda: ours(nothing, overloaded=True), TOP),
        better="more",
        rounds=ROUNDS,
    )
    yield Benchmark(
        "relay: later than a delay of 5 ms says, the median",
        "us",
        off_by(lambda: ours(slow)),
        {"user-space stages": off_by(lambda: ours(slow, kernel=False))},
        rounds=ROUNDS,
        close=CABLE.close,
    )
