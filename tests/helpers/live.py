"""A Python stack beside real kernels: veth pairs into namespaces, turned by the test itself."""

from __future__ import annotations

import select
import subprocess
import time
from collections.abc import Callable
from ipaddress import IPv4Interface

from netns import Guest, Namespace

from testbed.link.afpacket import AfPacketPort
from testbed.stack.config import StackConfig
from testbed.stack.stack import Stack
from testbed.timing import Instant
from testbed.wire.frame import Direction

__all__ = ["Live"]


class Live:
    """A stack with one interface per cable; each cable ends in a namespace of its own."""

    def __init__(self, namespace: Namespace, config: StackConfig | None = None) -> None:
        self.stack = Stack(config, seed=7, name="live")
        self.ports: dict[str, AfPacketPort] = {}
        self._namespace = namespace

    @property
    def now(self) -> Instant:
        return Instant(time.monotonic_ns())

    def cable(self, address: str, peer: str, *, mtu: int = 1500) -> Guest:
        """One more interface, with ``address``; the kernel at the other end has ``peer``."""
        number = len(self.ports)
        name, far = f"va{number}", f"vb{number}"
        self._namespace.veth(name, far, mtu=mtu)
        guest = self._namespace.guest()
        guest.adopt(far, peer)
        guest.sh("ethtool", "-K", far, "tx", "off", "gro", "off")
        port = self.ports[name] = AfPacketPort(name, name)
        self.stack.add_interface(name, mac=port.mac, mtu=mtu)
        self.stack.add_address(name, IPv4Interface(address), self.now)
        return guest

    def turn(self, done: Callable[[], object], within: float = 15) -> bool:
        """Let frames and timers go until ``done``, or until the time is up."""
        end = time.monotonic() + within
        poll = select.poll()
        for port in self.ports.values():
            poll.register(port.fileno(), select.POLLIN)
        while True:
            self._flush()
            if done():
                return True
            left = end - time.monotonic()
            if left <= 0:
                return False
            at = self.stack.poll_timeout()
            if at is not None:
                left = min(left, max(0.0, (at - self.now) / 1e9))
            poll.poll(min(left, 0.05) * 1000)
            for name, port in self.ports.items():
                for frame in port.receive():
                    if frame.direction is Direction.IN:
                        self.stack.receive(frame.data, self.now, name)
            self.stack.handle_timeout(self.now)

    def _flush(self) -> None:
        while (out := self.stack.poll_transmit(self.now)) is not None:
            self.ports[out.interface].send(out.frame)

    def run(self, guest: Guest, *argv: str, within: float = 20) -> tuple[int, str]:
        """Run a program in a guest while the stack goes on: its exit code and what it said."""
        program = subprocess.Popen(
            guest.enter(*argv), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        try:
            assert self.turn(lambda: program.poll() is not None, within), f"{argv} hangs"
            return program.returncode, program.stdout.read()
        finally:
            program.kill()
            program.wait()
            program.stdout.close()

    def close(self) -> None:
        for port in self.ports.values():
            port.close()
