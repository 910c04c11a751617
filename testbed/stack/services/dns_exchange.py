"""One question to one DNS server: by UDP, and by TCP where the answer was cut (RFC 7766 5)."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address
from typing import TypeAlias

from testbed.errors import WireError
from testbed.stack.lower import IcmpError
from testbed.stack.refusals import Refused
from testbed.stack.services.dns_stream import Unframer, framed
from testbed.stack.stack import Stack
from testbed.stack.tcp.connection import Connection
from testbed.stack.udp_socket import UdpSocket
from testbed.timing import Duration, Instant, after
from testbed.wire.dns import DNS_PORT, DnsMessage, DnsQuestion, Edns

__all__ = ["Done", "Exchange"]

Done: TypeAlias = Callable[[DnsMessage | None, Instant], None]
"""Told the answer, or None where none came."""


class Exchange:
    """Asked once; ``done`` is called once. Port and number are random (RFC 5452 9.2)."""

    __slots__ = (
        "_connection",
        "_done",
        "_question",
        "_sent",
        "_socket",
        "_stack",
        "_timeout",
        "_unframer",
        "ident",
        "server",
    )

    def __init__(
        self,
        stack: Stack,
        question: DnsQuestion,
        server: tuple[IPv4Address, int] | IPv4Address,
        timeout: Duration,
        done: Done,
    ) -> None:
        self._stack = stack
        self._question = question
        self._timeout = timeout
        self._done: Done | None = done
        self._socket: UdpSocket | None = None
        self._connection: Connection | None = None
        self._unframer = Unframer()
        self._sent = b""
        self.server = server if isinstance(server, tuple) else (server, DNS_PORT)
        self.ident = self.pick_ident()

    def pick_ident(self) -> int:
        """The number of the query."""
        return self._stack.entropy.below(1 << 16)

    def ask(self, now: Instant, *, edns: Edns | None, rd: bool) -> None:
        """Send the question."""
        query = DnsMessage(self.ident, (self._question,), rd=rd, edns=edns)
        self._sent = query.emit()
        self._stack.alarms.set(self._key(), after(now, self._timeout), self._expire)
        try:
            socket = self._socket = self._stack.udp.open(now)
            socket.on_datagram = self._hear
            socket.on_error = self._fail
            socket.connect(*self.server, now)
            socket.send(self._sent, now)
        except Refused:
            self._finish(None, now)

    def cancel(self, now: Instant) -> None:
        """Ask no more; nobody is told."""
        self._done = None
        self._finish(None, now)

    def _key(self) -> tuple[str, int]:
        return "dns exchange", id(self)

    def _expire(self, now: Instant) -> None:
        self._finish(None, now)

    def _fail(self, socket: UdpSocket, error: IcmpError, now: Instant) -> None:
        if socket is self._socket and error.type == 3 and self._connection is None:
            self._finish(None, now)

    def _finish(self, message: DnsMessage | None, now: Instant) -> None:
        self._stack.alarms.cancel(self._key())
        if self._socket is not None:
            self._socket.close(now)
            self._socket = None
        if self._connection is not None:
            self._connection.on_change = None
            self._connection.close(now)
            self._connection = None
        done, self._done = self._done, None
        if done is not None:
            done(message, now)

    def matches(self, message: DnsMessage) -> bool:
        """Whether it answers the question that was asked (RFC 5452 9.1).

        That it comes from the server, and to the port that asked, the socket sees to.
        """
        return (
            message.response
            and message.ident == self.ident
            and message.opcode == 0
            and message.questions in {(self._question,), ()}
            and (bool(message.questions) or message.rcode != 0)
        )

    def _hear(self, socket: UdpSocket, now: Instant) -> None:
        while (datagram := socket.receive()) is not None:
            message = self._parsed(datagram.payload)
            if message is None or self._connection is not None:
                continue
            if self.is_cut(message):
                self._ask_by_tcp(now)
            else:
                self._finish(message, now)
            return

    def _parsed(self, data: bytes) -> DnsMessage | None:
        try:
            message = DnsMessage.parse(data)
        except WireError:
            return None
        return message if self.matches(message) else None

    def is_cut(self, message: DnsMessage) -> bool:
        """Whether there is more of the answer than came."""
        return message.tc

    def _ask_by_tcp(self, now: Instant) -> None:
        self._stack.alarms.set(self._key(), after(now, self._timeout), self._expire)
        try:
            connection = self._stack.tcp.connect(self.server, now)
        except Refused:
            self._finish(None, now)
            return
        self._connection = connection
        connection.on_change = self._go_on
        self._sent = framed(self._sent)

    def _go_on(self, now: Instant) -> None:
        connection = self._connection
        if connection is None:
            return
        try:
            if self._sent and connection.established:
                self._sent = self._sent[connection.send(self._sent, now) :]
            if connection.established or connection.readable:
                self._read(connection, now)
            elif connection.error is not None:
                self._finish(None, now)
        except Refused:
            self._finish(None, now)

    def _read(self, connection: Connection, now: Instant) -> None:
        while (data := connection.receive(0xFFFF, now)) is not None:
            for each in self._unframer.add(data):
                message = self._parsed(each)
                if message is not None:
                    self._finish(message, now)
                    return
            if not data:
                self._finish(None, now)
                return
