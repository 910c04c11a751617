"""Sending on a veth pair, beside trafgen, tcpreplay and scapy: frames a second, and their times.

A rate is what the far end counted from the first frame to the last; a time is when a frame came
there. In every round, of ours and of the peers, the frames that are said to be sent are compared
with the kernel's counter of the interface and with what came to the far end, to the frame.
"""

from __future__ import annotations

import shutil
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from cable import (
    CABLE,
    DST,
    FAR,
    FRAME,
    NEAR,
    SRC,
    WITHIN,
    Cable,
    counting,
    scapy,
    tcpreplay,
    temporary,
    trafgen,
)
from harness import Benchmark, Goal, Measure, Skipped

from testbed.link.replay import ArrayReel, RecordedReel, due_times
from testbed.link.replay.choosing import choose_player
from testbed.link.replay.packets import PacketPlayer
from testbed.link.replay.xdp import RingPlayer
from testbed.link.streams import SENT_AT, SEQUENCE, Blend, Frames, Increment, Job, Pace, Random
from testbed.link.streams.counter import KernelTally
from testbed.link.streams.job import Outlet
from testbed.link.streams.packets import PacketSender
from testbed.link.streams.signing import signed
from testbed.link.streams.xdp import XdpSender

__all__ = ["DST", "FAR", "NEAR", "ROUNDS", "SRC", "WITHIN", "Cable", "benchmarks"]

ROUNDS = 5
STILL = Frames(FRAME)
MARKED = Frames(
    FRAME,
    vary={
        "eth.src": Increment(count=1 << 20),
        "payload[0:8]": SEQUENCE,
        "payload[8:16]": SENT_AT,
    },
)
DIFFERENT = Frames(
    FRAME,
    vary={
        "eth.src": Random(0x0200_0000_0000, 0x02FF_FFFF_FFFF),
        "ipv4.src": Random(0x0A00_0000, 0x0AFF_FFFF, 2),
        "ipv4.dst": Random(0x0B00_0000, 0x0BFF_FFFF, 3),
        "udp.src_port": Random(1024, 65535, 4),
        "payload[0:8]": SEQUENCE,
    },
)
STATIONS = 100_000


def ours(kind: type[XdpSender | PacketSender], frames: Frames, count: int) -> Measure:
    """One of our senders, as fast as it can."""
    CABLE.open()

    def send() -> int:
        return run(kind(Job(Blend([frames]), count=count), Outlet.find(NEAR)))

    return lambda: CABLE.rate(send)


def run(sender: XdpSender | PacketSender | RingPlayer | PacketPlayer) -> int:
    """Start, await and stop a sender; how many frames it says it has sent."""
    sender.start()
    sender.wait(WITHIN)
    sender.stop()
    return sender.sent


def pacing(pps: int, count: int, *, gaps: bool) -> Measure:
    """By how many microseconds 99 of 100 frames are off their times at most, or their gaps.

    The times are those of an even schedule that begins with the first frame; what all frames take
    to the far end, the median, is no error.
    """
    CABLE.open()

    def send() -> int:
        return run(XdpSender(Job(Blend([MARKED]), Pace(pps), count=count), Outlet.find(NEAR)))

    def measure() -> float:
        times = CABLE.heard(send, stamp_every=1)
        if gaps:
            wrong = np.diff(times) - 1_000_000_000 / pps
        else:
            wrong = times - times[0] - np.arange(count) * (1_000_000_000 / pps)
            wrong -= np.median(wrong)
        return float(np.percentile(np.abs(wrong), 99) / 1000)

    return measure


def out_of_numpy() -> Measure:
    """Every frame different, made by numpy a block at a time while they leave."""
    CABLE.open()
    size, blocks = 4096, 500

    def made() -> Iterator[np.ndarray[Any, Any]]:
        rows = np.empty((size, len(FRAME)), np.uint8)
        rows[:] = np.frombuffer(FRAME, np.uint8)
        numbers, macs = rows[:, 42:50].view(">u8")[:, 0], rows[:, 8:12]
        for first in range(0, size * blocks, size):
            numbers[:] = np.arange(first, first + size)
            macs[:] = numbers.astype(">u4").view(np.uint8).reshape(-1, 4)
            yield rows

    def send() -> int:
        return run(choose_player(ArrayReel(made()), Pace(), NEAR).sender)

    return lambda: CABLE.rate(send)


RECORDED, EVERY = 200_000, 2000


@cache
def recording() -> tuple[RecordedReel, str]:
    """A capture of 500,000 frames a second, of common lengths at random times, and its file."""
    chance = np.random.default_rng(1)
    sizes = chance.choice([60, 590, 1514], RECORDED, p=[7 / 12, 4 / 12, 1 / 12]).astype(np.int64)
    times = np.cumsum(chance.exponential(EVERY, RECORDED)).astype(np.int64)
    data = bytearray(struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1))
    for at, size in zip(times.tolist(), sizes.tolist(), strict=True):
        data += struct.pack("<IIII", at // 10**9, at % 10**9, size, size)
        data += FRAME.ljust(size, b"x")
    offset = 24 + np.cumsum(sizes + 16) - sizes
    reel = RecordedReel(
        np.frombuffer(bytes(data), np.uint8),
        offset,
        sizes,
        sizes,
        np.arange(RECORDED),
        due_times(times),
    )
    return reel, temporary(".pcap", bytes(data))


TCPREPLAY = ("tcpreplay", "--quiet", "--preload-pcap", "--intf1", NEAR)


def play(argv: tuple[str, ...], *, timed: bool) -> int:
    """Replay the recording by a program with its arguments, or by ours; how many frames."""
    reel, file = recording()
    if not argv:
        return run(choose_player(reel, None if timed else Pace(), NEAR).sender)
    subprocess.run([*argv, file], check=True, capture_output=True, timeout=WITHIN)
    return RECORDED


def replayed(*argv: str) -> Measure:
    """By how many microseconds half of the frames of a replay are off their times at most.

    Counted from the first frame on, so that a replay that falls behind is told.
    """
    if argv and shutil.which(argv[0]) is None:
        raise Skipped(f"{argv[0]} is not installed")
    CABLE.open()

    def measure() -> float:
        times = CABLE.heard(lambda: play(argv, timed=True), stamp_every=1)
        due = recording()[0].due
        wrong = (times - times[0]) - (due - due[0])  # type: ignore[index]
        return float(np.median(np.abs(wrong)) / 1000)

    return measure


def replayed_fast(*argv: str) -> Measure:
    """Millions of frames a second of a replay that has no times to keep."""
    if argv and shutil.which(argv[0]) is None:
        raise Skipped(f"{argv[0]} is not installed")
    CABLE.open()
    return lambda: CABLE.rate(lambda: play(argv, timed=False))


def stations() -> Measure:
    """Seconds from the first to the last of 100,000 stations that a switch is to learn."""
    CABLE.open()
    frames = Frames(FRAME, vary={"eth.src": Increment(0x0200_0000_0000, count=STATIONS)})

    def send() -> int:
        job = Job(Blend([frames]), Pace(150_000), count=STATIONS)
        return run(XdpSender(job, Outlet.find(NEAR)))

    def measure() -> float:
        times = CABLE.heard(send, stamp_every=1)
        return float(times[-1] - times[0]) / 1e9

    return measure


def thousand_streams() -> Measure:
    """A thousand signed streams, counted one by one at the far end; 0 if a frame was lost."""
    CABLE.open()
    CABLE.held[0].close()  # its own program makes room for the one that counts
    plain = DST + SRC + b"\x88\xb5" + bytes(46)
    blend = Blend([signed(plain, number) for number in range(1000)])

    def measure() -> float:
        with KernelTally(socket.if_nametoindex(FAR)) as tally, counting(NEAR) as kernel:
            sender = XdpSender(Job(blend, count=3_000_000), Outlet.find(NEAR))
            sender.start()
            while sender.sent < 100_000:
                time.sleep(0.001)
            first, began = sender.sent, time.perf_counter()
            while not sender.done:
                time.sleep(0.001)
            took = time.perf_counter() - began
            sender.stop()
            kernel.require(sender.sent)
            streams = tally.streams.values()
            exact = sum(each.received for each in streams) == sender.sent == sender.job.limit
            if not exact or any(each.lost or each.late or each.duplicates for each in streams):
                return 0.0
            return (sender.sent - first) / took / 1e6

    return measure


def benchmarks() -> Iterator[Benchmark]:
    """Rates beside peers, and paces."""
    yield Benchmark(
        "sending 60-byte frames, all alike",
        "Mpps",
        lambda: ours(XdpSender, STILL, 2_000_000),
        peers={"trafgen": trafgen, "tcpreplay": tcpreplay, "scapy sendp": scapy},
        goals=(Goal(5), Goal(8, "trafgen"), Goal(8, "tcpreplay"), Goal(1000, "scapy sendp")),
        better="more",
        rounds=ROUNDS,
        close=CABLE.close,
    )
    yield Benchmark(
        "sending 60-byte frames, MAC, sequence number and time new in each",
        "Mpps",
        lambda: ours(XdpSender, MARKED, 2_000_000),
        peers={
            "trafgen": lambda: trafgen(
                "0x02, 0x00, drnd(), dinc(0, 255), dinc(0, 255), dinc(0, 255)"
            )
        },
        goals=(Goal(6, "trafgen"),),
        better="more",
        rounds=ROUNDS,
        close=CABLE.close,
    )
    yield Benchmark(
        "sending 60-byte frames, every address and port drawn anew, checksums right",
        "Mpps",
        lambda: ours(XdpSender, DIFFERENT, 2_000_000),
        peers={"trafgen": lambda: trafgen("0x02, drnd(), drnd(), drnd(), drnd(), drnd()")},
        goals=(Goal(4, "trafgen"),),
        better="more",
        rounds=ROUNDS,
        close=CABLE.close,
    )
    yield Benchmark(
        "sending 60-byte frames without XDP (sendmmsg)",
        "Mpps",
        lambda: ours(PacketSender, STILL, 500_000),
        peers={"trafgen": trafgen},
        goals=(Goal(1, "trafgen"),),
        better="more",
        rounds=ROUNDS,
        close=CABLE.close,
    )
    yield Benchmark(
        "sending and counting 1,000 streams of 60-byte frames, by stream, without loss",
        "Mpps",
        thousand_streams,
        goals=(Goal(5),),
        better="more",
        rounds=ROUNDS,
        close=CABLE.close,
    )
    yield Benchmark(
        "sending 60-byte frames out of numpy, every one different",
        "Mpps",
        out_of_numpy,
        peers={
            "trafgen": lambda: trafgen(
                "0x02, 0x00, drnd(), dinc(0, 255), dinc(0, 255), dinc(0, 255)"
            )
        },
        goals=(Goal(4, "trafgen"),),
        better="more",
        rounds=ROUNDS,
        close=CABLE.close,
    )
    for pps, count, bound in ((1000, 1000, 10), (100_000, 50_000, 2)):
        for gaps, what in ((False, "times"), (True, "gaps")):
            yield Benchmark(
                f"pacing error at {pps} frames a second, 99th percentile of the {what}",
                "us",
                lambda pps=pps, count=count, gaps=gaps: pacing(pps, count, gaps=gaps),  # type: ignore[misc]
                goals=(Goal(bound),) if not gaps else (),
                rounds=ROUNDS,
                close=CABLE.close,
            )
    yield Benchmark(
        "replaying a capture of 500,000 frames a second: median error of their times",
        "us",
        replayed,
        peers={"tcpreplay": lambda: replayed(*TCPREPLAY)},
        goals=(Goal(50),),
        rounds=ROUNDS,
        close=CABLE.close,
    )
    yield Benchmark(
        "replaying that capture at top speed",
        "Mpps",
        replayed_fast,
        peers={"tcpreplay": lambda: replayed_fast(*TCPREPLAY, "--topspeed")},
        better="more",
        rounds=ROUNDS,
        close=CABLE.close,
    )
    yield Benchmark(
        "100,000 stations announced, each once, at 150,000 a second",
        "s",
        stations,
        goals=(Goal(1),),
        rounds=ROUNDS,
        close=CABLE.close,
    )
