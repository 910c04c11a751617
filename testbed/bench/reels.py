"""Captures as reels: which of their frames are played, at which times, with which addresses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from testbed.bench.streams import ETHERNET
from testbed.capture.columns import Columns, read_columns
from testbed.errors import PlanError, WireError
from testbed.link.recorder import FilterLike, as_filter
from testbed.link.recorder.sift import sift
from testbed.link.replay import RecordedReel, due_times
from testbed.link.replay.mending import mend_checksums
from testbed.link.replay.rewriting import Rewrite
from testbed.timing import Duration

if TYPE_CHECKING:
    from testbed.link.recorder.batch import Bools
    from testbed.link.replay.reel import Ints

__all__ = ["Cut", "Recording", "read_recording"]


@dataclass(frozen=True, slots=True)
class Cut:
    """What of a capture is played, and how it is changed: see ``nic.replay(...)``."""

    frames: range | None = None
    only: Callable[[bytes], bool] | FilterLike | None = None
    rewrite: Mapping[Any, Any] = field(default_factory=dict)
    fix_checksums: bool = False
    fill: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Recording:
    """The frames of a file that were chosen, ready to be played at any speed."""

    data: Any
    offset: Ints
    captured: Ints
    length: Ints
    names: Ints
    times: Ints
    warning: str = ""
    """What was wrong with the file behind these frames; empty when nothing was."""

    def reel(
        self,
        *,
        speed: float | None = 1.0,
        loops: int = 1,
        longest_gap: Duration | None = None,
        max_rate: int | None = None,
    ) -> RecordedReel:
        """A reel of it; without a ``speed`` frames have no times of their own."""
        due = None
        if speed is not None:
            least = -(-1_000_000_000 // max_rate) if max_rate else 0
            due = due_times(self.times, speed=speed, longest_gap=longest_gap, least_gap=least)
        return RecordedReel(
            self.data, self.offset, self.captured, self.length, self.names, due, loops
        )


def read_recording(path: Path, cut: Cut, *, lenient: bool = False) -> Recording:
    """The frames of a pcap or pcapng file, plain, gzip or zstd, that are to be played.

    PlanError, with the place in the file, for one that is no capture or is damaged; ``lenient``
    takes what stands before the damage. PlanError, too, where what was chosen cannot be sent.
    """
    columns = _read(path)
    warning = ""
    if columns.fault is not None:
        warning = f"{path}: {columns.fault}; what is before it is played"
    elif columns.truncated is not None:
        warning = f"{path}: ends within a packet, at byte {columns.truncated}"
    if warning and not lenient:
        raise PlanError(f"{warning}: not played")
    chosen = _chosen(path, columns, cut)
    _require_sendable(path, columns, chosen, fill=cut.fill)
    data = columns.data
    offset, captured = columns.offset[chosen], columns.captured[chosen]
    rewrite = Rewrite.of(cut.rewrite)
    if cut.rewrite:
        data = rewrite.apply(data, offset, captured)
    elif cut.fix_checksums:
        data = data.copy()
    if cut.fix_checksums:
        mend_checksums(data, offset, captured)
    return Recording(
        data, offset, captured, columns.length[chosen], chosen, columns.time[chosen], warning
    )


def _read(path: Path) -> Columns:
    try:
        return read_columns(path.read_bytes(), lenient=True)
    except OSError as error:
        raise PlanError(f"{path} cannot be read: {error.strerror}") from error
    except WireError as error:
        raise PlanError(f"{path}: {error}") from error


def _chosen(path: Path, columns: Columns, cut: Cut) -> Ints:
    count = len(columns)
    if cut.frames is None:
        chosen = np.arange(count)
    else:
        numbers = cut.frames
        if not len(numbers) or min(numbers) < 1 or max(numbers) > count:
            raise PlanError(
                f"{path} has frames 1 to {count}, expected a range of these, got {numbers}"
            )
        chosen = np.arange(numbers.start, numbers.stop, numbers.step) - 1
    if callable(cut.only):
        wanted = cut.only
        chosen = chosen[[bool(wanted(columns.packet(int(row)))) for row in chosen]]
    elif cut.only is not None:
        chosen = chosen[_sifted(columns, chosen, cut.only)]
    if not len(chosen):
        raise PlanError(f"{path}: none of its {count} frames is chosen")
    return chosen


def _sifted(columns: Columns, chosen: Ints, wanted: FilterLike) -> Bools:
    program = as_filter(wanted)
    assert program is not None  # noqa: S101 - something is wanted
    offset, captured = columns.offset[chosen], columns.captured[chosen]
    return sift(program, columns.data, offset, captured, columns.length[chosen])


def _require_sendable(path: Path, columns: Columns, chosen: Ints, *, fill: bool) -> None:
    kinds = columns.linktype()[chosen]
    for wrong, told in (
        (kinds != ETHERNET, "is no Ethernet frame"),
        (columns.captured[chosen] < 14, "is too short for an Ethernet frame"),
        (
            (columns.captured[chosen] < columns.length[chosen]) & (not fill),
            "was cut by a snap length (fill_cut fills it up with zeros)",
        ),
    ):
        if wrong.any():
            first = int(chosen[np.flatnonzero(wrong)[0]]) + 1
            raise PlanError(f"{path} cannot be sent: frame {first} {told}")
