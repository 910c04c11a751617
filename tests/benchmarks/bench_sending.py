"""Sending on a veth pair, beside trafgen, tcpreplay and scapy: frames a second, and their pace.

Everything runs in a network namespace of its own. A program at the far end stamps each frame as it
comes and drops it; a rate is what it counted from the first frame to the last. For trafgen and
tcpreplay install the Debian packages netsniff-ng and tcpreplay.
"""

from __future__ import annotations

import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness import Benchmark, Goal, Measure, Skipped

from testbed.labs.interfaces import bring_up
from testbed.labs.syscalls import CLONE_NEWNET, setns, unshare
from testbed.link.ebpf import (
    R0,
    R1,
    R2,
    R3,
    R6,
    Assembler,
    Helper,
    Program,
    SharedArray,
    XdpAction,
    XdpLink,
    can_run_live,
)
from testbed.link.streams import SENT_AT, SEQUENCE, Blend, Frames, Increment, Job, Pace, Random
from testbed.link.streams.counter import KernelTally
from testbed.link.streams.job import Outlet
from testbed.link.streams.packets import PacketSender
from testbed.link.streams.signing import signed
from testbed.link.streams.xdp import XdpSender

NEAR, FAR = "near", "far"
STAMPS = 1 << 21
STAMP_EVERY = 64
ROUNDS = 5
WITHIN = 60.0

SRC, DST = bytes.fromhex("020000000001"), bytes.fromhex("020000000099")
DATAGRAM = bytes.fromhex(
    "4500002e00010000401100 00c6120001c6120002 03e807d0001a0000".replace(" ", "")
)
FRAME = DST + SRC + b"\x08\x00" + DATAGRAM + bytes(18)
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


@dataclass
class Cable:
    """A veth pair in a new network namespace, in which this thread is until close()."""

    home: int = -1
    held: list[Any] = field(default_factory=list)

    def open(self) -> None:
        """Make it; Skipped where that is not allowed."""
        if self.home >= 0:
            return
        if os.geteuid() != 0:
            raise Skipped("needs root")
        live = can_run_live()
        if not live.works:
            raise Skipped(live.why)
        self.home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        unshare(CLONE_NEWNET)
        Path("/proc/sys/net/ipv6/conf/default/disable_ipv6").write_text("1")
        pair = ["type", "veth", "peer", "name", FAR]
        subprocess.run(["ip", "link", "add", NEAR, *pair], check=True)
        for end in (NEAR, FAR):
            bring_up(end)
        self.count, self.stamps = SharedArray(16, "count"), SharedArray(8 * STAMPS, "stamps")
        program = Program(stamping(self.count.fd, self.stamps.fd), "stamping")
        link = XdpLink(program, socket.if_nametoindex(FAR))
        self.held = [link, program, self.count, self.stamps]

    def close(self) -> None:
        """Go back to where it was; the namespace goes with the thread that leaves it."""
        if self.home < 0:
            return
        for each in self.held:
            each.close()
        setns(self.home, CLONE_NEWNET)
        os.close(self.home)
        self.home = -1

    def heard(
        self, send: Callable[[], int], *, stamp_every: int = STAMP_EVERY
    ) -> np.ndarray[Any, Any]:
        """When each frame came (ns) of those that ``send`` sent: all of them, and no others."""
        counted = self.count.view("u8")
        counted[:] = 0, stamp_every
        count = send()
        deadline = time.monotonic() + WITHIN
        while counted[0] < count:
            if time.monotonic() > deadline:
                raise RuntimeError(f"only {counted[0]} of {count} frames came")
            time.sleep(0.001)
        if counted[0] != count:
            raise RuntimeError(f"{counted[0]} frames came of {count}")
        times: np.ndarray[Any, Any] = self.stamps.view("i8", min(count, STAMPS)).copy()
        return times

    def rate(self, send: Callable[[], int]) -> float:
        """Millions of frames a second, from the first that was stamped to the last."""
        times = self.heard(send)[::STAMP_EVERY]
        return float((len(times) - 1) * STAMP_EVERY / (times[-1] - times[0]) * 1000)


def stamping(count: int, stamps: int) -> bytes:
    """Keep the time of frames in ``stamps``, each one's number from ``count``, and drop them."""
    asm = Assembler()
    asm.load_map_value(R1, count).mov(R6, 1).atomic("+=", R1, 0, R6, fetch=True)
    # Stamping costs as much as all else: of a stream of frames, one of a few is enough.
    asm.load(R2, R1, 8).mov(R3, R6).mod(R3, R2).jump_if(R3, "!=", 0, "out")
    asm.call(Helper.KTIME_GET_NS).bit_and(R6, STAMPS - 1).shift_left(R6, 3)
    asm.load_map_value(R1, stamps).add(R1, R6).store(R1, 0, R0)
    return asm.label("out").mov(R0, XdpAction.DROP).exit().assemble()


CABLE = Cable()


def ours(kind: type[XdpSender | PacketSender], frames: Frames, count: int) -> Measure:
    """One of our senders, as fast as it can."""
    CABLE.open()

    def send() -> int:
        return run(kind(Job(Blend([frames]), count=count), Outlet.find(NEAR)))

    return lambda: CABLE.rate(send)


def run(sender: XdpSender | PacketSender) -> int:
    """Start, await and stop a sender; how many frames it says it has sent."""
    sender.start()
    while not sender.done:
        time.sleep(0.001)
    sender.stop()
    return sender.sent


def command(count: int, *argv: str) -> Measure:
    """A generator that is a program."""
    if shutil.which(argv[0]) is None:
        raise Skipped(f"{argv[0]} is not installed")
    CABLE.open()

    def send() -> int:
        subprocess.run(argv, check=True, capture_output=True, timeout=WITHIN)
        return count

    return lambda: CABLE.rate(send)


def trafgen(varied: str = "") -> Measure:
    """Trafgen, one process, past the queue as it does by default."""
    count = 300_000
    fixed = ", ".join(f"{byte:#04x}" for byte in FRAME[:6])
    source = varied or ", ".join(f"{byte:#04x}" for byte in FRAME[6:12])
    rest = ", ".join(f"{byte:#04x}" for byte in FRAME[12:])
    config = temporary(".cfg", f"{{ {fixed}, {source}, {rest} }}\n".encode())
    return command(
        count, "trafgen", "--dev", NEAR, "--conf", config, "--num", str(count), "--cpus", "1",
        "--no-sock-mem",
    )  # fmt: skip


def tcpreplay() -> Measure:
    """Tcpreplay of a file of a thousand such frames, at top speed."""
    frames, loops = 1000, 300
    head = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 1)
    record = struct.pack("<IIII", 0, 0, len(FRAME), len(FRAME)) + FRAME
    capture = temporary(".pcap", head + record * frames)
    return command(
        frames * loops, "tcpreplay", "--quiet", "--topspeed", "--preload-pcap",
        "--loop", str(loops), "--intf1", NEAR, capture,
    )  # fmt: skip


def scapy() -> Measure:
    """The sendp() that everybody knows."""
    from scapy.layers.inet import IP, UDP
    from scapy.layers.l2 import Ether
    from scapy.packet import Raw
    from scapy.sendrecv import sendp

    CABLE.open()
    count = 1000
    ether = Ether(dst="02:00:00:00:00:99", src="02:00:00:00:00:01")
    packet = ether / IP(src="198.18.0.1", dst="198.18.0.2") / UDP(sport=1000, dport=2000)
    packets = [packet / Raw(bytes(18)) for _ in range(count)]

    def send() -> int:
        sendp(packets, iface=NEAR, verbose=False)
        return count

    return lambda: CABLE.rate(send)


def temporary(suffix: str, data: bytes) -> str:
    """A file that is there until this process ends."""
    file = tempfile.NamedTemporaryFile(suffix=suffix)  # noqa: SIM115 - held to the end
    file.write(data)
    file.flush()
    KEPT.append(file)
    return file.name


KEPT: list[Any] = []


def pacing(pps: int, count: int) -> Measure:
    """By how many microseconds gaps are wrong, in 99 of 100 cases at most."""
    CABLE.open()

    def send() -> int:
        return run(XdpSender(Job(Blend([MARKED]), Pace(pps), count=count), Outlet.find(NEAR)))

    def measure() -> float:
        times = CABLE.heard(send, stamp_every=1)
        wrong = np.abs(np.diff(times) - 1_000_000_000 / pps)
        return float(np.percentile(wrong, 99) / 1000)

    return measure


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
        with KernelTally(socket.if_nametoindex(FAR)) as tally:
            sender = XdpSender(Job(blend, count=3_000_000), Outlet.find(NEAR))
            sender.start()
            while sender.sent < 100_000:
                time.sleep(0.001)
            first, began = sender.sent, time.perf_counter()
            while not sender.done:
                time.sleep(0.001)
            took = time.perf_counter() - began
            sender.stop()
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
    for pps, count, bound in ((1000, 1000, 10), (100_000, 50_000, 2)):
        yield Benchmark(
            f"pacing error at {pps} frames a second, 99th percentile",
            "us",
            lambda pps=pps, count=count: pacing(pps, count),  # type: ignore[misc]
            goals=(Goal(bound),),
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
