"""tcpdump as the independent witness of what is on a cable."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from scapy.utils import RawPcapReader


class Sniffer:
    def __init__(self, file: Path) -> None:
        self._file = file
        self.frames: list[bytes] = []
        self.times: list[int] = []

    def read(self) -> None:
        with RawPcapReader(str(self._file)) as reader:
            for data, meta in reader:
                self.frames.append(data)
                self.times.append(meta.sec * 1_000_000_000 + meta.usec)


@contextmanager
def tcpdump(interface: str, file: Path, count: int, *options: str) -> Iterator[Sniffer]:
    """The first ``count`` frames that tcpdump saw on ``interface`` from the start of the block."""
    command = ["tcpdump", "-i", interface, "-w", str(file), "-c", str(count)]
    command += [
        "-s",
        "2048",
        "-B",
        "8192",
        "--immediate-mode",
        "--time-stamp-precision=nano",
        "-Z",
        "root",
        *options,
    ]
    sniffer = Sniffer(file)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    said = ""
    try:
        while "listening on" not in (line := process.stderr.readline()):
            if not line:
                pytest.skip(f"tcpdump does not run here: {said}")
            said = line.strip()
        yield sniffer
        process.communicate(timeout=10)
    finally:
        process.kill()
        process.communicate()
    sniffer.read()
