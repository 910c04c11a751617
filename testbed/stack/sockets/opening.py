"""Stream sockets before data flows: names, listeners, connections being opened."""

from __future__ import annotations

from abc import ABC
from enum import Enum
from ipaddress import IPv4Address
from typing import Final, Self

from testbed.stack.sockets import constants as c
from testbed.stack.sockets.base import ANY, Address, Context, Socket, endpoint
from testbed.stack.sockets.errors import failure, translated
from testbed.stack.sockets.settings import Settings
from testbed.stack.sockets.stream_options import StreamOptions
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.listener import Listener
from testbed.stack.tcp.states import State
from testbed.timing import Duration

__all__ = ["OPENING", "OpeningStream", "Phase"]

OPENING: Final = frozenset({State.SYN_SENT, State.SYN_RECEIVED})
"""States of a handshake under way."""
_NO_PEER: Final = frozenset({State.SYN_SENT, State.CLOSED, State.TIME_WAIT})
"""States in which Linux tells no peer: it keeps TIME-WAIT apart from the socket."""
_LOOPBACK: Final = IPv4Address("127.0.0.1")


class Phase(Enum):
    """Where a socket stands: ``socket_state`` of Linux's ``struct socket``."""

    UNCONNECTED = "unconnected"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    LISTENING = "listening"


class OpeningStream(Socket, ABC):
    """A stream socket as far as opening it goes."""

    def __init__(
        self,
        context: Context,
        connection: Connection | None = None,
        inherited: Settings | None = None,
    ) -> None:
        super().__init__(context, c.SOCK_STREAM, c.IPPROTO_TCP)
        self.phase = Phase.UNCONNECTED if connection is None else Phase.CONNECTED
        self.connection = connection
        """The stack's own connection, for whoever wants to look into it or steer it."""
        self.listener: Listener | None = None
        self.bound: tuple[IPv4Address, int] | None = None
        """What bind() took, if it was called."""
        self._options = StreamOptions()
        if inherited is not None:
            self.settings.copy(inherited)
        if connection is not None:
            self._options.hold(connection.options)

    # Names

    def bind(self, address: Address) -> None:
        """Take a local address and port; EADDRINUSE, EADDRNOTAVAIL, EINVAL the second time."""
        self._check()
        ip, port = endpoint(address)
        stack = self._context.stack
        routable = stack.ip.is_broadcast(ip) or ip.is_multicast
        if int(ip) and not (stack.ip.is_local(ip) or routable):
            raise failure("EADDRNOTAVAIL", str(ip))
        if self.bound is not None or self.phase is not Phase.UNCONNECTED:
            raise failure("EINVAL", "bound already")
        # Linux's inet_bind: from a broadcast or group address nothing can be sent.
        ip = ANY if routable else ip
        self.bound = ip, self._take_port(ip, port)

    def _take_port(self, ip: IPv4Address, port: int) -> int:
        if port:
            if self._taken(ip, port):
                raise failure("EADDRINUSE", f"port {port}")
            return port
        stack = self._context.stack
        low, high = stack.config.tcp.ephemeral
        count = high - low + 1
        start = stack.entropy.below(count)
        for step in range(count):
            port = low + (start + step) % count
            if not self._taken(ip, port):
                return port
        raise failure("EADDRINUSE", "no port is free")

    def _taken(self, ip: IPv4Address, port: int) -> bool:
        """Whether somebody else has the port, as Linux's inet_csk_bind_conflict sees it."""
        reuse = self.settings.on(c.SOL_SOCKET, c.SO_REUSEADDR)
        for other in self._context.table.values():
            if other is self or not isinstance(other, OpeningStream) or other.bound is None:
                continue
            where, number = other.bound
            overlaps = not int(ip) or not int(where) or ip == where
            friendly = reuse and other.settings.on(c.SOL_SOCKET, c.SO_REUSEADDR)
            if number == port and overlaps and (other.listener is not None or not friendly):
                return True
        tcp = self._context.stack.tcp
        if any(each.port == port and _meet(ip, each.address) for each in tcp.listeners):
            return True
        return not reuse and any(
            each.local[1] == port and _meet(ip, each.local[0]) for each in tcp.connections
        )

    def getsockname(self) -> Address:
        """The local address and port; ``0.0.0.0`` and 0 before there are any."""
        self._check()
        if self.connection is not None:
            ip, port = self.connection.local
        else:
            ip, port = self.bound or (ANY, 0)
        return str(ip), port

    def getpeername(self) -> Address:
        """The peer's address and port; ENOTCONN without a connection."""
        self._check()
        connection = self.connection
        if connection is None or connection.state in _NO_PEER:
            raise failure("ENOTCONN")
        return str(connection.remote[0]), connection.remote[1]

    # Opening

    def listen(self, backlog: int = c.SOMAXCONN) -> None:
        """Take connections; calling it again changes the backlog only."""
        self._check()
        if self.phase not in {Phase.UNCONNECTED, Phase.LISTENING}:
            raise failure("EINVAL", "connected or connecting")
        # Linux takes a negative backlog for the largest, and 0 for one connection.
        limit = max(1, min(backlog, c.SOMAXCONN) if backlog >= 0 else c.SOMAXCONN)
        if self.listener is not None:
            self.listener.backlog = limit
            return
        if self.bound is None:
            self.bound = ANY, self._take_port(ANY, 0)
        ip, port = self.bound
        with translated():
            self.listener = self._context.stack.tcp.listen(
                port,
                self._context.now(),
                ip if int(ip) else None,
                backlog=limit,
                options=self._options.wanted(),
            )
        self._options.hold(self.listener.options)
        self.phase = Phase.LISTENING

    def accept(self, *, within: Duration | None = None, flags: int = 0) -> tuple[Self, Address]:
        """The next connection as a socket of its own, and its peer.

        EAGAIN where none waits, EINVAL on a socket that does not listen.
        """
        self._check()
        listener = self.listener
        if listener is None:
            raise failure("EINVAL", "not listening")
        if not self._wait_read(lambda: self._closed or listener.readable, within, 0):
            raise failure("EAGAIN", "no connection waits")
        self._check()
        connection = listener.accept(self._context.now())
        if connection is None:
            raise failure("EAGAIN", "no connection waits")
        made = type(self)(self._context, connection, self.settings)
        made.setblocking(not flags & c.SOCK_NONBLOCK)
        return made, (str(connection.remote[0]), connection.remote[1])

    def connect(self, address: Address, *, within: Duration | None = None) -> None:
        """Open a connection. Non-blocking: EINPROGRESS, then EALREADY until it is settled.

        Raises what became of it (ECONNREFUSED, ETIMEDOUT, EHOSTUNREACH, ...), after which the
        socket may try again; EISCONN on one that is connected.
        """
        self._check()
        ip, port = endpoint(address)
        if self.phase in {Phase.CONNECTED, Phase.LISTENING}:
            raise failure("EISCONN")
        first = self.phase is Phase.UNCONNECTED
        if first:
            self._start(ip, port)
        if not self._wait_write(self._settled, within):
            raise failure("EINPROGRESS" if first else "EALREADY")
        self._check()
        self._conclude()

    def _start(self, ip: IPv4Address, port: int) -> None:
        stack = self._context.stack
        # Linux's tcp_v4_connect: to 0.0.0.0 means to oneself; a group or broadcast is no peer.
        ip = ip if int(ip) else _LOOPBACK
        if ip.is_multicast or stack.ip.is_broadcast(ip):
            raise failure("ENETUNREACH", f"{ip} is no single host")
        source, number = self.bound or (ANY, 0)
        with translated():
            self.connection = stack.tcp.connect(
                (ip, port),
                self._context.now(),
                local=(source if int(source) else None, number),
                options=self._options.wanted(),
            )
        self._options.hold(self.connection.options)
        self.phase = Phase.CONNECTING

    def _settled(self) -> bool:
        return self._closed or self.connection is None or self.connection.state not in OPENING

    def _conclude(self) -> None:
        connection = self.connection
        if connection is not None and connection.state is not State.CLOSED:
            self.phase = Phase.CONNECTED
            return
        # Linux's inet_stream_connect: 'err = sock_error(sk) ? : -ECONNABORTED'.
        name = self._take_error() or "ECONNABORTED"
        self.connection = None
        self.phase = Phase.UNCONNECTED
        self.shut_read = self.shut_write = False
        raise failure(name)


def _meet(one: IPv4Address | None, other: IPv4Address | None) -> bool:
    """Whether two local addresses overlap; None and 0.0.0.0 are all."""
    return not one or not int(one) or not other or not int(other) or one == other
