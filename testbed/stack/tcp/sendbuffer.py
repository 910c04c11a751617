"""Bytes that the user handed over and the peer has not yet acknowledged."""

from __future__ import annotations

from bisect import bisect_right

__all__ = ["SendBuffer"]

_COALESCE = 4096
"""Writes are joined to chunks of up to this size: a million one-byte writes stay cheap."""


class SendBuffer:
    """A stretch of the stream, by sequence number; ``start`` is the number of its first byte."""

    __slots__ = ("_at", "_chunks", "_starts", "end", "start")

    start: int
    """The first number held: all below was released."""
    end: int
    """One past the last number held: where the next byte goes."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self._chunks: list[bytes] = []
        self._starts: list[int] = []
        self._at = 0  # the chunk read last

    @property
    def size(self) -> int:
        """Bytes held."""
        return self.end - self.start

    def append(self, data: bytes | bytearray | memoryview) -> None:
        """Take ``data`` in; the caller has looked whether there is room."""
        size = len(data)
        if not size:
            return
        chunks = self._chunks
        if chunks and size + len(chunks[-1]) <= _COALESCE:
            chunks[-1] += bytes(data)
        else:
            chunks.append(bytes(data))
            self._starts.append(self.end)
        self.end += size

    def read(self, seq: int, size: int) -> bytes:
        """Up to ``size`` bytes from ``seq`` on; fewer where the buffer ends. Nothing is released.

        Raises IndexError for numbers that are not held.
        """
        starts = self._starts
        at = self._at
        if at < len(starts):
            # The next segment mostly lies in the chunk of the last one.
            offset = seq - starts[at]
            if offset >= 0 and seq >= self.start:
                chunk = self._chunks[at]
                if offset + size <= len(chunk):
                    return chunk[offset : offset + size]
        return self._read_across(seq, size)

    def _read_across(self, seq: int, size: int) -> bytes:
        if not self.start <= seq <= self.end:
            raise IndexError(f"{seq} is not held: {self.start} to {self.end} is")
        size = min(size, self.end - seq)
        if not size:
            return b""
        at = bisect_right(self._starts, seq) - 1
        offset = seq - self._starts[at]
        pieces = []
        while size:
            piece = self._chunks[at][offset : offset + size]
            pieces.append(piece)
            size -= len(piece)
            self._at = at
            at += 1
            offset = 0
        return b"".join(pieces)

    def release(self, seq: int) -> None:
        """Forget all below ``seq``: it was acknowledged."""
        if seq <= self.start:
            return
        self.start = seq = min(seq, self.end)
        chunks = self._chunks
        gone = 0
        for start, chunk in zip(self._starts, chunks, strict=True):
            if start + len(chunk) > seq:
                break
            gone += 1
        if gone:
            del chunks[:gone], self._starts[:gone]
            self._at = max(0, self._at - gone)
