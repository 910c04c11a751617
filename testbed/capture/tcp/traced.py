"""The analyser for plans: what it finds, as frames of a trace."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from testbed.capture.columns.frames import columns_of
from testbed.capture.matcher import Matcher
from testbed.capture.recording import TracedFrame
from testbed.capture.tcp.analysis import Analysis, analyse
from testbed.capture.tcp.connection import Connection
from testbed.capture.tcp.flags import Flag

__all__ = ["TracedTcp"]

_AGAIN = Flag.RETRANSMISSION | Flag.FAST_RETRANSMISSION | Flag.SPURIOUS_RETRANSMISSION


class TracedTcp:
    """What is told of the TCP segments that one point of a trace saw, both ways.

    ``of`` keeps to segments that a matcher takes: ``of=match.tcp(dst_port=80)``. This only looks:
    nothing is judged.
    """

    def __init__(self, frames: Sequence[TracedFrame]) -> None:
        self._frames = tuple(frames)
        self.analysis: Analysis = analyse(columns_of([traced.frame for traced in self._frames]))

    @property
    def connections(self) -> tuple[Connection, ...]:
        """Every connection, in the order of the first segments."""
        return tuple(self.analysis)

    def flagged(self, flag: Flag, of: Matcher | None = None) -> tuple[TracedFrame, ...]:
        """The frames whose segment has a flag, or one of several."""
        rows = np.sort(self.analysis.segments.row[self.analysis.flags & int(flag) != 0])
        frames = (self._frames[row] for row in rows.tolist())
        return tuple(traced for traced in frames if of is None or of(traced.data))

    def retransmissions(self, of: Matcher | None = None) -> tuple[TracedFrame, ...]:
        """What was sent again, for whatever reason."""
        return self.flagged(_AGAIN, of)

    def duplicate_acks(self, of: Matcher | None = None) -> tuple[TracedFrame, ...]:
        """ACKs that repeat the one before."""
        return self.flagged(Flag.DUPLICATE_ACK, of)

    def zero_windows(self, of: Matcher | None = None) -> tuple[TracedFrame, ...]:
        """Segments that announce a window of 0."""
        return self.flagged(Flag.ZERO_WINDOW, of)
