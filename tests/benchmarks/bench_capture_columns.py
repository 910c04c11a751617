"""Opening a capture of a million packets, its flows, and the TCP analysis of every connection.

tshark gives the same columns: number, time, stream, addresses, ports, numbers, window, flags and
every finding of tcp.analysis. dpkt and scapy only get at the raw packets, scapy of a tenth of them.
"""

from __future__ import annotations

import mmap
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from time import perf_counter

from harness import Benchmark, Goal, Measure, Skipped

from testbed.capture.columns import group_flows, read_columns, read_headers
from testbed.capture.tcp import Flag, analyse

PACKETS = 1_000_000
FIELDS = (
    *("frame.number", "frame.time_epoch", "frame.len", "tcp.stream", "ip.src", "ip.dst"),
    *("tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.len", "tcp.flags"),
    "tcp.window_size_value",
    *(f"tcp.analysis.{flag.name.lower()}" for flag in Flag if flag.name),
)


def benchmarks() -> Iterator[Benchmark]:
    """One capture, read by everybody."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))
    file = folder / "million.pcap"
    small = folder / "tenth.pcap"
    _write(file, PACKETS)
    _write(small, PACKETS // 10)
    yield Benchmark(
        "open a capture of 1 M packets, flows, TCP analysis",
        "kpps",
        lambda: _rate(lambda: _ours(file), PACKETS),
        {
            "tshark": lambda: _tshark(file),
            "dpkt, raw packets": lambda: _dpkt(file),
            "scapy, raw packets": lambda: _scapy(small),
        },
        goals=(Goal(30, "tshark"),),
        better="more",
        rounds=5,
        close=lambda: shutil.rmtree(folder),
    )


def _rate(read: Callable[[], int], packets: int) -> Measure:
    """Thousands of packets a second."""

    def measure() -> float:
        began = perf_counter()
        assert read() == packets
        return packets / (perf_counter() - began) / 1000

    return measure


def _ours(file: Path) -> int:
    with file.open("rb") as stream:
        data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
    columns = read_columns(data)
    headers = read_headers(columns)
    assert len(group_flows(headers)) > 1000
    return len(analyse(columns, headers).flags)


def _tshark(file: Path) -> Measure:
    if not shutil.which("tshark"):
        raise Skipped("no tshark: apt install tshark")
    fields = [word for name in FIELDS for word in ("-e", name)]
    command = ["tshark", "-n", "-r", str(file), "-T", "fields", *fields]

    def read() -> int:
        shown = subprocess.run(command, capture_output=True, check=True).stdout
        return shown.count(b"\n")

    return _rate(read, PACKETS)


def _dpkt(file: Path) -> Measure:
    from dpkt.pcap import Reader

    def read() -> int:
        with file.open("rb") as stream:
            return sum(1 for _ in Reader(stream))

    return _rate(read, PACKETS)


def _scapy(file: Path) -> Measure:
    from scapy.utils import RawPcapReader

    return _rate(lambda: sum(1 for _ in RawPcapReader(str(file))), PACKETS // 10)


def _write(file: Path, count: int) -> None:
    """Downloads of two hundred connections at a time, some segments of which go again."""
    luck = random.Random(1)
    with file.open("wb") as stream:
        stream.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262144, 1))
        clock = 1_700_000_000_000_000
        for frame in _take(_traffic(luck), count):
            clock += luck.randint(1, 20)
            size = len(frame)
            stream.write(struct.pack("<IIII", *divmod(clock, 1_000_000), size, size) + frame)


def _take(frames: Iterator[bytes], count: int) -> Iterator[bytes]:
    for _, frame in zip(range(count), frames, strict=False):
        yield frame


def _traffic(luck: random.Random) -> Iterator[bytes]:
    live: list[Iterator[bytes]] = []
    number = 0
    while True:
        while len(live) < 200:
            live.append(_download(number, luck))
            number += 1
        chosen = luck.randrange(200)
        for _ in range(luck.randint(2, 7)):
            frame = next(live[chosen], None)
            if frame is None:
                live.pop(chosen)
                break
            yield frame


def _download(number: int, luck: random.Random) -> Iterator[bytes]:
    """A connection from its handshake to its close."""
    client, server = 1001, 5001
    options = bytes.fromhex("020405b40402010303070000")
    yield _frame(number, 0, (1000, 0), 0x02, options=options)
    yield _frame(number, 1, (5000, 1001), 0x12, options=options)
    yield _frame(number, 0, (client, server), 0x10)
    for turn in range(luck.randint(10, 900)):
        size = luck.choice((1448, 1448, 1448, 200))
        yield _frame(number, 1, (server, client), 0x18, size)
        if luck.random() < 0.005:
            yield _frame(number, 1, (server, client), 0x18, size)
        server += size
        if turn % 2:
            yield _frame(number, 0, (client, server), 0x10)
    yield _frame(number, 0, (client, server), 0x11)
    yield _frame(number, 1, (server, client + 1), 0x11)
    yield _frame(number, 0, (client + 1, server + 1), 0x10)


STAMPS = bytes.fromhex("0101080a0000000100000001")


def _frame(
    number: int,
    side: int,
    numbers: tuple[int, int],
    flags: int,
    size: int = 0,
    *,
    options: bytes = STAMPS,
) -> bytes:
    ends = [(0x0A000001 + number % 5000, 10000 + number % 50000), (0x0A010001 + number % 50, 443)]
    (src, sport), (dst, dport) = ends if side == 0 else ends[::-1]
    offset = (5 + len(options) // 4) << 4
    tcp = struct.pack(">HHIIBBHHH", sport, dport, *numbers, offset, flags, 64000, 0, 0) + options
    total = 20 + len(tcp) + size
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, total, 0, 0x4000, 64, 6, 0, src, dst)
    return bytes.fromhex("0200000000010200000000020800") + ip + tcp + bytes(size)
