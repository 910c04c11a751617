"""From HTTP's targets to gopher's selectors, and from gopher's replies to HTTP's content.

A target is a gopher URL's path (RFC 4266 2.1): ``/0/docs/readme`` is the text file (type 0) of the
selector ``/docs/readme``; ``/`` is the origin's menu.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from testbed.sim.gateway.requests import BadRequest

__all__ = ["Item", "Page", "Translator"]

_LINE: Final = b"\r\n"
_TEXT: Final = "0"
_MENUS: Final = frozenset({"1", "7"})
_MEDIA: Final = {"g": "image/gif", "h": "text/html"}
_ERROR: Final = re.compile(rb"3[^\t\r\n]*\t[^\r\n]*\r\n(\.\r\n)?")
_CONTROLS: Final = re.compile(rb"[\x00-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class Item:
    """What is asked of the origin: an item of some type (RFC 1436 3.8)."""

    kind: str
    selector: bytes


@dataclass(frozen=True, slots=True)
class Page:
    """What the client gets."""

    status: int
    media: str
    body: bytes


class Translator:
    """Each rule of the translation is a method of its own."""

    __slots__ = ()

    def item(self, target: str) -> Item:
        """What ``target`` means to gopher; BadRequest for what cannot be said there."""
        path, asks, query = target.partition("?")
        if not path.startswith("/"):
            raise BadRequest(400, "a target begins with a slash")
        kind, selector = path[1:2] or "1", self.decoded(path[2:])
        if asks and kind == "7":
            found = self.decoded(query)
            self.check(found)
            self.check(selector)
            return Item(kind, selector + b"\t" + found)
        self.check(selector)
        return Item(kind, selector)

    def decoded(self, text: str) -> bytes:
        """The bytes that a part of a URL stands for (RFC 3986 2.1)."""
        return unquote_to_bytes(text.encode("latin-1"))

    def check(self, selector: bytes) -> None:
        """A line's end or a tab would make another request of it (RFC 1436 appendix: UNASCII)."""
        if _CONTROLS.search(selector):
            raise BadRequest(400, "a selector has no control characters")

    def question(self, item: Item) -> bytes:
        """What is sent to the origin (RFC 1436 2): the selector, and the end of the line."""
        return item.selector + _LINE

    def page(self, item: Item, reply: bytes) -> Page:
        """What the origin's reply says to an HTTP client."""
        if self.is_error(reply):
            return Page(404, "text/plain", reply[1:].split(b"\t")[0] + _LINE)
        if item.kind == _TEXT:
            return Page(200, "text/plain", self.text(reply))
        if item.kind in _MENUS:
            return Page(200, "text/html; charset=utf-8", self.menu(reply))
        media = _MEDIA.get(item.kind, "application/octet-stream")
        return Page(200, media, self.binary(reply))

    def is_error(self, reply: bytes) -> bool:
        """Whether it is one item of type 3: error."""
        return _ERROR.fullmatch(reply) is not None

    def text(self, reply: bytes) -> bytes:
        """A text's lines, up to the one that is a full stop; full stops that were doubled are one.

        RFC 1436 appendix, TextFileEntity: "Lines beginning with periods must be prepended with an
        extra period to ensure that the transmission is not terminated early. The client should
        strip extra periods at the beginning of the line."
        """
        lines: list[bytes] = []
        rest = reply
        while rest:
            line, end, rest = rest.partition(_LINE)
            if self.is_last(line):
                break
            lines.append(self.unstuffed(line) + end)
        return b"".join(lines)

    def is_last(self, line: bytes) -> bool:
        """Whether the text ends here."""
        return line == b"."

    def unstuffed(self, line: bytes) -> bytes:
        """The line as its author wrote it."""
        return line[1:] if line.startswith(b".") else line

    def binary(self, reply: bytes) -> bytes:
        """All that came until the connection ended (RFC 1436 3.8, type 9)."""
        return reply

    def menu(self, reply: bytes) -> bytes:
        """A menu as a list of links."""
        rows = [self._row(line) for line in self.text(reply).split(_LINE) if line]
        return f"<ul>\n{''.join(rows)}</ul>\n".encode()

    def _row(self, line: bytes) -> str:
        fields = line.decode("utf-8", "replace").split("\t")
        name = escape(fields[0][1:])
        if len(fields) < 2 or fields[0][:1] in {"i", "3"}:
            return f"<li>{name}</li>\n"
        link = escape(f"/{fields[0][0]}{quote(fields[1])}")
        return f'<li><a href="{link}">{name}</a></li>\n'
