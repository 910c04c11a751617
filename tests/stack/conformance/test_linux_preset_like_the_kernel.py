"""``StackConfig.linux()`` beside the kernel: the same script, the same segments at the same times.

The kernel sits behind a tun device in a fresh namespace; times are compared to 30 ms and a tenth.
What the kernel does otherwise, and why it is left: it joins small segments that it sends again (RFC
9293 lets it), delays the ACK of a FIN without data, answers the second SYN+ACK of a simultaneous
open, and acknowledges text after a FIN in TIME-WAIT.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from netns import fresh_namespace, sh
from script import THEM, US, Script

from testbed.stack.config import StackConfig
from testbed.timing import Instant
from testbed.wire import IpProtocol, IPv4Packet, TcpSegment

pytestmark = pytest.mark.root

TUNSETIFF = 0x400454CA
SETTINGS = {"tcp_timestamps": 0, "tcp_window_scaling": 0, "tcp_sack": 1, "tcp_fwmark_accept": 0}
Told = list[tuple[float, str]]


class Both(Script):
    """What a program needs, on either side."""

    def told(self, span: float, like: str = "") -> Told:
        """What is sent within ``span`` seconds: when, and what."""
        began = self.now
        self.pass_time(span)
        told: Told = []
        while self.sent:
            at, packet = self.sent.popleft()
            segment = TcpSegment.parse(packet.payload, packet.src, packet.dst)
            if self.iss is None:
                self.iss = segment.seq
                if not self.passive:
                    self.port = segment.src_port
            told.append(((at - began) / 1e9, self._text(segment, like)))
        return told


class Ours(Both):
    def __init__(self, **tcp: object) -> None:
        plain = {"timestamps": False, "window_scaling": False}
        super().__init__(StackConfig.linux().with_(tcp=plain | tcp))


class Kernels(Both):
    """The kernel in the stack's place."""

    def __init__(self) -> None:  # not super's: there is no stack
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"t0", 0x1001))
        sh("ip", "addr", "add", f"{US}/24", "dev", "t0")
        sh("ip", "link", "set", "t0", "up")
        self.start = self.now
        self.sent = deque()
        self.iss = None
        self.port, self.peer_port = 80, 8080
        self.passive = False
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.listener: socket.socket | None = None

    @property
    def now(self) -> Instant:  # type: ignore[override]
        return Instant(time.monotonic_ns())

    def listen(self) -> None:
        self.listener = self.socket
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        super().listen()

    def pass_time(self, span: float) -> None:
        end = time.monotonic() + span
        while (left := end - time.monotonic()) > 0 or span == 0:
            ready, _, _ = select.select([self.tun], [], [], max(0, left))
            if ready:
                packet = IPv4Packet.parse(os.read(self.tun, 65536))
                if packet.protocol == IpProtocol.TCP and self._is_mine(packet):
                    self.sent.append((self.now, packet))
            elif span == 0:
                break

    def _is_mine(self, packet: IPv4Packet) -> bool:
        """Whether it is of this script's connection: earlier ones may not be over yet."""
        return int.from_bytes(packet.payload[2:4], "big") == self.peer_port

    def into(self, line: str, *, after: float = 0, **fields: object) -> None:
        if after:
            self.pass_time(after)
        segment = self._segment(line)
        packet = IPv4Packet(THEM, US, IpProtocol.TCP, segment.emit(THEM, US))
        os.write(self.tun, packet.emit())


Program = Callable[[Both], Told]


def opened(s: Both, options: str = "mss 1000", win: int = 60000) -> None:
    s.connect()
    s.told(0.05)
    s.into(f"S. 0:0(0) ack 1 win {win} <{options}>")
    s.told(0.02)


def accepted(s: Both, options: str = "mss 1000", win: int = 60000) -> None:
    s.listen()
    s.into(f"S 0:0(0) win {win} <{options}>")
    s.told(0.05)
    s.into(f". 1:1(0) ack 1 win {win}")
    s.pass_time(0.01)
    s.accept()


def active(s: Both) -> Told:
    s.connect()
    told = s.told(2.5)
    s.into("S. 0:0(0) ack 1 win 60000 <mss 1000>")
    return told + s.told(0.05)


def nagle(s: Both) -> Told:
    opened(s)
    s.socket.send(bytes(2500))
    told = s.told(0.02)
    s.socket.send(bytes(10))
    told += s.told(0.02)
    s.into(". 1:1(0) ack 2501 win 60000")
    return told + s.told(0.02)


def timeouts(s: Both) -> Told:
    opened(s)
    s.socket.send(bytes(500))
    return s.told(2.5)


def sacks(s: Both) -> Told:
    opened(s, "mss 1000,sackOK")
    s.socket.send(bytes(10_000))
    told = s.told(0.02)
    for last in (3, 4, 5):
        s.into(f". 1:1(0) ack 1 win 60000 <nop,nop,sack 1001:{last}001>")
        told += s.told(0.003)
    return told


def tail(s: Both) -> Told:
    opened(s, "mss 1000,sackOK")
    s.socket.send(bytes(3000))
    return s.told(1)


def holes(s: Both) -> Told:
    accepted(s, "mss 1000,sackOK")
    told: Told = []
    for start in (1, 2001, 4001, 6001, 8001, 3001, 3001, 1001, 1, 5001):
        s.into(f". {start}:{start + 1000}(1000) ack 1 win 60000")
        told += s.told(0.02, "<")
    return told


def bad(line: str, established: bool = True) -> Program:
    def program(s: Both) -> Told:
        accepted(s)
        s.into("P. 1:101(100) ack 1 win 60000")
        s.told(0.1)
        s.into(line)
        return s.told(0.1)

    return program


def refused(line: str) -> Program:
    def program(s: Both) -> Told:
        s.iss = 0
        s.into(line)
        return s.told(0.05, " win ")

    return program


def listens(line: str) -> Program:
    def program(s: Both) -> Told:
        s.listen()
        s.iss = 0
        s.into(line)
        return s.told(0.05)

    return program


def close(s: Both) -> Told:
    opened(s)
    s.socket.close()
    told = s.told(0.05)
    s.into(". 1:1(0) ack 2 win 60000")
    s.into("F. 1:1(0) ack 2 win 60000")
    told += s.told(0.05)
    s.into("F. 1:1(0) ack 2 win 60000")
    return told + s.told(0.05)


def unread(s: Both) -> Told:
    accepted(s)
    s.into("P. 1:101(100) ack 1 win 60000")
    told = s.told(0.1)
    s.socket.close()
    return told + s.told(0.05)


def linger(s: Both) -> Told:
    opened(s)
    s.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.socket.close()
    return s.told(0.05)


def late_data(s: Both) -> Told:
    opened(s)
    s.socket.close()
    told = s.told(0.05)
    s.into("P. 1:101(100) ack 2 win 60000")
    return told + s.told(0.05)


def shut_window(s: Both) -> Told:
    opened(s)
    s.into(". 1:1(0) ack 1 win 0")
    s.pass_time(0.02)
    s.socket.send(bytes(3000))
    told = s.told(2)
    s.into(". 1:1(0) ack 1 win 60000")
    return told + s.told(0.02)


def delayed(s: Both) -> Told:
    accepted(s)
    told: Told = []
    for start in range(1, 30_001, 1000):
        s.into(f". {start}:{start + 1000}(1000) ack 1 win 60000")
        told += s.told(0.005)
        with contextlib.suppress(BlockingIOError):
            s.socket.recv(10_000)
    return told


def urgent(s: Both) -> Told:
    opened(s)
    s.socket.send(b"abc", socket.MSG_OOB)
    return s.told(0.05, " urg ")


def keepalive(s: Both) -> Told:
    opened(s)
    s.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 1), ("TCP_KEEPINTVL", 1), ("TCP_KEEPCNT", 2)):
        s.socket.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return s.told(3.5)


PROGRAMS: dict[str, Program] = {
    "active": active,
    "nagle": nagle,
    "timeouts": timeouts,
    "sacks": sacks,
    "tail": tail,
    "holes": holes,
    "close": close,
    "unread": unread,
    "linger": linger,
    "late data": late_data,
    "shut window": shut_window,
    "delayed": delayed,
    "urgent": urgent,
    "keepalive": keepalive,
    "syn to closed": refused("S 0:10(10) win 100"),
    "fin to closed": refused("F 7:7(0) win 100"),
    "ack to closed": refused("P. 7:17(10) ack 99 win 100"),
    "reset to closed": refused("R. 7:7(0) ack 99 win 100"),
    "ack to listener": listens(". 7:7(0) ack 99"),
    "syn ack to listener": listens("S. 7:7(0) ack 99"),
    "fin to listener": listens("F 7:7(0)"),
    "reset inside": bad("R 150:150(0)"),
    "reset exact": bad("R 101:101(0)"),
    "reset outside": bad("R 90000:90000(0)"),
    "syn inside": bad("S 150:150(0) win 100 <mss 1000>"),
    "syn exact": bad("S 101:101(0) win 100 <mss 1000>"),
    "syn outside": bad("S 90000:90000(0) win 100 <mss 1000>"),
    "syn ack": bad("S. 150:150(0) ack 1 win 100 <mss 1000>"),
    "no ack": bad("P 101:111(10)"),
    "ack of the future": bad("P. 101:111(10) ack 2"),
    "ack of long ago": bad(". 101:101(0) ack 4294800000"),
    "beyond the window": bad("P. 90000:90010(10) ack 1"),
    "old data": bad("P. 1:11(10) ack 1"),
    "keepalive probe": bad(". 100:100(0) ack 1"),
    "part known": bad("P. 51:151(100) ack 1"),
    "fin in a hole": bad("F. 201:201(0) ack 1"),
}


@pytest.fixture(scope="module")
def namespace() -> Iterator[None]:
    with fresh_namespace():
        for name, value in SETTINGS.items():
            Path(f"/proc/sys/net/ipv4/{name}").write_text(str(value))
        yield


def alike(one: Told, other: Told) -> bool:
    """PSH apart: the kernel sets it by its own segments, of several on the wire."""
    texts = [[text.replace("P", "") for _, text in told] for told in (one, other)]
    return texts[0] == texts[1] and all(
        abs(a - b) <= 0.03 + 0.1 * b for (a, _), (b, _) in zip(one, other, strict=True)
    )


@pytest.mark.usefixtures("namespace")
@pytest.mark.parametrize("name", PROGRAMS)
def test_the_preset_does_what_the_kernel_does(name: str) -> None:
    kernel, ours = Kernels(), Ours()
    kernel.peer_port = ours.peer_port = 10_000 + list(PROGRAMS).index(name)
    try:
        wanted = PROGRAMS[name](kernel)
    finally:
        kernel.socket.close()
        if kernel.listener is not None:
            kernel.listener.close()
        os.close(kernel.tun)
    got = PROGRAMS[name](ours)
    lines = "\n".join(f"  {at:6.3f} {text}" for at, text in wanted)
    ours = "\n".join(f"  {at:6.3f} {text}" for at, text in got)
    assert alike(got, wanted), f"\nkernel:\n{lines}\nstack:\n{ours}"
