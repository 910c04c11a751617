"""What a recording is to be of, and when it ends."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from testbed.errors import PlanError
from testbed.link.recorder.classic import Classic
from testbed.timing import Duration

__all__ = ["RING", "SNAP", "Limits", "Wish"]

RING = 128 << 20
"""Bytes of ring unless told otherwise: a tenth of a second of 10 Gbit/s."""
SNAP = 65535
"""Bytes of a frame that are kept unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Limits:
    """When a recording ends by itself, whichever comes first.

    After ``count`` frames, before it has more than ``size`` bytes (what is told at a file's end
    comes on top), after ``duration``.
    """

    count: int | None = None
    size: int | None = None
    duration: Duration | None = None

    def __post_init__(self) -> None:
        for name in ("count", "size", "duration"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise PlanError(f"a recording with a {name} of {value}: expected 1 at least")


@dataclass(frozen=True, slots=True)
class Wish:
    """What to record, and where.

    ``wanted`` frames, all if None, the first ``snap`` bytes of each, until one of ``until`` was
    recorded or a limit is reached. With ``take`` they go no further than into the recording, where
    the engine can see to that. ``path`` is the pcapng file; without one they stay in memory, of
    which the latest ``keep`` bytes if that is given. ``ring`` is the memory, in bytes, in which
    the kernel puts them meanwhile.
    """

    wanted: Classic | None = None
    until: Classic | None = None
    limits: Limits = field(default_factory=Limits)
    snap: int = SNAP
    take: bool = False
    ring: int = RING
    path: Path | None = None
    keep: int | None = None

    def __post_init__(self) -> None:
        if not 14 <= self.snap <= SNAP:
            raise PlanError(f"a snap length of {self.snap}: expected 14 to {SNAP}")
        if not 1 << 20 <= self.ring <= 1 << 30:
            raise PlanError(f"a ring of {self.ring} bytes: expected 1 MiB to 1 GiB")
        if self.keep is not None and (self.path is not None or self.keep < 1):
            raise PlanError("what is kept of a recording is so many bytes in memory, or a file")
