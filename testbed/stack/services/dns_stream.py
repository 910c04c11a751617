"""DNS messages over TCP: each after its length in two bytes (RFC 1035 4.2.2)."""

from __future__ import annotations

__all__ = ["Unframer", "framed"]


def framed(message: bytes) -> bytes:
    """The message with its length before it."""
    return len(message).to_bytes(2, "big") + message


class Unframer:
    """Bytes in, as they come; whole messages out."""

    __slots__ = ("_data",)

    def __init__(self) -> None:
        self._data = b""

    def add(self, data: bytes) -> tuple[bytes, ...]:
        """The messages that are whole now."""
        self._data += data
        found = []
        while len(self._data) >= 2:
            end = 2 + int.from_bytes(self._data[:2], "big")
            if len(self._data) < end:
                break
            found.append(self._data[2:end])
            self._data = self._data[end:]
        return tuple(found)
