"""Pings that the stack sends: echo requests and what comes back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final, Protocol

from testbed.stack.lower import IcmpError
from testbed.stack.refusals import Refused
from testbed.timing import Instant

__all__ = ["EchoAnswer", "EchoOwner", "EchoSocket"]

_LARGEST: Final = 65507
"""Bytes of data: 65535 less the headers of IP and ICMP."""
_WAITING: Final = 1024


@dataclass(frozen=True, slots=True)
class EchoAnswer:
    """What came back for one request: a reply, or an ``error`` that quotes the request."""

    source: IPv4Address
    sequence: int
    data: bytes
    ttl: int
    at: Instant
    error: IcmpError | None = None


class EchoOwner(Protocol):
    """What an echo socket asks of ICMP."""

    def send_echo(
        self,
        socket: EchoSocket,
        to: IPv4Address,
        sequence: int,
        data: bytes,
        now: Instant,
        *,
        df: bool,
    ) -> None:
        """Send one request; raises Refused."""

    def remove(self, socket: EchoSocket) -> None:
        """The socket is closed."""


class EchoSocket:
    """Made by ``stack.icmp.open``: its requests carry ``ident``, by which answers find it."""

    __slots__ = (
        "_owner",
        "_queue",
        "closed",
        "ident",
        "interface",
        "on_answer",
        "source",
        "tos",
        "ttl",
    )

    def __init__(self, owner: EchoOwner, ident: int) -> None:
        self._owner = owner
        self._queue: deque[EchoAnswer] = deque(maxlen=_WAITING)
        self.ident = ident
        self.closed = False
        self.source: IPv4Address | None = None
        """Send from this address, None for the one that the route prefers."""
        self.interface: str | None = None
        self.ttl: int | None = None
        self.tos = 0
        self.on_answer: Callable[[EchoSocket, EchoAnswer], None] | None = None
        """Called for each answer, besides its being queued."""

    def send(
        self,
        to: IPv4Address,
        now: Instant,
        *,
        sequence: int = 1,
        data: bytes = b"",
        df: bool = False,
    ) -> None:
        """Send one echo request.

        Raises Refused: ENETUNREACH without a route, EMSGSIZE beyond 65507 bytes, or with DF beyond
        the path MTU.
        """
        if self.closed:
            raise Refused("EBADF", "the socket is closed")
        if len(data) > _LARGEST:
            raise Refused("EMSGSIZE", f"{len(data)} bytes, {_LARGEST} at most")
        self._owner.send_echo(self, to, sequence & 0xFFFF, data, now, df=df)

    def receive(self) -> EchoAnswer | None:
        """The oldest answer not yet taken, or None."""
        return self._queue.popleft() if self._queue else None

    @property
    def readable(self) -> bool:
        """Whether an answer waits."""
        return bool(self._queue)

    def close(self, now: Instant) -> None:  # noqa: ARG002 - every call of a user has it
        """Hear no more; closing twice is no error."""
        if not self.closed:
            self.closed = True
            self._queue.clear()
            self._owner.remove(self)

    def deliver(self, answer: EchoAnswer) -> None:
        """An answer came; the layer calls it."""
        self._queue.append(answer)
        if self.on_answer is not None:
            self.on_answer(self, answer)
