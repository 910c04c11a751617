"""Looking into HTTP requests on their way to a server (layer 7): what paths they are for."""

from __future__ import annotations

from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["Inspector", "plain_path", "refusal"]

_END: Final = b"\r\n\r\n"
_LONGEST_HEAD: Final = 16384


def plain_path(target: bytes) -> bytes:
    """The path that a request's target means: decoded, without query, dots and doubled slashes.

    RFC 3986 6.2.2: ``/%61dmin``, ``//admin`` and ``/x/../admin`` are all ``/admin``, as servers
    understand them. An absolute target (RFC 9112 3.2.2) has its path after the authority.
    """
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.isalpha():
        target = b"/" + rest.partition(b"/")[2]
    path = unquote_to_bytes(target.partition(b"?")[0].partition(b"#")[0])
    kept: list[bytes] = []
    for part in path.split(b"/"):
        if part == b"..":
            del kept[-1:]
        elif part not in {b"", b"."}:
            kept.append(part)
    return b"/" + b"/".join(kept)


class Inspector:
    """Takes what a client sends, and gives what may go on.

    ``refused`` is the answer to give in place of a server's, once a request may not pass: nothing
    goes on from there.
    """

    __slots__ = ("_body", "_denied", "_held", "refused")

    def __init__(self, denied: tuple[str, ...]) -> None:
        self._denied = tuple(plain_path(path.encode()) for path in denied)
        self._held = b""
        self._body = 0
        self.refused: bytes | None = None

    def add(self, data: bytes) -> bytes:
        """The bytes that may go on; a request's head is held back until all of it is there."""
        self._held += data
        passed = b""
        while self.refused is None and self._held:
            if self._body:
                passed += self._held[: self._body]
                taken = min(self._body, len(self._held))
                self._held = self._held[taken:]
                self._body -= taken
                continue
            head, end, rest = self._held.partition(_END)
            if not end:
                if len(self._held) > _LONGEST_HEAD:
                    self.refused = refusal(400, "Bad Request")
                break
            self.refused = self.judge(head)
            if self.refused is None:
                passed += head + end
                self._held = rest
        return passed

    def judge(self, head: bytes) -> bytes | None:
        """What is said to a request with this head: nothing where it may pass."""
        first, *fields = head.split(b"\r\n")
        words = first.split(b" ")
        if len(words) != 3 or not words[2].startswith(b"HTTP/1."):
            return refusal(400, "Bad Request")
        if self.denies(words[1]):
            return refusal(403, "Forbidden")
        pairs = [field.partition(b":") for field in fields]
        told = {name.strip().lower(): value.strip() for name, _, value in pairs}
        if b"transfer-encoding" in told:
            return refusal(501, "Not Implemented")
        length = told.get(b"content-length", b"0")
        if not length.isdigit():
            return refusal(400, "Bad Request")
        self._body = int(length)
        return None

    def denies(self, target: bytes) -> bool:
        """Whether the target is a denied path, or below one."""
        path = plain_path(target)
        return any(
            path == each or path.startswith(each.rstrip(b"/") + b"/") for each in self._denied
        )


def refusal(status: int, reason: str) -> bytes:
    """An answer without a body, after which the connection ends."""
    return (
        f"HTTP/1.1 {status} {reason}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    ).encode()
