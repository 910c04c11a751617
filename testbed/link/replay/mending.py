"""Checksums of recorded frames made right: whoever sends often leaves them to the NIC.

A capture on the sender's own machine then holds frames without them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from testbed.link.replay.headers import HEAD, Bools, Heads
from testbed.link.replay.recorded import Gatherer
from testbed.link.replay.reel import Ints, Rows
from testbed.wire.ipv4 import IpProtocol

__all__ = ["mend_checksums"]

_AT = {IpProtocol.ICMP: 2, IpProtocol.UDP: 6, IpProtocol.TCP: 16}
_BYTES = 16 << 20  # looked at at a time


def mend_checksums(data: Rows, offset: Ints, captured: Ints) -> None:
    """Make those of IPv4, TCP, UDP and ICMP right in place, in frames that are there as a whole.

    A fragment's transport checksum covers other frames too: it stays. So does a UDP checksum of
    zero, which is none.
    """
    widths = np.maximum(HEAD, 1 << np.ceil(np.log2(np.maximum(captured, 1))).astype(np.int64))
    for width in np.unique(widths):
        rows = np.flatnonzero(widths == width)
        gatherer = Gatherer(data, int(width))
        step = max(1, _BYTES // int(width))
        for at in range(0, len(rows), step):
            part = rows[at : at + step]
            heads = Heads(gatherer.fetch(offset[part], int(width)), captured[part])
            _headers(heads).write(heads, data, offset[part])
            for protocol, place in _AT.items():
                _transports(heads, protocol, place).write(heads, data, offset[part])


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Checksums of some rows: what each covers, at even offsets, and where it stands.

    ``besides`` is what counts in addition, ``zero`` what stands for a checksum of zero.
    """

    which: Ints
    start: Ints
    end: Ints
    at: Ints
    besides: Ints
    zero: int = 0

    def write(self, heads: Heads, data: Rows, offset: Ints) -> None:
        """Make them right, in the rows and in the data that these come from."""
        rows = heads.rows[self.which]
        each = np.arange(len(rows))
        rows[each, self.at] = rows[each, self.at + 1] = 0
        columns = np.arange(rows.shape[1])
        rows[(columns < self.start[:, None]) | (columns >= self.end[:, None])] = 0
        total = rows.view(">u2").sum(axis=1, dtype=np.int64) + self.besides
        checksum = np.where(total > 0, 0xFFFE - (total - 1) % 0xFFFF, 0xFFFF)
        checksum[checksum == 0] = self.zero
        for byte, part in enumerate((checksum >> 8, checksum & 0xFF)):
            data[offset[self.which] + self.at + byte] = part
            heads.rows[self.which, self.at + byte] = part


def _headers(heads: Heads) -> _Sums:
    which = np.flatnonzero(heads.ipv4)
    start = heads.ipv4[which]
    length = (heads.rows[which, start].astype(np.int64) & 15) * 4
    return _Sums(which, start, start + length, start + 10, np.zeros(len(which), np.int64))


def _transports(heads: Heads, protocol: int, place: int) -> _Sums:
    chosen: Bools = (heads.protocol == protocol) & (heads.transport > 0) & ~heads.fragment
    end = heads.end
    if protocol == IpProtocol.UDP:
        length = heads.u2(heads.transport + 4)
        chosen &= (heads.u2(heads.transport + 6) > 0) & (length >= 8)
        chosen &= heads.transport + length <= end
        end = heads.transport + length
    which = np.flatnonzero(chosen & (end <= heads.lengths))
    start = heads.transport[which]
    besides = np.zeros(len(which), np.int64)
    if protocol != IpProtocol.ICMP:  # the pseudo header
        ip = heads.ipv4[which]
        for byte in range(12, 20):
            value = heads.rows[which, ip + byte].astype(np.int64)
            besides += value if byte % 2 else value << 8
        besides += protocol + end[which] - start
    zero = 0xFFFF if protocol == IpProtocol.UDP else 0
    return _Sums(which, start, end[which], start + place, besides, zero)
