"""Recording on a veth pair, beside tcpdump, dumpcap and netsniff-ng: how fast without a loss.

Frames are sent by XDP at a rate for a while; the figure is the highest rate, of a ladder of rates,
at which every frame was recorded that the kernel counted. Each round begins where the last one
ended. Peers write to a file on tmpfs, from which their frames are counted; packages tcpdump,
wireshark-common and netsniff-ng.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from cable import CABLE, FAR, FRAME, NEAR, WITHIN
from harness import Benchmark, Goal, Measure, Skipped

from testbed.capture.columns import Columns, read_columns
from testbed.link.ethtool import Ethtool
from testbed.link.netlink import RouteNetlink
from testbed.link.recorder import Wish
from testbed.link.recorder.choosing import open_recorder
from testbed.link.streams import Blend, Frames, Job, Pace
from testbed.link.streams.job import Outlet
from testbed.link.streams.xdp import XdpSender

ROUNDS = 5
LADDER = (0.05, 0.07, 0.1, 0.14, 0.2, 0.28, 0.4, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8, 4.0, 4.5, 5.0, 6.0)
SPAN = 0.4
"""Seconds that a trial lasts."""
QUIET = 1.2
"""Seconds without work after which a peer has written all that it will: libpcap's kernel ring may
keep what came last for one."""
TMPFS = Path("/dev/shm")


@dataclass
class Directory:
    """A directory on tmpfs, until close()."""

    path: Path | None = None

    def file(self, name: str) -> Path:
        """A place in it."""
        if not TMPFS.is_dir():
            raise Skipped(f"there is no {TMPFS}")
        if self.path is None:
            self.path = Path(tempfile.mkdtemp(dir=TMPFS))
        return self.path / name

    def close(self) -> None:
        """Take it away."""
        if self.path is not None:
            shutil.rmtree(self.path)
        self.path = None


PLACE = Directory()


def open_cable() -> None:
    """Be on the cable, nothing at work at its far end, to which XDP can send all the same."""
    CABLE.open()
    CABLE.held[0].close()
    with Ethtool(FAR) as ethtool:
        ethtool.set_features({"rx-gro": True})


def close() -> None:
    """Take all away."""
    PLACE.close()
    CABLE.close()


def received() -> int:
    """What the kernel counted at the far end."""
    with RouteNetlink() as route:
        return route.traffic(socket.if_nametoindex(FAR)).received


def send(size: int, mpps: float) -> None:
    """Send for a while; returns when all has come."""
    job = Job(Blend([Frames(FRAME.ljust(size, b"\0"))]), Pace(mpps * 1e6), int(mpps * 1e6 * SPAN))
    before = received()
    sender = XdpSender(job, Outlet.find(NEAR))
    sender.start()
    await_that(lambda: sender.done)
    sender.stop()
    await_that(lambda: received() - before >= sender.sent)


def judge(columns: Columns, count: int) -> tuple[float, bool]:
    """How many millions of frames a second came, by their times, and whether all were recorded."""
    took = int(columns.time[-1] - columns.time[0]) if len(columns) > 1 else 0
    return (len(columns) - 1) / took * 1000 if took else 0.0, len(columns) == count


def await_that(condition: Callable[[], bool]) -> None:
    """Wait for it."""
    deadline = time.monotonic() + WITHIN
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError("it did not come in time")
        time.sleep(0.001)


@dataclass
class Climb:
    """Finds the highest rung of the ladder without a loss; remembers it for the next round.

    ``trial`` gives, for a rate, the real rate, and whether all was recorded.
    """

    trial: Callable[[float], tuple[float, bool]]
    rung: int = field(default=LADDER.index(1.0))

    def __call__(self) -> float:
        best, rung = 0.0, self.rung
        rate, whole = self.trial(LADDER[rung])
        step = 1 if whole else -1
        while True:
            if whole:
                best, self.rung = max(best, rate), rung
                if step < 0:
                    return best
            elif step > 0 or not rung:
                return best
            rung += step
            if rung == len(LADDER) or (step > 0 and rate < LADDER[rung - step] / 2):
                return best  # the sender cannot do more
            rate, whole = self.trial(LADDER[rung])


def ours(size: int, *, to_file: bool = False, in_kernel: bool = True) -> Measure:
    """Our recorder."""
    open_cable()
    path = PLACE.file("testbed.pcapng") if to_file else None

    def trial(mpps: float) -> tuple[float, bool]:
        before = received()
        wish = Wish(take=True, path=path)
        recorder = open_recorder(wish, FAR, in_kernel=in_kernel)
        try:
            send(size, mpps)
        finally:
            recorder.stop()
            held = recorder.store.read()
            recorder.store.close()
        count = received() - before
        if recorder.frames + recorder.lost != count:
            raise RuntimeError("frames are missing in silence")
        return judge(read_columns(held), count)

    return Climb(trial)


def peer(size: int, ready: bytes, *argv: str) -> Measure:
    """A program that records into a file; ``ready`` is what it says when it has begun."""
    if shutil.which(argv[0]) is None:
        raise Skipped(f"{argv[0]} is not installed")
    open_cable()
    file = PLACE.file(f"{argv[0]}.pcap")

    def trial(mpps: float) -> tuple[float, bool]:
        file.unlink(missing_ok=True)
        before = received()
        with running([*argv, str(file)], ready):
            send(size, mpps)
        return judge(read_columns(file.read_bytes()), received() - before)

    return Climb(trial)


@contextmanager
def running(argv: list[str], ready: bytes) -> Iterator[None]:
    """A recorder at work; it is told to end when it has nothing to do any more."""
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        said = b""
        try:
            while ready not in said:
                part = os.read(process.stdout.fileno(), 4096) if process.stdout else b""
                if not part:
                    raise Skipped(f"{argv[0]}: {said.decode(errors='replace').strip()}")
                said += part
            yield
            await_idle(process.pid)
        finally:
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=WITHIN)


def await_idle(pid: int) -> None:
    """Wait until a process has used no CPU time for a moment."""
    spent, since = -1, time.monotonic()
    while time.monotonic() - since < QUIET:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        now = int(fields[11]) + int(fields[12])
        if now != spent:
            spent, since = now, time.monotonic()
        time.sleep(0.01)


def peers(size: int) -> Mapping[str, Callable[[], Measure]]:
    """What others record with, with 64 MiB of buffer each."""
    return {
        "tcpdump": lambda: peer(
            size, b"listening on", "tcpdump", "-i", FAR, "-B", "65536", "-n", "-Z", "root", "-w"
        ),
        "dumpcap": lambda: peer(
            size, b"File:", "dumpcap", "-i", FAR, "-B", "64", "-q", "-w"
        ),
        "netsniff-ng": lambda: peer(
            size, b"Running!", "netsniff-ng", "--in", FAR, "--ring-size", "64MiB", "--silent",
            "--out",
        ),
    }  # fmt: skip


def benchmarks() -> Iterator[Benchmark]:
    """Small frames, large ones, and those without a program in the kernel."""
    yield Benchmark(
        "recording 60-byte frames without a loss; ours to memory, peers' to tmpfs",
        "Mpps",
        lambda: ours(60),
        peers=peers(60),
        goals=(Goal(4),),
        better="more",
        rounds=ROUNDS,
        close=close,
    )
    yield Benchmark(
        "recording 1514-byte frames to a file on tmpfs without a loss",
        "Mpps",
        lambda: ours(1514, to_file=True),
        peers=peers(1514),
        goals=(Goal(0.5),),
        better="more",
        rounds=ROUNDS,
        close=close,
    )
    yield Benchmark(
        "recording 60-byte frames to memory by a packet ring (TPACKET_V3), without a loss",
        "Mpps",
        lambda: ours(60, in_kernel=False),
        better="more",
        rounds=ROUNDS,
        close=close,
    )
