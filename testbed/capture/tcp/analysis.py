"""The whole analysis of a capture."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from testbed.capture.columns import Columns, Headers
from testbed.capture.columns.arrays import Ints
from testbed.capture.tcp import fast
from testbed.capture.tcp.connection import Connection
from testbed.capture.tcp.flags import Flag
from testbed.capture.tcp.openings import fast_opens
from testbed.capture.tcp.options import Options, read_options
from testbed.capture.tcp.segments import Segments, read_segments
from testbed.capture.tcp.toobig import TooBig, read_too_big

__all__ = ["Analysis", "analyse"]


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """Every segment of a capture with its flags, and the connections that they are of.

    A ``Connection`` is made when it is asked for: a capture may have a million of them.
    """

    segments: Segments
    options: Options
    flags: Ints
    notices: TooBig

    def __len__(self) -> int:
        return len(self.segments.starts) - 1

    def __getitem__(self, number: int) -> Connection:
        if not 0 <= number < len(self):
            raise IndexError(number)
        return Connection(number, self.segments, self.options, self.flags, self.notices)

    def __iter__(self) -> Iterator[Connection]:
        return (self[number] for number in range(len(self)))

    def largest(self, count: int) -> list[Connection]:
        """The connections with the most segments, at most ``count``, in the order they began."""
        sizes = np.diff(self.segments.starts)
        chosen = np.argsort(-sizes, kind="stable")[:count]
        return [self[int(number)] for number in np.sort(chosen)]

    def frames(self, flag: Flag) -> tuple[int, ...]:
        """The numbers of the frames that have a flag, from 1, as Wireshark counts."""
        rows = self.segments.row[self.flags & int(flag) != 0]
        return tuple((np.sort(rows) + 1).tolist())


def analyse(columns: Columns, headers: Headers | None = None, *, apart: bool = False) -> Analysis:
    """Analyse every TCP connection of a capture.

    ``apart``: of a capture with several interfaces each is looked at by itself. Without, all is one
    line, as for Wireshark: what two interfaces saw counts as sent twice.
    """
    segments = read_segments(columns, headers, apart=apart)
    options = read_options(segments)
    flags = fast.judge(segments, options.scale) | fast_opens(segments, options.cookie)
    return Analysis(segments, options, flags, read_too_big(segments.headers))
