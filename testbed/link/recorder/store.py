"""Where recorded blocks go: a file as it grows, memory, or the latest part of it in memory."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections import deque
from pathlib import Path
from typing import BinaryIO, Protocol, cast

from testbed.errors import LinkError, PlanError

__all__ = ["FileStore", "RollingStore", "Store"]


class Store(Protocol):
    """Takes the bytes of a pcapng file; ``size`` is what it holds of them."""

    size: int

    def write(self, data: bytes | memoryview) -> None:
        """Take whole blocks; LinkError where there is no room."""

    def read(self) -> bytes | mmap.mmap:
        """All that it holds."""

    def close(self) -> None:
        """Take no more; what is in memory goes. Twice is no error."""


class FileStore:
    """A file at ``path``; without one, memory that looks like a file and goes with this process.

    PlanError where there can be no such file.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.size = 0
        self._name = "memory" if path is None else str(path)
        try:
            self._file = _memory() if path is None else cast("BinaryIO", path.open("wb+", 0))
        except OSError as error:
            raise PlanError(f"{self._name}: cannot record there: {error.strerror}") from error

    def write(self, data: bytes | memoryview) -> None:
        """Write all of it; LinkError where there is no room."""
        rest = memoryview(data)
        try:
            while rest:
                done = self._file.write(rest)
                self.size += done
                rest = rest[done:]
        except OSError as error:
            raise LinkError(f"{self._name}: cannot record more: {error.strerror}") from error

    def read(self) -> mmap.mmap:
        """All that was written so far, mapped: it outlives close()."""
        return mmap.mmap(self._file.fileno(), self.size, access=mmap.ACCESS_READ)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class RollingStore:
    """The head of the file and the latest ``keep`` bytes of blocks, in memory.

    It lets go of what was written together: a little more than ``keep`` may be held.
    """

    def __init__(self, keep: int) -> None:
        self.size = 0
        self.forgotten = 0
        """Bytes that are held no more."""
        self._keep = keep
        self._head = b""
        self._pieces: deque[bytes] = deque()

    def write(self, data: bytes | memoryview) -> None:
        """Take blocks; the first that are given are the head."""
        if not self._head:
            self._head = bytes(data)
            self.size = len(data)
            return
        self._pieces.append(bytes(data))
        self.size += len(data)
        while self.size - len(self._pieces[0]) - len(self._head) >= self._keep:
            gone = len(self._pieces.popleft())
            self.size -= gone
            self.forgotten += gone

    def read(self) -> bytes:
        """All that is held."""
        return b"".join((self._head, *self._pieces))

    def close(self) -> None:
        """Let go of everything."""
        self._pieces.clear()


def _memory() -> BinaryIO:
    if hasattr(os, "memfd_create"):
        return cast("BinaryIO", open(os.memfd_create("recording"), "wb+", 0))  # noqa: PTH123
    return cast("BinaryIO", tempfile.TemporaryFile(buffering=0))
