"""Bulk transfer between a Python stack in the loop and the Linux kernel, over a veth of MTU 1500.

One TCP connection, no loss, offloads off at both ends, so that every segment is a frame: all of it
in one Python thread, sockets and ring included. The kernel's side is a process of its own. PyTCP
does the same over such a cable of its own.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from time import perf_counter

from harness import Benchmark, Goal, Measure, Skipped
from pytcp_peer import PyTcp

from testbed.errors import LinkError
from testbed.hosts import RealLoop, Tap
from testbed.hosts.stack_host import StackHost
from testbed.labs.interfaces import bring_up, set_address, settle_offloads
from testbed.labs.virtual.spec import CableSpec, PortSpec
from testbed.labs.virtual.wiring import cable_lines, inside, new_namespace, run_ip
from testbed.link.afpacket import AfPacketPort
from testbed.link.claim import claim
from testbed.stack.config import StackConfig
from testbed.stack.stack import Stack
from testbed.timing import seconds

STACK, KERNEL = "10.0.0.1", "10.0.0.2"
PORT = 5001
SIZE = 16 << 20
SOON = seconds(60)

PYTCP_SIZE = 1 << 20
"""Enough for a slower stack."""

PEER = """
import socket, sys, time
listener = socket.create_server(("10.0.0.2", 5001))
print("ready", flush=True)
block = bytes(1 << 16)
while True:
    sock, _ = listener.accept()
    want = int.from_bytes(sock.recv(8, socket.MSG_WAITALL), "big")
    began = time.perf_counter()
    sock.settimeout(10)  # PyTCP may never come to its end: then that is how long it took
    try:
        while want > 0:
            want -= sock.send(block[:want])
        while sock.recv(1 << 18):
            pass
    except OSError:
        pass
    print(time.perf_counter() - began, flush=True)
    sock.close()
"""


class Cable:
    """A cable from a free end to a kernel with the peer program, each in a namespace of its own."""

    def __init__(self) -> None:
        if os.geteuid() != 0:
            raise Skipped("namespaces need root")
        self._undo = ExitStack()
        with ExitStack() as undo:
            spaces = {
                "near": new_namespace(forwarding=False),
                "far": new_namespace(forwarding=False),
            }
            for descriptor in spaces.values():
                undo.callback(os.close, descriptor)
            ends = (
                PortSpec("near", "va", "02:00:00:00:00:01"),
                PortSpec("far", "vb", "02:00:00:00:00:02"),
            )
            run_ip(cable_lines(CableSpec(*ends, 1500), spaces), list(spaces.values()))
            with inside(spaces["far"]):
                settle_offloads("vb")
                bring_up("vb")
                set_address("vb", KERNEL)
                subprocess.run(["ip", "route", "replace", "10.0.0.0/24", "dev", "vb"], check=True)
                self.peer = subprocess.Popen([sys.executable, "-c", PEER], stdout=subprocess.PIPE)
            undo.callback(self._end_peer)
            self.peer_says()
            self.near = spaces["near"]
            with inside(self.near):
                settle_offloads("va")
                bring_up("va")
            self._undo = undo.pop_all()

    def peer_says(self) -> str:
        """The next line of the kernel's side: that it listens, or how long a connection took."""
        assert self.peer.stdout is not None
        return self.peer.stdout.readline().decode()

    def close(self) -> None:
        """Take it all down."""
        self._undo.close()

    def _end_peer(self) -> None:
        self.peer.kill()
        self.peer.communicate()


class Ours:
    """A Python stack in the loop at a cable's free end."""

    def __init__(self) -> None:
        with ExitStack() as undo:
            self.cable = Cable()
            undo.callback(self.cable.close)
            self.loop = RealLoop()
            undo.callback(self.loop.close)
            with inside(self.cable.near):
                claim("va")
                tap = Tap(AfPacketPort("near", "va"), self.loop)
            undo.callback(tap.close)
            stack = Stack(StackConfig.linux().with_(tcp=BUFFERS), seed=1, name="stack")
            self.host = StackHost(stack, self.loop, name="stack")
            undo.callback(self.host.close)
            stack.add_interface("eth0", mac=tap.port.mac, mtu=1500)
            self.host.attach("eth0", tap)
            self.host.add_address(f"{STACK}/24")
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Take it all down."""
        self._undo.close()

    def upload(self) -> float:
        """Mbit/s from the stack to the kernel, until the last byte is acknowledged."""
        made = self.host.connect(KERNEL, PORT)
        made.send(bytes(8))
        block = bytes(1 << 18)
        began = perf_counter()
        for _ in range(SIZE // len(block)):
            made.send(block, within=SOON)
        made.wait_until(lambda: not made.tcp.unacked, within=SOON)
        took = perf_counter() - began
        made.close()
        made.wait_until(lambda: made.tcp.fin_received, within=SOON)
        return SIZE * 8 / took / 1e6

    def download(self) -> float:
        """Mbit/s from the kernel to the stack, until the last byte is read."""
        made = self.host.connect(KERNEL, PORT)
        began = perf_counter()
        made.send(SIZE.to_bytes(8, "big"))
        left = SIZE

        def drained() -> bool:
            nonlocal left
            left -= len(made.read(1 << 20) or b"")
            return left <= 0

        made.wait_until(drained, within=SOON)
        took = perf_counter() - began
        made.close()
        made.wait_until(lambda: made.tcp.fin_received, within=SOON)
        return SIZE * 8 / took / 1e6


BUFFERS = {"receive_buffer": 1 << 20, "send_buffer": 1 << 20}


class Theirs:
    """PyTCP at such a cable."""

    def __init__(self) -> None:
        with ExitStack() as undo:
            self.cable = Cable()
            undo.callback(self.cable.close)
            self.stack = PyTcp(lambda: inside(self.cable.near))
            self._undo = undo.pop_all()

    def close(self) -> None:
        """Take it all down."""
        self.stack.close()
        self._undo.close()

    def upload(self) -> float:
        """Mbit/s by the kernel's clock: PyTCP's send returns before it has sent."""
        self.stack.transfer("upload", PYTCP_SIZE)
        return PYTCP_SIZE * 8 / float(self.cable.peer_says()) / 1e6

    def download(self) -> float:
        """Mbit/s until the last byte is read."""
        took = self.stack.transfer("download", PYTCP_SIZE)
        self.cable.peer_says()
        return PYTCP_SIZE * 8 / took / 1e6


def benchmarks() -> Iterator[Benchmark]:
    """Both directions."""
    for way, name in (("upload", "stack to kernel"), ("download", "kernel to stack")):
        held: list[Ours | Theirs] = []

        def ready(
            kind: type[Ours | Theirs], way: str = way, held: list[Ours | Theirs] = held
        ) -> Measure:
            try:
                held.append(kind())
            except (LinkError, OSError) as error:
                raise Skipped(str(error)) from None
            measure: Measure = getattr(held[-1], way)
            return measure

        def close(held: list[Ours | Theirs] = held) -> None:
            for each in held:
                each.close()

        yield Benchmark(
            f"TCP over veth, {name}",
            "Mbit/s",
            partial(ready, Ours),
            peers={"PyTCP": partial(ready, Theirs)},
            goals=(Goal(250), Goal(10, peer="PyTCP")),
            better="more",
            rounds=5,
            close=close,
        )
