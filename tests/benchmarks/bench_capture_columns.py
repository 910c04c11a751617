"""Opening a capture of a million packets, its flows, and the TCP analysis of every connection.

tshark gives the same columns: number, time, stream, addresses, ports, numbers, window, flags and
every finding of tcp.analysis. dpkt and scapy only get at the raw packets, scapy of a tenth of them.

The same of captures of other shapes, smaller ones, beside tshark alone: no shape is special.
"""

from __future__ import annotations

import mmap
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter

from harness import Benchmark, Goal, Measure, Skipped

from testbed.capture.columns import group_flows, read_columns, read_headers
from testbed.capture.tcp import Flag, analyse

PACKETS = 1_000_000
SHAPED = 200_000
FIELDS = (
    *("frame.number", "frame.time_epoch", "frame.len", "tcp.stream", "ip.src", "ip.dst"),
    *("tcp.srcport", "tcp.dstport", "tcp.seq_raw", "tcp.ack_raw", "tcp.len", "tcp.flags"),
    "tcp.window_size_value",
    *(f"tcp.analysis.{flag.name.lower()}" for flag in Flag if flag.name),
)


@dataclass(frozen=True, slots=True)
class Shape:
    """What a capture is of: downloads of some connections at a time.

    A download has so many segments, of sizes that are drawn from ``sizes``. ``again`` is the share
    of them that the capture has twice, ``lost`` of those that it has only when they go again.
    ``link`` turns an IPv4 frame into what is captured, ``snap`` bytes of it, 0 for all.
    """

    live: int = 200
    segments: tuple[int, int] = (10, 900)
    sizes: tuple[int, ...] = (1448, 1448, 1448, 200)
    again: float = 0.005
    lost: float = 0.0
    link: Callable[[bytes], bytes] = bytes
    snap: int = 0


def _tagged(frame: bytes) -> bytes:
    return frame[:12] + bytes.fromhex("8100002a") + frame[12:]


def _version_6(frame: bytes) -> bytes:
    """The same segment between addresses that end with the IPv4 ones."""
    network = bytes.fromhex("20010db8") + bytes(8)
    ends = network + frame[26:30] + network + frame[30:34]
    head = struct.pack(">IHBB", 6 << 28, len(frame) - 34, 6, 64)
    return frame[:12] + bytes.fromhex("86dd") + head + ends + frame[34:]


SHAPES = {
    "ten connections": Shape(live=10, segments=(20_000, 20_000)),
    "connections of ten packets": Shape(live=2000, segments=(3, 3), sizes=(300, 800)),
    "small frames": Shape(sizes=(0, 0, 10)),
    "cut to 96 bytes": Shape(snap=96),
    "lost before the point of capture": Shape(lost=0.01),
    "in a VLAN": Shape(link=_tagged),
    "IPv6": Shape(link=_version_6),
}


def benchmarks() -> Iterator[Benchmark]:
    """One capture, read by everybody; then one of each other shape."""
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))
    file = folder / "million.pcap"
    small = folder / "tenth.pcap"
    _write(file, PACKETS, Shape())
    _write(small, PACKETS // 10, Shape())
    yield Benchmark(
        "open a capture of 1 M packets, flows, TCP analysis",
        "kpps",
        lambda: _rate(lambda: _ours(file), PACKETS),
        {
            "tshark": lambda: _tshark(file, PACKETS),
            "dpkt, raw packets": lambda: _dpkt(file),
            "scapy, raw packets": lambda: _scapy(small),
        },
        goals=(Goal(30, "tshark"),),
        better="more",
        rounds=5,
        close=lambda: shutil.rmtree(folder),
    )
    for name, shape in SHAPES.items():
        yield _shaped(name, shape)


def _shaped(name: str, shape: Shape) -> Benchmark:
    shared = Path("/dev/shm")
    folder = Path(tempfile.mkdtemp(dir=shared if shared.is_dir() else None))
    file = folder / "shape.pcap"
    _write(file, SHAPED, shape)
    return Benchmark(
        f"the same, {SHAPED // 1000} k packets: {name}",
        "kpps",
        lambda: _rate(lambda: _ours(file), SHAPED),
        {"tshark": lambda: _tshark(file, SHAPED)},
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
    assert len(group_flows(headers)) > 0
    return len(analyse(columns, headers).flags)


def _tshark(file: Path, packets: int) -> Measure:
    if not shutil.which("tshark"):
        raise Skipped("no tshark: apt install tshark")
    fields = [word for name in FIELDS for word in ("-e", name)]
    command = ["tshark", "-n", "-r", str(file), "-T", "fields", *fields]

    def read() -> int:
        shown = subprocess.run(command, capture_output=True, check=True).stdout
        return shown.count(b"\n")

    return _rate(read, packets)


def _dpkt(file: Path) -> Measure:
    from dpkt.pcap import Reader

    def read() -> int:
        with file.open("rb") as stream:
            return sum(1 for _ in Reader(stream))

    return _rate(read, PACKETS)


def _scapy(file: Path) -> Measure:
    from scapy.utils import RawPcapReader

    return _rate(lambda: sum(1 for _ in RawPcapReader(str(file))), PACKETS // 10)


def _write(file: Path, count: int, shape: Shape) -> None:
    luck = random.Random(1)
    with file.open("wb") as stream:
        stream.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, shape.snap or 262144, 1))
        clock = 1_700_000_000_000_000
        for frame in _take(_traffic(luck, shape), count):
            clock += luck.randint(1, 20)
            seen = frame[: shape.snap or None]
            lengths = len(seen), len(frame)
            stream.write(struct.pack("<IIII", *divmod(clock, 1_000_000), *lengths) + seen)


def _take(frames: Iterator[bytes], count: int) -> Iterator[bytes]:
    for _, frame in zip(range(count), frames, strict=False):
        yield frame


def _traffic(luck: random.Random, shape: Shape) -> Iterator[bytes]:
    live: list[Iterator[bytes]] = []
    number = 0
    while True:
        while len(live) < shape.live:
            live.append(_download(number, luck, shape))
            number += 1
        chosen = luck.randrange(shape.live)
        for _ in range(luck.randint(2, 7)):
            frame = next(live[chosen], None)
            if frame is None:
                live.pop(chosen)
                break
            yield shape.link(frame)


def _download(number: int, luck: random.Random, shape: Shape) -> Iterator[bytes]:
    """A connection from its handshake to its close."""
    initial = luck.getrandbits(32)
    client, server = initial + 1, initial + 5001
    options = bytes.fromhex("020405b40402010303070000")
    yield _frame(number, 0, (initial, 0), 0x02, options=options)
    yield _frame(number, 1, (server - 1, client), 0x12, options=options)
    yield _frame(number, 0, (client, server), 0x10)
    missing: list[tuple[int, int]] = []
    patience = 0
    for turn in range(luck.randint(*shape.segments)):
        size = luck.choice(shape.sizes)
        if not missing and luck.random() < shape.lost:
            missing, patience = [(server, size)], luck.randint(5, 40)
        else:
            yield _frame(number, 1, (server, client), 0x18, size)
            if luck.random() < shape.again:
                yield _frame(number, 1, (server, client), 0x18, size)
        server += size
        patience -= 1
        if missing and patience < 0:
            place, size = missing.pop()
            yield _frame(number, 1, (place, client), 0x18, size)
        if missing:
            yield _frame(number, 0, (client, missing[0][0]), 0x10)
        elif turn % 2:
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
    sequence, ack = (each & 0xFFFFFFFF for each in numbers)
    offset = (5 + len(options) // 4) << 4
    tcp = (
        struct.pack(">HHIIBBHHH", sport, dport, sequence, ack, offset, flags, 64000, 0, 0) + options
    )
    total = 20 + len(tcp) + size
    ip = struct.pack(">BBHHHBBHII", 0x45, 0, total, 0, 0x4000, 64, 6, 0, src, dst)
    return bytes.fromhex("0200000000010200000000020800") + ip + tcp + bytes(size)
