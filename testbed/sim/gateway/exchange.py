"""One client's request, from its first byte to the last of its answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Final

from testbed.sim.gateway.requests import Answers, BadRequest, Request, RequestReader
from testbed.sim.gateway.translate import Item, Page, Translator
from testbed.stack.refusals import Refused
from testbed.stack.stack import Stack
from testbed.stack.tcp.connection import Connection
from testbed.timing import Duration, Instant, after

__all__ = ["Exchange", "ExchangeContext", "Fetch"]

_AT_ONCE: Final = 65536
_MOST: Final = 1 << 24
"""Bytes of a reply that are held; a larger one is an error (502)."""


class Fetch:
    """Asks the origin for one item. ``done`` is told of the reply, or of a status in its place."""

    def __init__(
        self,
        stack: Stack,
        origin: tuple[IPv4Address, int],
        question: bytes,
        done: Callable[[bytes | int, Instant], None],
        *,
        patience: Duration,
        now: Instant,
    ) -> None:
        self._stack = stack
        self._done = done
        self._patience = patience
        self._unsent = question
        self._parts: list[bytes] = []
        self._held = 0
        self._over = False
        self._connection: Connection | None = None
        try:
            self._connection = stack.tcp.connect(origin, now)
        except Refused:
            self.finish(502, now)
            return
        self._connection.on_change = self.go_on
        self.wait(now)

    def wait(self, now: Instant) -> None:
        """The origin may be silent for so long, from now on."""
        self._stack.alarms.set(("fetch", id(self)), after(now, self._patience), self.too_late)

    def too_late(self, now: Instant) -> None:
        """Nothing more came."""
        self.finish(504, now)

    def go_on(self, now: Instant) -> None:
        """There is news of the origin's connection."""
        connection = self._connection
        if connection is None or self._over:
            return
        try:
            if self._unsent and connection.established:
                self._unsent = self._unsent[connection.send(self._unsent, now) :]
            while (data := connection.receive(_AT_ONCE, now)) is not None:
                if not data:
                    self.finish(self.reply(), now)
                    return
                self.take(data)
                self.wait(now)
                if self._held > _MOST:
                    self.finish(502, now)
                    return
        except Refused:
            self.broken(now)

    def take(self, data: bytes) -> None:
        """A part of the reply came."""
        self._parts.append(data)
        self._held += len(data)

    def reply(self) -> bytes:
        """All that came."""
        return b"".join(self._parts)

    def broken(self, now: Instant) -> None:
        """The origin refused the connection, or reset it: what came is not all there is."""
        self.finish(502, now)

    def finish(self, outcome: bytes | int, now: Instant) -> None:
        """Be done with the origin, and tell what came of it."""
        if self._over:
            return
        self.drop(now)
        self._done(outcome, now)

    def drop(self, now: Instant) -> None:
        """Nobody wants to know any more."""
        self._over = True
        self._stack.alarms.cancel(("fetch", id(self)))
        if self._connection is not None:
            self._connection.on_change = None
            self._connection.close(now)


@dataclass(frozen=True, slots=True)
class ExchangeContext:
    """What all exchanges share."""

    stack: Stack
    origin: tuple[IPv4Address, int] | None
    patience: Duration
    ended: Callable[[Exchange], None]


class Exchange:
    """Reads a request, asks the origin, answers, and ends the connection."""

    def __init__(self, context: ExchangeContext, client: Connection, now: Instant) -> None:
        self.context = context
        self.over = False
        self._client = client
        self._asked = b""
        self._request: Request | None = None
        self._item: Item | None = None
        self._fetch: Fetch | None = None
        self._answered = False
        self._shut = False
        self._unsent = b""
        variants = context.stack.core.variants
        self._reader = variants.of(RequestReader)()
        self._translator = variants.of(Translator)()
        self._answers = variants.of(Answers)()
        client.on_change = self.go_on
        self.go_on(now)

    def go_on(self, now: Instant) -> None:
        """There is news of the client's connection."""
        if self.over:
            return
        try:
            while (data := self._client.receive(_AT_ONCE, now)) is not None:
                if not data:
                    break
                if not self._answered and self._request is None:
                    self._asked += data
                    self._read(now)
            self._send(now)
        except Refused:
            self.end(now)
            return
        if self._client.at_eof and (self._shut or not self._asked):
            self.end(now)

    def _read(self, now: Instant) -> None:
        try:
            self._request = self._reader.read(self._asked)
            if self._request is not None:
                self._item = self._translator.item(self._request.target)
                self.ask(self._item, now)
        except BadRequest as bad:
            self.answer(Page(bad.status, "text/plain", f"{bad}\r\n".encode()), now)

    def ask(self, item: Item, now: Instant) -> None:
        """Ask the origin for the item."""
        origin = self.context.origin
        if origin is None:
            self.answer(self.failure(502), now)
            return
        self._fetch = self.context.stack.core.variants.of(Fetch)(
            self.context.stack,
            origin,
            self._translator.question(item),
            self.heard,
            patience=self.context.patience,
            now=now,
        )

    def heard(self, outcome: bytes | int, now: Instant) -> None:
        """The origin's reply, or the status to give for it."""
        if isinstance(outcome, int) or self._item is None:
            page = self.failure(outcome if isinstance(outcome, int) else 502)
        else:
            page = self._translator.page(self._item, outcome)
        self.answer(page, now)

    def failure(self, status: int) -> Page:
        """What a client is told where the origin cannot be had (RFC 9110 15.6.3, 15.6.5)."""
        words = {502: b"the origin cannot be reached\r\n", 504: b"the origin does not answer\r\n"}
        return Page(status, "text/plain", words[status])

    def answer(self, page: Page, now: Instant) -> None:
        """Send the page, and end the connection after it."""
        if self.over or self._answered:
            return
        self._answered = True
        head_only = self._request is not None and self._request.method == "HEAD"
        self._unsent = self._answers.write(
            page.status, page.media, page.body, with_body=not head_only
        )
        try:
            self._send(now)
        except Refused:
            self.end(now)

    def _send(self, now: Instant) -> None:
        if self._unsent:
            self._unsent = self._unsent[self._client.send(self._unsent, now) :]
        if self._answered and not self._unsent and not self._shut:
            self._shut = True
            self._client.shutdown(now)

    def end(self, now: Instant) -> None:
        """The client is gone, or has all of its answer."""
        if self.over:
            return
        self.over = True
        if self._fetch is not None:
            self._fetch.drop(now)
        self._client.on_change = None
        if self._shut:
            self._client.close(now)
        else:
            self._client.abort(now)
        self.context.ended(self)
