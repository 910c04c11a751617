"""TCP Fast Open (RFC 7413): which SYNs have a cookie, and what became of the data in them."""

from __future__ import annotations

import numpy as np

from testbed.capture.columns.arrays import Bools, Ints
from testbed.capture.tcp.flags import ACK, SYN, Flag
from testbed.capture.tcp.segments import Segments

__all__ = ["fast_opens"]

_MASK = 0xFFFFFFFF


def fast_opens(segments: Segments, cookie: Bools) -> Ints:
    """The flags of Fast Open of every segment; ``cookie`` is which SYNs have one."""
    found = np.where(cookie, int(Flag.TFO_SYN), 0)
    kind = segments.flags & (SYN | ACK)
    answers = np.flatnonzero(kind == SYN | ACK)
    connection = segments.conversation[answers]
    first = segments.starts[connection]
    # Nearly always the first segment is the SYN, and the answer acknowledges that alone.
    usual = (kind[first] == SYN) & (segments.side[first] != segments.side[answers])
    usual &= segments.ack[answers] - segments.sequence[first] & _MASK == 1
    usual &= ~cookie[first]
    for number in np.unique(connection[~usual]).tolist():
        _walk(segments, cookie, number, found)
    return found


def _walk(segments: Segments, cookie: Bools, connection: int, found: Ints) -> None:
    """Find where the numbers of each side begin, and judge each SYN+ACK by that."""
    initial: dict[int, int] = {}
    data = False
    begin, end = int(segments.starts[connection]), int(segments.starts[connection + 1])
    columns = (segments.flags, segments.side, segments.sequence, segments.ack, segments.length)
    rows = zip(*(column[begin:end].tolist() for column in columns), strict=True)
    for index, (flags, side, sequence, ack, length) in enumerate(rows, begin):
        syn = bool(flags & SYN)
        if syn or side not in initial:
            initial[side] = sequence - (not syn) & _MASK
        if flags & ACK:
            beyond = ack - initial.setdefault(1 - side, ack - 1 & _MASK) & _MASK
            if syn and beyond > 1:
                found[index] |= int(Flag.TFO_ACK)
            elif syn and data:
                found[index] |= int(Flag.TFO_IGNORED)
        data = data or (bool(cookie[index]) and length > 0)
