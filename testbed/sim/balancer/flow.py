"""One client's connection, and the server's that it is joined to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from testbed.sim.balancer.requests import Inspector
from testbed.sim.balancer.servers import Backend
from testbed.stack.refusals import Refused
from testbed.stack.stack import Stack
from testbed.stack.tcp.connection import Connection
from testbed.timing import Duration, Instant, after

__all__ = ["Flow", "FlowContext"]

_ROOM: Final = 65536
"""Bytes held for one side; beyond that the other is not read, and its window closes."""


@dataclass(frozen=True, slots=True)
class FlowContext:
    """What all flows share: the stack, who chooses servers and hears how they did, and times."""

    stack: Stack
    choose: Callable[[list[Backend], Instant], Backend | None]
    """A server, none of those that were tried already."""
    failed: Callable[[Backend, Instant], None]
    worked: Callable[[Backend], None]
    ended: Callable[[Flow], None]
    idle: Duration
    connect: Duration
    inspector: Callable[[], Inspector] | None = None


@dataclass(slots=True)
class _Side:
    """A connection, what waits to be sent on it, and how far it has come."""

    connection: Connection
    waiting: bytes = b""
    open: bool = False
    """The handshake was done at some time."""
    ended: bool = False
    """The peer sends no more, and all of it was read."""
    shut: bool = False
    """We send no more."""

    def send(self, now: Instant) -> None:
        """Hand over what waits, as much as there is room for."""
        if self.waiting and not self.shut:
            self.waiting = self.waiting[self.connection.send(self.waiting, now) :]

    def finish(self, now: Instant) -> None:
        """Send no more, once nothing waits."""
        if not self.waiting and not self.shut:
            self.shut = True
            self.connection.shutdown(now)

    def leave(self, now: Instant) -> None:
        """Have no more to do with it: a reset, unless both sides have ended it."""
        self.connection.on_change = None
        if self.ended and self.shut:
            self.connection.close(now)
        else:
            self.connection.abort(now)


class Flow:
    """Joins the two: what comes from one goes to the other, ends and resets too.

    The server is chosen once, and stays the flow's server for as long as the flow lives.
    """

    def __init__(self, context: FlowContext, client: Connection, now: Instant) -> None:
        self.context = context
        self.client = _Side(client, open=True)
        self.server: _Side | None = None
        self.backend: Backend | None = None
        self.over = False
        self._tried: list[Backend] = []
        self._early = b""
        """What the client sent, and no server has taken yet."""
        self._refusal: bytes | None = None
        """What the client is told in the end, in place of a server's answer."""
        self._inspector = context.inspector() if context.inspector else None
        client.on_change = self.go_on
        if self._inspector is None:
            self.find_server(now)
        self.go_on(now)

    # A server

    def find_server(self, now: Instant) -> None:
        """Connect to the server whose turn it is; with none left the client is reset."""
        backend = self.context.choose(self._tried, now)
        if backend is None:
            self.end(now)
            return
        self._tried.append(backend)
        backend.flows += 1
        backend.total += 1
        self.backend = backend
        try:
            made = self.context.stack.tcp.connect((backend.address, backend.port), now)
        except Refused:
            self.server_failed(now)
            return
        made.on_change = self.go_on
        self.server = _Side(made)
        late = after(now, self.context.connect)
        self.context.stack.alarms.set(("connect", id(self)), late, self._connect_late)

    def _connect_late(self, now: Instant) -> None:
        if self.server is not None and not self.server.open:
            self.server_failed(now)
            self.go_on(now)

    def server_failed(self, now: Instant) -> None:
        """It took no connection: the flow, which it has seen nothing of, goes to another."""
        if self.backend is not None:
            self.context.failed(self.backend, now)
        self.leave_server(now)
        self.find_server(now)

    def leave_server(self, now: Instant) -> None:
        """Have no more to do with the server."""
        self.context.stack.alarms.cancel(("connect", id(self)))
        if self.server is not None:
            side, self.server = self.server, None
            side.leave(now)
        if self.backend is not None:
            self.backend.flows -= 1
            self.backend = None

    # To and fro

    def go_on(self, now: Instant) -> None:
        """There is news of one of the connections."""
        if self.over:
            return
        self.rest(now)
        try:
            self._read_client(now)
            self._to_server(now)
            self._read_server(now)
            self._to_client(now)
        except Refused:
            self.end(now)
            return
        if self.client.ended and self.client.shut:
            self.end(now)

    def rest(self, now: Instant) -> None:
        """From now on the flow may be silent for so long."""
        self.context.stack.alarms.set(("idle", id(self)), after(now, self.context.idle), self.end)

    def _read_client(self, now: Instant) -> None:
        side = self.client
        while not self.over and not side.ended and len(self._early) < _ROOM:
            data = side.connection.receive(_ROOM, now)
            if data is None:
                break
            side.ended = not data
            if self._refusal is not None:
                continue  # nobody is to have it
            if self._inspector is None:
                self.forward(data, now)
            else:
                self._inspect(self._inspector, data, now)

    def _inspect(self, inspector: Inspector, data: bytes, now: Instant) -> None:
        passed = inspector.add(data)
        self._refusal = inspector.refused
        if passed:
            if self.server is None and not self._tried:
                self.find_server(now)
            self.forward(passed, now)

    def forward(self, data: bytes, now: Instant) -> None:  # noqa: ARG002 - every step has it
        """Hand the client's bytes on to the server."""
        self._early += data

    def _to_server(self, now: Instant) -> None:
        side = self.server
        if side is None:
            return
        if not side.open:
            if side.connection.error is not None:
                self.server_failed(now)
            if not side.connection.established:
                return
            side.open = True
            if self.backend is not None:
                self.context.worked(self.backend)
        side.waiting, self._early = side.waiting + self._early, b""
        side.send(now)
        if self.client.ended or self._refusal is not None:
            side.finish(now)

    def _read_server(self, now: Instant) -> None:
        side = self.server
        while side is not None and side.open and not side.ended:
            if len(self.client.waiting) >= _ROOM:
                break
            data = side.connection.receive(_ROOM, now)
            if data is None:
                break
            side.ended = not data
            self.give(data)

    def give(self, data: bytes) -> None:
        """Hand the server's bytes on to the client."""
        self.client.waiting += data

    def _to_client(self, now: Instant) -> None:
        side, server = self.client, self.server
        over = server.ended if server is not None else self._refusal is not None
        if over and self._refusal:
            side.waiting, self._refusal = side.waiting + self._refusal, b""
        side.send(now)
        if over:
            side.finish(now)

    def end(self, now: Instant) -> None:
        """Forget the flow: what has not ended by itself is reset."""
        if self.over:
            return
        self.over = True
        self.context.stack.alarms.cancel(("idle", id(self)))
        self.leave_server(now)
        self.client.leave(now)
        self.context.ended(self)
