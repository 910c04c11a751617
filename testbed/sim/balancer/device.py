"""A balancer: a proxy of TCP connections in front of servers, with a gate before it.

Clients connect to an address of the balancer, at the port of its service. It ends their connections
and makes one of its own to a server for each, so that neither side sees another address than the
balancer's: of the middleboxes of RFC 3234, a transport relay that balances load.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final

from testbed.sim.appliance import Appliance, LineKind
from testbed.sim.balancer import lines
from testbed.sim.balancer.flow import Flow, FlowContext
from testbed.sim.balancer.gate import Gate, Guard
from testbed.sim.balancer.requests import Inspector
from testbed.sim.balancer.servers import Backend, Health, Scheduler
from testbed.sim.cli.commands import Call
from testbed.stack.tcp.listener import Listener
from testbed.timing import Instant, seconds
from testbed.wire.ipv4 import IpProtocol

__all__ = ["SimBalancer"]

_IDLE: Final = seconds(300)
_RETRY: Final = seconds(10)
_CONNECT: Final = seconds(3)


class SimBalancer(Appliance):
    """Spreads the connections of one service over servers."""

    kind = "balancer"
    model = "testbed simulated balancer"
    own_lines = lines.BALANCER_LINES

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.backends: tuple[Backend, ...] = ()
        self.flows: set[Flow] = set()
        self._scheduler = self.variants.of(Scheduler)("")
        self._health = self.variants.of(Health)(_RETRY)
        self._listener: Listener | None = None
        self._guard = Guard(self.stack.tcp)
        self.stack.ip.register(IpProtocol.TCP, self._guard)

    def shows(self) -> tuple[tuple[str, Callable[[Call], str], str], ...]:
        """Servers, and what was kept out."""
        return (
            ("show servers", lambda call: self._servers(call.now), "servers and their flows"),
            ("show gate", lambda _: self._counts(), "what was kept out"),
        )

    def reconfigured(self, kind: LineKind, port: str, now: Instant) -> None:
        """Make anew what the line is about; flows that exist go on as they are."""
        del port
        value = self.configuration.value
        if kind is lines.SERVER:
            self._list_servers()
        elif kind is lines.SERVICE:
            self._listen(now)
        elif kind is lines.SCHEDULE:
            self._scheduler = self.variants.of(Scheduler)(value(lines.SCHEDULE, ""))
        elif kind is lines.RETRY:
            self._health = self.variants.of(Health)(value(lines.RETRY, _RETRY))
        if kind in {lines.SERVICE, lines.LIMIT, lines.DENY_SOURCE}:
            self._close_gate()

    def _list_servers(self) -> None:
        held = {(each.address, each.port): each for each in self.backends}
        wanted = self.configuration.values(lines.SERVER)
        self.backends = tuple(held.get(place) or Backend(*place) for place in wanted)
        self._scheduler = self.variants.of(Scheduler)(self.configuration.value(lines.SCHEDULE, ""))

    def _listen(self, now: Instant) -> None:
        if self._listener is not None:
            self._listener.close(now)
            self._listener = None
        port = self.configuration.value(lines.SERVICE, None)
        if port is not None:
            self._listener = self.stack.tcp.listen(port, now)
            self._listener.on_change = self._accept

    def _close_gate(self) -> None:
        port = self.configuration.value(lines.SERVICE, None)
        if port is None:
            self._guard.gate = None
            return
        self._guard.gate = self.variants.of(Gate)(
            port,
            self.variants,
            lambda address, source: any(
                each.remote == (address, source) and each.local[1] == port
                for each in self.stack.tcp.connections
            ),
            denied=tuple(self.configuration.values(lines.DENY_SOURCE)),
            limit=self.configuration.value(lines.LIMIT, None),
        )

    def _accept(self, now: Instant) -> None:
        listener = self._listener
        while listener is not None and (client := listener.accept(now)) is not None:
            flow = self.variants.of(Flow)(self._context(), client, now)
            if not flow.over:
                self.flows.add(flow)

    def _context(self) -> FlowContext:
        value = self.configuration.value
        denied = tuple(self.configuration.values(lines.DENY_PATH))
        return FlowContext(
            self.stack,
            self.choose,
            self._health.failed,
            self._health.worked,
            self.flows.discard,
            idle=value(lines.IDLE, _IDLE),
            connect=value(lines.CONNECT, _CONNECT),
            inspector=partial(self.variants.of(Inspector), denied) if denied else None,
        )

    def choose(self, tried: list[Backend], now: Instant) -> Backend | None:
        """A server for a flow: one that works, and was not tried for it."""
        usable = [
            each for each in self.backends if each not in tried and self._health.usable(each, now)
        ]
        return self._scheduler.choose(self.backends, usable)

    def _servers(self, now: Instant) -> str:
        return "".join(
            f"{each.address} {each.port} "
            f"{'up' if self._health.usable(each, now) else 'down'} "
            f"flows {each.flows} total {each.total}\n"
            for each in self.backends
        )

    def _counts(self) -> str:
        gate = self._guard.gate
        denied, limited = (gate.denied, gate.limited) if gate else (0, 0)
        return f"{denied} segments denied, {limited} connections over the limit\n"
