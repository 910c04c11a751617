"""A host of a plan with a Python TCP/IP stack, which the plan can look into and steer."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from testbed.errors import ExpectationFailed, PlanError
from testbed.hosts.pump import StackPump, StackWire
from testbed.hosts.stack_sockets import SOON, StackConnection, StackListener, StackUdp
from testbed.hosts.turning import Loop
from testbed.hosts.way import ImpairedWay
from testbed.stack.refusals import Refused
from testbed.stack.sockets import SocketApi
from testbed.stack.stack import Stack
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.states import State
from testbed.timing import Duration, format_duration
from testbed.wire.addresses import MacAddr

__all__ = ["StackHost"]


def _as_address(to: str | IPv4Address) -> IPv4Address:
    return IPv4Address(to)


class StackHost(StackPump):
    """A stack on taps: sockets that turn the loop, impairments beside them, a clock to stop.

    ``stack`` is the stack itself, with all that it knows and can be told: whatever a plan does to
    it is on the cable when the loop next turns, or at once after flush().
    """

    def __init__(
        self,
        stack: Stack,
        loop: Loop,
        *,
        name: str,
        ignores: Callable[[bytes], bool] = lambda _: False,
        resolve: Callable[[str | IPv4Address], IPv4Address] = _as_address,
    ) -> None:
        super().__init__(stack, loop, name=name, ignores=ignores)
        self.stack = stack
        self.resolve = resolve
        """The address of a role of the plan's topology; addresses are taken as they are."""
        self.sockets = SocketApi(stack, self.now, self.run_until)
        """Sockets with BSD semantics and Linux's errors over the same stack."""

    @property
    def wire(self) -> StackWire:
        """The wire of the first interface."""
        if not self.wires:
            raise PlanError(f"{self.name} has no interface")
        return next(iter(self.wires.values()))

    @property
    def outgoing(self) -> ImpairedWay:
        """The way from the stack to the cable: stages strike what it sends."""
        return self.wire.outgoing

    @property
    def incoming(self) -> ImpairedWay:
        """The way from the cable to the stack: stages strike what it is sent."""
        return self.wire.incoming

    @property
    def mac(self) -> MacAddr:
        """The MAC address of the first interface."""
        return self.wire.tap.port.mac

    @property
    def address(self) -> IPv4Address:
        """The first address of the first interface."""
        held = self.stack.interface(self.wire.interface).addresses
        if not held:
            raise PlanError(f"{self.name} has no address")
        return held[0].ip

    def add_address(self, address: IPv4Interface | str, interface: str | None = None) -> None:
        """Give an interface, the first one unless named, one more address."""
        name = interface or self.wire.interface
        self.stack.add_address(name, IPv4Interface(address), self.now())
        self.flush()

    def add_route(self, prefix: IPv4Network | str, via: IPv4Address | str) -> None:
        """Add a static route."""
        self.stack.add_route(IPv4Network(prefix), via=IPv4Address(via), now=self.now())
        self.flush()

    def open(
        self,
        to: str | IPv4Address,
        port: int,
        *,
        source: str | IPv4Address | None = None,
        source_port: int = 0,
        options: SocketOptions | None = None,
    ) -> StackConnection:
        """Begin to connect: the SYN is sent when this returns, or the ARP request before it."""
        local = IPv4Address(source) if source is not None else None
        try:
            connection = self.stack.tcp.connect(
                (self.resolve(to), port), self.now(), local=(local, source_port), options=options
            )
        except Refused as error:
            raise PlanError(f"{self.name}: cannot connect to {to} port {port}: {error}") from error
        self.flush()
        return StackConnection(self, connection)

    def connect(
        self,
        to: str | IPv4Address,
        port: int,
        *,
        within: Duration = SOON,
        source: str | IPv4Address | None = None,
        source_port: int = 0,
        options: SocketOptions | None = None,
    ) -> StackConnection:
        """A connection to ``port`` of a role of the topology, or of an address, established.

        ExpectationFailed where it was refused, or did not come ``within``.
        """
        made = self.open(to, port, source=source, source_port=source_port, options=options)
        opening = (State.SYN_SENT, State.SYN_RECEIVED)
        over = self.run_until(lambda: made.state not in opening, within)
        if not over or made.error is not None:
            why = made.error or f"no answer within {format_duration(within)}"
            if not over:
                with suppress(Refused):
                    made.abort()
            raise ExpectationFailed(f"{self.name}: no connection to {to} port {port}: {why}")
        return made

    def listen(
        self,
        port: int,
        *,
        address: str | IPv4Address | None = None,
        backlog: int | None = None,
        options: SocketOptions | None = None,
    ) -> StackListener:
        """Listen for TCP connections on ``port``."""
        local = IPv4Address(address) if address is not None else None
        try:
            listener = self.stack.tcp.listen(
                port, self.now(), local, backlog=backlog, options=options
            )
        except Refused as error:
            raise PlanError(f"{self.name}: cannot listen on port {port}: {error}") from error
        return StackListener(self, listener, port)

    def udp(self, port: int = 0, *, address: str | IPv4Address | None = None) -> StackUdp:
        """A UDP socket; port 0 is one that the stack chooses."""
        local = IPv4Address(address) if address is not None else None
        try:
            made = self.stack.udp.open(self.now(), local, port)
        except Refused as error:
            raise PlanError(f"{self.name}: cannot open UDP port {port}: {error}") from error
        return StackUdp(self, made, self.resolve)

    def __str__(self) -> str:
        return f"{self.name} (Python stack)"
