"""Where the network header of every packet begins, whatever the link layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from testbed.capture.columns.arrays import Gather, Ints
from testbed.capture.columns.columns import Columns

__all__ = ["IPV4", "IPV6", "Located", "locate"]

IPV4, IPV6 = 0x0800, 0x86DD
_VLANS = (0x8100, 0x88A8, 0x9100, 0x9200)
_PPPOE, _MPLS = 0x8864, 0x8847
_BELOW = 8
"""How many tags and labels in a row are stepped over."""

_BY_VERSION = -1  # a kind to be told by the first four bits of what is there

_Start = Callable[[Gather, Ints], Ints]
_LINKS: dict[int, tuple[int, _Start]] = {
    # The link type, the length of its header, and the EtherType of what follows.
    0: (4, lambda _, at: np.full(len(at), _BY_VERSION, np.int64)),  # BSD loopback
    1: (14, lambda gather, at: gather.u2(at + 12)),  # Ethernet
    12: (0, lambda _, at: np.full(len(at), _BY_VERSION, np.int64)),
    14: (0, lambda _, at: np.full(len(at), _BY_VERSION, np.int64)),
    101: (0, lambda _, at: np.full(len(at), _BY_VERSION, np.int64)),  # raw IP
    108: (4, lambda _, at: np.full(len(at), _BY_VERSION, np.int64)),  # OpenBSD loopback
    113: (16, lambda gather, at: gather.u2(at + 14)),  # Linux cooked
    228: (0, lambda _, at: np.full(len(at), IPV4, np.int64)),
    229: (0, lambda _, at: np.full(len(at), IPV6, np.int64)),
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
    rows = np.flatnonzero((kinds != IPV4) & (kinds != IPV6) & (kinds != 0))
    for _ in range(_BELOW):
        if not len(rows):
            break
        rows = _step(gather, rows, (kinds, at, ends, vlan))
    known = np.flatnonzero((kinds == IPV4) | (kinds == IPV6))
    return Located(known, kinds[known], at[known], vlan)


def _step(gather: Gather, rows: Ints, columns: tuple[Ints, Ints, Ints, Ints]) -> Ints:
    """Step over one tag, label or session header; the rows that may have another."""
    kinds, at, ends, vlan = columns
    room = ends[rows] - at[rows]
    kind = kinds[rows]
    tagged = rows[np.isin(kind, np.array(_VLANS)) & (room >= 4)]
    word = gather.u4(at[tagged])
    vlan[tagged] = np.where(vlan[tagged] < 0, word >> 16 & 0xFFF, vlan[tagged])
    kinds[tagged] = word & 0xFFFF
    at[tagged] += 4
    session = rows[(kind == _PPPOE) & (room >= 8)]
    protocol = gather.u2(at[session] + 6)
    kinds[session] = np.where(protocol == 0x21, IPV4, np.where(protocol == 0x57, IPV6, 0))
    at[session] += 8
    labelled = rows[(kind == _MPLS) & (room >= 4)]
    bottom = gather.u4(at[labelled]) >> 8 & 1
    kinds[labelled] = np.where(bottom == 1, _BY_VERSION, _MPLS)
    at[labelled] += 4
    bare = rows[(kind == _BY_VERSION) & (room >= 1)]
    version = gather.u1(at[bare]) >> 4
    kinds[bare] = np.where(version == 4, IPV4, np.where(version == 6, IPV6, 0))
    return np.concatenate((tagged, labelled))
