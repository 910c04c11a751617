"""A simulated appliance with a host on each of its ports, in virtual time.

::

    rig = Rig(SimBalancer, 3)                      # ports p1, p2, p3; p1 has 198.18.0.1/24
    rig.configure("service port 80")
    client = rig.host(1)                           # a stack of 198.18.0.2, on p1's cable
    rig.run(seconds(1))
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Interface

from pair import Net, Node

from testbed.console.cli import DEFAULT_WITHIN, Reply
from testbed.sim.appliance import Appliance
from testbed.sim.device import Jack
from testbed.sim.frames import LEAST
from testbed.stack.config import StackConfig
from testbed.stack.stack import Stack
from testbed.stack.variants import Defect
from testbed.timing import Duration
from testbed.wire import MacAddr

__all__ = ["Rig"]


class Rig(Net):
    """The device ``dut``, and what is cabled to it. Hosts' frames are padded, as NICs do."""

    def __init__(
        self,
        kind: type[Appliance],
        ports: int = 1,
        *,
        defects: Iterable[Defect] = (),
        addressed: bool = True,
    ) -> None:
        super().__init__()
        jacks = [Jack(f"p{n}", MacAddr(f"02:00:00:00:01:{n:02x}")) for n in range(1, ports + 1)]
        self.dut = kind("dut", jacks, seed=1, defects=defects)
        self.add(self.dut)
        self.session = self.dut.login()
        for number in range(1, ports + 1):
            self.dut.set_link(f"p{number}", True, self.now)
            if addressed:
                self.type(f"interface p{number}", f"ip address {self.address(number)}/24")

    # A Cli, for drivers

    device, transport = "dut", "simulated"

    def run_line(self, line: str, *, within: Duration = DEFAULT_WITHIN) -> Reply:
        """Run one command line; nothing of the network moves."""
        del within
        answer = self.session.run(line, self.now)
        self.flush()
        return Reply(answer.output, answer.status)

    def type(self, *lines: str) -> str:
        """Run command lines in configuration mode; they must be taken."""
        reply = self.run_line(f"configure terminal ; {' ; '.join(lines)} ; end")
        assert reply.status == 0, reply.output
        return reply.output

    def show(self, line: str) -> str:
        """What a command prints."""
        reply = self.run_line(line)
        assert reply.status == 0, reply.output
        return reply.output

    # Hosts

    @staticmethod
    def address(port: int, host: int = 1) -> IPv4Address:
        """The address of the device on a port (host 1), or of a host there."""
        return IPv4Address(f"198.18.{port - 1}.{host}")

    def host(self, port: int, number: int = 2) -> Stack:
        """A host on a port's cable; one to a port."""
        stack = Stack(StackConfig(), seed=100 * port + number, name=f"h{port}")
        stack.add_interface("eth0", mac=MacAddr(f"02:00:00:00:02:{port:02x}"))
        stack.add_address("eth0", IPv4Interface((self.address(port, number), 24)), self.now)
        self.join((self.dut, f"p{port}"), (stack, "eth0"))
        return stack

    def _send(self, node: Node, interface: str, frame: bytes) -> None:
        super()._send(node, interface, frame.ljust(LEAST, b"\0"))
