"""``testbed replay`` on a veth pair: all frames, the words at the end, the bar, the codes."""

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from netns import fresh_namespace
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw
from scapy.utils import wrpcap

pytestmark = pytest.mark.root
TESTBED = [str(Path(sys.executable).with_name("testbed"))]


@pytest.fixture
def veth() -> Iterator[tuple[str, str]]:
    with fresh_namespace() as namespace:
        yield namespace.veth("va", "vb")


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    frames = []
    for n in range(20):
        head = Ether(src="02:00:00:00:00:0a", dst="02:00:00:00:00:0b")
        frame = head / IP(src="10.1.0.1", dst="10.2.0.2") / UDP(sport=n, dport=80) / Raw(b"x" * n)
        frame.time = 1000 + n / 100
        frames.append(frame)
    wrpcap(str(tmp_path / "some.pcap"), frames)
    return tmp_path / "some.pcap"


@contextmanager
def wire(interface: str) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0) as heard:
        heard.bind((interface, 3))
        heard.settimeout(5)
        yield heard


def run(*words: str) -> subprocess.CompletedProcess:
    argv = [*TESTBED, "replay", *words]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)


def test_a_capture_is_played_with_other_addresses(veth, capture: Path) -> None:
    maps = ("--map", "10.1.0.0/16=198.18.0.0/16", "--map", "80=8080")
    with wire(veth[1]) as heard:
        done = run(str(capture), "-i", veth[0], "--loop", "2", *maps)
        frames = [Ether(heard.recv(2048)) for _ in range(40)]
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("40 of 40 frames sent in ")
    assert "us after its time" in done.stdout
    assert "sending by " in done.stderr
    assert [frame[UDP].sport for frame in frames] == [*range(20)] * 2
    assert {(frame[IP].src, frame[UDP].dport) for frame in frames} == {("198.18.0.1", 8080)}


def test_a_part_is_played_at_a_rate(veth, capture: Path) -> None:
    with wire(veth[1]) as heard:
        done = run(str(capture), "-i", veth[0], "--pps", "1000", "--frames", "3-5", "--captured")
        ports = [Ether(heard.recv(2048))[UDP].sport for _ in range(3)]
    assert ports == [2, 3, 4]
    assert done.stdout.startswith("3 of 3 frames")
    assert "us after" not in done.stdout


@pytest.mark.skipif(shutil.which("tcpdump") is None, reason="tcpdump is not installed")
def test_what_tcpdump_would_show_is_played(veth, capture: Path) -> None:
    with wire(veth[1]) as heard:
        expression = "udp and (src port 3 or src port 9)"
        done = run(str(capture), "-i", veth[0], "--top-speed", "--only", expression)
        ports = [Ether(heard.recv(2048))[UDP].sport for _ in range(2)]
    assert done.stdout.startswith("2 of 2 frames"), done.stderr
    assert ports == [3, 9]
    done = run(str(capture), "-i", veth[0], "--only", "udp and and")
    assert done.returncode == 2
    done = run(str(capture), "-i", veth[0], "--only", "arp")
    assert "none of its 20 frames is chosen" in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("-i", "nil"), 3, "no network interface 'nil'"),
        (("-i", "va", "--frames", "15-30"), 2, "has frames 1 to 20"),
        (("-i", "va", "--frames", "a-b"), 2, "expected a number, or two"),
        (("-i", "va", "--map", "80"), 2, "expected OLD=NEW"),
        (("-i", "va", "--map", "80=x"), 2, "x is no port"),
        (("-i", "va", "--speed", "2", "--pps", "3"), 2, "a speed or a rate, not both"),
        (("-i", "va", "--top-speed", "--pps", "3"), 2, "--top-speed or a rate, not both"),
    ],
)
def test_what_cannot_be_done_is_told(words, code: int, told: str, veth, capture: Path) -> None:
    done = run(str(capture), *words)
    assert done.returncode == code
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_a_damaged_capture_is_played_up_to_the_damage(veth, capture: Path) -> None:
    capture.write_bytes(capture.read_bytes()[:-5])
    done = run(str(capture), "-i", veth[0], "--top-speed")
    assert done.returncode == 0
    assert re.search(r"warning: .*some\.pcap: ends within a packet, at byte \d+", done.stderr)
    assert done.stdout.startswith("19 of 19 frames")
    capture.write_bytes(b"\x0a\x0d\x0d\x0a" + b"\xff" * 60)
    done = run(str(capture), "-i", veth[0])
    assert done.returncode == 2
    assert re.search(r"error: .*some\.pcap: byte \d+: ", done.stderr)


def test_on_a_terminal_a_bar_tells_what_remains_and_an_interrupt_ends_it(
    veth, capture: Path
) -> None:
    near, far = pty.openpty()
    argv = [*TESTBED, "replay", str(capture), "-i", veth[0], "--pps", "10"]
    child = subprocess.Popen(
        argv, stdin=far, stdout=far, stderr=far, env=os.environ | {"COLUMNS": "150"}
    )
    os.close(far)
    shown = b""
    while b"2 of 20, 18 to go" not in shown:
        shown += os.read(near, 4096)
    child.send_signal(signal.SIGINT)
    while b"frames sent in" not in shown:
        shown += os.read(near, 4096)
    assert child.wait(10) == 130
    os.close(near)
    assert re.search(rb"\d+ of 20 frames sent in", shown)
