"""Where the headers of many frames are, found for all of them at once."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from testbed.wire.ethernet import EtherType
from testbed.wire.ipv4 import IpProtocol

__all__ = ["HEAD", "Heads", "targets"]

HEAD = 128
"""Bytes in which a frame's headers are: Ethernet 14, two tags 8, IPv4 60 and TCP 20 at most."""

_STAG = 0x88A8
_OFFSET = 0x1FFF  # RFC 791 3.1: the fragment offset
_MORE = 0x2000
_LEAST_TRANSPORT = {IpProtocol.UDP: 8, IpProtocol.TCP: 20, IpProtocol.ICMP: 8}

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Rows = npt.NDArray[np.uint8]


@dataclass(eq=False)
class Heads:
    """The first bytes of frames, a row each, and where in them headers begin: 0 for none.

    ``arp`` is for those of IPv4 over Ethernet (RFC 826); ``transport`` is that of TCP, UDP or ICMP
    where it is whole, not in later fragments; ``end`` is where the IPv4 packet ends in the frame.
    """

    rows: Rows
    lengths: Ints
    ipv4: Ints = field(init=False)
    arp: Ints = field(init=False)
    transport: Ints = field(init=False)
    protocol: Ints = field(init=False)
    end: Ints = field(init=False)
    fragment: Bools = field(init=False)
    """Whether it is a fragment, the first one too."""

    def __post_init__(self) -> None:
        given = self.rows
        if given.shape[1] < HEAD:
            self.rows = np.zeros((len(given), HEAD), np.uint8)
            self.rows[:, : given.shape[1]] = given
        self._every = np.arange(len(given))
        at = np.full(len(given), 12, np.int64)
        for _ in range(2):
            kind = self.u2(at)
            tagged = (kind == EtherType.VLAN) | (kind == _STAG)
            at[tagged & (at + 6 <= self.lengths)] += 4
        kind = self.u2(at)
        self._find_arp(at + 2, kind == EtherType.ARP)
        self._find_ipv4(at + 2, kind == EtherType.IPV4)
        self._find_transport()

    def u1(self, at: Ints) -> Ints:
        """The byte at an offset of every row."""
        return self.rows[self._every, at].astype(np.int64)

    def u2(self, at: Ints) -> Ints:
        """The 16 bit number at an offset of every row."""
        return self.u1(at) << 8 | self.u1(at + 1)

    def _find_arp(self, at: Ints, which: Bools) -> None:
        # Hardware type 1 and protocol 0x0800, with addresses of 6 and 4 bytes.
        which = which & (self.lengths >= at + 28) & (self.u2(at) == 1)
        which &= (self.u2(at + 2) == EtherType.IPV4) & (self.u2(at + 4) == 0x0604)
        self.arp = np.where(which, at, 0)

    def _find_ipv4(self, at: Ints, which: Bools) -> None:
        first = self.u1(at)
        header = (first & 15) * 4
        end = at + self.u2(at + 2)
        whole = (first >> 4 == 4) & (header >= 20) & (at + header <= self.lengths)
        which = which & whole & (end >= at + header)
        self.ipv4 = np.where(which, at, 0)
        self.end = np.where(which, end, 0)
        self._after = np.where(which, at + header, 0)

    def _find_transport(self) -> None:
        flags = np.where(self.ipv4 > 0, self.u2(self.ipv4 + 6), 0)
        self.fragment = (flags & (_OFFSET | _MORE)) > 0
        self.protocol = np.where(self.ipv4 > 0, self.u1(self.ipv4 + 9), 0)
        known = np.zeros(len(flags), np.bool_)
        for protocol, least in _LEAST_TRANSPORT.items():
            room = self._after + least <= np.minimum(self.end, self.lengths)
            known |= (self.protocol == protocol) & room
        known &= flags & _OFFSET == 0
        self.transport = np.where(known, self._after, 0)


def targets(heads: Heads) -> tuple[Ints, Ints]:
    """Whom frames are for: rows, and the IPv4 destination or the ARP target of each."""
    at = np.where(heads.ipv4 > 0, heads.ipv4 + 16, np.where(heads.arp > 0, heads.arp + 24, 0))
    which = np.flatnonzero(at)
    address = heads.u2(at) << 16 | heads.u2(at + 2)
    return which, address[which]
