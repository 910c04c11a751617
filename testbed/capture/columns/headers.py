"""Header fields of every packet of a capture, as arrays.

What is understood: Ethernet, Linux cooked (SLL, SLL2), raw IP, BSD loopback, PPP, HDLC, Frame
Relay, InfiniBand and plain 802.11 captures; VLAN tags (stacked too), MAC-in-MAC, SNAP,
PPPoE sessions and MPLS; IPv4 and IPv6 with extension headers, and either inside the other or inside
GRE, VXLAN, Geneve, GTP, L2TP and Teredo; TCP, UDP. A packet that is something else, or is cut short
before a field, has ``version`` 0 or ``protocol`` -1 and zeros.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from testbed.capture.columns.addresses import Addresses
from testbed.capture.columns.arrays import Bools, Gather, Ints, Numbers
from testbed.capture.columns.columns import Columns
from testbed.capture.columns.grouping import Flows, group
from testbed.capture.columns.parallel import in_parts
from testbed.capture.columns.peeling import Peeler
from testbed.capture.columns.usual import read_tagged, read_usual, read_version_6

__all__ = ["Headers", "read_headers"]

_BLOCK = 1 << 13
"""Small enough that what a block needs stays in the processor's cache, and in the heap."""
_REST = 1 << 16
"""Of what is not so usual: each IPv6 address is looked up once in a block."""
_PART = 1 << 17
"""Packets that are worth a thread."""

_KINDS = {
    np.int16: ("vlan", "protocol"),
    np.int32: ("network_at", "payload_at", "payload_length", "room"),
    np.int64: ("src", "dst"),
    np.uint8: ("version", "ttl"),
    np.uint16: ("fragment_at", "sport", "dport"),
    np.uint32: ("ident", "sequence", "ack", "control", "option"),
    np.bool_: ("fragment", "more"),
}


@dataclass(frozen=True, eq=False)
class Headers:
    """One element for every packet, each field in as few bits as it needs.

    ``version`` is 4 or 6, of the innermost IP header; ``network_at`` where that begins within the
    packet. ``payload_at`` is where what it carries begins, ``payload_length`` how long that was on
    the wire (padding and cut off bytes told apart; at most 2**31 - 1), ``room`` how much of it the
    capture has. ``src`` and ``dst`` are numbers that ``addresses`` knows. ``fragment`` is true of
    every part of a datagram; ``fragment_at`` is its place in bytes, ``more`` whether others follow.
    ``sport`` and ``dport`` are of TCP, UDP, UDP-Lite, DCCP and SCTP. ``sequence``, ``ack``,
    ``control`` (header length, flags and window, as they stand in the header) and ``option`` (the
    first four bytes of options) are of TCP; differences of unsigned numbers are modulo 2**32.
    """

    columns: Columns
    gather: Gather
    addresses: Addresses
    vlan: Numbers
    version: Numbers
    network_at: Numbers
    payload_at: Numbers
    payload_length: Numbers
    room: Numbers
    protocol: Numbers
    src: Ints
    dst: Ints
    ident: Numbers
    fragment: Bools
    fragment_at: Numbers
    more: Bools
    ttl: Numbers
    sport: Numbers
    dport: Numbers
    sequence: Numbers
    ack: Numbers
    control: Numbers
    option: Numbers

    def __len__(self) -> int:
        return len(self.version)

    @property
    def network(self) -> Ints:
        """Where the innermost IP header begins in the capture's bytes."""
        return self.columns.offset + self.network_at

    @property
    def payload(self) -> Ints:
        """Where what that carries begins in the capture's bytes."""
        return self.columns.offset + self.payload_at

    @cached_property
    def flows(self) -> Flows:
        """Rows of IP packets by both endpoints, whichever way they go, and protocol."""
        rows = np.flatnonzero((self.version > 0) & (self.fragment_at == 0))
        source, target = self.src << 16, self.dst << 16
        source |= self.sport
        target |= self.dport
        one, other = np.minimum(source, target), np.maximum(source, target, out=target)
        # Endpoints have 49 bits, as an IPv6 address has a number of 33.
        one |= np.left_shift(self.protocol, 49, dtype=np.int64)
        if len(rows) < len(self):
            one, other = one[rows], other[rows]
        return group((one, other), rows)


def read_headers(columns: Columns) -> Headers:
    """Go through the headers of every packet.

    Block by block, so that what was fetched for one field is still at hand for the next.
    """
    gather, addresses = Gather(columns.data), Addresses()
    count = len(columns)
    found = _empty(count)
    others: dict[int, Ints] = {}

    def usual(begin: int, stop: int) -> None:
        for first in range(begin, stop, _BLOCK):
            span = slice(first, min(stop, first + _BLOCK))
            into = {name: array[span] for name, array in found.items()}
            rest = read_usual(columns.where(span), gather, into)
            if len(rest):
                part = _empty(len(rest))
                tagged = read_tagged(columns.where(first + rest), gather, part)
                for name, array in part.items():
                    into[name][rest] = array
                rest = rest[tagged]
            others[first] = first + rest

    in_parts(usual, count, _PART)
    # In order: IPv6 addresses are numbered as they come.
    rest = np.concatenate([np.empty(0, np.int64), *(others[first] for first in sorted(others))])
    for first in range(0, len(rest), _REST):
        rows = rest[first : first + _REST]
        part = _empty(len(rows))
        left = read_version_6(columns.where(rows), gather, addresses, part)
        for name, array in Peeler(columns.where(rows[left]), gather, addresses).read().items():
            part[name][left] = array
        for name, array in part.items():
            found[name][rows] = array
    return Headers(columns, gather, addresses, **found)


def _empty(count: int) -> dict[str, npt.NDArray[Any]]:
    return {name: np.empty(count, kind) for kind, names in _KINDS.items() for name in names}
