"""What routers said about packets that were too big for their links."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from testbed.capture.columns import Headers
from testbed.capture.columns.arrays import Bools, Gather, Ints

__all__ = ["TooBig", "read_too_big"]

_ICMP, _ICMPV6, _TCP = 1, 58, 6
_UNREACHABLE_FRAGMENTATION = 0x0304
"""RFC 792: type 3, code 4, with the MTU of the next hop where RFC 1191 has it, or 0."""
_PACKET_TOO_BIG = 2
"""RFC 4443 3.2."""


@dataclass(frozen=True, slots=True, eq=False)
class TooBig:
    """ICMP messages about TCP segments: one element for each.

    ``row`` is that of the message, ``mtu`` what it says (0: an old router, RFC 1191 5), ``sender``
    and ``target`` are the ends of the segment that it quotes: an address's number, 16 bits of port.
    """

    row: Ints
    mtu: Ints
    sender: Ints
    target: Ints

    def about(self, sender: int, target: int) -> TooBig:
        """Those about segments from one end to another."""
        which = (self.sender == sender) & (self.target == target)
        return TooBig(self.row[which], self.mtu[which], self.sender[which], self.target[which])


def read_too_big(headers: Headers) -> TooBig:
    """Find the messages of a capture."""
    four, six = _version4(headers), _version6(headers)
    row, mtu, sender, target = (np.concatenate(pair) for pair in zip(four, six, strict=True))
    order = np.argsort(row, kind="stable")
    return TooBig(row[order], mtu[order], sender[order], target[order])


_Columns = tuple[Ints, Ints, Ints, Ints]


def _version4(headers: Headers) -> _Columns:
    gather = headers.gather
    rows, at = _candidates(headers, (headers.version == 4) & (headers.protocol == _ICMP), 36)
    kept = gather.u2(at) == _UNREACHABLE_FRAGMENTATION
    rows, at = rows[kept], at[kept]
    quoted = at + 8
    size = (gather.u1(quoted) & 15) * 4
    kept = (gather.u1(quoted) >> 4 == 4) & (gather.u1(quoted + 9) == _TCP) & (size >= 20)
    kept &= headers.room[rows] >= 8 + size + 4
    rows, at, quoted, size = rows[kept], at[kept], quoted[kept], size[kept]
    ends = gather.u4(quoted + 12), gather.u4(quoted + 16)
    return rows, gather.u2(at + 6), *_with_ports(gather, ends, quoted + size)


def _version6(headers: Headers) -> _Columns:
    gather = headers.gather
    rows, at = _candidates(headers, (headers.version == 6) & (headers.protocol == _ICMPV6), 52)
    kept = gather.u1(at) == _PACKET_TOO_BIG
    kept[kept] = gather.u1(at[kept] + 8 + 6) == _TCP
    rows, at = rows[kept], at[kept]
    numbers = headers.addresses
    ends = numbers.number(gather, at + 16), numbers.number(gather, at + 32)
    return rows, gather.u4(at + 4), *_with_ports(gather, ends, at + 48)


def _candidates(headers: Headers, which: Bools, room: int) -> tuple[Ints, Ints]:
    rows = np.flatnonzero(which & ~headers.fragment & (headers.room >= room))
    return rows, (headers.columns.offset[rows] + headers.payload_at[rows]).astype(np.int64)


def _with_ports(gather: Gather, ends: tuple[Ints, Ints], at: Ints) -> tuple[Ints, Ints]:
    ports = gather.u4(at).astype(np.int64)
    sender, target = (each.astype(np.int64) for each in ends)
    return sender << 16 | ports >> 16, target << 16 | ports & 0xFFFF
