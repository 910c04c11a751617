"""A veth pair for benchmarks of sending, and the generators that everybody knows on it.

Everything runs in a network namespace of its own. A program at the far end stamps each frame as it
comes and drops it. For trafgen and tcpreplay install the Debian packages netsniff-ng and tcpreplay.
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
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from harness import Measure, Skipped

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
from testbed.link.netlink import RouteNetlink

__all__ = [
    "CABLE",
    "DST",
    "FAR",
    "FRAME",
    "NEAR",
    "SRC",
    "WITHIN",
    "Cable",
    "command",
    "counting",
    "scapy",
    "tcpreplay",
    "temporary",
    "trafgen",
]

NEAR, FAR = "near", "far"
STAMPS = 1 << 21
STAMP_EVERY = 64
WITHIN = 60.0

SRC, DST = bytes.fromhex("020000000001"), bytes.fromhex("020000000099")
DATAGRAM = bytes.fromhex(
    "4500002e00010000401100 00c6120001c6120002 03e807d0001a0000".replace(" ", "")
)
FRAME = DST + SRC + b"\x08\x00" + DATAGRAM + bytes(18)


class Counting:
    """What the kernel counts as sent at an interface."""

    def __init__(self, route: RouteNetlink, interface: str) -> None:
        self._route, self._index = route, socket.if_nametoindex(interface)
        self._before = route.traffic(self._index).sent

    def require(self, count: int) -> None:
        """RuntimeError unless so many frames were sent since, no more and no less."""
        counted = self._route.traffic(self._index).sent - self._before
        if counted != count:
            raise RuntimeError(f"{count} frames are said to be sent, the kernel counted {counted}")


@contextmanager
def counting(interface: str) -> Iterator[Counting]:
    """Count what is sent at an interface from now on."""
    with RouteNetlink() as route:
        yield Counting(route, interface)


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
        """When each frame came (ns) of those that ``send`` sent: all of them, and no others.

        RuntimeError when what ``send`` says it has sent is not, to the frame, what the kernel
        counted as sent at the near end, and what came to the far end.
        """
        counted = self.count.view("u8")
        counted[:] = 0, stamp_every
        with counting(NEAR) as kernel:
            count = send()
            kernel.require(count)
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
