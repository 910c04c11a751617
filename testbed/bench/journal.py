"""The journal: every change to the rig, on disk before it is made, until it is undone."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from testbed.devices.changes import Change
from testbed.errors import LabError, TestbedError
from testbed.link.before import NicBefore
from testbed.timing import Instant

__all__ = ["Entry", "Journal"]


@dataclass(slots=True)
class Entry:
    """One change: of a device (``change``), or of a controller NIC (``nic`` and its settings)."""

    number: int
    made_at: Instant
    change: Change | None = None
    nic: NicBefore | None = None
    undone_at: Instant | None = None

    @property
    def target(self) -> str:
        """The device's name, or the NIC's."""
        if self.change is not None:
            return self.change.device
        return f"controller:{self.nic['interface'] if self.nic else '?'}"


T = TypeVar("T")


class Journal:
    """JSON lines, each on disk (fsync) before the change it speaks of is made.

    It is the ChangeLog of every driver. A torn last line is a change that was never made. Without
    a ``path`` nothing is kept on disk: for gear that dies with the run.
    """

    def __init__(self, path: Path | None, now: Callable[[], Instant]) -> None:
        self._path = path
        self._now = now
        self.entries: list[Entry] = []
        self._descriptor = -1
        if path is None:
            return
        if path.exists():
            self.entries = _read(path)
        self._descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        if self.entries:
            os.write(self._descriptor, b"\n")  # a torn line must not swallow the next one

    def before(self, change: Change) -> None:
        """Write down a change of a device."""
        entry = Entry(self._next_number(), self._now(), change=change)
        self._append(
            {
                "do": entry.number,
                "at": entry.made_at,
                "device": change.device,
                "summary": change.summary,
                "undo": list(change.undo),
            }
        )
        self.entries.append(entry)

    def before_nic(self, settings: NicBefore) -> Entry:
        """Write down a controller NIC's settings before they are changed."""
        entry = Entry(self._next_number(), self._now(), nic=settings)
        self._append({"do": entry.number, "at": entry.made_at, "nic": settings})
        self.entries.append(entry)
        return entry

    def undone(self, entry: Entry) -> None:
        """Write down that ``entry`` has been undone."""
        entry.undone_at = self._now()
        self._append({"undone": entry.number, "at": entry.undone_at})

    def open_entries(self) -> list[Entry]:
        """What has not been undone, newest first: the order in which to undo."""
        return [entry for entry in reversed(self.entries) if entry.undone_at is None]

    def undo_all(self, undo: Callable[[Entry], None], entries: list[Entry]) -> list[str]:
        """Undo ``entries``, in the order given.

        A failure does not stop the rest: the messages of all failures come back.
        """
        failures: list[str] = []
        for entry in entries:
            try:
                undo(entry)
            except TestbedError as error:
                failures.append(f"{entry.target}: {error}")
            else:
                self.undone(entry)
        return failures

    def forget(self) -> None:
        """Begin anew: what was changed is gone, with the gear that it was changed on."""
        self.entries.clear()

    def close(self) -> None:
        """Close the file, and remove it when nothing in it is left to undo."""
        if self._path is None or self._descriptor < 0:
            return
        os.close(self._descriptor)
        self._descriptor = -1
        if not self.open_entries():
            self._path.unlink(missing_ok=True)

    def _next_number(self) -> int:
        return self.entries[-1].number + 1 if self.entries else 1

    def _append(self, record: dict[str, Any]) -> None:
        if self._path is None:
            return
        try:
            os.write(self._descriptor, json.dumps(record).encode() + b"\n")
            os.fsync(self._descriptor)
        except OSError as error:
            raise LabError(f"cannot write the journal {self._path}: {error.strerror}") from error


def _read(path: Path) -> list[Entry]:
    entries: dict[int, Entry] = {}
    for line in path.read_text(errors="replace").splitlines():
        try:
            record = json.loads(line)
            if "undone" in record:
                entries[record["undone"]].undone_at = Instant(record["at"])
                continue
            entry = Entry(record["do"], Instant(record["at"]), nic=record.get("nic"))
            if "device" in record:
                entry.change = Change(record["device"], record["summary"], tuple(record["undo"]))
            entries[entry.number] = entry
        except (ValueError, KeyError, TypeError):
            continue
    return list(entries.values())
