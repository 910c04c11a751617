"""PyTCP (PyPI, 2.7.6) as a peer in benchmarks: a process of its own on a TAP in a namespace.

It knows TAPs only: a bridge joins its TAP to the cable, at whose other end the kernel is.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec

from harness import Skipped

__all__ = ["PyTcp"]

PROGRAM = """
import sys, time
from pytcp import config
config.IP6_SUPPORT = False
config.LOG_CHANEL = set()
from pytcp import TcpIpStack
from pytcp.lib import socket
stack = TcpIpStack(interface="tap7", mac_address="02:00:00:00:00:03", ip4_address="10.0.0.3/24")
stack.start()
print("ready", flush=True)
for line in sys.stdin:
    way, size = line.split()
    size = int(size)
    made = socket.socket(socket.AF_INET4, socket.SOCK_STREAM)
    made.connect(("10.0.0.2", 5001))
    began = time.perf_counter()
    if way == "download":
        made.send(size.to_bytes(8, "big"))
        left = size
        while left > 0:
            left -= len(made.recv())
    else:
        made.send(bytes(8))
        made.send(bytes(size))
    made.close()
    print(time.perf_counter() - began, flush=True)
"""

LINES = (
    "tuntap add tap7 mode tap",
    "link add br0 type bridge",
    "link set va master br0",
    "link set tap7 master br0",
    "link set tap7 up",
    "link set br0 up",
)


class PyTcp:
    """The process, started in the namespace that ``enter`` enters, where the cable ends in va."""

    def __init__(self, enter: Callable[[], object]) -> None:
        if find_spec("pytcp") is None:
            raise Skipped("PyTCP is not installed: pip install 'testbed[bench]'")
        with enter(), ExitStack() as undo:
            for line in LINES:
                subprocess.run(["ip", *line.split()], check=True)
            # -O: without its assertions and log lines, as its makers run it for speed.
            self._process = subprocess.Popen(
                [sys.executable, "-O", "-W", "ignore", "-c", PROGRAM],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            undo.callback(self.close)
            if self._answer() != "ready":
                raise Skipped("PyTCP does not start here")
            undo.pop_all()

    def transfer(self, way: str, size: int) -> float:
        """Send or fetch ``size`` bytes; the seconds it took by its own clock."""
        assert self._process.stdin is not None
        print(way, size, file=self._process.stdin, flush=True)
        return float(self._answer())

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.communicate()

    def _answer(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()
