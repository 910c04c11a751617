"""Which segments are lost, and which to send, by SACK and DupThresh (RFC 6675 4)."""

from __future__ import annotations

from testbed.stack.tcp.recovery.scoreboard import Scoreboard, Segment

__all__ = ["SackLoss"]


class SackLoss:
    """RFC 6675's IsLost and NextSeg for one connection; numbers are one past RFC's."""

    __slots__ = ("_judged", "_threshold", "high_rxt", "rescue_rxt")

    high_rxt: int
    """One past the highest number sent again in this recovery."""
    rescue_rxt: int
    """Once SND.UNA is above, rule 4 may send again what lies highest."""

    def __init__(self, start: int, threshold: int) -> None:
        self._judged = start  # all below was found lost before
        self._threshold = threshold
        self.high_rxt = start
        self.rescue_rxt = start

    def enter(self, first_end: int) -> None:
        """A recovery begins, with the first segment sent again (section 5 step 4.3)."""
        self.high_rxt = first_end
        self.rescue_rxt = first_end

    def forget(self) -> None:
        """The scoreboard was cleared."""
        self._judged = 0

    def lost(self, board: Scoreboard, smss: int) -> list[Segment]:
        """The segments that IsLost says are lost, as far as it did not say so before."""
        segments = board.segments
        at = board.at(board.highest_sacked - 1)
        enough = (self._threshold - 1) * smss
        sacked = stretches = 0
        above = False  # whether the segment above the one looked at is SACKed
        while at >= 0:
            segment = segments[at]
            if segment.sacked:
                sacked += segment.end - segment.seq
                stretches += not above
                above = True
            else:
                above = False
                # "returns true when either DupThresh discontiguous SACKed sequences have arrived
                # above 'SeqNum' or more than (DupThresh - 1) * SMSS bytes ... have been SACKed."
                if stretches >= self._threshold or sacked > enough:
                    return self._below(board, at)
            at -= 1
        return []

    def third(self, board: Scoreboard) -> Segment | None:
        """NextSeg rule 3: below the highest SACKed, not lost, not sent again yet."""
        for segment in board.segments:
            if segment.end > board.highest_sacked:
                return None
            if segment.seq >= self.high_rxt and not (
                segment.sacked or segment.lost or segment.copy
            ):
                return segment
        return None

    def rescue(self, board: Scoreboard) -> Segment | None:
        """NextSeg rule 4: once per recovery, the highest segment that is not SACKed.

        Not where a copy of it is on its way by the other rules: what rule 4 is for, a lost tail
        that nothing SACKed lies above, was not sent again yet.
        """
        if board.una <= self.rescue_rxt:
            return None
        highest = next((s for s in reversed(board.segments) if not s.sacked), None)
        return None if highest is None or highest.copy else highest

    def _below(self, board: Scoreboard, at: int) -> list[Segment]:
        judged, self._judged = self._judged, board.segments[at].end
        found = []
        while at >= 0 and board.segments[at].seq >= judged:
            if not (board.segments[at].sacked or board.segments[at].lost):
                found.append(board.segments[at])
            at -= 1
        return found[::-1]
