"""Counting a thousand streams as they arrive, beside a program that only drops, and user space.

All frames come from the stream sender of this package, over a veth pair in a network namespace of
its own. A rate counts only where no frame was missed: frames sent, frames counted and what the
kernel counted at the interface must be the same number. Who counts in user space is given the
highest rate, of a ladder of steps of an eighth, at which it missed none. For tcpdump install it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from cable import CABLE, DST, FAR, NEAR, SRC, WITHIN
from harness import Benchmark, Goal, Measure, Skipped

from testbed.link.afpacket import AfPacketPort
from testbed.link.ebpf import R0, Assembler, Program, XdpAction, XdpLink
from testbed.link.streams import Blend, Job, Pace
from testbed.link.streams.counter import KernelTally
from testbed.link.streams.job import Outlet
from testbed.link.streams.signing import signed
from testbed.link.streams.tally import Tally
from testbed.link.streams.xdp import XdpSender
from testbed.wire.frame import Direction

STREAMS = 1000
COUNT = 1_000_000
WARM = 100_000
TRIES = 3
"""Runs of which the fastest is a round: what else the machine does can only slow them. Peers have
as many at least, on their ladder."""
STEP = 1.125
TRIAL = 0.15
"""Seconds that one rung of the ladder takes."""

PLAIN = DST + SRC + b"\x88\xb5" + bytes(46)
BLEND = Blend([signed(PLAIN, number) for number in range(STREAMS)])


def open_cable() -> int:
    """Be on the cable, nothing at work at its far end; that end's index."""
    CABLE.open()
    CABLE.held[0].close()  # the program that stamps frames for others
    return socket.if_nametoindex(FAR)


def run(pace: Pace, count: int) -> tuple[int, float]:
    """Send so many frames; how many left, and how many millions of them a second."""
    sender = XdpSender(Job(BLEND, pace, count=count), Outlet.find(NEAR))
    sender.start()
    warm = min(WARM, count // 10)
    while sender.sent < warm:
        time.sleep(0.0005)
    first, began = sender.sent, time.perf_counter()
    while not sender.done:
        time.sleep(0.0005)
    took = time.perf_counter() - began
    sender.stop()
    return sender.sent, (sender.sent - first) / took / 1e6


def counted() -> Measure:
    """All statistics of every stream, as fast as frames can be made on the same core."""
    index = open_cable()

    def measure() -> float:
        with KernelTally(index) as tally:
            sent, rate = run(Pace(), COUNT)
            streams = tally.streams.values()
        if not sent == COUNT == sum(each.received for each in streams):
            raise RuntimeError(f"{tally.received} of {sent} frames were counted")
        if any(each.lost or each.late or each.duplicates for each in streams):
            raise RuntimeError("frames were lost, late or doubled on a cable")
        if tally.balance is None or not tally.balance.even or tally.balance.missed:
            raise RuntimeError(f"the interface counted otherwise: {tally.balance}")
        return rate

    return lambda: max(measure() for _ in range(TRIES))


def dropped() -> Measure:
    """The same frames, and nothing done with them."""
    index = open_cable()
    code = Assembler().mov(R0, XdpAction.DROP).exit().assemble()

    def measure() -> float:
        with Program(code) as program, XdpLink(program, index):
            return max(run(Pace(), COUNT)[1] for _ in range(TRIES))

    return measure


Hear = Callable[[int, Callable[[], int]], int]
"""Hears that many frames, which a function sends; how many it heard."""


def ladder(hear: Hear, first: float) -> Measure:
    """The highest rate (Mpps) at which a receiver hears all that is sent.

    Each round begins where the last one ended.
    """
    known = first

    def reached(rate: float) -> float:
        """The rate that was really sent at, if all was heard; else 0."""
        count = max(2000, int(rate * TRIAL))
        really = 0.0

        def send() -> int:
            nonlocal really
            sent, really = run(Pace(rate), count)
            return sent

        return really if hear(count, send) == count else 0.0

    def measure() -> float:
        nonlocal known
        down = STEP
        while not (best := reached(known)):
            known /= down
            down **= 2  # the machine is slower than was thought, or busy
        while best * 1e6 > known / STEP and (more := reached(known * STEP)) > best:
            known *= STEP
            best = more
        return best

    return measure


def passing(make: Callable[[], Measure]) -> Measure:
    """What hears in user space: the far end takes frames from XDP, and passes them on."""
    index = open_cable()
    code = Assembler().mov(R0, XdpAction.PASS).exit().assemble()
    taken = make()

    def measure() -> float:
        with Program(code) as program, XdpLink(program, index):
            return taken()

    return measure


def tcpdump() -> Measure:
    """Tcpdump, which writes all it hears to nowhere: it tells no stream from another."""
    if shutil.which("tcpdump") is None:
        raise Skipped("tcpdump is not installed")

    def hear(count: int, send: Callable[[], int]) -> int:
        argv = ["tcpdump", "-n", "-i", FAR, "-Q", "in", "-B", "8192", "-w", "/dev/null"]
        argv += ["-c", str(count)]
        with subprocess.Popen(argv, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            while "listening on" not in process.stderr.readline():
                pass
            send()
            try:
                # It looks once a second, and ends when it has them all.
                return count if process.wait(1.5) == 0 else 0
            except subprocess.TimeoutExpired:
                return 0
            finally:
                process.kill()

    return passing(lambda: ladder(hear, 1_200_000))


def sockets() -> Measure:
    """A loop of recv() into the same statistics, in Python."""

    def hear(count: int, send: Callable[[], int]) -> int:
        tally = Tally()
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as heard:
            heard.setsockopt(socket.SOL_SOCKET, 33, 8 << 20)  # SO_RCVBUFFORCE
            heard.bind((FAR, 0x88B5))
            heard.setblocking(False)
            return drain(count, send, tally, lambda: [heard.recv(2048)])

    return passing(lambda: ladder(hear, 150_000))


def ring() -> Measure:
    """What this package does where no program can be attached: a ring, and Python."""

    def hear(count: int, send: Callable[[], int]) -> int:
        tally = Tally()
        port = AfPacketPort("far", FAR, ring_size=8 << 20)
        try:

            def take() -> list[bytes]:
                frames = [each.data for each in port.receive() if each.direction is Direction.IN]
                if not frames:
                    raise BlockingIOError
                return frames

            return drain(count, send, tally, take)
        finally:
            port.close()

    return passing(lambda: ladder(hear, 30_000))


def drain(
    count: int, send: Callable[[], int], tally: Tally, take: Callable[[], list[bytes]]
) -> int:
    """Hear what is sent, for as long as sending takes and a tenth more.

    A reader that is too slow could hide behind a buffer that holds all of a trial.
    """
    began = time.monotonic()
    thread = threading.Thread(target=send)
    thread.start()
    heard, took = 0, float("inf")
    while heard < count and time.monotonic() - began < 1.1 * took + 0.02:
        try:
            for data in take():
                heard += tally.hear(data, time.monotonic_ns())
        except BlockingIOError:
            time.sleep(0)
        if took > WITHIN and not thread.is_alive():
            took = time.monotonic() - began
    thread.join()
    return heard


def benchmarks() -> Iterator[Benchmark]:
    """One: what counting costs, and what it saves."""
    peers: dict[str, Any] = {
        "XDP drop, nothing counted": dropped,
        "tcpdump": tcpdump,
        "recv() and Python": sockets,
        "testbed without XDP": ring,
    }
    yield Benchmark(
        f"receive statistics of {STREAMS:,} streams of 60-byte frames, none missed",
        "Mpps",
        counted,
        peers=peers,
        goals=(Goal(5),),
        better="more",
        rounds=5,
        close=CABLE.close,
    )
