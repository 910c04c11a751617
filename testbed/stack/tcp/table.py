"""Which connections and listeners there are, by address and port."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from ipaddress import IPv4Address
from typing import Generic, TypeVar

from testbed.stack.tcp.tcb import Key, Tcb

__all__ = ["Table"]

L = TypeVar("L")


class Table(Generic[L]):
    """Connections by their four numbers, listeners by port and address."""

    __slots__ = ("_listeners", "_ports", "_waiting", "connections")

    def __init__(self) -> None:
        self.connections: dict[Key, Tcb] = {}
        self._ports: dict[int, int] = {}
        self._listeners: dict[tuple[int, int | None], L] = {}
        self._waiting: OrderedDict[Key, Tcb] = OrderedDict()

    def add(self, c: Tcb) -> None:
        """Enter a connection; its key must be free."""
        self.connections[c.key] = c
        port = c.key[1]
        self._ports[port] = self._ports.get(port, 0) + 1

    def remove(self, c: Tcb) -> None:
        """Take a connection out; one that is not there is no error."""
        if self.connections.get(c.key) is not c:
            return
        del self.connections[c.key]
        self._waiting.pop(c.key, None)
        port = c.key[1]
        self._ports[port] -= 1
        if not self._ports[port]:
            del self._ports[port]

    def waits(self, c: Tcb, limit: int) -> Tcb | None:
        """Note that ``c`` is in TIME-WAIT; gives the oldest one if there are now too many."""
        self._waiting[c.key] = c
        if len(self._waiting) <= limit:
            return None
        return next(iter(self._waiting.values()))

    def port_used(self, port: int) -> bool:
        """Whether any connection has this local port."""
        return port in self._ports

    def listen(self, port: int, address: IPv4Address | None, listener: L) -> None:
        """Enter a listener."""
        self._listeners[port, None if address is None else int(address)] = listener

    def unlisten(self, port: int, address: IPv4Address | None) -> None:
        """Take a listener out."""
        self._listeners.pop((port, None if address is None else int(address)), None)

    def listener(self, port: int, address: IPv4Address) -> L | None:
        """Who listens at ``address`` and ``port``: the more specific one first."""
        found = self._listeners.get((port, int(address)))
        return found if found is not None else self._listeners.get((port, None))

    def taken(self, port: int, address: IPv4Address | None) -> bool:
        """Whether a listener stands in the way of another at ``port`` and ``address``."""
        wanted = None if address is None else int(address)
        return any(
            held == port and (at is None or wanted is None or at == wanted)
            for held, at in self._listeners
        )

    def listeners(self) -> Iterator[L]:
        """All listeners."""
        return iter(tuple(self._listeners.values()))
