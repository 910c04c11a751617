"""A capture as columns: one array for each thing that is known of every packet."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from testbed.capture.columns.arrays import Bytes, Ints, Numbers
from testbed.errors import WireError

__all__ = ["Columns", "Source"]


@dataclass(frozen=True, slots=True)
class Source:
    """An interface that packets were captured on, as the file describes it.

    ``section`` counts the sections of a pcapng file, and files that were joined. ``tick`` is the
    resolution of its time stamps in nanoseconds, ``snap`` the snap length (0: none).
    """

    section: int
    linktype: int
    snap: int = 0
    name: str = ""
    tick: float = 1000.0


@dataclass(frozen=True, slots=True, eq=False)
class Columns:
    """The packets of a capture, in file order; row ``n`` is Wireshark's frame ``n + 1``.

    ``time`` is in nanoseconds since 1970, ``captured`` the bytes that the file has of a packet,
    ``length`` those it had on the wire, ``offset`` where they begin in ``data``, ``source`` the
    index of its interface in ``sources``; ``captured`` and ``source`` have 32 bits, the others 64.
    ``truncated`` is where a file ends within a record. ``fault`` is what was found wrong in a file
    that was read leniently: rows before it stand.
    """

    data: Bytes
    time: Ints
    captured: Numbers
    length: Ints
    offset: Ints
    source: Numbers
    sources: tuple[Source, ...] = ()
    truncated: int | None = None
    fault: WireError | None = field(default=None)

    def __len__(self) -> int:
        return len(self.time)

    def where(self, which: slice | Ints) -> Columns:
        """Only the packets of some rows; ``data`` is the same."""
        return replace(
            self,
            time=self.time[which],
            captured=self.captured[which],
            length=self.length[which],
            offset=self.offset[which],
            source=self.source[which],
        )

    def packet(self, row: int) -> bytes:
        """The captured bytes of one packet."""
        start = int(self.offset[row])
        return self.data[start : start + int(self.captured[row])].tobytes()

    def linktype(self) -> Ints:
        """The link type of every packet."""
        kinds = np.array([source.linktype for source in self.sources], np.int64)
        return kinds[self.source] if len(kinds) else np.empty(0, np.int64)
