"""``testbed record``: as typed in a shell, on a cable of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from netns import fresh_namespace
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.packet import Raw

from testbed.capture.columns import read_columns
from testbed.link.streams import Blend, Frames, Job
from testbed.link.streams.job import Outlet
from testbed.link.streams.packets import PacketSender

pytestmark = pytest.mark.root
WITHIN = 20.0
DNS = bytes(Ether(dst="02:00:00:00:00:0b") / IP() / UDP(dport=53) / Raw(b"x" * 40))
WHO_HAS = bytes(Ether(dst="ff:ff:ff:ff:ff:ff") / ARP(pdst="10.0.0.1"))


@pytest.fixture
def cable() -> Iterator[tuple[str, str]]:
    with fresh_namespace() as namespace:
        yield namespace.veth("va", "vb")


class Command:
    """``testbed record vb -w FILE ...`` at work, once it says that it records."""

    def __init__(self, file: Path, *arguments: str) -> None:
        code = "from testbed.cli.main import main; main()"
        argv = [sys.executable, "-c", code, "record", "vb", "-w", str(file), *arguments]
        self.process = subprocess.Popen(argv, stderr=subprocess.PIPE, text=True)
        self.said = ""
        while "clock: " not in self.said:
            line = self.process.stderr.readline()
            assert line, self.said
            self.said += line

    def end(self, *, by: signal.Signals | None = None) -> int:
        if by is not None:
            self.process.send_signal(by)
        self.said += self.process.communicate(timeout=WITHIN)[1]
        return self.process.returncode


def send(count: int, *frames: bytes) -> None:
    sender = PacketSender(Job(Blend([Frames(*frames)]), count=count), Outlet.find("va"))
    sender.start()
    deadline = time.monotonic() + WITHIN
    while not sender.done:
        assert time.monotonic() < deadline
        time.sleep(0.001)
    sender.stop()


def test_frames_are_recorded_until_there_are_enough(cable, tmp_path: Path) -> None:
    file = tmp_path / "some.pcapng"
    command = Command(file, "--count", "5", "--snap", "20", "udp", "port", "53")
    send(20, DNS, WHO_HAS)
    assert command.end() == 0, command.said
    assert "vb: recording by " in command.said
    assert f"5 frames in {file}, ended by its count; 0 lost" in command.said
    columns = read_columns(file.read_bytes())
    assert [columns.packet(row) for row in range(len(columns))] == [DNS[:20]] * 5


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_when_it_is_told_to(cable, by: signal.Signals, tmp_path: Path) -> None:
    file = tmp_path / "all.pcapng"
    command = Command(file, "--ring", "4M")
    send(20, DNS, WHO_HAS)
    assert command.end(by=by) == 0, command.said
    assert f"20 frames in {file}; 0 lost" in command.said
    assert len(read_columns(file.read_bytes())) == 20


def test_it_ends_with_what_was_waited_for_or_its_time(cable, tmp_path: Path) -> None:
    file = tmp_path / "all.pcapng"
    command = Command(file, "--until", "arp", "--take")
    send(2, DNS, WHO_HAS)
    assert command.end() == 0, command.said
    assert f"2 frames in {file}, ended by its match" in command.said
    command = Command(file, "--duration", "0.05")
    assert command.end() == 0
    assert f"0 frames in {file}, ended by its duration" in command.said


def test_lost_frames_are_told_of_and_make_it_fail(cable, tmp_path: Path) -> None:
    command = Command(tmp_path / "lossy.pcapng", "--ring", "1M")
    os.kill(command.process.pid, signal.SIGSTOP)
    send(50_000, DNS)
    os.kill(command.process.pid, signal.SIGCONT)
    assert command.end(by=signal.SIGINT) == 3, command.said
    assert "lost: " in command.said
    assert ": the recorder's ring was full" in command.said
    recorded, _, lost = command.said.partition(" lost\n")[0].rpartition("; ")
    frames = int(recorded.rpartition("\n")[2].split()[0])
    assert frames + int(lost) == 50_000
    assert len(read_columns((tmp_path / "lossy.pcapng").read_bytes())) == frames


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["vb", "-w", "x", "--size", "5X"], 2, "is no size"),
        (["vb", "-w", "x", "prot", "7"], 2, "can't parse filter expression"),
        (["nil0", "-w", "x"], 3, "no network interface 'nil0'"),
        (["vb", "-w", "/nowhere/x"], 2, "cannot record there: No such file"),
    ],
)
def test_what_makes_no_sense_is_refused(cable, arguments, code, said, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from testbed.cli.main import main; main()", "record", *arguments],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, said in done.stderr) == (code, True), done.stderr
    assert not list(tmp_path.iterdir())
