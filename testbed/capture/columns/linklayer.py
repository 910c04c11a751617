"""Where the network header of every packet begins, whatever the link layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from testbed.capture.columns.arrays import Gather, Ints, Numbers
from testbed.capture.columns.columns import Columns

__all__ = ["BY_VERSION", "ETHERNET", "IPV4", "IPV6", "PPP", "Located", "locate", "unwrap"]

IPV4, IPV6 = 0x0800, 0x86DD
_VLANS = (0x8100, 0x88A8, 0x9100, 0x9200)
_PPPOE, _MPLS, _BACKBONE = 0x8864, 0x8847, 0x88E7
_BELOW = 8
"""How many tags, labels and headers in a row are stepped over."""

BY_VERSION, ETHERNET, PPP, LLC, WIFI, RADIOTAP, FRAME_RELAY = range(-1, -8, -1)
"""Kinds that are no EtherType: IP of the version that its first four bits are, and link layers."""

_Start = Callable[[Gather, Ints], Numbers]
_Step = Callable[[Gather, Ints], tuple[Numbers, Ints]]


def _of(kind: int) -> tuple[int, _Start]:
    """A link layer without a header of its own: what follows is of one kind."""
    return 0, lambda _, at: np.full(len(at), kind, np.int64)


_LINKS: dict[int, tuple[int, _Start]] = {
    # The link type, the length of its header, and the EtherType of what follows.
    0: (4, lambda _, at: np.full(len(at), BY_VERSION, np.int64)),  # BSD loopback
    1: (14, lambda gather, at: gather.u2(at + 12)),  # Ethernet
    9: _of(PPP),
    12: _of(BY_VERSION),
    14: _of(BY_VERSION),
    50: _of(PPP),  # PPP over serial lines, or Cisco's HDLC
    101: _of(BY_VERSION),  # raw IP
    104: (4, lambda gather, at: gather.u2(at + 2)),  # Cisco's HDLC
    105: _of(WIFI),
    107: _of(FRAME_RELAY),
    108: (4, lambda _, at: np.full(len(at), BY_VERSION, np.int64)),  # OpenBSD loopback
    113: (16, lambda gather, at: gather.u2(at + 14)),  # Linux cooked
    127: _of(RADIOTAP),
    228: _of(IPV4),
    229: _of(IPV6),
    242: (44, lambda gather, at: gather.u2(at + 40)),  # IP over InfiniBand
    276: (20, lambda gather, at: gather.u2(at)),  # Linux cooked, version 2
}


@dataclass(frozen=True, slots=True, eq=False)
class Located:
    """The rows with a network header, its EtherType, and its offset. ``vlan`` is of all rows.

    It holds the outermost VLAN ID; -1 where a packet has no tag.
    """

    rows: Ints
    kinds: Ints
    at: Ints
    vlan: Ints


def locate(columns: Columns, gather: Gather) -> Located:
    """Step over the link layer of every packet."""
    count = len(columns)
    kinds = np.zeros(count, np.int64)
    at = columns.offset.copy()
    ends = columns.offset + columns.captured
    linktype = columns.linktype()
    for link in {source.linktype for source in columns.sources} & set(_LINKS):
        size, start = _LINKS[link]
        mine = np.flatnonzero((linktype == link) & (columns.captured >= max(1, size)))
        kinds[mine] = start(gather, at[mine])
        at[mine] += size
    vlan = np.full(count, -1, np.int64)
    unwrap(gather, kinds, at, ends, vlan)
    known = np.flatnonzero((kinds == IPV4) | (kinds == IPV6))
    return Located(known, kinds[known], at[known], vlan)


def unwrap(gather: Gather, kinds: Ints, at: Ints, ends: Ints, vlan: Ints) -> None:
    """Step over whatever stands before the network header; the arrays change in place."""
    rows = np.flatnonzero((kinds != IPV4) & (kinds != IPV6) & (kinds != 0))
    for _ in range(_BELOW):
        if not len(rows):
            break
        rows = _step(gather, rows, (kinds, at, ends, vlan))


def _step(gather: Gather, rows: Ints, columns: tuple[Ints, Ints, Ints, Ints]) -> Ints:
    """Step over one tag, label or header; the rows that may have another."""
    kinds, at, ends, vlan = columns
    room = ends[rows] - at[rows]
    kind = kinds[rows]
    tagged = rows[np.isin(kind, np.array(_VLANS)) & (room >= 4)]
    word = gather.u4(at[tagged])
    vlan[tagged] = np.where(vlan[tagged] < 0, word >> 16 & 0xFFF, vlan[tagged])
    kinds[tagged] = word & 0xFFFF
    at[tagged] += 4
    labelled = rows[(kind == _MPLS) & (room >= 4)]
    bottom = gather.u4(at[labelled]) >> 8 & 1
    kinds[labelled] = np.where(bottom == 1, BY_VERSION, _MPLS)
    at[labelled] += 4
    more = [tagged, labelled]
    for layer, least, step in _LAYERS:
        # A length in the place of an EtherType: what follows is LLC (IEEE 802.3 3.2.6).
        asked = kind == layer if layer != LLC else (kind == LLC) | (kind > 0) & (kind <= 1500)
        mine = rows[asked & (room >= least)]
        if len(mine):
            kinds[mine], at[mine] = step(gather, at[mine])
            more.append(mine)
    bare = rows[(kind == BY_VERSION) & (room >= 1)]
    version = gather.u1(at[bare]) >> 4
    kinds[bare] = np.where(version == 4, IPV4, np.where(version == 6, IPV6, 0))
    again: Ints = np.concatenate(more)
    kind = kinds[again]
    rest: Ints = again[(kind != IPV4) & (kind != IPV6) & (kind != 0)]
    return rest


def _ethernet(gather: Gather, at: Ints) -> tuple[Numbers, Ints]:
    kinds: Numbers = gather.u2(at + 12)
    return kinds, at + 14


def _before(kind: int, size: int) -> _Step:
    """Something of ``size`` bytes before what is always of one kind."""
    return lambda _, at: (np.full(len(at), kind, np.int64), at + size)


def _ppp(gather: Gather, at: Ints) -> tuple[Numbers, Ints]:
    """RFC 1661 2 and 6.5, RFC 1662 3.1: FF 03 may be left out, and a protocol be one byte."""
    start = gather.u2(at)
    cisco = (start >> 8 == 0x0F) | (start >> 8 == 0x8F)
    at = at + np.where(start == 0xFF03, 2, 0)
    first = gather.u1(at)
    short = first & 1 == 1
    protocol = np.where(short, first, gather.u2(at))
    kinds = np.zeros(len(at), np.int64)
    for number, kind in ((0x21, IPV4), (0x57, IPV6), (0x281, _MPLS)):
        kinds[protocol == number] = kind
    kinds[cisco] = gather.u2(at[cisco] + 2)
    return kinds, at + np.where(cisco, 4, np.where(short, 1, 2))


def _llc(gather: Gather, at: Ints) -> tuple[Ints, Ints]:
    """A SNAP header with an EtherType (RFC 1042); nothing else in LLC is IP."""
    snap = (gather.u4(at) == 0xAAAA0300) & (gather.u2(at + 4) == 0)
    return np.where(snap, gather.u2(at + 6), 0), at + 8


def _wifi(gather: Gather, at: Ints) -> tuple[Ints, Ints]:
    """A data frame of IEEE 802.11 that is not encrypted: three or four addresses, then LLC."""
    control = gather.u2(at)
    data = control & 0x4F40 == 0x0800
    quality = control & 0x8000 != 0
    size = 24 + 6 * (control & 3 == 3) + 2 * quality + 4 * (quality & (control & 0x80 != 0))
    return np.where(data, LLC, 0), at + size


def _radiotap(gather: Gather, at: Ints) -> tuple[Ints, Ints]:
    """Its length is in bytes 2 and 3, the low one first."""
    size = gather.u2(at + 2)
    return np.full(len(at), WIFI, np.int64), at + (size >> 8 | (size & 0xFF) << 8)


def _frame_relay(gather: Gather, at: Ints) -> tuple[Ints, Ints]:
    """An address of two bytes, then as RFC 2427 has it, or an EtherType, as Cisco does."""
    word = gather.u2(at + 2)
    kinds = np.where(word == 0x03CC, IPV4, np.where(word == 0x038E, IPV6, word))
    snap = (word == 0x0300) & (gather.u4(at + 4) == 0x80000000)
    kinds[snap] = gather.u2(at[snap] + 8)
    return kinds, at + np.where(snap, 10, 4)


_LAYERS: tuple[tuple[int, int, _Step], ...] = (
    # Of which kind, how many bytes must be there, and how it is stepped over.
    (ETHERNET, 14, _ethernet),
    (_PPPOE, 10, _before(PPP, 6)),  # RFC 2516 4
    (_BACKBONE, 18, _before(ETHERNET, 4)),  # IEEE 802.1ah 9.7: an I-TAG, then the frame
    (PPP, 4, _ppp),
    (LLC, 8, _llc),
    (WIFI, 24, _wifi),
    (RADIOTAP, 8, _radiotap),
    (FRAME_RELAY, 10, _frame_relay),
)
