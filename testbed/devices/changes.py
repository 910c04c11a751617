"""Changes to devices, written down before they are made, so that each can be undone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

__all__ = ["Change", "ChangeLog"]


@dataclass(frozen=True, slots=True)
class Change:
    """One change to one device.

    ``undo`` holds the command lines that put the device back as it was. They must be idempotent:
    after a crash nobody knows whether the change itself was made, so they may run on a device
    that never changed.
    """

    device: str
    summary: str
    undo: tuple[str, ...]


class ChangeLog(Protocol):
    """Keeps changes durably until they are undone; the bench's journal is the real one."""

    def before(self, change: Change) -> None:
        """Write ``change`` down; returns only when a crash can no longer lose it."""
