"""One run at a time: a lock on the bench that dies with its holder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from testbed.errors import LeaseError

__all__ = ["Lease"]


class Lease:
    """An flock(2) on a file; the kernel drops it when the holder dies, however it dies.

    The file tells who holds it. It stays behind, empty of meaning without the lock.
    """

    def __init__(self, path: Path, bench: str) -> None:
        self._path = path
        self._bench = bench
        self._descriptor = -1

    def acquire(self) -> None:
        """Take the bench, or raise LeaseError with the holder's name, process and start."""
        # Not inheritable: a device's process that outlived us would keep the bench taken.
        try:
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise LeaseError(
                f"bench {self._bench} cannot be taken: {self._path}: {error.strerror}"
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 4096, 0)
            os.close(descriptor)
            raise LeaseError(self._explain(holder)) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(_myself()).encode(), 0)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the bench back; releasing twice is no error."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _explain(self, raw: bytes) -> str:
        try:
            holder = json.loads(raw)
            who = (
                f"{holder['user']}@{holder['host']}, process {holder['pid']}, "
                f"since {holder['since']}: {holder['command']}"
            )
        except (ValueError, KeyError, TypeError):
            who = "a process that has not yet said its name"
        return f"bench {self._bench} is in use by {who}. Wait for it, or end that process"


def _myself() -> dict[str, object]:
    return {
        "user": os.environ.get("USER") or str(os.getuid()),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "since": datetime.now(UTC).astimezone().isoformat(timespec="seconds"),
        "command": " ".join(sys.argv)[:500],
    }
