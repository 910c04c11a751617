"""What a virtual bench is made of, and whether any of it is still there."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.labs.virtual.processes import ended, start_time

if TYPE_CHECKING:
    from collections.abc import Collection

_PLACES = (
    "/run",
    "/etc",
    "/etc/frr",
    "/etc/openvswitch",
    "/var/log",
    "/var/lib/openvswitch",
    "/home",
    "/root",
    "/var/tmp",
)
_KINDS = ("net", "mnt", "pid", "uts", "ipc")


def descendants(root: int) -> set[int]:
    """All processes below one, at this moment."""
    children: dict[int, set[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
                children.setdefault(int(fields[1]), set()).add(int(entry.name))
    found: set[int] = set()
    todo = {root}
    while todo:
        todo = set().union(*(children.get(pid, ()) for pid in todo)) - found
        found |= todo
    return found


def namespaces(pids: set[int]) -> set[str]:
    """The namespaces that these processes are in, but this process is not."""
    own = {Path(f"/proc/self/ns/{kind}").readlink().name for kind in _KINDS}
    found = set()
    for pid in pids:
        for kind in _KINDS:
            with contextlib.suppress(OSError):
                found.add(Path(f"/proc/{pid}/ns/{kind}").readlink().name)
    return found - own


def everybody() -> set[int]:
    return {int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()}


def held_open() -> set[str]:
    """The namespaces that this process has descriptors of."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(entry.readlink().name)
    return found


@dataclass
class Machine:
    """What could be left behind outside the lab's own processes."""

    mounts: list[str]
    interfaces: set[str]
    files: set[str]

    @classmethod
    def now(cls) -> Machine:
        return cls(
            [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()],
            {path.name for path in Path("/sys/class/net").iterdir()},
            {
                str(path)
                for place in _PLACES
                if Path(place).is_dir()
                for path in Path(place).iterdir()
            },
        )


@dataclass
class Traces:
    """A bench's processes and namespaces, to be looked for after its end."""

    started: dict[int, int]
    spaces: set[str]

    @classmethod
    def of(cls, root: int, besides: Collection[int] = ()) -> Traces:
        """What ``root`` has started, ``besides`` the processes that it had before the bench."""
        pids = descendants(root).difference(besides)
        starts = {pid: start_time(pid) for pid in pids}
        return cls({p: at for p, at in starts.items() if at is not None}, namespaces(pids))

    def left(self, within: float = 5) -> str:
        """What is still there after ``within`` seconds; empty when nothing is."""
        for pid, at in self.started.items():
            if start_time(pid) == at and not ended(pid, within):
                return f"process {pid}: {Path(f'/proc/{pid}/cmdline').read_text()}"
        # The kernel gives a namespace's number to the next one: only those that this process
        # and what it started are in, or hold open, can be the lab's.
        left = self.spaces & (namespaces(descendants(os.getpid())) | held_open())
        return f"namespaces {left}" if left else ""
