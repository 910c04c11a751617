"""Reassembly with the policy of today's Linux, beside the kernel itself, fragment for fragment."""

from __future__ import annotations

import fcntl
import os
import select
import socket
import struct
from ipaddress import IPv4Address
from pathlib import Path
from random import Random

import pytest
from netns import fresh_namespace, sh

from testbed.stack.config import IpConfig, OverlapPolicy
from testbed.stack.events import EventLog
from testbed.stack.reassembly import Reassembler
from testbed.timing import Instant
from testbed.wire import IPv4Packet, UdpDatagram

pytestmark = pytest.mark.root

HERE, THERE = IPv4Address("10.9.0.1"), IPv4Address("10.9.0.2")
PORT, BARRIER = 7000, 7001
UNITS = 12
TUNSETIFF = 0x400454CA


class Kernel:
    """A tun device, and a socket that gets what the kernel makes of the packets put in."""

    def __init__(self) -> None:
        self.tun = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tun, TUNSETIFF, struct.pack("16sH22x", b"t0", 0x1001))
        sh("ip", "addr", "add", f"{HERE}/24", "dev", "t0")
        sh("ip", "link", "set", "t0", "up")
        Path("/proc/sys/net/ipv4/ipfrag_max_dist").write_text("0")
        self.socket = self.bound(PORT)
        self.barrier = self.bound(BARRIER)

    def bound(self, port: int) -> socket.socket:
        made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.bind((str(HERE), port))
        made.setblocking(False)
        return made

    def put(self, packets: list[IPv4Packet]) -> list[bytes]:
        """What arrives of ``packets``: the barrier comes last, so nothing can come after."""
        last = UdpDatagram(1, BARRIER, b"end").emit(THERE, HERE)
        for packet in [*packets, IPv4Packet(THERE, HERE, 17, last)]:
            os.write(self.tun, packet.emit())
        assert select.select([self.barrier], [], [], 10)[0], "the barrier never came"
        self.barrier.recv(100)
        got = []
        while True:
            try:
                got.append(self.socket.recv(65536))
            except BlockingIOError:
                return got

    def close(self) -> None:
        os.close(self.tun)
        self.socket.close()
        self.barrier.close()


def fragments(random: Random, ident: int) -> list[IPv4Packet]:
    """Pieces of one datagram, shuffled, with overlaps, duplicates and wrong ends among them."""
    header = struct.pack("!HHHH", 1, PORT, UNITS * 8, 0)
    cuts = sorted(random.sample(range(1, UNITS), random.randint(1, 5)))
    spans = list(zip([0, *cuts], [*cuts, UNITS], strict=True))
    extra = random.choice([0, 0, 1, 1, 2, 3])
    for _ in range(extra):
        kind = random.random()
        if kind < 0.4:
            spans.append(random.choice(spans))
        else:
            start = random.randrange(UNITS)
            spans.append((start, random.randint(start + 1, UNITS + (kind > 0.9))))
    if random.random() < 0.6:
        random.shuffle(spans)
    out = []
    for number, (start, end) in enumerate(spans):
        data = bytes([65 + number]) * 8 * (end - start)
        if start == 0:
            data = header + data[8:]
        more = end != UNITS
        out.append(
            IPv4Packet(THERE, HERE, 17, data, ident=ident, offset=start * 8, mf=more or end > UNITS)
        )
    return out


def test_it_does_what_the_kernel_does():
    if not Path("/dev/net/tun").exists():
        pytest.skip("no /dev/net/tun")
    random = Random(7)  # noqa: S311 - the same fragments in every run
    with fresh_namespace():
        kernel = Kernel()
        try:
            ours = Reassembler(IpConfig(overlap=OverlapPolicy.DROP), EventLog(10))
            outcomes = set()
            for ident in range(1, 3000):
                pieces = fragments(random, ident)
                wholes = [w for p in pieces if (w := ours.add(p, Instant(0))) is not None]
                expected = [w.payload[8 : UNITS * 8] for w in wholes if len(w.payload) >= UNITS * 8]
                told = [(p.offset // 8, len(p.payload) // 8, p.mf) for p in pieces]
                assert kernel.put(pieces) == expected, told
                outcomes.add(len(expected))
            assert {0, 1} <= outcomes
        finally:
            kernel.close()
