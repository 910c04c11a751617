"""HTTP's side: what a client asks for, and how it is answered (RFC 9112)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["END", "LONGEST_HEAD", "Answers", "BadRequest", "Request", "RequestReader"]

END: Final = b"\r\n\r\n"
LONGEST_HEAD: Final = 16384

_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    501: "Not Implemented",
    502: "Bad Gateway",
    504: "Gateway Timeout",
}


class BadRequest(Exception):  # noqa: N818 - an answer to the client
    """The request is answered with ``status`` and nothing is asked of the origin."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """What a client asks for."""

    method: str
    target: str


class RequestReader:
    """Reads the head of a request."""

    __slots__ = ()

    def read(self, data: bytes) -> Request | None:
        """The request that ``data`` begins with; None while its head is not whole.

        Raises BadRequest for what is none, and for methods other than GET and HEAD.
        """
        head, end, _ = data.partition(END)
        if not end:
            if len(data) > LONGEST_HEAD:
                raise BadRequest(400, "the head is too long")
            return None
        first, *fields = head.decode("latin-1").split("\r\n")
        words = first.split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(400, "that is no request of HTTP/1")
        names = {field.partition(":")[0].strip().lower() for field in fields}
        if words[2] != "HTTP/1.0" and "host" not in names:
            # RFC 9112 3.2: "A server MUST respond with a 400 (Bad Request) status code to any
            # HTTP/1.1 request message that lacks a Host header field".
            raise BadRequest(400, "there is no Host field")
        if words[0] not in {"GET", "HEAD"}:
            raise BadRequest(501, "only GET and HEAD are known")
        return Request(words[0], words[1])


class Answers:
    """Writes answers."""

    __slots__ = ()

    def write(self, status: int, media: str, body: bytes, *, with_body: bool) -> bytes:
        """An answer, whose length is told (RFC 9110 8.6), and the connection's end."""
        lines = (
            f"HTTP/1.1 {status} {_REASONS[status]}",
            f"Content-Type: {media}",
            f"Content-Length: {self.length(body)}",
            "Connection: close",
        )
        return "\r\n".join(lines).encode() + END + (body if with_body else b"")

    def length(self, body: bytes) -> int:
        """What Content-Length says: the body's bytes."""
        return len(body)
