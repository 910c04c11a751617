"""Puts together what the sections of a file gave."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from testbed.capture.columns.arrays import Bools, Bytes, Ints
from testbed.capture.columns.columns import Columns, Source
from testbed.errors import WireError

__all__ = ["Fields", "Parts"]


@dataclass(frozen=True, slots=True)
class Fields:
    """The columns of some records of a file."""

    time: Ints
    captured: Ints
    length: Ints
    offset: Ints
    source: Ints

    def where(self, which: Bools | slice) -> Fields:
        """Only the rows that are meant."""
        each = (self.time, self.captured, self.length, self.offset, self.source)
        return Fields(*(column[which] for column in each))


@dataclass(slots=True)
class Parts:
    """What has been read of a file so far."""

    sources: list[Source] = field(default_factory=list)
    fields: list[Fields] = field(default_factory=list)
    sections: int = 0
    truncated: int | None = None
    fault: WireError | None = None

    def columns(self, data: Bytes) -> Columns:
        """All of it in one piece."""
        every = self.fields or [Fields(*np.empty((5, 0), np.int64))]
        return Columns(
            data,
            np.concatenate([each.time for each in every]),
            np.concatenate([each.captured for each in every]).astype(np.int32),
            np.concatenate([each.length for each in every]),
            np.concatenate([each.offset for each in every]),
            np.concatenate([each.source for each in every]).astype(np.int32, copy=False),
            tuple(self.sources),
            self.truncated,
            self.fault,
        )
