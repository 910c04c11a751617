"""Virtual benches that stand on their own, without the runner that brought them up.

Nothing about them is kept outside them. The rack is found by its name in the process list, and
what there is to know of it lies on its own tmpfs, so it is gone when the rack is, however that
came about.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from testbed.errors import LabError
from testbed.inventory import Bench, dump
from testbed.labs.virtual.lab import VirtualLab
from testbed.labs.virtual.processes import ended, start_time
from testbed.labs.virtual.spec import FILES, RACK_COMM

__all__ = ["Held", "held_labs", "hold", "take_down"]

_NOTE = "held.json"
_DOWN_WITHIN = 5.0


@dataclass(frozen=True, slots=True)
class Held:
    """A bench that stands."""

    name: str
    """As the bench file calls it."""
    pid: int
    """The rack, on which everything hangs."""
    started: int
    """When that process started, in clock ticks since boot."""
    inventory: Path
    """The bench file of kind ``hardware`` that was written for it."""
    digest: str
    """SHA-256 of that file as it was written."""


def hold(bench: Bench, path_out: Path, on_progress: Callable[[str], None] | None = None) -> Held:
    """Bring a bench up, write the bench file that describes its gear, and leave it standing.

    Raises LabError when one of that name stands already, or as VirtualLab.up does.
    """
    for other in held_labs():
        if other.name == bench.bench:
            raise LabError(
                f"virtual bench {other.name} stands already (process {other.pid}, described in "
                f"{other.inventory}): testbed lab down {other.name}"
            )
    path_out = path_out.absolute()
    with VirtualLab(bench, on_progress) as lab:
        text = dump(lab.inventory)
        pid = lab.rack_pid
        started = start_time(pid)
        if started is None:
            raise LabError(f"virtual bench {bench.bench}: its rack (process {pid}) has ended")
        digest = hashlib.sha256(text.encode()).hexdigest()
        held = Held(bench.bench, pid, started, path_out, digest)
        note = {"name": held.name, "inventory": str(path_out), "digest": digest}
        # First the bench, then the file: whoever is killed in between leaves a bench that can be
        # listed and taken down, and no file that describes nothing.
        lab.release({_NOTE: json.dumps(note)})
    try:
        path_out.write_text(text)
    except OSError as error:
        _end(held)
        raise LabError(f"cannot write the bench file {path_out}: {error.strerror}") from error
    return held


def held_labs() -> tuple[Held, ...]:
    """The benches of this user that stand, by name; of every user's, for root."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            held = _read(int(entry.name))
            if held is not None:
                found.append(held)
    return tuple(sorted(found, key=lambda held: (held.name, held.pid)))


def take_down(name: str) -> Held:
    """End the bench that stands under this name, and remove its bench file unless it was edited.

    Returns when no process of it is left. Raises LabError when none of that name stands.
    """
    standing = held_labs()
    for held in standing:
        if held.name == name:
            _end(held)
            _remove_inventory(held)
            return held
    names = ", ".join(held.name for held in standing) or "none does"
    raise LabError(f"no virtual bench of the name {name!r} stands; of those that do: {names}")


def _read(pid: int) -> Held | None:
    process = Path(f"/proc/{pid}")
    try:
        started = start_time(pid)
        if started is None or (process / "comm").read_text().strip() != RACK_COMM:
            return None
        # Anybody can call a process by that name: believe only what this user, or root, runs.
        if process.stat().st_uid not in {os.geteuid(), 0} and os.geteuid() != 0:
            return None
        note = json.loads(Path(f"/proc/{pid}/root{FILES}/{_NOTE}").read_text())
        held = Held(note["name"], pid, started, Path(note["inventory"]), note["digest"])
    except (OSError, ValueError, KeyError):
        return None  # it has ended, it is another user's, or it is not held
    return held if start_time(pid) == started else None


def _end(held: Held) -> None:
    try:
        descriptor = os.pidfd_open(held.pid)
    except ProcessLookupError:
        return
    try:
        # The descriptor stays with its process; the check makes sure that it is the right one.
        if start_time(held.pid) == held.started:
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            if not ended(held.pid, _DOWN_WITHIN):
                raise LabError(f"process {held.pid} of bench {held.name} does not end")
    finally:
        os.close(descriptor)


def _remove_inventory(held: Held) -> None:
    with contextlib.suppress(FileNotFoundError):
        if hashlib.sha256(held.inventory.read_bytes()).hexdigest() == held.digest:
            held.inventory.unlink()
