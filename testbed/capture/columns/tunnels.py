"""What tunnels carry: where the packet inside begins, and of which kind it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from testbed.capture.columns.arrays import Bools, Gather, Ints, Numbers
from testbed.capture.columns.linklayer import BY_VERSION, ETHERNET, IPV4, IPV6, PPP

__all__ = ["is_tunnel", "open_tunnels"]

_IPIP, _UDP, _IPV6_INSIDE, _GRE = 4, 17, 41, 47
_BRIDGED, _PPP_IN_GRE = 0x6558, 0x880B
_GTP, _VXLAN, _GENEVE, _L2TP, _TEREDO = 2152, 4789, 6081, 1701, 3544
_EXTENSIONS = 4
"""How many extension headers of GTP in a row are stepped over."""

_PORTS = np.zeros(1 << 16, np.bool_)
_PORTS[[_GTP, _VXLAN, _GENEVE, _L2TP, _TEREDO]] = True
_PROTOCOLS = np.zeros(256, np.bool_)
_PROTOCOLS[[_IPIP, _IPV6_INSIDE, _GRE]] = True


def is_tunnel(protocol: Numbers, sport: Numbers, dport: Numbers) -> Bools:
    """Whether packets may have another one inside, by protocol, and of UDP by port."""
    found: Bools = _PROTOCOLS[protocol]
    udp = protocol == _UDP
    if udp.any():
        found |= udp & (_PORTS[sport] | _PORTS[dport])
    return found


def open_tunnels(gather: Gather, protocol: Ints, at: Ints, ends: Ints) -> tuple[Ints, Ints]:
    """The kind of what is inside, as ``linklayer`` has them, 0 where it is none; and its place.

    ``at`` is where the payload of an IP packet begins, ``ends`` where what was captured ends.
    """
    kinds = np.where(protocol == _IPIP, IPV4, np.where(protocol == _IPV6_INSIDE, IPV6, 0))
    at = at.copy()
    room = ends - at
    _each(gather, (protocol == _GRE) & (room >= 8), _gre, (kinds, at))
    udp = np.flatnonzero((protocol == _UDP) & (room >= 8 + 12))
    ports = gather.u2(at[udp]), gather.u2(at[udp] + 2)
    at[udp] += 8
    for port, step in _BY_PORT:
        asked = np.zeros(len(at), np.bool_)
        asked[udp[(ports[0] == port) | (ports[1] == port)]] = True
        _each(gather, asked, step, (kinds, at))
    return kinds, at


_Step = Callable[[Gather, Ints], tuple[Ints, Ints]]


def _each(gather: Gather, which: Bools, step: _Step, into: tuple[Ints, Ints]) -> None:
    rows = np.flatnonzero(which)
    if len(rows):
        kinds, at = into
        kinds[rows], at[rows] = step(gather, at[rows])


def _gre(gather: Gather, at: Ints) -> tuple[Ints, Ints]:
    """RFC 2784 and 2890, and RFC 2637 4.1 for version 1: fields of 4 bytes where flags say so."""
    word = gather.u4(at).astype(np.int64)
    kinds, version = word & 0xFFFF, word >> 16 & 7
    flags = word >> 28
    size = 4 + 4 * ((flags >> 3 & 1) + (flags >> 1 & 1) + (flags & 1))
    size += 4 * ((version == 1) & (word >> 23 & 1 == 1))
    bridged = (version == 0) & (kinds == _BRIDGED)
    point = (version == 1) & (kinds == _PPP_IN_GRE)
    kinds = np.where(bridged, ETHERNET, np.where(point, PPP, np.where(version == 0, kinds, 0)))
    return kinds, at + size


def _gtp(gather: Gather, at: Ints) -> tuple[Ints, Ints]:
    """3GPP TS 29.281 5.1: user data, with four bytes more where any of three flags is set."""
    head = gather.u2(at).astype(np.int64)
    data = (head >> 13 == 1) & (head & 0xFF == 255)
    at = at + np.where(head >> 8 & 7 > 0, 12, 8)
    # Extension headers: their length in units of 4 bytes, and in the last byte what follows.
    more = data & (head >> 8 & 4 > 0)
    for _ in range(_EXTENSIONS):
        more[more] = gather.u1(at[more] - 1) > 0
        more[more] = at[more] + 4 < gather.size
        size = gather.u1(at[more]).astype(np.int64) * 4
        at[more] = np.minimum(at[more] + np.maximum(size, 4), gather.size - 1)
    return np.where(data, BY_VERSION, 0), at


def _vxlan(gather: Gather, at: Ints) -> tuple[Ints, Ints]:
    """RFC 7348 5."""
    return np.where(gather.u1(at) & 8 > 0, ETHERNET, 0), at + 8


def _geneve(gather: Gather, at: Ints) -> tuple[Ints, Ints]:
    """RFC 8926 3.4."""
    head = gather.u4(at).astype(np.int64)
    kinds = head & 0xFFFF
    kinds = np.where(head >> 30 == 0, np.where(kinds == _BRIDGED, ETHERNET, kinds), 0)
    return kinds, at + 8 + (head >> 24 & 0x3F) * 4


def _l2tp(gather: Gather, at: Ints) -> tuple[Ints, Ints]:
    """RFC 2661 3.1: data messages; length, numbers and padding where flags say so."""
    flags = gather.u2(at).astype(np.int64)
    data = (flags & 0x8000 == 0) & (flags & 15 == 2)
    at = at + 6 + 2 * (flags >> 14 & 1) + 4 * (flags >> 11 & 1)
    padded = (flags & 0x0200 > 0) & (at + 2 <= gather.size)
    at[padded] += 2 + gather.u2(at[padded]).astype(np.int64)
    return np.where(data, PPP, 0), at


def _teredo(gather: Gather, at: Ints) -> tuple[Ints, Ints]:
    """RFC 4380: an IPv6 packet, and nothing else here."""
    return np.where(gather.u1(at) >> 4 == 6, IPV6, 0), at


_BY_PORT: tuple[tuple[int, _Step], ...] = (
    (_GTP, _gtp),
    (_VXLAN, _vxlan),
    (_GENEVE, _geneve),
    (_L2TP, _l2tp),
    (_TEREDO, _teredo),
)
