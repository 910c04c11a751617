"""HTTP/1.1 (RFC 9112) as far as a page needs it: one request, one answer, and the connection ends.

::

    HttpServer.on(server, {"/": b"<p>Hello</p>"}, now)
    fetch = HttpFetch.on(client, (address, 80), "www.example.test", "/", now)
    ... time goes by ...
    fetch.answer.body
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import Final, Self

from testbed.stack.refusals import Refused
from testbed.stack.stack import Stack
from testbed.stack.tcp.connection import Connection
from testbed.timing import Instant

__all__ = ["HTTP_PORT", "HttpAnswer", "HttpFetch", "HttpServer"]

HTTP_PORT: Final = 80
_END: Final = b"\r\n\r\n"
_LONGEST_HEAD: Final = 16384
_REASONS: Final = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed"}


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer; names of header fields are in lower case."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


def _head(data: bytes) -> tuple[str, dict[str, str]]:
    """The first line, and the fields by their names in lower case."""
    first, *rest = data.decode("latin-1").split("\r\n")
    pairs = (line.split(":", 1) for line in rest if ":" in line)
    return first, {name.strip().lower(): value.strip() for name, value in pairs}


class HttpServer:
    """Serves ``pages`` by their paths, one to a connection, and closes it after the answer."""

    __slots__ = ("_connections", "_listener", "_stack", "pages")

    def __init__(
        self, stack: Stack, pages: Mapping[str, bytes], now: Instant, *, port: int = HTTP_PORT
    ) -> None:
        self._stack = stack
        self.pages = dict(pages)
        self._connections: set[Connection] = set()
        self._listener = stack.tcp.listen(port, now)
        self._listener.on_change = self._accept

    @classmethod
    def on(
        cls, stack: Stack, pages: Mapping[str, bytes], now: Instant, *, port: int = HTTP_PORT
    ) -> Self:
        """A server on ``stack``, with the stack's defects if it has any."""
        return stack.ip.variants.of(cls)(stack, pages, now, port=port)

    def close(self, now: Instant) -> None:
        """Serve no more."""
        self._listener.close(now)
        for connection in tuple(self._connections):
            connection.abort(now)
        self._connections.clear()

    def _accept(self, now: Instant) -> None:
        while (connection := self._listener.accept(now)) is not None:
            self._connections.add(connection)
            connection.on_change = self._server(connection)
            connection.on_change(now)

    def _server(self, connection: Connection) -> Callable[[Instant], None]:
        """What goes on with ``connection`` whenever there is news of it."""
        asked, unsent, answered = b"", b"", False

        def go_on(now: Instant) -> None:
            nonlocal asked, unsent, answered
            try:
                while (data := connection.receive(0xFFFF, now)) is not None:
                    asked += data
                    if not data:
                        self._connections.discard(connection)
                        connection.close(now)
                        return
                if not answered and (_END in asked or len(asked) > _LONGEST_HEAD):
                    answered, unsent = True, self.respond(asked)
                if unsent:
                    waiting, unsent = unsent, b""
                    unsent = waiting[connection.send(waiting, now) :]
                    if not unsent:
                        self.end(connection, now)
            except Refused:
                self._connections.discard(connection)

        return go_on

    def end(self, connection: Connection, now: Instant) -> None:
        """RFC 9112 9.6: an orderly end, by closing the sending side; the client then closes."""
        connection.shutdown(now)

    def respond(self, request: bytes) -> bytes:
        """The answer to the request that ``request`` begins with."""
        first, headers = _head(request.split(_END)[0])
        method, _, rest = first.partition(" ")
        path, _, version = rest.partition(" ")
        if not version.startswith("HTTP/1.") or (version == "HTTP/1.1" and "host" not in headers):
            # RFC 9112 3.2: "A server MUST respond with a 400 (Bad Request) status code to any
            # HTTP/1.1 request message that lacks a Host header field".
            return self.answer(400, b"", with_body=True)
        if method not in {"GET", "HEAD"}:
            return self.answer(405, b"", with_body=True)
        body = self.pages.get(path)
        status = 404 if body is None else 200
        return self.answer(status, body or b"", with_body=method == "GET")

    def answer(self, status: int, body: bytes, *, with_body: bool) -> bytes:
        """The bytes of an answer."""
        lines = (
            f"HTTP/1.1 {status} {_REASONS[status]}",
            "Content-Type: text/html; charset=utf-8",
            f"Content-Length: {len(body)}",
            "Connection: close",
        )
        return "\r\n".join(lines).encode() + _END + (body if with_body else b"")


class HttpFetch:
    """A request under way; ``answer`` is None until all of the answer has come.

    ``error`` is why there is none: the name of an errno, or what is wrong with what came.
    """

    __slots__ = ("_data", "_stack", "_unsent", "answer", "connection", "error")

    def __init__(
        self, stack: Stack, to: tuple[IPv4Address, int], host: str, path: str, now: Instant
    ) -> None:
        self._stack = stack
        self._data = b""
        self._unsent = self.request(host, path)
        self.answer: HttpAnswer | None = None
        self.error: str | None = None
        self.connection: Connection | None = None
        try:
            self.connection = stack.tcp.connect(to, now)
        except Refused as error:
            self.error = error.errno_name
        else:
            self.connection.on_change = self._go_on

    @classmethod
    def on(
        cls, stack: Stack, to: tuple[IPv4Address, int], host: str, path: str, now: Instant
    ) -> Self:
        """A request by ``stack``, with the stack's defects if it has any."""
        return stack.ip.variants.of(cls)(stack, to, host, path, now)

    @property
    def done(self) -> bool:
        """Whether there is an answer, or none to be had."""
        return self.answer is not None or self.error is not None

    def request(self, host: str, path: str) -> bytes:
        """The bytes of the request."""
        lines = (f"GET {path} HTTP/1.1", f"Host: {host}", "Accept: */*", "Connection: close")
        return "\r\n".join(lines).encode() + _END

    def _go_on(self, now: Instant) -> None:
        connection = self.connection
        if connection is None:
            return
        try:
            if self._unsent and connection.established:
                self._unsent = self._unsent[connection.send(self._unsent, now) :]
            while not self.done and (data := connection.receive(0xFFFF, now)) is not None:
                self._data += data
                if not data:
                    self._conclude(connection, now)
        except Refused as error:
            self.error = self.error or error.errno_name
        if connection.error is not None and not self.done:
            self.error = connection.error.errno_name

    def _conclude(self, connection: Connection, now: Instant) -> None:
        """The server has ended the stream: what came is all there is."""
        connection.close(now)
        head, end, body = self._data.partition(_END)
        first, headers = _head(head)
        version, _, rest = first.partition(" ")
        status = rest[:3]
        length = headers.get("content-length", str(len(body)))
        if not end or not version.startswith("HTTP/1.") or not status.isdecimal():
            self.error = f"no answer of HTTP: {self._data[:40]!r}"
        elif length != str(len(body)):
            # RFC 9112 8: "If the sender closes the connection [...] before the indicated number of
            # octets are received, the recipient MUST consider the message to be incomplete".
            self.error = f"{len(body)} bytes came of {length}"
        else:
            self.answer = HttpAnswer(int(status), headers, body)
