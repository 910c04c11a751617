"""What a plan does with a Python stack's connections: calls that turn the loop, errors in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address

from testbed.errors import ExpectationFailed
from testbed.hosts.pump import StackPump
from testbed.hosts.stack_steering import Steer
from testbed.stack.refusals import Refused
from testbed.stack.tcp.connection import Connection
from testbed.stack.tcp.listener import Listener
from testbed.stack.tcp.options import SocketOptions
from testbed.stack.tcp.snapshot import TcpSnapshot
from testbed.stack.tcp.states import State
from testbed.stack.udp_socket import Datagram, UdpSocket
from testbed.timing import Duration, format_duration, seconds

__all__ = ["SOON", "StackConnection", "StackListener", "StackUdp"]

SOON = seconds(10)
"""How long a call waits for the peer, unless told otherwise."""


class StackConnection:
    """A TCP connection of a StackHost.

    Calls that wait raise ExpectationFailed with what is missing: it is the peer that did not do it.
    """

    def __init__(self, host: StackPump, tcp: Connection) -> None:
        self.host = host
        self.tcp = tcp
        """The stack's own connection: everything about it, and everything that it can do."""
        self._error: str | None = None

    @property
    def state(self) -> State:
        """The state of RFC 9293 3.3.2."""
        return self.tcp.state

    @property
    def error(self) -> str | None:
        """What ended it: ``ECONNRESET`` and the like, or None."""
        if self.tcp.error is not None:
            self._error = self.tcp.error.errno_name
        return self._error

    @property
    def local(self) -> tuple[IPv4Address, int]:
        """Address and port of this side."""
        return self.tcp.local

    @property
    def remote(self) -> tuple[IPv4Address, int]:
        """Address and port of the peer."""
        return self.tcp.remote

    @property
    def options(self) -> SocketOptions:
        """Settings of this connection; set them as they are needed."""
        return self.tcp.options

    @property
    def steer(self) -> Steer:
        """What makes it do as the plan wants, against its own judgement."""
        return Steer(self.host, self.tcp)

    def snapshot(self) -> TcpSnapshot:
        """Everything about it, as it is now: SND and RCV variables, windows, timers, history."""
        return self.tcp.snapshot()

    def apply(self) -> None:
        """Let changed ``options`` take effect now."""
        self.tcp.apply(self.host.now())
        self.host.flush()

    def send(self, data: bytes, *, within: Duration = SOON, urgent: bool = False) -> None:
        """Hand ``data`` to the stack, and wait until it has taken all of it."""
        at = 0

        def all_taken() -> bool:
            nonlocal at
            with self._refusals(f"sent {at} of {len(data)} bytes"):
                at += self.tcp.send(data[at:], self.host.now(), urgent=urgent)
            self.host.flush()
            return at == len(data)

        self._await(all_taken, within, lambda: f"it took {at} of {len(data)} bytes to send")

    def receive(self, size: int, *, within: Duration = SOON) -> bytes:
        """Exactly ``size`` bytes of the stream."""
        got = b""

        def complete() -> bool:
            nonlocal got
            part = self.read(size - len(got))
            if part == b"" and len(got) < size:
                raise ExpectationFailed(
                    f"{self}: the peer ended the stream after {len(got)} bytes of {size}"
                )
            got += part or b""
            return len(got) == size

        self._await(complete, within, lambda: f"{len(got)} of {size} bytes came")
        return got

    def receive_all(self, *, within: Duration = SOON) -> bytes:
        """All bytes until the peer has ended the stream."""
        parts: list[bytes] = []

        def ended() -> bool:
            while part := self.read(1 << 20):
                parts.append(part)
            return part == b""

        self._await(ended, within, lambda: f"{sum(map(len, parts))} bytes came, and no end")
        return b"".join(parts)

    def read(self, limit: int = 65536) -> bytes | None:
        """What there is, at once: None where nothing waits, nothing at the end of the stream."""
        with self._refusals("read"):
            data = self.tcp.receive(limit, self.host.now())
        self.host.flush()
        return data

    def shutdown(self) -> None:
        """End the sending side: the peer can go on sending."""
        with self._refusals("shut down"):
            self.tcp.shutdown(self.host.now())
        self.host.flush()

    def close(self) -> None:
        """Close; the stack goes on with it until the peer has, too."""
        self.tcp.close(self.host.now())
        self.host.flush()

    def abort(self) -> None:
        """Reset it."""
        self.tcp.abort(self.host.now())
        self.host.flush()

    def wait_for(self, *states: State, within: Duration = SOON) -> None:
        """Wait until it is in one of ``states``."""
        wanted = " or ".join(map(str, states))
        self._await(lambda: self.state in states, within, lambda: f"expected {wanted}")

    def wait_until(
        self, condition: Callable[[], bool], *, within: Duration = SOON, what: str = "the condition"
    ) -> None:
        """Turn the loop until ``condition`` holds."""
        self._await(condition, within, lambda: f"{what} did not come")

    def __str__(self) -> str:
        ends = " to ".join(f"{address}:{port}" for address, port in (self.local, self.remote))
        error = f", {self.error}" if self.error else ""
        return f"{self.host.name}: TCP from {ends} ({self.state}{error})"

    def _await(
        self, condition: Callable[[], bool], within: Duration, missing: Callable[[], str]
    ) -> None:
        if not self.host.run_until(condition, within):
            raise ExpectationFailed(f"{self}: {missing()} within {format_duration(within)}")

    @contextmanager
    def _refusals(self, doing: str) -> Iterator[None]:
        try:
            yield
        except Refused as error:
            self._error = error.errno_name
            raise ExpectationFailed(f"{self}: {doing}: {error}") from error


class StackListener:
    """A listening TCP port of a StackHost."""

    def __init__(self, host: StackPump, tcp: Listener, port: int) -> None:
        self.host = host
        self.tcp = tcp
        self.port = port

    def accept(self, *, within: Duration = SOON) -> StackConnection:
        """The next connection; ExpectationFailed where none comes."""
        found: list[Connection] = []

        def one() -> bool:
            connection = self.tcp.accept(self.host.now())
            if connection is not None:
                found.append(connection)
            return bool(found)

        if not self.host.run_until(one, within):
            raise ExpectationFailed(
                f"{self.host.name}: nobody connected to port {self.port} within "
                f"{format_duration(within)}"
            )
        self.host.flush()
        return StackConnection(self.host, found[0])

    def close(self) -> None:
        """Listen no more."""
        self.tcp.close(self.host.now())
        self.host.flush()


class StackUdp:
    """A UDP socket of a StackHost."""

    def __init__(
        self,
        host: StackPump,
        udp: UdpSocket,
        resolve: Callable[[str | IPv4Address], IPv4Address],
    ) -> None:
        self.host = host
        self._resolve = resolve
        self.udp = udp
        """The stack's own socket: joining groups, permission to broadcast, pending errors."""

    @property
    def port(self) -> int:
        """The local port."""
        return self.udp.port

    def send(
        self, payload: bytes, to: str | IPv4Address, port: int, *, df: bool = False
    ) -> str | None:
        """Send a datagram; the error's name (``EMSGSIZE``) where the stack refused it, or None."""
        try:
            destination = self._resolve(to)
            self.udp.send(payload, self.host.now(), to=(destination, port), df=df)
        except Refused as error:
            return error.errno_name
        finally:
            self.host.flush()
        return None

    def receive(self, *, within: Duration = SOON) -> Datagram:
        """The next datagram; ExpectationFailed where none comes."""
        found: list[Datagram] = []

        def one() -> bool:
            datagram = self.udp.receive()
            if datagram is not None:
                found.append(datagram)
            return bool(found)

        if not self.host.run_until(one, within):
            raise ExpectationFailed(
                f"{self.host.name}: no datagram came to port {self.port} within "
                f"{format_duration(within)}"
            )
        return found[0]

    def close(self) -> None:
        """Give the port back."""
        self.udp.close(self.host.now())
        self.host.flush()
